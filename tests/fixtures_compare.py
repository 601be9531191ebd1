"""Nights of one suite with planted changes, for tests of comparisons; in memory and on the disk."""

import zlib

import numpy as np

from depthbench import store
from tests.fixtures_results import make_run, timing_row, trial_rows

FAMILIES = {"deep": 4e-4, "wide": 1e-4, "hourglass": 5e-4, "parallel_shallow": 1.2e-4}
LOSSES = {
    "deep": [0.100, 0.104, 0.097, 0.102, 0.099],
    "wide": [0.081, 0.084, 0.078, 0.083, 0.080],
    "hourglass": [0.121, 0.118, 0.125, 0.119, 0.122],
    "parallel_shallow": [0.082, 0.083, 0.081, 0.082, 0.083],
}
ENVIRONMENT = {
    "arch": "x86_64",
    "cpu_model": "Planted 3000",
    "num_usable_cpus": 2,
    "python_minor": "3.11",
    "versions": {"torch": "2.9.0", "depthbench": "0.1.0"},
    "device_type": "cpu",
    "torch_threads": 2,
}


def timed(family, seconds, *, seed=0, noise=0.003, num_processes=3, **facts):
    """Return a cell of a few processes of six samples each."""
    generator = np.random.default_rng((seed, zlib.crc32(f"{family}{facts}".encode())))
    processes = np.repeat(np.arange(num_processes), 6)
    shifts = generator.normal(0, noise, num_processes)[processes]
    samples = seconds * np.exp(shifts + np.abs(generator.normal(0, noise, len(processes))))
    row = timing_row(family, samples.tolist(), backbone="mlp", **facts)
    return row | {"samples_process": processes.tolist()}


def cells(slower=None, *, seed=0, noise=0.003, **facts):
    """Return two cells a family; `slower` is by how much those of a family are."""
    return [
        timed(
            family,
            seconds * (slower or {}).get(family, 1.0) * (1 if phase == "inference" else 4),
            seed=seed,
            noise=noise,
            phase=phase,
            **facts,
        )
        for family, seconds in FAMILIES.items()
        for phase in ("inference", "train_step")
    ]


def trials(losses=None, **facts):
    """Return five seeds a family; `losses` are those of a family, where they differ."""
    return [
        row
        for family, usual in LOSSES.items()
        for row in trial_rows(
            family, (losses or {}).get(family, usual), **({"data_digest": "a" * 64} | facts)
        )
    ]


def night(trials_=None, timings=None, **facts):
    """Return a run; without rows, the usual ones."""
    usual = {"run": "night", "environment": ENVIRONMENT, "suite_hash": "h", "depthbench": "0.1.0"}
    return make_run(
        trials() if trials_ is None else trials_,
        cells() if timings is None else timings,
        **(usual | facts),
    )


def write_night(out, name, trials_=None, timings=None, **facts):
    """Write a run as a finished one lies on the disk, and return its folder."""
    rows = trials() if trials_ is None else trials_
    folder = store.create_run(out, facts.get("suite", "planted"), name)
    for row in rows:
        store.write_trial_part(folder, row | {"run": name}, ())
    for row in cells() if timings is None else timings:
        store.write_timing_part(folder, row)
    state = {
        "suite": "planted",
        "run": name,
        "status": "finished",
        "num_trials": len(rows),
        "created_at": "2026-01-02T03:04:05+00:00",
        "environment": ENVIRONMENT,
        "suite_hash": "h",
        "claims": [],
    }
    store.write_run_json(folder, state | facts)
    if facts.get("status", "finished") == "finished":
        store.merge(folder)
    return folder.path
