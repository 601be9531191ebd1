"""How often the gate cries wolf, and what it misses: A/A runs and planted slowdowns.

    python benchmarks/timing_trust.py [--runs 12] [--slowed 3] [--out FOLDER]

The 48 cells of timing_cells.yaml are timed in so many runs of the same code, each with the whole
protocol; then in a few runs in which every call is followed by a busy-wait of 10% of its time; then
in one run in which each cell has a twin slowed by 5%. In the same hour, between the runs, the same
cells are timed as most harnesses do: one process, one cell after another, 10 calls of warm-up, 15
timed calls, the median (TorchBench's numbers), judged by the change alone.

Printed, each with its n and an exact 95% interval: the share of PAIRS OF RUNS in which any cell is
called worse (target at most 2%), the share of cells in which the planted 10% is found between two
runs and the 5% within one run (targets at least 95%). A pair's floors come from the runs that are
not in it. Tables of all runs are kept in the folder, and used again if it is there.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy.stats import binomtest

from depthbench import expand, load_suite
from depthbench.progress import Quiet
from depthbench.report.floors import noise_floors
from depthbench.report.gate import compare_timings, compare_within
from depthbench.suite import Suite
from depthbench.timing.bench import LocalBench
from depthbench.timing.cells import Cell
from depthbench.timing.measured import Ended, Ready
from depthbench.timing.session import NUM_PROCESSES, Session
from depthbench.timing.worker import RemoteBench, serve
from depthbench.timing_stage import PlannedCell, limits_of, planned_cells, time_cells

SUITE = Path(__file__).with_name("timing_cells.yaml")
TWIN = "-slow"
BETWEEN, WITHIN = 0.10, 0.05
FIXED_WARMUP_CALLS, FIXED_CALLS = 10, 15
FIXED_RULES = (0.05, 0.07, 0.10)


class SlowedBench(LocalBench):
    """A bench whose cells, or whose twins, wait after each call."""

    slow_all = 0.0

    def prepare(self, cell: Cell, cell_budget_seconds: float) -> Ready | Ended:
        """Prepare a cell; a slowed one is measured, then made to wait."""
        ready = super().prepare(cell, cell_budget_seconds)
        share = WITHIN if cell.cell_id.endswith(TWIN) else self.slow_all
        if share and isinstance(ready, Ready):
            calls = ready.warmed.calls_per_sample
            samples = [self.sample(cell.cell_id, calls).device_seconds for _ in range(9)]
            prepared = self.prepared[cell.cell_id]
            # Of the quiet time: a slowdown of 10% slows the fastest call by 10%, too.
            slowed = _followed_by_wait(prepared.call, share * min(samples))
            self.prepared[cell.cell_id] = replace(prepared, call=slowed)
        return ready

    def fixed(self, cell_id: str) -> float:
        """Return the median of a fixed number of calls, each timed by itself."""
        prepared = self.prepared[cell_id]
        with prepared.active():
            for _ in range(FIXED_WARMUP_CALLS):
                prepared.call()
            seconds = []
            for _ in range(FIXED_CALLS):
                start = time.perf_counter()
                prepared.call()
                seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)


def _followed_by_wait(call: Callable[[], object], seconds: float) -> Callable[[], object]:
    def slowed() -> object:
        found = call()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        return found

    return slowed


class RemoteSlowedBench(RemoteBench):
    """The same in a process of its own."""

    def __init__(self, slow_all: float) -> None:
        command = (sys.executable, __file__, "--worker", str(slow_all))
        super().__init__("cpu", NUM_PROCESSES, command=command)

    def fixed(self, cell_id: str) -> float:
        """Return the median of a fixed number of calls."""
        return float(self._ask("fixed", cell_id))


def start(count: int, slow_all: float = 0.0) -> list[RemoteSlowedBench]:
    """Start processes, all ready."""
    benches = [RemoteSlowedBench(slow_all) for _ in range(count)]
    for bench in benches:
        bench.wait_until_ready()
    return benches


def whole_run(suite: Suite, cells: list[PlannedCell], slow_all: float = 0.0) -> pd.DataFrame:
    """Time the cells with the whole protocol."""
    rows: list[dict[str, Any]] = []
    time_cells(
        suite,
        cells,
        "cpu",
        rows.append,
        progress=Quiet(),
        start=lambda count: start(count, slow_all),
    )
    return pd.DataFrame(rows)


def twin_run(suite: Suite, cells: list[PlannedCell]) -> pd.DataFrame:
    """Time each cell beside its twin that is slowed."""
    rows: list[dict[str, Any]] = []
    plain = [item.cell for item in cells]
    twins = [replace(cell, cell_id=cell.cell_id + TWIN) for cell in plain]
    session = Session(
        start,
        limits_of(suite.timing, "cpu"),
        lambda cell, columns: rows.append({"cell_id": cell.cell_id, **columns}),
        references={cell.cell_id + TWIN: cell.cell_id for cell in plain},
    )
    session.run([cell for pair in zip(plain, twins, strict=True) for cell in pair])
    return pd.DataFrame(rows)


def fixed_run(cells: list[PlannedCell], slow_all: float = 0.0) -> pd.DataFrame:
    """Time one cell after another in one process, a fixed number of calls."""
    (bench,) = start(1, slow_all)
    rows = []
    for item in cells:
        cell_id = item.cell.cell_id
        bench.prepare(item.cell, 1.0)
        rows.append({"cell_id": cell_id, "median_seconds": bench.fixed(cell_id)})
        bench.drop(cell_id)
    bench.close()
    return pd.DataFrame(rows)


def kept(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return a table, made only if it is not there yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        make().to_parquet(path)
        print(f"{path.name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return pd.read_parquet(path)


def said(what: str, found: int, total: int, target: str) -> None:
    """Print a share with its n and exact interval."""
    interval = binomtest(found, total).proportion_ci(0.95, method="exact")
    share = f"{found} of {total} = {found / total:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
    print(f"{what:<66}{share}  target {target}")


def judge_whole(runs: list[pd.DataFrame], slowed: list[pd.DataFrame]) -> None:
    """Print what the gate says of pairs of A/A runs, and of slowed ones."""
    alarms = total = 0
    for first, second in itertools.permutations(range(len(runs)), 2):
        others = [run for index, run in enumerate(runs) if index not in (first, second)]
        changes = compare_timings(runs[first], runs[second], floors=noise_floors(others))
        alarms += any(change.verdict == "worse" for change in changes)
        total += 1
    said("ordered pairs of A/A runs with any cell called worse", alarms, total, "at most 2%")
    found = cells = 0
    floors = noise_floors(runs)
    for before, after in itertools.product(runs, slowed):
        verdicts = [change.verdict for change in compare_timings(before, after, floors=floors)]
        found += verdicts.count("worse")
        cells += len(verdicts)
    if cells:
        said("cells in which 10% between two runs is found", found, cells, "at least 95%")
    fractions = [floor.fraction for floor in floors.values()]
    print(f"median floor {statistics.median(fractions):.1%}, largest {max(fractions):.1%}")


def judge_twins(twins: pd.DataFrame) -> None:
    """Print how many twins slowed within one run are told from their cells."""
    names = [name for name in twins["cell_id"] if name.endswith(TWIN)]
    references = {name: name.removesuffix(TWIN) for name in names}
    changes = compare_within(twins, references)
    found = [change.verdict for change in changes].count("worse")
    said("cells in which 5% within one run is found", found, len(changes), "at least 95%")
    medians = statistics.median(change.change_fraction or 0.0 for change in changes)
    print(f"median change of twins {medians:+.1%} (planted +5%)")


def judge_fixed(runs: list[pd.DataFrame], slowed: list[pd.DataFrame]) -> None:
    """Print the same figures for fixed-count sequential timing, by the change alone."""
    times = [run.set_index("cell_id")["median_seconds"] for run in runs]
    late = [run.set_index("cell_id")["median_seconds"] for run in slowed]
    pairs = list(itertools.permutations(times, 2))
    for rule in FIXED_RULES:
        alarms = sum(bool((second / first > 1 + rule).any()) for first, second in pairs)
        said(
            f"fixed-count, a change above {rule:.0%}: pairs with any alarm", alarms, len(pairs), ""
        )
        found = [second / first > 1 + rule for first, second in itertools.product(times, late)]
        if found:
            hits = sum(int(hit.sum()) for hit in found)
            said("  ... 10% between two runs is found", hits, sum(len(h) for h in found), "")


def shown(runs: Sequence[pd.DataFrame]) -> None:
    """Print how far runs of the same code lie apart."""
    logs = pd.DataFrame([run.set_index("cell_id")["median_seconds"] for run in runs])
    spread = (logs.std() / logs.mean()).sort_values()
    print(f"spread of medians over runs: median {spread.median():.1%}, largest {spread.max():.1%}")


def main() -> None:
    """Time what is missing, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--slowed", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/timing-trust"))
    options = parser.parse_args()
    suite = load_suite(SUITE)
    cells = list(planned_cells(suite, "trust", expand(suite), {}))
    print(f"{len(cells)} cells, {torch.get_num_threads()} threads, {options.runs} A/A runs")
    whole, fixed, slow_whole, slow_fixed = [], [], [], []
    for number in range(options.runs):
        path = options.out / f"whole-{number:02}.parquet"
        whole.append(kept(path, lambda: whole_run(suite, cells)))
        fixed.append(kept(options.out / f"fixed-{number:02}.parquet", lambda: fixed_run(cells)))
        if number < options.slowed:  # among the others, so that they share the hour
            path = options.out / f"whole-slowed-{number:02}.parquet"
            slow_whole.append(kept(path, lambda: whole_run(suite, cells, BETWEEN)))
            path = options.out / f"fixed-slowed-{number:02}.parquet"
            slow_fixed.append(kept(path, lambda: fixed_run(cells, BETWEEN)))
    twins = kept(options.out / "twins.parquet", lambda: twin_run(suite, cells))
    shown(whole)
    judge_whole(whole, slow_whole)
    judge_twins(twins)
    shown(fixed)
    judge_fixed(fixed, slow_fixed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        SlowedBench.slow_all = float(sys.argv[2])
        serve(SlowedBench)
    else:
        main()
