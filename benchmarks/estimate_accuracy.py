"""How far `plan --estimate` is off: predict a suite, run it, and compare stage by stage.

Command: python benchmarks/estimate_accuracy.py SUITE [--only EXPR] [--data-dir DIR] [--untimed]

On a machine with other work compare CPU seconds, on one thread (OMP_NUM_THREADS=1): threads that
wait for one another spin, and are counted.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from depthbench import expand, load_suite, run_suite
from depthbench.estimate import estimate
from depthbench.expand import select
from depthbench.progress import Ending, Work


class Stages:
    """Hear when stages begin and end, and keep what each took: wall and CPU seconds."""

    def __init__(self) -> None:
        self.took: dict[str, tuple[float, float]] = {}
        self.began: tuple[str, float, float] | None = None

    def begin(
        self, stage: str, todo: Iterable[Work], former: Iterable[tuple[Work, Ending]] = ()
    ) -> None:
        """Read the clocks."""
        self.began = (stage, time.perf_counter(), cpu_seconds())

    def move(self, work: Work, share: float, loss: float | None) -> None:
        """Do nothing."""

    def advance(self, work: Work, endings: Sequence[Ending]) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Keep what the stage took."""
        if self.began is not None:
            stage, wall, cpu = self.began
            self.took[stage] = (time.perf_counter() - wall, cpu_seconds() - cpu)
            self.began = None


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it started, still there or not."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ended = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return ended + sum(map(cpu_seconds_of, children()))


def children() -> list[str]:
    """Return the numbers of the processes that this one has started and that have not ended."""
    tasks = Path("/proc/self/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def cpu_seconds_of(process_id: str) -> float:
    """Return the CPU seconds of a process."""
    facts = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Predict, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("--only")
    parser.add_argument("--data-dir")
    parser.add_argument("--untimed", action="store_true", help="leave the timing stage out")
    options = parser.parse_args()
    suite = load_suite(options.suite)
    if options.untimed:
        suite = replace(suite, timing=None)
    every_trial = expand(suite)
    trials = select(every_trial, options.only) if options.only else every_trial
    began = time.perf_counter()
    predicted = estimate(suite, trials, "cpu", every_trial=every_trial)
    print(
        f"{len(trials)} trials, {predicted.num_measured_shapes} shapes measured in "
        f"{time.perf_counter() - began:.1f} s, {predicted.num_threads} threads"
    )
    stages = Stages()
    with tempfile.TemporaryDirectory() as out:
        run_suite(
            suite,
            out=Path(out),
            run="truth",
            only=options.only,
            data_dir=options.data_dir,
            device="cpu",
            progress=stages,
        )
    for stage in predicted.stages:
        wall, cpu = stages.took.get(stage.stage, (float("nan"), float("nan")))
        print(
            f"{stage.stage:6} CPU {stage.cpu_seconds:7.1f} s predicted, {cpu:7.1f} s taken "
            f"({stage.cpu_seconds / cpu:.2f}); wall {stage.wall_seconds:7.1f} s predicted, "
            f"{wall:7.1f} s taken ({stage.wall_seconds / wall:.2f})"
        )


if __name__ == "__main__":
    main()
