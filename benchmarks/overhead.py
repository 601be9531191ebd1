"""What depthbench adds to training: time a trial, memory of the parent, and how the store grows.

Targets: under 20 ms a trial beyond `train_seconds` at 2,000 tiny trials, the whole of `run_suite`
counted; peak memory flat from 100 to 10,000 trials; the store linear up to 100,000. Each figure is
of a fresh process. For memory, training is replaced by rows that are there at once. For the store,
parts are real ones, and the disk is not waited for (`--sync` waits).

Run: python benchmarks/overhead.py [--part run|memory|store] [--sizes 100 2000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

SIZES = {
    "run": (100, 500, 2_000),
    "memory": (100, 1_000, 10_000),
    "store": (1_000, 10_000, 100_000),
}
NUM_CURVE_POINTS = 20
SUITE = """\
suite: overhead
dataset: {{name: digits, train_examples: 64, validation_examples: 64}}
backbone: mlp
cohort: off
variants: [{{family: deep, depth: [1, 2], width: 8}}]
train: {{steps: 4, batch_size: 32, lr: {rates}}}
seeds: {seeds}
"""
# As many as a suite may have.
MAX_SEEDS = 10_000


def measure_run(size: int, folder: Path, executor: str) -> dict[str, float]:
    """Return milliseconds a trial: all but training, CPU time of all, training, rest of trials."""
    from depthbench import read_run, run_suite

    warm = suite_of(4)
    run_suite(warm, out=folder, run="warm", executor=executor)
    began, began_cpu = time.perf_counter(), time.process_time()
    summary = run_suite(suite_of(size), out=folder, run="measured", executor=executor)
    wall_seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    trials = read_run(summary.folder).trials
    assert (trials.status == "ok").all()
    train_seconds = trials.train_seconds.sum()
    return {
        "overhead_ms": (wall_seconds - train_seconds) / size * 1e3,
        "cpu_ms": cpu_seconds / size * 1e3,
        "train_ms": train_seconds / size * 1e3,
        "in_trial_ms": (trials.trial_seconds.sum() - train_seconds) / size * 1e3,
        "peak_mib": peak_mib(),
    }


def measure_memory(size: int, folder: Path, executor: str) -> dict[str, float]:
    """Return the peak memory of a run of trials that take no time, and milliseconds a trial."""
    from depthbench import pieces, run_suite

    run_suite(suite_of(4), out=folder, run="warm", executor=executor)
    pieces.run_cohort = trained_at_once
    pieces.read_test_set = lambda trial, context: {"test_loss": 1.0, "test_accuracy": 0.5}
    began = time.perf_counter()
    run_suite(suite_of(size), out=folder, run="measured", executor=executor)
    return {"ms": (time.perf_counter() - began) / size * 1e3, "peak_mib": peak_mib()}


def trained_at_once(cohort, tell, *, context):
    """Return results as `run_cohort` does, without training."""
    from depthbench.executors import Lost
    from depthbench.trial import lost_trial

    results = []
    for trial in cohort.trials:
        found = lost_trial(trial, context, Lost("failed", ""))
        found.row.update(status="ok", error=None, val_loss=1.0, train_seconds=0.0)
        results.append(replace(found, curves=curve_of(trial.trial_id)))
    return results


def curve_of(trial_id: str) -> list[dict[str, object]]:
    """Return points of a training curve."""
    return [
        {
            "trial_id": trial_id,
            "step": step,
            "epoch": step / 10,
            "split": "val",
            "metric": "loss",
            "value": 1 / (1 + step),
        }
        for step in range(NUM_CURVE_POINTS)
    ]


def measure_store(size: int, folder: Path, executor: str) -> dict[str, float]:
    """Return milliseconds a trial of writing, looking what is finished, merging and reading."""
    from depthbench import expand, store
    from depthbench.cohorts import Cohort
    from depthbench.trial import TrialContext

    context = TrialContext("overhead", "r", folder, "cpu", None, {})
    place = store.create_run(folder, "overhead", "r")
    store.write_run_json(place, {"suite": "overhead", "run": "r", "status": "running"})
    trials = expand(suite_of(size))
    found: dict[str, float] = {}

    def timed(name, work):
        began = time.perf_counter()
        work()
        found[f"{name}_ms"] = (time.perf_counter() - began) / size * 1e3

    def write():
        for place_in_plan, trial in enumerate(trials):
            (result,) = trained_at_once(Cohort((trial,)), None, context=context)
            row = result.row | {"plan_index": place_in_plan}
            store.write_trial_part(place, row, result.curves)

    timed("write", write)
    timed("finished", lambda: store.finished_trials(place))
    timed("merge", lambda: store.merge(place))
    timed("read", lambda: store.read_run(place))
    return found | {"peak_mib": peak_mib()}


def suite_of(size: int):
    """Return a suite of a number of trials: 2 depths, 2 rates or more, and seeds."""
    from depthbench.suite import parse_suite

    seeds = min(size // 4, MAX_SEEDS)
    rates = [1e-3 * (rate + 1) for rate in range(size // 2 // seeds)]
    return parse_suite(SUITE.format(seeds=seeds, rates=rates), "overhead.yaml")


def peak_mib() -> float:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MEASURES = {"run": measure_run, "memory": measure_memory, "store": measure_store}


def in_fresh_process(part: str, size: int, options: argparse.Namespace) -> dict[str, float]:
    """Return what a process of its own measures."""
    command = [sys.executable, __file__, "--part", part, "--one", str(size)]
    command += ["--executor", options.executor, *(["--sync"] if options.sync else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def parse() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--part", choices=SIZES)
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--executor", default="local")
    parser.add_argument("--sync", action="store_true", help="wait for the disk in the store's part")
    parser.add_argument("--one", type=int, help="measure this size here, print JSON")
    return parser.parse_args()


def main() -> None:
    """Print a line a size for each part."""
    options = parse()
    if options.one:
        if options.part == "store" and not options.sync:
            os.fsync = lambda descriptor: None
        with tempfile.TemporaryDirectory() as folder:
            found = MEASURES[options.part](options.one, Path(folder), options.executor)
        print(json.dumps(found))
        return
    for part in [options.part] if options.part else SIZES:
        for size in options.sizes or SIZES[part]:
            found = in_fresh_process(part, size, options)
            figures = "  ".join(f"{name} {value:8.2f}" for name, value in found.items())
            print(f"{part:6} {size:>7,} trials  {figures}", flush=True)


if __name__ == "__main__":
    main()
