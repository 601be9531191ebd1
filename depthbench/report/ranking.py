"""Rank the variants of each group by one metric and compare them with the best, paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from depthbench.record import METRIC_BOUNDS, METRICS
from depthbench.report.answer import answer_of, doubt_of, notes_of
from depthbench.report.answer_times import times_text
from depthbench.report.comparison import MARGIN, Comparison, compare_groups
from depthbench.report.groups import METRIC_COLUMNS, SIZE_COLUMNS, Entry, Gathering, names_of
from depthbench.report.statistics import (
    CONFIDENCE,
    MIN_INTERQUARTILE,
    Estimate,
    interquartile_mean,
    mean_interval,
)
from depthbench.report.values import Group, Timing, VariantRow

RANKED_BY = "loss"


@dataclass(frozen=True, slots=True)
class _Ranking:
    """A group with what ranks it: the places of its ranked entries, best first; why not others."""

    gathering: Gathering
    metric: str | None
    excluded: tuple[str, ...]
    order: tuple[int, ...]

    @property
    def values(self) -> list[dict[int, float]]:
        """Return the ranked entries' values by seed, best first."""
        return [self.gathering.entries[index].values(str(self.metric)) for index in self.order]


def rank_groups(
    gatherings: Sequence[Gathering],
    timings_of: Callable[[Entry], tuple[Timing, ...]],
    margin: float = MARGIN,
) -> tuple[Group, ...]:
    """Return groups with their variants ranked, compared with the best, and put in words.

    Ranked are variants on budget whose every seed converged: a mean over the seeds that survived
    would flatter the others. Comparisons of all groups are judged together.

    Args:
        gatherings: all groups of a run.
        timings_of: from an entry to its timed cells.
        margin: losses within this fraction of the best count as the same.

    Raises:
        ResultError: the margin is no fraction.
    """
    rankings = [_ranking(gathering) for gathering in gatherings]
    is_lower_better = METRICS[RANKED_BY] == "lower"
    compared = compare_groups(
        [ranking.values for ranking in rankings], margin, is_lower_better=is_lower_better
    )
    return tuple(
        _group(ranking, comparisons, timings_of)
        for ranking, comparisons in zip(rankings, compared, strict=True)
    )


def _ranking(gathering: Gathering) -> _Ranking:
    entries = gathering.entries
    metric = ranking_metric(entries)
    excluded = tuple(_not_ranked(entry, gathering, metric) for entry in entries)
    return _Ranking(gathering, metric, excluded, tuple(_order(entries, excluded, metric)))


def _group(
    ranking: _Ranking,
    comparisons: Sequence[Comparison | None],
    timings_of: Callable[[Entry], tuple[Timing, ...]],
) -> Group:
    gathering, order = ranking.gathering, ranking.order
    rows = []
    for index, (name, extra) in enumerate(names_of(gathering.entries)):
        entry = gathering.entries[index]
        place = order.index(index) if index in order else None
        share = entry.share(gathering.budget) if gathering.budget else None
        facts: dict[str, Any] = {
            "name": name,
            "extra": extra,
            "budget_error_fraction": share["error_fraction"] if share else None,
            "is_on_budget": bool(share["is_on_budget"]) if share else None,
            "rank": None if place is None else place + 1,
            "not_ranked_because": ranking.excluded[index],
            "against_best": comparisons[place - 1] if place else None,
            "timings": timings_of(entry),
        }
        rows.append(_row(entry, ranking.metric, facts))
    rows.sort(key=lambda row: (row.rank is None, row.rank or 0))
    return _worded(gathering, ranking.metric, len(order) * (len(order) - 1) // 2, rows)


def ranking_metric(entries: Sequence[Entry]) -> str | None:
    """Return the column that ranks: of the test set where all of it is read, else validation."""
    test, val = f"test_{RANKED_BY}", f"val_{RANKED_BY}"
    is_test_read = all(entry.values(test).keys() >= entry.values(val).keys() for entry in entries)
    if is_test_read and any(entry.values(test) for entry in entries):
        return test
    return val if any(entry.values(val) for entry in entries) else None


def _not_ranked(entry: Entry, gathering: Gathering, metric: str | None) -> str:
    """Return why an entry has no rank, or nothing."""
    num_diverged = entry.count("diverged")
    if num_diverged:
        return f"diverged {num_diverged} of {len(entry.trials)}"
    if metric is None or not entry.values(metric):
        return (
            f"failed {entry.num_failed} of {len(entry.trials)}"
            if entry.num_failed
            else ("unsupported" if entry.count("unsupported") else "no result")
        )
    share = entry.share(gathering.budget) if gathering.budget else None
    return "off budget" if share and not share["is_on_budget"] else ""


def _order(entries: Sequence[Entry], excluded: Sequence[str], metric: str | None) -> list[int]:
    """Return the indices of the ranked entries, best first."""
    if metric is None:
        return []
    means = {
        index: sum(values.values()) / len(values)
        for index, entry in enumerate(entries)
        if not excluded[index] and (values := entry.values(metric))
    }
    is_lower_better = METRICS[RANKED_BY] == "lower"
    return sorted(means, key=lambda index: means[index] * (1 if is_lower_better else -1))


def _row(entry: Entry, metric: str | None, facts: dict[str, Any]) -> VariantRow:
    settings = entry.settings
    metrics: dict[str, Estimate] = {}
    interquartile_means: dict[str, Estimate] = {}
    for name in METRIC_COLUMNS:
        by_seed = entry.values(name)
        values, bounds = [by_seed[seed] for seed in sorted(by_seed)], _bounds_of(name)
        if values:
            metrics[name] = mean_interval(values, bounds=bounds)
            # Of few values none is left out.
            is_whole = len(values) < MIN_INTERQUARTILE
            interquartile_means[name] = (
                metrics[name] if is_whole else interquartile_mean([values], bounds=bounds)
            )
    identity = ("variant_id", "family", "backbone", "depth", "width", "lr", *SIZE_COLUMNS)
    return VariantRow(
        **{name: settings[name] for name in identity},
        num_lrs=entry.num_lrs,
        num_seeds=metrics[metric].num if metric in metrics else 0,
        num_trials=len(entry.trials),
        num_diverged=entry.count("diverged"),
        num_failed=entry.num_failed,
        metrics=metrics,
        interquartile_means=interquartile_means,
        **facts,
    )


def _bounds_of(metric: str) -> tuple[float | None, float | None]:
    return METRIC_BOUNDS[metric.partition("_")[2]]


def _worded(
    gathering: Gathering, metric: str | None, num_comparisons: int, rows: Sequence[VariantRow]
) -> Group:
    answer = answer_of(gathering, metric, rows).removesuffix(".")
    return Group(
        budget=gathering.budget,
        dataset=gathering.dataset,
        task=gathering.task,
        training=gathering.training,
        metric=metric,
        confidence=CONFIDENCE,
        num_comparisons=num_comparisons,
        answer=" ".join(filter(None, (f"{answer}{times_text(rows)}.", doubt_of(metric, rows)))),
        notes=tuple(notes_of(gathering, metric, rows)),
        rows=tuple(rows),
    )
