"""Trials of one variant that two runs share, and how a metric of them has changed, by seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log
from statistics import fmean

from depthbench.report.answer import metric_name
from depthbench.report.change_tests import ChangeTest
from depthbench.report.groups import Entry
from depthbench.report.ranking import RANKED_BY
from depthbench.report.rows import Row
from depthbench.report.statistics import MIN_SEEDS

TEST, VALIDATION = f"test_{RANKED_BY}", f"val_{RANKED_BY}"


@dataclass(frozen=True, slots=True)
class Pairs:
    """The trials of one variant that both runs have, baseline first; and how they are told of."""

    entry: Entry
    name: str
    extra: str
    rows: tuple[tuple[Row, Row], ...]
    notes: tuple[str, ...]

    def values(self, metric: str) -> list[tuple[float, float]]:
        """Return the values of the pairs that are ok and finite in both runs."""
        return [
            (before[metric], after[metric])
            for before, after in self.rows
            if has(before, metric) and has(after, metric)
        ]

    def lost(self, metric: str) -> Counter[str]:
        """Return why pairs that have a value in the baseline have none in the candidate."""
        return Counter(
            str(after["status"]) if after["status"] != "ok" else f"no {metric_name(metric)}"
            for before, after in self.rows
            if has(before, metric) and not has(after, metric)
        )

    def ranking_metric(self) -> str:
        """Return the loss of the test set where both runs have read it, else that of validation."""
        is_test_lost = self.lost(TEST) and not self.values(TEST)
        return VALIDATION if is_test_lost and self.values(VALIDATION) else TEST


@dataclass(frozen=True, slots=True)
class Moved:
    """By how much a metric has changed, in logs where `is_ratio`, else in shares of the baseline.

    Fewer than `MIN_SEEDS` pairs have no test.
    """

    baseline: float
    candidate: float
    is_ratio: bool
    change: float
    test: ChangeTest | None


def moved(values: Sequence[tuple[float, float]]) -> Moved:
    """Return by how much values have changed, with Student's test of the paired changes.

    Args:
        values: of the baseline and the candidate, a pair a seed; there is at least one.
    """
    before, after = ([pair[side] for pair in values] for side in (0, 1))
    is_ratio = min(*before, *after) > 0
    changes = _logs(values) if is_ratio else _shares(values)
    change = fmean(changes)
    is_testable = len(values) >= MIN_SEEDS
    test = ChangeTest(change, _standard_error(changes), len(changes) - 1) if is_testable else None
    return Moved(fmean(before), fmean(after), is_ratio, change, test)


def has(row: Row, metric: str) -> bool:
    """Say whether a trial is ok and has a finite value."""
    value = row[metric]
    return row["status"] == "ok" and value is not None and isfinite(value)


def _logs(values: Sequence[tuple[float, float]]) -> list[float]:
    return [log(after) - log(before) for before, after in values]


def _shares(values: Sequence[tuple[float, float]]) -> list[float]:
    """Return differences over the mean size in the baseline, or where that is 0 in the other."""
    sizes = [fmean(abs(pair[side]) for pair in values) for side in (0, 1)]
    size = sizes[0] or sizes[1] or 1.0
    return [(after - before) / size for before, after in values]


def _standard_error(values: Sequence[float]) -> float:
    from scipy.stats import sem

    return 0.0 if min(values) == max(values) else float(sem(values))
