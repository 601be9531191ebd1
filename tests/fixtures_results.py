"""Build results as a run leaves them, with effects that are planted, for tests of reports."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, median

import pandas as pd
import pyarrow as pa

from depthbench.record import column_names
from depthbench.report.summary import summarise
from depthbench.run_tables import HeldTables
from depthbench.store import Run
from depthbench.tables import conform

TARGET = 20_000.0


def share(error=0.001, *, match="total_params", target=TARGET, tolerance=0.02, is_solved=True):
    return {
        "match": match,
        "target": target,
        "tolerance": tolerance,
        "error_fraction": error,
        "is_solved": is_solved,
        "is_on_budget": abs(error) <= tolerance,
    }


def trial_rows(
    family,
    losses,
    *,
    depth=4,
    width=32,
    lr=0.003,
    budgets=None,
    statuses=None,
    is_selected=True,
    test=True,
    variant_id=None,
    dataset="digits",
    **settings,
):
    """Return one row a seed; a loss of None stands for a trial without one."""
    variant = variant_id or f"{family}-{depth}-{width}"
    budgets = [share()] if budgets is None else budgets
    rows = []
    for seed, loss in enumerate(losses):
        status = statuses[seed] if statuses else "ok"
        row = {
            "trial_id": f"{variant}-{dataset}-{lr}-{seed}",
            "variant_id": variant,
            "suite": "planted",
            "run": "r1",
            "status": status,
            "error": None if status == "ok" else f"planted {status}",
            "family": family,
            "backbone": "mlp",
            "depth": depth,
            "width": width,
            "hidden": width // 4 if family == "hourglass" else 2 * width,
            "activation": "relu",
            "dataset": dataset,
            "task": "classify",
            "train_examples": 1437,
            "validation_examples": 180,
            "optimizer": "adamw",
            "lr": lr,
            "weight_decay": 0.01,
            "momentum": 0.9,
            "nesterov": True,
            "betas": [0.9, 0.999],
            "batch_size": 64,
            "epochs": 30.0,
            "schedule": "cosine",
            "label_smoothing": 0.0,
            "precision": "fp32",
            "seed": seed,
            "total_params": 20_010,
            "trainable_params": 20_010,
            "body_params": 17_000,
            "forward_flops": 39_800,
            "budgets": budgets,
            "budget_error_fraction": budgets[0]["error_fraction"] if budgets else None,
            "is_selected": is_selected,
            "device": "cpu",
        }
        if status == "ok":
            row |= {"val_loss": loss, "val_accuracy": 1 - loss / 4 if loss is not None else None}
            row |= {"train_loss": loss / 2 if loss is not None else None}
            if test and is_selected:
                row |= {"test_loss": loss, "test_accuracy": row["val_accuracy"]}
        rows.append(row | settings)
    return rows


def timing_row(family, samples, *, depth=4, width=32, phase="inference", batch_size=1, **facts):
    """Return a timed cell whose interval is that of its samples."""
    row = {
        "cell_id": f"{family}-{depth}-{width}-{phase}-{batch_size}-{facts.get('mode', 'eager')}",
        "variant_id": f"{family}-{depth}-{width}",
        "trial_id": f"{family}-{depth}-{width}-digits-0.003-0",
        "family": family,
        "depth": depth,
        "width": width,
        "dataset": "digits",
        "task": "classify",
        "optimizer": "adamw" if phase == "train_step" else None,
        "phase": phase,
        "batch_size": batch_size,
        "precision": "fp32",
        "mode": "eager",
        "num_threads": 2,
        "cache": "warm",
        "device": "cpu",
        "status": "ok",
        "median_seconds": median(samples) if samples else None,
        "mean_seconds": fmean(samples) if samples else None,
        "ci_low_seconds": min(samples, default=None),
        "ci_high_seconds": max(samples, default=None),
        "samples_seconds": list(samples),
        "num_samples": len(samples),
        "flags": [],
    }
    return row | facts


def spread(center, fraction=0.01, num=9):
    """Return samples around a median, evenly."""
    half = num // 2
    return [center * (1 + fraction * (index - half) / half) for index in range(num)]


def make_run(trials=(), timings=(), *, curves=(), **facts):
    """Return a run with these rows; columns and types as the store reads them."""
    run = {
        "suite": "planted",
        "run": "r1",
        "question": "Does the planted effect show?",
        "status": "finished",
        "created_at": "2026-01-02T03:04:05+00:00",
        "num_trials": len(trials),
        "claims": [],
        "budgets": [],
        "device": "cpu",
    } | facts
    tables = {
        name: _table(name, rows)
        for name, rows in {
            "trials": trials,
            "curves": curves,
            "timings": timings,
            "probes": (),
        }.items()
    }
    return Run(Path("results/planted/r1"), run, HeldTables(tables))


def _table(name, rows):
    frame = pd.DataFrame(list(rows), columns=list(column_names(name))).convert_dtypes()
    return conform(pa.Table.from_pandas(frame, preserve_index=False), name)


def claim(**settings):
    """Return a claim as run.json holds it."""
    base = {
        "id": "planted-claim",
        "metric": "test_loss",
        "of": {"family": "parallel_shallow"},
        "against": {"family": "deep"},
        "expect": {"ratio_at_most": 1.05},
    }
    return base | settings


def quickstart_run(**facts):
    """Return a run as of the quickstart: four layouts, five seeds, four timed cells each."""
    trials = (
        trial_rows("deep", [0.100, 0.104, 0.097, 0.102, 0.099], depth=8, width=21)
        + trial_rows("wide", [0.081, 0.084, 0.078, 0.083, 0.080], depth=1, width=96)
        + trial_rows("parallel_shallow", [0.082, 0.083, 0.081, 0.082, 0.083], depth=8, width=21)
        + trial_rows("hourglass", [0.121, 0.118, 0.125, 0.119, 0.122], depth=8, width=56)
    )
    times = {"deep": 4e-4, "wide": 9e-5, "parallel_shallow": 1.2e-4, "hourglass": 5e-4}
    shapes = {"deep": (8, 21), "wide": (1, 96), "parallel_shallow": (8, 21), "hourglass": (8, 56)}
    timings = [
        timing_row(
            family,
            spread(seconds * (1 if phase == "inference" else 4.2) * (1 + batch / 400)),
            depth=shapes[family][0],
            width=shapes[family][1],
            phase=phase,
            batch_size=batch,
        )
        for family, seconds in times.items()
        for phase in ("inference", "train_step")
        for batch in (1, 128)
    ]
    claims = [
        claim(
            id="parallel-matches-deep", expect={"ratio_at_most": 1.05}, source="arXiv 2309.08414"
        ),
        claim(
            id="wide-is-slower",
            metric="median_seconds",
            of={"family": "wide"},
            where={"phase": "inference", "batch_size": 1},
            expect={"ratio_at_least": 1.0},
        ),
        claim(
            id="wide-is-best",
            of={"family": "wide"},
            against={"family": "parallel_shallow"},
            expect={"ratio_at_most": 0.99},
        ),
    ]
    return make_run(trials, timings, **({"claims": claims} | facts))


def ladder_run(**facts):
    """Return a run of timings alone, of one network at four depths and two widths."""
    timings = []
    for width in (32, 64):
        for depth in (2, 4, 8, 16):
            seconds = 1e-3 + depth * 1e-4 * (width / 32) ** 1.5
            samples = [seconds * (1 + 0.01 * ((7 * i) % 9 - 4) / 4) for i in range(9)]
            row = timing_row("deep", samples, depth=depth, width=width, backbone="mlp")
            timings.append(row | {"samples_process": [i // 3 for i in range(9)]})
    return make_run((), timings, **({"run": "ladder"} | facts))


def curve_rows(trial_id, values, *, split="val", metric="loss", every=10):
    """Return the curve of one trial: its values, each `every` steps."""
    return [
        {
            "trial_id": trial_id,
            "step": every * place,
            "epoch": float(place),
            "split": split,
            "metric": metric,
            "value": value,
        }
        for place, value in enumerate(values, start=1)
    ]


def panels_in(run, kind):
    """Return the panels of one kind in a run's report."""
    return [panel for panel in summarise([run]).runs[0].panels if panel.kind == kind]


def only_panel(run, kind):
    """Return the one panel of its kind in a run's report."""
    (panel,) = panels_in(run, kind)
    return panel
