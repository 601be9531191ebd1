"""Judge changes of times and of quality together: what is unlikely and large is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import expm1

from depthbench.report.change_tests import Called, ChangeTest, call_changes
from depthbench.report.compare.changes import Alone, Change, Ending
from depthbench.report.gate import CellVerdict

_SWAPPED: dict[CellVerdict, CellVerdict] = {"worse": "better", "better": "worse"}
# Keeps the exponential of a change that no number can hold from ending the program.
_LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True)
class Open:
    """A change to be judged: with its test, and the threshold that it must exceed.

    Where `test` is None there is nothing to test, and the change has its verdict. `is_ratio` says
    that the test is of logs, not of shares of the baseline.
    """

    change: Change
    test: ChangeTest | None = None
    threshold: float = 0.0
    is_ratio: bool = True


@dataclass(slots=True)
class Findings:
    """What one side of a comparison, times or quality, has found."""

    changes: list[Open] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    alone: list[Alone] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Take what another side has found."""
        self.changes += other.changes
        self.endings += other.endings
        self.alone += other.alone


def judge(changes: Sequence[Open], alpha: float) -> list[Change]:
    """Return changes with their verdicts, in the same order; q values are over all tested ones."""
    tests = [found.test for found in changes if found.test is not None]
    thresholds = [found.threshold for found in changes if found.test is not None]
    called = call_changes(tests, thresholds, alpha)
    return [
        found.change if found.test is None else _judged(found, next(called)) for found in changes
    ]


def _judged(found: Open, called: Called) -> Change:
    is_swapped = not found.change.is_lower_better
    return replace(
        found.change,
        verdict=_SWAPPED.get(called.verdict, called.verdict) if is_swapped else called.verdict,
        reason=called.reason,
        low_fraction=as_fraction(called.low, is_ratio=found.is_ratio),
        high_fraction=as_fraction(called.high, is_ratio=found.is_ratio),
        confidence=called.confidence,
        q_value=called.q_value,
        threshold_fraction=found.threshold,
    )


def as_fraction(change: float, *, is_ratio: bool) -> float:
    """Return a change as a fraction of the baseline, which one that is no ratio is already."""
    return expm1(min(change, _LARGEST_LOG)) if is_ratio else change
