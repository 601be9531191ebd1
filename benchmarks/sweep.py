"""How fast a sweep is: depthbench against the script that a researcher would write.

    python benchmarks/sweep.py [--rounds 3] [--only mlp] [--seconds 20] [--out FILE]

The same nets and trials in three ways: (a) the usual script, a Python loop over trials with a
DataLoader, one at a time; (b) depthbench with cohorts off, in this process; (c) depthbench at its
default. A shape has 12 members: 3 learning rates and 4 seeds, on 10,000 examples at batch size 128.

Every round runs the three in a shuffled order, so that what disturbs the machine hits all alike;
ratios are taken within a round. All time counts: starting workers, choosing how to stack, writing
results; but how many workers are fastest, measured once a machine, is measured before. What (b)
and (c) do beyond the script, train metrics and the test pass, counts too. A sweep of one shape is
short, while workers take seconds to start, once a run: each shape trains for as many epochs as the
script takes about --seconds for.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from depthbench import build_model, expand, run_suite
from depthbench.data import load
from depthbench.progress import Quiet, Work
from depthbench.report.statistics import median_interval
from depthbench.spec import Trial
from depthbench.suite import parse_suite
from depthbench.training import PreparedData, prepare

SUITE = """
suite: sweep
dataset: {{name: mnist, train_examples: 10000, validation_examples: 1000}}
variants: [{{family: deep, backbone: {backbone}, depth: {depth}, width: {width}}}]
train: {{optimizer: adamw, lr: [0.001, 0.003, 0.01], epochs: {epochs}, batch_size: 128}}
seeds: 4
cohort: {cohort}
"""
# Shape (backbone, depth, width): how much faster than the script depthbench is to be at least.
CPU_TARGETS = {
    **{("mlp", depth, 64): 4.0 for depth in (2, 8)},
    **{("mlp", depth, 256): 1.8 for depth in (2, 8)},
    **{("conv", depth, width): 1.0 for depth in (2, 8) for width in (8, 16, 32)},
}
CUDA_TARGETS = {shape: 40.0 if shape[0] == "mlp" else 10.0 for shape in CPU_TARGETS}
CONV_GRID_TARGET = 1.5
PROBE_STEPS = 20

Shape = tuple[str, int, int]


def script_step(trial: Trial, model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch):  # type: ignore[no-untyped-def]
    """Take one step, as the script does."""
    x, y = batch
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def script(trials: tuple[Trial, ...], data: PreparedData, device: str) -> None:
    """Train and validate all trials, one after another, as a script does."""
    train = TensorDataset(data.train.inputs.cpu(), data.train.targets.cpu())
    validation = TensorDataset(data.validation.inputs.cpu(), data.validation.targets.cpu())
    for trial in trials:
        torch.manual_seed(trial.seed)
        model = build_model(trial).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=trial.lr)
        loader = DataLoader(train, batch_size=trial.train.batch_size, shuffle=True)
        for _ in range(int(trial.train.epochs or 1)):
            model.train()
            for x, y in loader:
                script_step(trial, model, optimizer, (x.to(device), y.to(device)))
            model.eval()
            right = 0
            with torch.no_grad():
                for x, y in DataLoader(validation, batch_size=512):
                    right += (model(x.to(device)).argmax(1) == y.to(device)).sum().item()


def epochs_for(shape: Shape, data: PreparedData, device: str, seconds: float) -> int:
    """Return as many epochs as the script takes so many seconds for."""
    (trial, *_) = trials_of(shape, 1, "off")
    model = build_model(trial).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial.lr)
    x, y = data.train.inputs[:128].to(device), data.train.targets[:128].to(device)
    times = []
    for _ in range(PROBE_STEPS):
        start = time.perf_counter()
        script_step(trial, model, optimizer, (x, y))
        times.append(time.perf_counter() - start)
    epoch = statistics.median(times) * math.ceil(len(data.train) / 128) * 12
    return max(1, round(seconds / epoch))


def suite_text(shape: Shape, epochs: int, cohort: str) -> str:
    """Return the suite of a shape."""
    backbone, depth, width = shape
    return SUITE.format(backbone=backbone, depth=depth, width=width, epochs=epochs, cohort=cohort)


def trials_of(shape: Shape, epochs: int, cohort: str) -> tuple[Trial, ...]:
    """Return the 12 trials of a shape."""
    return expand(parse_suite(suite_text(shape, epochs, cohort), "sweep.yaml"))


def ways(
    shape: Shape, epochs: int, data: PreparedData, device: str, out: Path
) -> dict[str, Callable[[], object]]:
    """Return what is timed, by its letter."""

    def depthbench(cohort: str, **options: str) -> None:
        suite = parse_suite(suite_text(shape, epochs, cohort), "sweep.yaml")
        summary = run_suite(suite, out=out, device=device, **options)  # type: ignore[arg-type]
        assert summary.trials_by_status == {"ok": 12}, summary

    return {
        "a": lambda: script(trials_of(shape, epochs, "off"), data, device),
        "b": lambda: depthbench("off", executor="local"),
        "c": lambda: depthbench("auto"),
    }


def choose_workers_once(shape: Shape, epochs: int, device: str, out: Path) -> None:
    """Let the folder of results know how many workers are fastest on this machine."""
    suite = parse_suite(suite_text(shape, epochs, "auto"), "sweep.yaml")
    with suppress(KeyboardInterrupt):
        run_suite(suite, out=out, device=device, progress=Impatient())


class Impatient(Quiet):
    """Interrupt a run as soon as it trains: all has been chosen by then."""

    def move(self, work: Work, share: float, loss: float | None) -> None:
        """Interrupt."""
        raise KeyboardInterrupt


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(shape: Shape, rounds: int, seconds: float, data: PreparedData, device: str) -> dict:  # type: ignore[type-arg]
    """Return the seconds of each way in each round."""
    epochs = epochs_for(shape, data, device, seconds)
    found: dict[str, list[float]] = {name: [] for name in "abc"}
    with tempfile.TemporaryDirectory() as out:
        every = ways(shape, epochs, data, device, Path(out))
        choose_workers_once(shape, epochs, device, Path(out))
        for _ in range(rounds):
            for name in random.sample(list(every), len(every)):
                found[name].append(timed(every[name]))
                took = f"{name} {found[name][-1]:.1f} s"
                print(f"  {' '.join(map(str, shape))}, {epochs} epochs: {took}", file=sys.stderr)
    return {"shape": shape, "epochs": epochs, "seconds": found}


def said(found: dict, target: float) -> float:  # type: ignore[type-arg]
    """Print a row of the table, and return how many times faster than the script (c) is."""
    seconds = found["seconds"]
    ratios = {
        other: [a / b for a, b in zip(seconds["a"], seconds[other], strict=True)]
        for other in ("b", "c")
    }
    interval = median_interval(ratios["c"], 0.95)
    shown = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    spread = f"{min(ratios['c']):.2f} to {max(ratios['c']):.2f}"
    gain = statistics.median(ratios["c"])
    columns = "  ".join(f"{statistics.median(seconds[name]):7.1f}" for name in "abc")
    backbone, depth, width = found["shape"]
    print(
        f"{backbone:<5} L {depth} d {width:<4} {found['epochs']:>3} epochs {columns}   "
        f"a/b {statistics.median(ratios['b']):.2f}   a/c {gain:.2f}{shown} ({spread})   "
        f"target {target:.1f} {'met' if gain >= target else 'MISSED'}"
    )
    return gain


def main() -> None:
    """Measure all shapes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", default="", help="shapes whose text has this: mlp, 'conv 8'")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="a file for all seconds, JSON")
    options = parser.parse_args()
    targets = CUDA_TARGETS if options.device == "cuda" else CPU_TARGETS
    (trial, *_) = trials_of(("mlp", 2, 64), 1, "off")
    folder = os.environ.get("DEPTHBENCH_DATA")
    data = prepare(load(trial.dataset_settings, Path(folder) if folder else None), "cpu")
    print(f"{options.device}, {torch.get_num_threads()} threads; seconds of a, b, c; ratios")
    every, conv = [], []
    for shape, target in targets.items():
        if options.only in " ".join(map(str, shape)):
            every.append(measure(shape, options.rounds, options.seconds, data, options.device))
            gain = said(every[-1], target)
            conv += [gain] if shape[0] == "conv" else []
    if conv:
        mean = statistics.geometric_mean(conv)
        target = CONV_GRID_TARGET if options.device == "cpu" else CUDA_TARGETS["conv", 2, 8]
        print(f"conv grid, geometric mean a/c {mean:.2f}   target {target:.1f}")
    if options.out:
        options.out.write_text(json.dumps(every))


if __name__ == "__main__":
    main()
