"""Histories with planted changes: as series in memory, and as runs on the disk."""

import json
from datetime import UTC, datetime, timedelta
from math import sin

import numpy as np
import pyarrow.parquet as pq

from depthbench import store
from depthbench.report.trend.history import Series
from depthbench.tables import table_from_rows, table_schema, versioned
from tests.fixtures_results import timing_row, trial_rows

FIRST = datetime(2026, 10, 1, 2, tzinfo=UTC)
ENVIRONMENT = {"arch": "x86_64", "torch_threads": 2, "versions": {"torch": "2.13.0"}}
SHAPES = [(2, 16), (4, 16), (8, 16), (2, 32), (4, 32), (8, 32), (2, 64), (8, 64)]


def logs_of(num_cells=12, num_nights=30, own=0.005, day=0.01, seed=0):
    """Return log times without a change: (cells, nights)."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, own, (num_cells, num_nights)) + generator.normal(0, day, num_nights)
    return noise + np.log(np.linspace(1e-3, 5e-3, num_cells))[:, None]


def times_of(logs):
    """Return log times as series of one device; NaN is a gap."""
    return [
        Series(
            key=str(index),
            name=f"cell {index}",
            kind="time",
            facts={"device": "cpu"},
            values=tuple(None if np.isnan(value) else float(np.exp(value)) for value in row),
        )
        for index, row in enumerate(logs)
    ]


def seconds_of(index, depth, width):
    """Return a time that is a power law of depth and width, and wanders by half a percent."""
    wander = 0.005 * sin(97.0 * index + 13.0 * depth + width)
    return 1e-5 * depth**0.9 * width**1.2 * (1 + wander)


def write_night(root, index, *, slower=None, losses=(0.1, 0.12, 0.11), suite="planted", **facts):
    """Write the finished run of a night: 8 cells and one variant's loss over 3 seeds.

    `slower` is a factor by (depth, width), of the cells that have one.
    """
    name = facts.pop("name", f"night-{index:03d}")
    folder = store.RunFolder(root / suite / name)
    folder.parts.mkdir(parents=True)
    timings = []
    for depth, width in SHAPES:
        seconds = seconds_of(index, depth, width) * (slower or {}).get((depth, width), 1.0)
        samples = [seconds * (1 + 0.001 * place) for place in range(12)]
        row = timing_row("deep", samples, depth=depth, width=width, backbone="mlp")
        timings.append(row | {"samples_process": [place // 4 for place in range(12)]})
    tables = {"trials": trial_rows("deep", losses), "timings": timings, "curves": (), "probes": ()}
    for table, rows in tables.items():
        found = versioned(table_from_rows(rows, table_schema(table)))
        pq.write_table(found, folder.table(table))
    created_at = (FIRST + timedelta(days=index)).isoformat()
    run = {"suite": suite, "run": name, "status": "finished", "created_at": created_at}
    run |= {"environment": ENVIRONMENT, "num_trials": 3, "schema_version": 1} | facts
    folder.run_json.write_text(json.dumps(run))
    return folder


def write_nights(root, num, first=0, **facts):
    for index in range(first, first + num):
        write_night(root, index, **facts)
