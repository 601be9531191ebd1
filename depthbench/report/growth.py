"""How sizes inside networks grow with width or depth: an exponent, its interval, a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, log
from statistics import fmean

from depthbench.report.statistics import MIN_SEEDS, Estimate, sum_of_means

# An exponent within this of 0 is flat: over a range of 32, a size changes by a factor of 1.4.
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Growth:
    """State how a size follows another one, such as the width.

    `exponent` is the slope of the log of the one against that of the other, by least squares, with
    Student's interval over seeds; None where a size is 0 or not finite.
    """

    exponent: Estimate | None
    verdict: str


def growth_of(sizes: Sequence[float], observations: Sequence[Sequence[float]]) -> Growth:
    """Return how a size grows.

    The verdict is flat where the whole interval is within 0.1 of 0, grows or shrinks where it lies
    beyond on one side, else unresolved; with fewer than 3 seeds the exponent itself decides. It is
    diverged where a size is not finite, and zero where one is 0.

    Args:
        sizes: such as widths; two or more, all different and positive.
        observations: at each of them, the size of one network a seed.
    """
    values = [value for found in observations for value in found]
    if not all(map(isfinite, values)):
        return Growth(None, "diverged")
    if min(values) <= 0:
        return Growth(None, "zero")
    places = [log(size) for size in sizes]
    center = fmean(places)
    spread = sum((place - center) ** 2 for place in places)
    logs = [[log(value) for value in found] for found in observations]
    exponent = sum_of_means(logs, [(place - center) / spread for place in places])
    if min(len(found) for found in observations) < MIN_SEEDS:
        exponent = replace(exponent, low=None, high=None)
    return Growth(exponent, _verdict(exponent))


def _verdict(exponent: Estimate) -> str:
    low = exponent.value if exponent.low is None else exponent.low
    high = exponent.value if exponent.high is None else exponent.high
    if low >= -TOLERANCE and high <= TOLERANCE:
        return "flat"
    if low > TOLERANCE:
        return "grows"
    return "shrinks" if high < -TOLERANCE else "unresolved"
