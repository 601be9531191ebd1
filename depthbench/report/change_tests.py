"""Test changes between two runs: called, the same, or neither, each with the interval of its test.

q values count all that is tested together, and so do intervals: one is at the level at which its
verdict was given, so that the two never contradict one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log1p
from typing import TYPE_CHECKING

from depthbench.report.comparison import Verdict, discoveries

if TYPE_CHECKING:
    from depthbench.calibration import NoiseFloor

# Of the interval that says that a change is the same; a noise floor is what so many pairs of A/A
# runs stay within.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ChangeTest:
    """A change in logs, or in shares, with what is known of its noise.

    It must be unlikely by Student's test of its standard error, and by its noise floor, too, where
    it has one: what `CONFIDENCE` of changes between equal runs stay within.
    """

    change: float
    error: float
    degrees: float
    floor: NoiseFloor | None = None

    @property
    def p_value(self) -> float:
        """Return how likely a change as large is by chance: the larger of what both say."""
        from scipy.special import stdtr

        if self.error:
            p_value = float(2 * stdtr(self.degrees, -abs(self.change) / self.error))
        else:
            p_value = float(not self.change)
        if not self.floor:
            return p_value
        quantile = -abs(self.change) / _floor_error(self.floor)
        return max(p_value, float(2 * stdtr(self.floor.degrees, quantile)))

    def ends(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the change's interval: the wider of those of both tests."""
        from scipy.special import stdtrit

        quantile = (1 + confidence) / 2
        half = float(stdtrit(self.degrees, quantile)) * self.error if self.error else 0.0
        if self.floor:
            quantile = float(stdtrit(self.floor.degrees, quantile))
            half = max(half, quantile * _floor_error(self.floor))
        return self.change - half, self.change + half


def _floor_error(floor: NoiseFloor) -> float:
    """Return the standard error that a noise floor stands for, in logs."""
    from scipy.special import stdtrit

    return log1p(floor.fraction) / float(stdtrit(floor.degrees, (1 + CONFIDENCE) / 2))


@dataclass(frozen=True, slots=True)
class Called:
    """The verdict on a change, with why, and its interval at the `confidence` of that verdict."""

    verdict: Verdict
    reason: str
    q_value: float
    low: float
    high: float
    confidence: float


def call_changes(
    tests: Sequence[ChangeTest], thresholds: Sequence[float], alpha: float
) -> Iterator[Called]:
    """Yield the verdict on each change, where less is better, with q values over all of them.

    A called change has the interval at the level of its q value, which leaves out 0 wherever q is
    below `alpha`; one that is the same has that of `CONFIDENCE`, which lies within the threshold;
    one that is unresolved has the wider of the two, since neither told.

    Args:
        tests: the changes.
        thresholds: of each, as a fraction, what it must exceed to be called.
        alpha: a change needs a q value below.

    Source:
        Benjamini and Hochberg 1995 for q values, which hold as well where tests lean the same way,
        as those of cells of one run do (Benjamini and Yekutieli 2001); Benjamini and Yekutieli
        2005 for intervals at the level of what was called.
    """
    q_values, level = discoveries([test.p_value for test in tests], alpha)
    confidences = {
        "same": CONFIDENCE,
        "worse": 1 - level,
        "better": 1 - level,
        "unresolved": max(1 - level, CONFIDENCE),
    }
    for test, threshold, q_value in zip(tests, thresholds, q_values, strict=True):
        verdict, reason = _decide(test, threshold, q_value, alpha)
        confidence = confidences[verdict]
        yield Called(verdict, reason, q_value, *test.ends(confidence), confidence)


def _decide(
    test: ChangeTest, threshold: float, q_value: float, alpha: float
) -> tuple[Verdict, str]:
    limit = log1p(threshold)
    is_sure, is_large = q_value < alpha, abs(test.change) > limit
    if is_sure and is_large:
        how: Verdict = "worse" if test.change > 0 else "better"
        return how, f"q {q_value:.2g} and beyond {threshold:.1%}"
    low, high = test.ends(CONFIDENCE)
    if max(high, -low) <= limit:
        return "same", f"the interval is within {threshold:.1%}"
    if is_large:
        return "unresolved", f"beyond {threshold:.1%}, but q is {q_value:.2g}, not below {alpha:g}"
    return "unresolved", f"the interval reaches beyond {threshold:.1%}"
