"""The plain, frozen values that a comparison of two runs is made of; `asdict` is ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from depthbench.record import FAILURES, is_lower_better
from depthbench.report.gate import CellVerdict
from depthbench.report.rows import Row

Kind = Literal["time", "quality"]
Side = Literal["baseline", "candidate"]

# What changed comes first, the bad before the good.
VERDICTS: tuple[CellVerdict, ...] = ("worse", "better", "unresolved", "same", "unmatched")
# The key of `--allow` that stands for what data sets hold.
DATA_DIGEST = "data_digest"


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the two runs."""

    suite: str
    run: str
    folder: str
    status: str
    created_at: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that must agree before numbers are compared, and does not."""

    key: str
    baseline: Any
    candidate: Any
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one timed cell, or of one metric of a variant over its seeds.

    `id` is the cell's or the variant's; `name` names the variant, `what` says what of it. Times are
    quiet times in seconds. The change is candidate over baseline, minus 1, or, where values are not
    all positive, their difference over the baseline's mean. Its interval is that of the test that
    gave the verdict, at its `confidence`. Numbers that are not known are None; where nothing was
    tested there is neither an interval nor a p value.
    """

    kind: Kind
    id: str
    name: str
    what: str
    metric: str
    facts: Row
    verdict: CellVerdict
    reason: str
    baseline: float | None = None
    candidate: float | None = None
    change_fraction: float | None = None
    low_fraction: float | None = None
    high_fraction: float | None = None
    confidence: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    threshold_fraction: float | None = None
    floor_fraction: float | None = None
    num_baseline: int = 0
    num_candidate: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_lower_better(self) -> bool:
        """Say whether less of it is better."""
        return self.kind == "time" or is_lower_better(self.metric)

    @property
    def full_name(self) -> str:
        """Return what tells it from all others: deep (L 8, d 32), inference batch 1."""
        return f"{self.name}, {self.what}"


@dataclass(frozen=True, slots=True)
class Ending:
    """A trial or a cell that ended otherwise than in the baseline: ok there, oom here."""

    kind: Literal["trial", "timing"]
    id: str
    name: str
    baseline_status: str
    candidate_status: str
    error: str

    @property
    def is_new_failure(self) -> bool:
        """Say whether it was ok and failed, or cannot be done any more."""
        return self.baseline_status == "ok" and self.candidate_status in (*FAILURES, "unsupported")

    @property
    def is_new_divergence(self) -> bool:
        """Say whether it was ok and diverged."""
        return self.baseline_status == "ok" and self.candidate_status == "diverged"

    @property
    def is_recovered(self) -> bool:
        """Say whether it is ok and was not."""
        return self.candidate_status == "ok"


@dataclass(frozen=True, slots=True)
class Alone:
    """A trial or a cell that only one of the runs has."""

    kind: Literal["trial", "timing"]
    side: Side
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Balance:
    """How many of the compared values of one metric went up and down, and by how much all did.

    The mean is geometric; None where values are not all positive.
    """

    metric: str
    num_up: int
    num_down: int
    num_equal: int
    mean_change_fraction: float | None


@dataclass(frozen=True, slots=True)
class RunComparison:
    """All that comparing a candidate with a baseline has to say.

    `is_refused` says that the environments differ, so that nothing was compared. `floors` says in
    a sentence which noise floors held. Above `alpha` a q value calls nothing.
    """

    baseline: Compared
    candidate: Compared
    answer: str
    is_refused: bool
    differences: tuple[Difference, ...]
    endings: tuple[Ending, ...]
    changes: tuple[Change, ...]
    balances: tuple[Balance, ...]
    alone: tuple[Alone, ...]
    notes: tuple[str, ...]
    floors: str
    alpha: float
    threshold_fraction: float

    def count(self, *verdicts: CellVerdict, kind: Kind | None = None) -> int:
        """Return how many changes have one of these verdicts."""
        return sum(
            change.verdict in verdicts and kind in (None, change.kind) for change in self.changes
        )

    def exit_code(self, *, is_strict: bool = False) -> int:
        """Return 5, 3, 1 or 4, the first that applies, or 0.

        A candidate that has not finished is compared as far as it is: where it has no time at all,
        or no quality, of what the baseline has, that is not comparable.

        Args:
            is_strict: whether an unresolved change, or a missing result, is an error.
        """
        is_incomparable = any(not found.is_allowed for found in self.differences)
        is_incomparable = is_incomparable or self._has_not_come_so_far()
        has_diverged = any(ending.is_new_divergence for ending in self.endings)
        has_failed = any(ending.is_new_failure for ending in self.endings)
        if is_incomparable or not (self.num_compared or has_diverged or has_failed):
            return 5
        if has_diverged or self.count("worse"):
            return 3
        if has_failed:
            return 1
        is_open = self.count("unresolved") or self.num_missing()
        return 4 if is_strict and is_open else 0

    def _has_not_come_so_far(self) -> bool:
        if self.candidate.status == "finished":
            return False
        compared = {change.kind for change in self.changes if change.change_fraction is not None}
        missing = {"time": self.num_missing("timing"), "quality": self.num_missing("trial")}
        return any(num and kind not in compared for kind, num in missing.items())

    def num_missing(self, kind: Literal["trial", "timing"] | None = None) -> int:
        """Return how many trials or timings of the baseline a run of the same suite lacks."""
        if self.baseline.suite != self.candidate.suite:
            return 0
        return sum(alone.side == "baseline" and kind in (None, alone.kind) for alone in self.alone)

    @property
    def num_compared(self) -> int:
        """Return how many changes stand on values of both runs."""
        return sum(change.change_fraction is not None for change in self.changes)
