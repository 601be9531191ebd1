"""Measure, on simulated runs, how often the gate errs and how much of a slowdown it finds.

    python benchmarks/gate_power.py
    python benchmarks/gate_power.py --drift 0 0.01 0.02 --processes 3 5

A run has 48 cells; of each, processes differ by a standard deviation `sd`, and each gives the
median of 8 samples within 2%. What all cells of a run share differs by `drift` between runs. Every
ten pairs of runs are judged by floors from 12 other runs. Printed are, with 95% Clopper-Pearson
intervals: pairs of equal runs with any cell called worse; cells found worse where all cells are 10%
slower; and where 5 of the 48 are.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from scipy.stats import binomtest

from depthbench.calibration import NoiseFloor
from depthbench.report.floors import floors_of
from depthbench.report.gate import ALPHA, compare_cells
from depthbench.report.processes import CellTimes

NUM_CELLS = 48
NUM_SLOW = 5
SLOWER = 1.10
NUM_CALIBRATIONS = 12
PAIRS_A_CALIBRATION = 10
Cells = dict[str, CellTimes]


class Machine:
    """Time 48 cells of known length on a machine of known noise."""

    def __init__(self, seed: int, num_processes: int, sd: float, drift: float) -> None:
        self.generator = np.random.default_rng(seed)
        self.shape, self.sd, self.drift = (NUM_CELLS, num_processes), sd, drift

    def run(self, num_slower: int = 0) -> Cells:
        """Return one run, its first cells slower by a tenth."""
        noise = self.generator.normal
        within = np.median(noise(0, 0.02, (*self.shape, 8)), axis=-1)
        logs = noise(0, self.drift) + noise(0, self.sd, self.shape) + within
        logs[:num_slower] += np.log(SLOWER)
        return {
            str(index): CellTimes(str(index), {}, "ok", "", dict(enumerate(row)), True, (), None)
            for index, row in enumerate(logs.tolist())
        }


def study(
    machine: Machine, num_calibrations: int, alpha: float
) -> tuple[list[bool], list[bool], list[bool]]:
    """Return pairs of equal runs flagged, cells found where all are slower, and where few are."""

    def worse(before: Cells, after: Cells, floors: dict[str, NoiseFloor]) -> list[bool]:
        changes = compare_cells(before, after, floors=floors, alpha=alpha)
        return [change.verdict == "worse" for change in changes]

    flagged, found_all, found_few = [], [], []
    for _ in range(num_calibrations):
        floors = floors_of([machine.run() for _ in range(NUM_CALIBRATIONS)])
        for _ in range(PAIRS_A_CALIBRATION):
            before = machine.run()
            flagged.append(any(worse(before, machine.run(), floors)))
        found_all += worse(before, machine.run(NUM_CELLS), floors)
        found_few += worse(before, machine.run(NUM_SLOW), floors)[:NUM_SLOW]
    return flagged, found_all, found_few


def rate(found: list[bool]) -> str:
    """Return a share in percent with its interval."""
    interval = binomtest(sum(found), len(found)).proportion_ci(method="exact")
    ends = f"{100 * interval.low:.1f}, {100 * interval.high:.1f}"
    return f"{100 * np.mean(found):5.1f} [{ends}]"


def main() -> None:
    """Print a line for each noise and number of processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sds", type=float, nargs="+", default=[0.01, 0.02, 0.03, 0.04])
    parser.add_argument("--drift", type=float, nargs="+", default=[0.0])
    parser.add_argument("--processes", type=int, nargs="+", default=[3, 4, 5, 6, 8])
    parser.add_argument("--calibrations", type=int, default=40)
    parser.add_argument("--alpha", type=float, default=ALPHA)
    options = parser.parse_args()
    print("| sd | drift | processes | any cell worse, % | 48 of 48 found, % | 5 of 48 found, % |")
    print("| --: | --: | --: | --- | --- | --- |")
    for sd, drift, num in itertools.product(options.sds, options.drift, options.processes):
        found = study(Machine(0, num, sd, drift), options.calibrations, options.alpha)
        cells = [f"{sd:.0%}", f"{drift:.0%}", str(num), *map(rate, found)]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
