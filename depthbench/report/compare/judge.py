"""Judge changes of times and of quality together: what is unlikely and large is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from depthbench.report.compare.changes import Alone, Change, Ending
from depthbench.report.gate import CellVerdict, decide

_SWAPPED: dict[CellVerdict, CellVerdict] = {"worse": "better", "better": "worse"}


@dataclass(frozen=True, slots=True)
class Open:
    """A change to be judged: with its ends in logs, and the threshold that it must exceed.

    Where `ends` is None there is nothing to test, and the change has its verdict.
    """

    change: Change
    ends: tuple[float, float, float] | None = None
    threshold: float = 0.0


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
    """Return changes with their verdicts, in the same order; q values are over all tested ones.

    Source:
        Benjamini and Hochberg 1995.
    """
    from scipy.stats import false_discovery_control

    tested = [found.change.p_value for found in changes if found.ends is not None]
    q_values = iter(false_discovery_control(tested) if tested else ())
    return [
        found.change if found.ends is None else _judged(found, float(next(q_values)), alpha)
        for found in changes
    ]


def _judged(found: Open, q_value: float, alpha: float) -> Change:
    assert found.ends is not None
    called, reason = decide(found.ends, found.threshold, q_value, alpha)
    is_swapped = not found.change.is_lower_better
    verdict = _SWAPPED.get(called, called) if is_swapped else called
    return replace(
        found.change,
        verdict=verdict,
        reason=reason,
        q_value=q_value,
        threshold_fraction=found.threshold,
    )
