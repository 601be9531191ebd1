"""Verdicts on claims: the rule that gives them, and the exit code that tells of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from depthbench.grammar import ClaimSettings, Expectation
from depthbench.report.rows import describe
from depthbench.report.statistics import Estimate
from depthbench.units import format_estimate

Verdict = Literal["holds", "refuted", "undecided"]


# What a verdict says of the interval, where there is one.
WHY: dict[Verdict, str] = {
    "holds": "the interval is wholly inside the bounds",
    "refuted": "the interval is wholly outside the bounds",
    "undecided": "the interval reaches across a bound",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a claim expects of the ratio or the difference of its two sides."""

    low: float
    high: float
    is_ratio: bool

    @property
    def kind(self) -> str:
        """Return what is estimated, in a word."""
        return "ratio" if self.is_ratio else "difference"

    def describe(self) -> str:
        """Return the expectation in words: ratio at most 1.05."""
        if self.low in (-inf, 0.0) and self.high < inf:
            return f"{self.kind} at most {self.high:g}"
        if self.high == inf:
            return f"{self.kind} at least {self.low:g}"
        return f"{self.kind} within [{self.low:g}, {self.high:g}]"

    def judge(self, low: float, high: float) -> Verdict:
        """Return holds for an interval wholly inside, refuted for one wholly outside."""
        if self.low <= low and high <= self.high:
            return "holds"
        if high < self.low or low > self.high:
            return "refuted"
        return "undecided"


def bounds_of(expect: Expectation) -> Bounds:
    """Return the bounds of the one expectation that is given."""
    for name, value in expect.model_dump().items():
        if value is None:
            continue
        is_ratio = name.startswith("ratio")
        lowest = 0.0 if is_ratio else -inf
        if name.endswith("at_most"):
            return Bounds(lowest, value, is_ratio)
        if name.endswith("at_least"):
            return Bounds(value, inf, is_ratio)
        return Bounds(value[0], value[1], is_ratio)
    raise ValueError("an expectation without a bound")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a claim. `estimate` is the mean ratio or difference over the pairs."""

    suite: str
    run: str
    id: str
    verdict: Verdict
    estimate: float | None
    interval: tuple[float, float] | None
    confidence: float
    num_pairs: int
    num_strata: int
    num_missing: int
    reason: str
    text: str
    expectation: str
    source: str | None

    def measured(self) -> str:
        """Return the estimate in words: ratio 1.01 [0.98, 1.04]."""
        if self.estimate is None:
            return ""
        low, high = self.interval or (None, None)
        return f"{self.expectation.split()[0]} {format_estimate(self.estimate, low, high)}"


def open_judgement(claim: ClaimSettings, suite: str, run: str) -> Judgement:
    """Return the judgement of a claim before anything is known: undecided."""
    expectation = bounds_of(claim.expect).describe()
    where = f", where {describe(claim.where)}" if claim.where else ""
    text = (
        f"{claim.metric} of {describe(claim.of)} against {describe(claim.against)}{where}: "
        f"{expectation}"
    )
    return Judgement(
        suite=suite,
        run=run,
        id=claim.id,
        verdict="undecided",
        estimate=None,
        interval=None,
        confidence=claim.confidence,
        num_pairs=0,
        num_strata=0,
        num_missing=0,
        reason="",
        text=text,
        expectation=expectation,
        source=claim.source,
    )


def close_judgement(
    judgement: Judgement, bounds: Bounds, estimate: Estimate, notes: Sequence[str]
) -> Judgement:
    """Return the judgement with its estimate and, where there is an interval, its verdict."""
    interval = None
    verdict: Verdict = "undecided"
    why = "" if notes else "too few values for an interval"
    if estimate.low is not None and estimate.high is not None:
        interval = (estimate.low, estimate.high)
        verdict = bounds.judge(*interval)
        why = WHY[verdict]
    return replace(
        judgement,
        verdict=verdict,
        estimate=estimate.value,
        interval=interval,
        reason="; ".join(filter(None, [why, *notes])),
    )


def exit_code(
    verdicts: Sequence[Verdict],
    *,
    num_failed: int = 0,
    is_strict: bool = False,
    is_empty: bool = False,
) -> int:
    """Return the exit code: 5, 3, 1 or 4, the first that applies, or 0.

    Args:
        verdicts: of everything that was judged.
        num_failed: how many trials and timings failed.
        is_strict: whether an undecided verdict is an error.
        is_empty: whether there was nothing to judge.
    """
    if is_empty:
        return 5
    if "refuted" in verdicts:
        return 3
    if num_failed:
        return 1
    return 4 if is_strict and "undecided" in verdicts else 0


def verdict_counts(judgements: Sequence[Judgement]) -> str:
    """Return how many claims have which verdict, in a line: Claims: 2 hold, 1 undecided."""
    nums = Counter(judgement.verdict for judgement in judgements)
    words = [
        f"{nums[verdict]:,} {'hold' if verdict == 'holds' and nums[verdict] > 1 else verdict}"
        for verdict in WHY
        if nums[verdict]
    ]
    return f"Claims: {', '.join(words)}." if words else ""
