"""How long a stage still takes, by what its shapes were predicted to cost and have cost so far."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

# Of a work that has not ended, so much must be done before it says how long its shape takes.
MIN_SHARE = 0.05
MIN_SECONDS = 1.0
# How far a shape that nothing is known of may be off what the only known one says of it.
DOUBT = 2.0

# Shape, number of trials, share done, seconds so far.
UnderWay = tuple[Hashable, int, float, float]


@dataclass(slots=True)
class _Shape:
    """Hold of a shape: predicted cost of one, how many are left, what those that ended took."""

    cost: float
    num_left: int = 0
    num_done: int = 0
    seconds: float = 0.0


class TimeLeft:
    """Weigh each trial by the seconds that its shape took, or by its predicted cost before.

    A shape that has not ended yet is taken to cost what the others did in proportion to their
    predictions; how far these disagree is the range. Seconds are those of the work itself, so that
    several workers and cohorts count right: how many run at once is measured, not assumed.
    """

    def __init__(self) -> None:
        self._shapes: dict[Hashable, _Shape] = {}
        self.num_left = 0
        self._work_seconds = 0.0

    def add(self, shape: Hashable, cost: float, count: int) -> None:
        """Add trials that are to be done."""
        self._shapes.setdefault(shape, _Shape(max(cost, 1e-12))).num_left += count
        self.num_left += count

    def learn(self, shape: Hashable, count: int, seconds: float) -> None:
        """Take in that trials of a shape have ended, together, after so many seconds."""
        known = self._shapes.setdefault(shape, _Shape(1.0))
        known.num_left = max(0, known.num_left - count)
        known.num_done += count
        known.seconds += seconds
        self.num_left = max(0, self.num_left - count)
        self._work_seconds += seconds

    def seconds(
        self, elapsed_seconds: float, under_way: Iterable[UnderWay] = ()
    ) -> tuple[float, float] | None:
        """Return the least and most seconds that are left; None without evidence.

        Args:
            elapsed_seconds: since the stage began.
            under_way: the works that have begun and not ended.
        """
        under_way = [work for work in under_way if work[0] in self._shapes]
        takes = self._seconds_of_one(under_way)
        worked = self._work_seconds + sum(seconds for *_, seconds in under_way)
        if not takes or worked <= 0 or elapsed_seconds <= 0:
            return None
        low, high = self._left(takes, under_way)
        # How many works were under way at a time, so far; waiting between them makes it less.
        at_once = worked / elapsed_seconds
        return low / at_once, high / at_once

    def _seconds_of_one(self, under_way: list[UnderWay]) -> dict[Hashable, float]:
        """Return the seconds of one trial of each shape that has been seen."""
        takes = {
            shape: known.seconds / known.num_done
            for shape, known in self._shapes.items()
            if known.num_done
        }
        for shape, count, share, seconds in under_way:
            if shape not in takes and share >= MIN_SHARE and seconds >= MIN_SECONDS:
                takes[shape] = seconds / share / count
        return takes

    def _left(self, takes: dict[Hashable, float], under_way: list[UnderWay]) -> tuple[float, float]:
        ratios = [takes[shape] / self._shapes[shape].cost for shape in takes]
        doubt = DOUBT if len(ratios) == 1 else 1.0
        slowest, fastest = max(ratios) * doubt, min(ratios) / doubt
        low = high = 0.0
        for shape, known in self._shapes.items():
            low += known.num_left * takes.get(shape, known.cost * fastest)
            high += known.num_left * takes.get(shape, known.cost * slowest)
        for shape, count, share, _ in under_way:
            cost = self._shapes[shape].cost
            low -= count * share * takes.get(shape, cost * fastest)
            high -= count * share * takes.get(shape, cost * slowest)
        return max(0.0, low), max(0.0, high)
