"""Noise floors: what runs of the same code differ by, and how often the gate errs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import expm1, sqrt
from typing import TYPE_CHECKING

from depthbench.calibration import NoiseFloor
from depthbench.report.change_tests import CONFIDENCE
from depthbench.report.gate import ALPHA, MARGIN, compare_cells
from depthbench.report.moderated import spreads
from depthbench.report.processes import CellTimes, cell_times

if TYPE_CHECKING:
    from pandas import DataFrame

# A spread of runs needs this many; the gate's own test leaves two more out.
MIN_RUNS = 3
Cells = Mapping[str, CellTimes]


def noise_floors(runs: Sequence[DataFrame]) -> dict[str, NoiseFloor]:
    """Return what 95% of pairs of A/A runs stay within, for each cell.

    The floor is t sqrt(2) s: s is the spread over runs of a cell's log time, moderated over cells,
    with what all cells of a run share (a busy hour) kept apart, and t is Student's for as many
    degrees of freedom as s is known with. Quantiles of the n (n - 1) / 2 observed changes would be
    no better: they are made of n numbers, and the largest of a cell is its one bad run.

    Args:
        runs: tables of timings of the same code on the same machine.

    Returns:
        By cell_id; a cell that fewer than `MIN_RUNS` runs could time has none.
    """
    return floors_of([cell_times(run) for run in runs])


def floors_of(runs: Sequence[Cells]) -> dict[str, NoiseFloor]:
    """Return the same for runs that have been read already."""
    from scipy.special import stdtrit

    levels: dict[str, dict[int, float]] = {}
    for index, run in enumerate(runs):
        for cell in run.values():
            if cell.is_usable:
                mean = sum(cell.log_times.values()) / len(cell.log_times)
                levels.setdefault(cell.cell_id, {})[index] = mean
    levels = {cell_id: found for cell_id, found in levels.items() if len(found) >= MIN_RUNS}
    if not levels:
        return {}
    quantile = (1 + CONFIDENCE) / 2
    return {
        cell_id: NoiseFloor(
            expm1(float(stdtrit(spread.degrees, quantile)) * sqrt(2 * spread.variance)),
            spread.degrees,
        )
        for cell_id, spread in zip(
            levels, spreads([[found] for found in levels.values()]), strict=True
        )
    }


@dataclass(frozen=True, slots=True)
class FalsePositives:
    """How many pairs of A/A runs had any cell called worse, with a Clopper-Pearson interval.

    Pairs share runs, so the interval is narrower than it ought to be.
    """

    num_flagged: int
    num_pairs: int
    low: float
    high: float

    @property
    def fraction(self) -> float:
        """Return the rate."""
        return self.num_flagged / self.num_pairs


def false_positives(
    runs: Sequence[DataFrame], *, alpha: float = ALPHA, margin: float = MARGIN
) -> FalsePositives | None:
    """Return how often the gate calls a cell worse between runs of the same code.

    Each pair, the earlier run first, is judged by floors from the other runs alone, as a new pair
    would be. None where that leaves too few runs.
    """
    from scipy.stats import binomtest

    cells = [cell_times(run) for run in runs]
    if len(cells) < MIN_RUNS + 2:
        return None
    flagged = [
        _is_flagged(cells, pair, alpha, margin) for pair in combinations(range(len(cells)), 2)
    ]
    interval = binomtest(sum(flagged), len(flagged)).proportion_ci(method="exact")
    return FalsePositives(sum(flagged), len(flagged), float(interval.low), float(interval.high))


def _is_flagged(runs: Sequence[Cells], pair: tuple[int, int], alpha: float, margin: float) -> bool:
    before, after = (runs[index] for index in pair)
    others = floors_of([run for index, run in enumerate(runs) if index not in pair])
    changes = compare_cells(before, after, floors=others, alpha=alpha, margin=margin)
    return any(change.verdict == "worse" for change in changes)
