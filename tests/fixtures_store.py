"""Runs to test on: rows as real ones, with gaps, and ways to break them."""

from pathlib import Path

import pandas as pd

from depthbench import store
from depthbench.record import TABLES

BUDGET = {
    "match": "total_params",
    "target": 20000.0,
    "tolerance": 0.02,
    "error_fraction": -0.0125,
    "is_solved": True,
    "is_on_budget": True,
}


def trial_row(trial_id="a" * 16, **values):
    """A row of an mlp: no kernel, no milestones, no clip norm, as real rows have gaps."""
    row = {
        "trial_id": trial_id,
        "variant_id": "b" * 16,
        "status": "ok",
        "family": "deep",
        "backbone": "mlp",
        "depth": 4,
        "width": 64,
        "bias": True,
        "residual_scale": "1/sqrt(L)",
        "input_shape": [1, 28, 28],
        "betas": [0.9, 0.999],
        "milestones": [],
        "lr": 0.001,
        "seed": 0,
        "total_params": 19750,
        "forward_flops": 1 << 54,
        "budgets": [BUDGET],
        "val_loss": 0.25,
        "started_at": "2026-01-02T03:04:05+00:00",
    }
    return row | values


def curve_rows(num_points=3, **values):
    return [
        {
            "step": step,
            "epoch": step / 10,
            "split": "val",
            "metric": "loss",
            "value": 1 / (1 + step),
        }
        | values
        for step in range(num_points)
    ]


def timing_row(cell_id="c" * 16, **values):
    row = {
        "cell_id": cell_id,
        "variant_id": "b" * 16,
        "phase": "inference",
        "batch_size": 128,
        "status": "ok",
        "median_seconds": 0.0012,
        "samples_seconds": [0.0011, 0.0012, 0.0013],
        "num_samples": 3,
        "flags": ["noisy"],
        "started_at": "2026-01-02T03:04:06+00:00",
    }
    return row | values


PROBE_ROW = {"probe": "layer_skip", "layer": 0, "metric": "val_loss", "value": 0.5}


def new_run(out, **values):
    folder = store.create_run(out, "quickstart", "first")
    facts = {"suite": "quickstart", "run": "first", "status": "running"}
    store.write_run_json(folder, facts | values)
    return folder


def fill(folder, num_trials=3):
    for number in range(num_trials):
        row = trial_row(f"{number:016x}", seed=number, hidden=None if number else 128)
        store.write_trial_part(folder, row, curve_rows(), [PROBE_ROW])
    store.write_timing_part(folder, timing_row())


def frames(run):
    return {name: getattr(run, name) for name in TABLES}


def assert_same(before, after):
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))


def parts(folder):
    return sorted(path.name for path in folder.parts.iterdir())


class Crash(BaseException):
    """The process dies here."""


def crash_at_replace(monkeypatch, number):
    """Die instead of the n-th rename, 0 being the first."""
    done = []
    replace = Path.replace

    def dying(self, target):
        if len(done) == number:
            raise Crash
        done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)


CORRUPTIONS = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "text": lambda content: b"not parquet at all",
    "one bit": lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:],
}
