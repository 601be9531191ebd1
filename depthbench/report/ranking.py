"""Rank the variants of a group by one metric and compare each with the best, paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from depthbench.record import METRIC_BOUNDS, METRICS
from depthbench.report.answer import answer_of, notes_of
from depthbench.report.answer_times import times_text
from depthbench.report.groups import METRIC_COLUMNS, SIZE_COLUMNS, Entry, Gathering, names_of
from depthbench.report.statistics import CONFIDENCE, mean_interval, paired_difference
from depthbench.report.values import Comparison, Group, Timing, VariantRow

RANKED_BY = "loss"


def rank(gathering: Gathering, timings_of: Callable[[Entry], tuple[Timing, ...]]) -> Group:
    """Return a group with its variants ranked, compared with the best, and put in words.

    Ranked are variants on budget whose every seed converged: a mean over the seeds that survived
    would flatter the others. The intervals hold together, over all pairs of ranked variants,
    since which one is the best is known only afterwards.
    """
    entries = gathering.entries
    metric = ranking_metric(entries)
    excluded = [_not_ranked(entry, gathering, metric) for entry in entries]
    order = _order(entries, excluded, metric)
    num_comparisons = len(order) * (len(order) - 1) // 2
    confidence = 1 - (1 - CONFIDENCE) / max(1, num_comparisons)
    rows = []
    for index, (name, extra) in enumerate(names_of(entries)):
        entry = entries[index]
        place = order.index(index) if index in order else None
        best = entries[order[0]] if metric and place else None
        comparison = _compare(entry, best, str(metric), confidence) if best else None
        share = entry.share(gathering.budget) if gathering.budget else None
        facts: dict[str, Any] = {
            "name": name,
            "extra": extra,
            "budget_error_fraction": share["error_fraction"] if share else None,
            "is_on_budget": bool(share["is_on_budget"]) if share else None,
            "rank": None if place is None else place + 1,
            "not_ranked_because": excluded[index],
            "against_best": comparison,
            "timings": timings_of(entry),
        }
        rows.append(_row(entry, metric, facts))
    rows.sort(key=lambda row: (row.rank is None, row.rank or 0))
    return _worded(gathering, metric, num_comparisons, rows)


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


def _compare(entry: Entry, best: Entry, metric: str, confidence: float) -> Comparison | None:
    values, best_values = entry.values(metric), best.values(metric)
    is_ratio = min(*values.values(), *best_values.values()) > 0
    found = paired_difference(values, best_values, confidence, is_ratio=is_ratio)
    if found is None:
        return None
    return Comparison(is_ratio, found.value, found.low, found.high, found.num)


def _row(entry: Entry, metric: str | None, facts: dict[str, Any]) -> VariantRow:
    settings = entry.settings
    metrics = {
        name: mean_interval([values[seed] for seed in sorted(values)], bounds=_bounds_of(name))
        for name in METRIC_COLUMNS
        if (values := entry.values(name))
    }
    identity = ("variant_id", "family", "backbone", "depth", "width", "lr", *SIZE_COLUMNS)
    return VariantRow(
        **{name: settings[name] for name in identity},
        num_lrs=entry.num_lrs,
        num_seeds=metrics[metric].num if metric in metrics else 0,
        num_trials=len(entry.trials),
        num_diverged=entry.count("diverged"),
        num_failed=entry.num_failed,
        metrics=metrics,
        **facts,
    )


def _bounds_of(metric: str) -> tuple[float | None, float | None]:
    return METRIC_BOUNDS[metric.partition("_")[2]]


def _worded(
    gathering: Gathering, metric: str | None, num_comparisons: int, rows: Sequence[VariantRow]
) -> Group:
    return Group(
        budget=gathering.budget,
        dataset=gathering.dataset,
        task=gathering.task,
        training=gathering.training,
        metric=metric,
        confidence=CONFIDENCE,
        num_comparisons=num_comparisons,
        answer=answer_of(gathering, metric, rows).removesuffix(".") + times_text(rows) + ".",
        notes=tuple(notes_of(gathering, metric, rows)),
        rows=tuple(rows),
    )
