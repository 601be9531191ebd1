"""Whether plain networks are slower than they were: this checkout against an earlier commit.

    python benchmarks/against_commit.py --base REVISION [--processes 6] [--rounds 150]

The earlier commit is checked out beside this one. Networks of each backbone are built by both, each
in fresh processes of its own; in each round every network is called by both in turn, in an order
drawn anew, so that what drifts in the machine meets both alike. A pair of processes gives one ratio
a network: that of the quiet times (the 2nd percentile) of this checkout over the earlier commit.
Printed are the geometric means over pairs, with Student's 95% intervals.

Target: every interval contains 1 or lies below it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scipy.stats import t

ROOT = Path(__file__).parent.parent
SUITE = """
suite: against-commit
dataset: DATASET
task: TASK
variants: VARIANTS
train: {epochs: 1, batch_size: 32}
"""
SUITES = {
    "mnist": """
  - {backbone: mlp, family: deep, depth: 8, width: 64}
  - {backbone: mlp, family: parallel_shallow, depth: 8, width: 64, execution: fused}
  - {backbone: conv, family: deep, depth: 4, width: 8}""",
    "cifar10": """
  - {backbone: preact, family: deep, depth: 3, width: 16}
  - {backbone: transformer, family: deep, depth: 4, width: 64}""",
    "{name: tinystories, context: 64, vocabulary: 512}": """
  - {backbone: transformer, family: deep, depth: 4, width: 64}""",
}
PHASES = ("inference", "train_step")
BATCH_SIZE = 32
BLOCK_SECONDS = 4e-3
QUIET = 0.02


def cells() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield each network's name and phase with its call, built by the depthbench that is found."""
    import torch

    from depthbench import build_model, expand, load_suite
    from depthbench.training.optimizers import build_optimizer
    from depthbench.training.step import build_step
    from depthbench.training.tasks import task_of

    torch.set_num_threads(1)
    for dataset, variants in SUITES.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "suite.yaml"
            path.write_text(_suite(dataset, variants))
            trials = expand(load_suite(path))
        for trial in trials:
            name = f"{trial.backbone} {trial.family} {trial.dataset}"
            generator = torch.Generator().manual_seed(0)
            task = task_of(trial.task_settings)
            batch = task.synthetic_batch(trial.problem, BATCH_SIZE, generator)
            inferring, training = build_model(trial).eval(), build_model(trial).train()
            optimizer = build_optimizer(training, trial.train)
            step = build_step(training, optimizer, trial.train, "fp32", task)
            yield f"{name} inference", _inference(inferring, batch[0])
            yield f"{name} train_step", _called(step, *batch)


def _suite(dataset: str, variants: str) -> str:
    task = "language_model" if "tinystories" in dataset else "classify"
    filled = SUITE.replace("DATASET", dataset).replace("TASK", task)
    return filled.replace("VARIANTS", variants)


def _inference(model: Any, inputs: Any) -> Callable[[], object]:
    import torch

    def call() -> object:
        with torch.inference_mode():
            return model(inputs)

    return call


def _called(step: Callable[..., object], *batch: Any) -> Callable[[], object]:
    return lambda: step(*batch)


def serve() -> None:
    """Answer each number on standard input with the seconds of one call of that network."""
    calls = dict(cells())
    counts = {}
    for name, call in calls.items():
        call()
        began = time.perf_counter()
        call()
        counts[name] = max(1, round(BLOCK_SECONDS / (time.perf_counter() - began)))
    print(json.dumps(list(calls)), flush=True)
    for line in sys.stdin:
        name = json.loads(line)
        call, count = calls[name], counts[name]
        for _ in range(count):  # warm after the others
            call()
        began = time.perf_counter()
        for _ in range(count):
            call()
        print((time.perf_counter() - began) / count, flush=True)


class Process:
    """A process that calls networks built by one checkout."""

    def __init__(self, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            cwd=checkout,
            text=True,
        )
        self.names: list[str] = json.loads(self._answer())

    def seconds(self, name: str) -> float:
        """Return the seconds of one call."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(name) + "\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process ended by itself; what it said stands above")
        return line


@contextmanager
def checkout_of(revision: str) -> Iterator[Path]:
    """Check a commit out beside this one while inside."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "earlier"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(path), revision], check=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)


def ratios_of_pair(earlier: Path, num_rounds: int, seed: int) -> dict[str, float]:
    """Return the log ratio of quiet times, this over the earlier checkout, by network."""
    order, samples = random.Random(seed), defaultdict[tuple[str, str], list[float]](list)
    checkouts = {"now": ROOT, "earlier": earlier}
    # Started in an order drawn anew, too: the first to start is not like the second.
    processes = {which: Process(checkouts[which]) for which in order.sample(list(checkouts), 2)}
    names = processes["now"].names
    for _ in range(num_rounds):
        for name in order.sample(names, len(names)):
            for which in order.sample(list(processes), 2):
                samples[which, name].append(processes[which].seconds(name))
    for process in processes.values():
        process.close()
    return {
        name: math.log(quiet(samples["now", name]) / quiet(samples["earlier", name]))
        for name in names
    }


def quiet(samples: list[float]) -> float:
    """Return a low quantile: what a call takes when the machine leaves it alone."""
    return sorted(samples)[round(QUIET * (len(samples) - 1))]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="HEAD~1", help="the earlier commit")
    parser.add_argument("--processes", type=int, default=6, help="pairs of processes")
    parser.add_argument("--rounds", type=int, default=150, help="samples of each in a pair")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    with checkout_of(options.base) as earlier:
        pairs = [ratios_of_pair(earlier, options.rounds, seed) for seed in range(options.processes)]
    print(
        f"ratio to {options.base}, {len(pairs)} pairs of processes, one thread; target: 1 or less"
    )
    every = {"all": [statistics.mean(pair.values()) for pair in pairs]}
    for name, logs in {**{n: [pair[n] for pair in pairs] for n in pairs[0]}, **every}.items():
        middle = statistics.mean(logs)
        half = t.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / len(logs) ** 0.5
        low, high = math.exp(middle - half), math.exp(middle + half)
        verdict = "no slower" if low <= 1 else "SLOWER"
        print(f"{name:45}{math.exp(middle):7.3f} [{low:.3f}, {high:.3f}]  {verdict}")
    return None


if __name__ == "__main__":
    main()
