"""What the tables of a comparison show of each change, for people, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import floor, inf, log10

from depthbench.report.compare.changes import VERDICTS, Change, RunComparison
from depthbench.report.narrow_tables import Stack
from depthbench.report.tables import Heading
from depthbench.units import format_fraction, format_percentages, format_seconds

_HEADINGS = (
    Heading("verdict", "verdict"),
    Heading("name", "variant"),
    Heading("what", "what"),
    Heading("baseline", "baseline", is_number=True),
    Heading("candidate", "candidate", is_number=True),
    Heading("change", "change", is_number=True),
    Heading("threshold", "called beyond", is_number=True),
    Heading("q_value", "q", is_number=True),
    Heading("reason", "why"),
)
# How many columns at the left say what a row is about.
NUM_NAMES = 3
# How they stand below one another on a narrow terminal.
STACKS: tuple[Stack, ...] = (
    (("verdict",), ("q_value",)),
    (("name",), ("what",), ("reason",)),
    (("baseline", "candidate"), ("change",), ("threshold",)),
)
# A terminal and a step summary show so many; Markdown, JSON and CSV have all.
MAX_CHANGED = 40
MAX_UNRESOLVED = 10


def title_of(comparison: RunComparison) -> str:
    """Return which runs are compared: quickstart / night-2 against night-1."""
    before, after = comparison.baseline, comparison.candidate
    against = before.run if before.suite == after.suite else f"{before.suite} / {before.run}"
    return f"{after.suite} / {after.run} against {against}"


def ranked(changes: Sequence[Change]) -> list[Change]:
    """Return changes in the order of their importance: worse first, of each the largest."""

    def place(change: Change) -> tuple[int, float]:
        size = inf if change.change_fraction is None else abs(change.change_fraction)
        return VERDICTS.index(change.verdict), -size

    return sorted(changes, key=place)


def page_of(changes: Sequence[Change]) -> list[Change]:
    """Return the changes that a page shows: what changed, and some of what is unresolved."""
    order = ranked(changes)
    changed = [change for change in order if change.verdict in ("worse", "better")]
    unresolved = [change for change in order if change.verdict == "unresolved"]
    return changed[:MAX_CHANGED] + unresolved[:MAX_UNRESOLVED]


def left_out(comparison: RunComparison, num_shown: int) -> Iterator[str]:
    """Yield what a page leaves out, a sentence each."""
    num = comparison.count("worse", "better", "unresolved") - num_shown
    if num:
        yield f"{num:,} more changed or are unresolved; `compare --format md` has all."
    num_same, num_unmatched = comparison.count("same"), comparison.count("unmatched")
    if num_same:
        yield f"The same: {num_same:,}."
    if num_unmatched:
        yield f"With nothing to compare: {num_unmatched:,}; `compare --format md` says why."


def columns_of(changes: Sequence[Change]) -> tuple[list[Heading], list[list[str]]]:
    """Return the headings and cells of a table of changes; columns that say nothing are left out.

    Returns:
        The headings, and a row of cells a change.
    """
    rows = [_cells(change) for change in changes]
    hidden = {"threshold"} if len(_thresholds(changes)) == 1 else set()  # the legend has it
    kept = [
        index
        for index, heading in enumerate(_HEADINGS)
        if heading.key not in hidden and any(row[index] not in ("-", "") for row in rows)
    ]
    return [_HEADINGS[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _thresholds(changes: Sequence[Change]) -> set[float]:
    return {
        change.threshold_fraction for change in changes if change.threshold_fraction is not None
    }


def legend(comparison: RunComparison, shown: Sequence[Change]) -> Iterator[str]:
    """Yield what a reader needs to read a table of changes, a sentence each."""
    if any(change.kind == "time" and change.change_fraction is not None for change in shown):
        yield (
            "Times are quiet times: of each process the 2nd percentile of its samples, of these "
            "the geometric mean."
        )
    tested = [change for change in shown if change.q_value is not None]
    if not tested:
        return
    limits = _thresholds(tested)
    limit = format_fraction(limits.pop()) if len(limits) == 1 else "the limit in its row"
    yield (
        f"Called worse or better: q below {comparison.alpha:g} and beyond {limit}; same: surely "
        "within that; unresolved: neither."
    )
    num = sum(change.q_value is not None for change in comparison.changes)
    counted_all = f", as q counts all {num:,} tests" if num > 1 else ""
    yield f"[..]: the interval at the level of its verdict{counted_all}: {_levels(tested)}."


def _levels(tested: Sequence[Change]) -> str:
    """Return the levels of intervals, with their verdicts: 99.8% (worse), 95% (same)."""
    verdicts: dict[str, list[str]] = defaultdict(list)
    for verdict in VERDICTS:
        for level in {c.confidence for c in tested if c.verdict == verdict}:
            verdicts[level_text(level)].append(verdict)
    return ", ".join(f"{level} ({', '.join(found)})" for level, found in verdicts.items())


def level_text(confidence: float | None) -> str:
    """Return the level of an interval with as many digits as tell it from 100%: 95%, 99.92%."""
    if confidence is None:
        return "-"
    decimals = max(0, -floor(log10(1 - confidence)) - 1) if confidence < 1 else 0
    return f"{confidence:.{decimals}%}".replace(".0%", "%")


def _cells(change: Change) -> list[str]:
    return [
        change.verdict,
        change.name,
        change.what,
        value_text(change, change.baseline),
        value_text(change, change.candidate),
        change_text(change),
        format_fraction(change.threshold_fraction),
        "-" if change.q_value is None else f"{change.q_value:.2g}",
        "" if change.q_value is not None else change.reason,  # else the numbers say it
    ]


def value_text(change: Change, value: float | None) -> str:
    """Return a value of the baseline or the candidate in its unit."""
    if value is None:
        return "-"
    if change.kind == "time":
        return format_seconds(value)
    return f"{100 * value:.2f}%" if change.metric.endswith("accuracy") else f"{value:.4g}"


def change_text(change: Change) -> str:
    """Return by how much a value has changed, with the interval: +31.2% [+28.0, +34.5]."""
    if change.change_fraction is None:
        return "-"
    if change.change_fraction == 0 and change.low_fraction is None:
        return "0%"
    ends = (change.low_fraction, change.high_fraction)
    return format_percentages(change.change_fraction, *ends, is_signed=True)


def ending_lines(comparison: RunComparison) -> list[str]:
    """Return for each trial and cell that ended otherwise how it did, then and now, and why."""
    return [
        f"{ending.kind} {ending.name}: was {ending.baseline_status}, is {ending.candidate_status}"
        + (f": {ending.error}" if ending.error else "")
        for ending in comparison.endings
    ]
