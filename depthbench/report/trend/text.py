"""A trend in words: the answer in a sentence, what was left out, and what cannot be said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from depthbench.report.rows import join
from depthbench.units import counted, format_fraction, format_seconds, significant

if TYPE_CHECKING:
    from depthbench.report.trend.history import SeriesKind
    from depthbench.report.trend.nights import Night
    from depthbench.report.trend.values import SeriesTrend, SuiteTrend

_MAX_NAMED = 3
_MAX_RUNS = 8
# How each kind moves: up, down.
_WORDS = {
    "time": ("slower", "faster"),
    "level": ("slower", "faster"),
    "loss": ("higher", "lower"),
    "exponent": ("higher", "lower"),
}
# A time without runs is told where it is so many times the usual one.
_LONG = 2.5


def answer_of(suite: SuiteTrend) -> str:
    """Return what has changed, in a sentence or two."""
    if suite.num_nights < suite.least_nights:
        return f"Too few nights: {suite.num_nights} of {suite.least_nights}."
    called = [found for found in suite.series if found.is_called]
    new = [found for found in called if found.is_new]
    known = [found for found in called if not found.is_new]
    total = f"{len(suite.series):,} series"
    nights = counted(suite.num_nights, "night")
    if new:
        has = "has" if len(new) == 1 else "have"
        text = f"{len(new)} of {total} {has} changed: {_listed(new)}."
    else:
        lately = " lately" if known else ""
        text = f"None of {total} has changed{lately}; {nights} judged."
    if known:
        is_known = "change is" if len(known) == 1 else "changes are"
        text += f" {len(known)} {is_known} known: {_listed(known)}."
    return text


def _listed(found: Sequence[SeriesTrend]) -> str:
    texts = [call_text(series) for series in found[:_MAX_NAMED]]
    if len(found) > _MAX_NAMED:
        texts.append(f"{len(found) - _MAX_NAMED} more below")
    return "; ".join(texts)


def call_text(found: SeriesTrend) -> str:
    """Return a change in words: deep (L 8, d 32) inference batch 1 is 7% slower since ..."""
    verb = "are" if found.kind == "level" else "is"
    changed = change_text(found.kind, found.change)
    nights = counted(found.num_nights_since or 0, "night")
    return f"{found.name} {verb} {changed} since {date_of(found.since)} ({nights})"


def change_text(kind: SeriesKind, change: float | None) -> str:
    """Return by how much a series of a kind has changed: 7% slower, 0.12 higher."""
    if change is None:
        return "-"
    up, down = _WORDS[kind]
    size = abs(change)
    text = significant(size, 2) if kind == "exponent" else format_fraction(size)
    return f"{text} {up if change > 0 else down}"


def value_text(kind: SeriesKind, value: float | None) -> str:
    """Return a value of a series of a kind as people read it."""
    if value is None:
        return "-"
    if kind == "time":
        return format_seconds(value)
    return f"{value:.3f}x" if kind == "level" else significant(value)


def date_of(created_at: str | None) -> str:
    """Return the day of a night."""
    return (created_at or "unknown")[:10]


def notes_of(suite: SuiteTrend) -> Iterator[str]:
    """Yield what was left out of the judgement, what is missing, and what moved together."""
    yield from _left_out(suite.left_out)
    if suite.num_nights >= suite.least_nights:
        short = [found.name for found in suite.series if found.verdict == "too few nights"]
        if short:
            least = counted(suite.least_nights, "night")
            yield f"Too few nights, fewer than {least}, in {_names(short)}."
    absent = [found.name for found in suite.series if found.latest is None]
    if absent and suite.nights:
        yield f"No value in the newest night ({date_of(suite.nights[-1].created_at)}): " + (
            f"{_names(absent)}."
        )
    num_with_all = sum(found.is_with_all for found in suite.series)
    if num_with_all:
        yield f"{counted(num_with_all, 'cell')} moved as all timed cells together did."
    yield from _gaps(suite.nights)


def _names(names: Sequence[str]) -> str:
    return f"{len(names)} series ({join(names, limit=_MAX_NAMED)})"


def _left_out(left_out: Sequence[Night]) -> Iterator[str]:
    """Yield a line for each reason why runs are not judged, alike ones together."""
    by_reason: dict[tuple[str, str], list[Night]] = defaultdict(list)
    for night in left_out:
        kind, _, detail = night.problem.partition(": ")
        by_reason[kind, "" if kind == "unreadable" else detail].append(night)
    for (kind, detail), nights in by_reason.items():
        runs = counted(len(nights), "run")
        if kind == "another environment":
            days = sorted({date_of(night.created_at) for night in (nights[0], nights[-1])})
            yield (
                f"{runs} of another environment ({' to '.join(days)}): {detail}. Not judged with "
                "the others, and no change is called between the two."
            )
        else:
            which = join([night.run for night in nights], limit=_MAX_RUNS)
            reason = detail or f"such as {nights[0].problem.partition(': ')[2]}"
            yield f"{runs} left out, {kind} ({which}): {reason.rstrip('.')}."


def _gaps(nights: Sequence[Night]) -> Iterator[str]:
    """Yield the longest time without a judged run, where it is much longer than the others."""
    moments = [datetime.fromisoformat(str(night.created_at)) for night in nights]
    if len(moments) < 4 or len({moment.tzinfo is None for moment in moments}) > 1:
        return
    spans = [(after - before).total_seconds() for before, after in pairwise(moments)]
    usual, longest = median(spans), max(spans)
    if longest > _LONG * usual > 0:
        place = spans.index(longest)
        ends = [date_of(nights[index].created_at) for index in (place, place + 1)]
        num = sum(span > _LONG * usual for span in spans)
        yield f"{counted(num, 'gap')} between nights, the longest {ends[0]} to {ends[1]}."
