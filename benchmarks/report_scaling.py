"""How long a report on very many timings takes, and how much memory: against reading them.

    python benchmarks/report_scaling.py [--rows 1000000] [--samples 24] [--rounds 3]

Makes a run with so many timed cells (2,000 networks of the families deep, wide and hourglass, each
timed in as many ways as that takes), each with its samples, and then, in turn and each in a process
of its own: the peer reads timings.parquet with pandas.read_parquet; `depthbench report` reports on
the run. Printed: seconds and peak resident memory of both, and the ratio of the seconds (target at
most 3, under 2 GiB).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depthbench.record import TABLES
from depthbench.tables import table_schema, versioned

DEPTHS, WIDTHS, FAMILIES = (1, 2, 4, 8, 16), (16, 32, 64, 128, 256), ("deep", "wide", "hourglass")
NUM_VARIANTS, NUM_SEEDS, NUM_PROCESSES = 2_000, 3, 3
PHASES, PRECISIONS, MODES = ("inference", "train_step"), ("fp32", "bf16"), ("eager", "compile")
TARGET_RATIO, TARGET_BYTES = 3.0, 2 << 30
PEER = "import pandas, sys; pandas.read_parquet(sys.argv[1])"


def variants() -> list[dict[str, Any]]:
    """Return the facts of all networks; kernels tell apart those of one family, depth and width."""
    shapes = [(f, depth, width) for f in FAMILIES for depth in DEPTHS for width in WIDTHS]
    return [
        {
            "variant_id": f"{number:016x}",
            "family": shapes[number % len(shapes)][0],
            "depth": shapes[number % len(shapes)][1],
            "width": shapes[number % len(shapes)][2],
            "kernel": 2 * (number // len(shapes)) + 3,
            "backbone": "conv",
            "dataset": "digits",
            "task": "classify",
            "device": "cpu",
            "status": "ok",
        }
        for number in range(NUM_VARIANTS)
    ]


def trial_rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return trials with a planted loss, three seeds a network."""
    return [
        variant
        | {
            "trial_id": f"{variant['variant_id']}-{seed}",
            "plan_index": NUM_SEEDS * place + seed,
            "seed": seed,
            "lr": 0.001,
            "optimizer": "adamw",
            "is_selected": True,
            "budgets": [],
            "total_params": 12 * variant["depth"] * variant["width"] ** 2,
            "val_loss": float(rng.lognormal(-2, 0.1)),
            "test_loss": float(rng.lognormal(-2, 0.1)),
        }
        for place, variant in enumerate(variants())
        for seed in range(NUM_SEEDS)
    ]


def cell_kinds(num: int) -> list[dict[str, Any]]:
    """Return so many ways of timing a network."""
    kinds = [
        {"phase": phase, "precision": precision, "mode": mode}
        for phase in PHASES
        for precision in PRECISIONS
        for mode in MODES
    ]
    return [kinds[n % len(kinds)] | {"batch_size": n // len(kinds) + 1} for n in range(num)]


def timing_table(num_rows: int, num_samples: int, rng: np.random.Generator) -> pa.Table:
    """Return timed cells whose time grows with depth."""
    every, kinds = variants(), cell_kinds(num_rows // NUM_VARIANTS)
    network = np.repeat(np.arange(NUM_VARIANTS), len(kinds))
    kind = np.tile(np.arange(len(kinds)), NUM_VARIANTS)
    num = len(network)
    center = 1e-4 + 2e-5 * np.array([v["depth"] for v in every])[network]
    samples = (center[:, None] * rng.lognormal(0, 0.05, (num, num_samples))).astype(float)
    ends = pa.array(np.arange(num + 1, dtype=np.int32) * num_samples)
    process = np.tile(np.arange(num_samples) % NUM_PROCESSES, num)
    rounds = np.tile(np.arange(num_samples), num)
    columns: dict[str, Any] = {
        "cell_id": [f"{place:016x}" for place in range(num)],
        "trial_id": [f"{every[n]['variant_id']}-0" for n in network],
        "plan_index": network * NUM_SEEDS,
        "optimizer": ["adamw" if kinds[k]["phase"] == "train_step" else None for k in kind],
        "num_threads": np.full(num, 2),
        "cache": ["warm"] * num,
        "num_samples": np.full(num, num_samples),
        "median_seconds": np.median(samples, axis=1),
        "mean_seconds": samples.mean(axis=1),
        "ci_low_seconds": np.quantile(samples, 0.3, axis=1),
        "ci_high_seconds": np.quantile(samples, 0.7, axis=1),
        "samples_seconds": pa.ListArray.from_arrays(ends, samples.ravel()),
        "wall_samples_seconds": pa.ListArray.from_arrays(ends, samples.ravel()),
        "samples_process": pa.ListArray.from_arrays(ends, process),
        "samples_round": pa.ListArray.from_arrays(ends, rounds),
        "flags": [[]] * num,
    }
    for name in ("phase", "precision", "mode", "batch_size"):
        columns[name] = [kinds[k][name] for k in kind]
    for name in ("variant_id", "family", "depth", "width", "backbone", "dataset", "task"):
        columns[name] = [every[n][name] for n in network]
    for name in ("device", "status"):
        columns[name] = [every[0][name]] * num
    schema = table_schema("timings")
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.nulls(num, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def write_run(folder: Path, num_rows: int, num_samples: int) -> None:
    """Write a finished run."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    trials = trial_rows(rng)
    tables = {name: table_schema(name).empty_table() for name in TABLES}
    tables["trials"] = pa.Table.from_pylist(trials, schema=table_schema("trials"))
    tables["timings"] = timing_table(num_rows, num_samples, rng)
    for name, table in tables.items():
        pq.write_table(versioned(table), folder / f"{name}.parquet", row_group_size=65_536)
    facts = {"schema_version": 1, "suite": folder.parent.name, "run": folder.name}
    facts |= {"status": "finished", "num_trials": len(trials), "question": "Which is best?"}
    (folder / "run.json").write_text(json.dumps(facts))


def cost_of(command: list[str]) -> tuple[float, int]:
    """Return the seconds and the peak resident bytes of a program."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            assert process.stderr is not None
            raise SystemExit(process.stderr.read().decode()[-2000:])
    return seconds, usage.ru_maxrss * 1024


def main() -> None:
    """Make the run, take both costs in turn, print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--format", default="terminal")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "scaling" / "r1"
        write_run(folder, options.rows, options.samples)
        size = (folder / "timings.parquet").stat().st_size
        print(f"{options.rows:,} timings of {options.samples} samples, {size / 1e6:.0f} MB")
        ways = {
            "pandas.read_parquet": [sys.executable, "-c", PEER, str(folder / "timings.parquet")],
            "depthbench report": [
                *(sys.executable, "-m", "depthbench", "report", str(folder)),
                *("--format", options.format),
            ],
        }
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, command in ways.items():
                found[name].append(cost_of(command))
    for name, costs in found.items():
        seconds = ", ".join(f"{second:.1f}" for second, _ in costs)
        print(f"{name:<22}{seconds} s   peak {max(peak for _, peak in costs) / 2**20:,.0f} MiB")
    peer, ours = found.values()
    ratios = [a / b for (a, _), (b, _) in zip(ours, peer, strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"target: at most {TARGET_RATIO:.0f}, under {TARGET_BYTES / 2**20:,.0f} MiB")


if __name__ == "__main__":
    main()
