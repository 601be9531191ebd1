"""What the tables of a report show of a variant, column by column, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from depthbench.record import METRICS
from depthbench.report.answer import metric_name
from depthbench.report.comparison import ALPHA, Comparison
from depthbench.report.paired_tests import smallest_told
from depthbench.report.statistics import MIN_INTERQUARTILE, MIN_SEEDS
from depthbench.report.tables import GAP, Heading, plain_line
from depthbench.report.values import Group, VariantRow
from depthbench.units import (
    counted,
    format_count,
    format_estimate,
    format_flops,
    format_fraction,
    format_percentages,
    format_seconds,
)

TOO_FEW_SEEDS = "too few seeds"


# Tables for people have so many ways of timing; the first are the ones a suite names first.
MAX_TIMES = 24


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of a report: its heading and its cells, one a variant."""

    heading: Heading
    cells: tuple[str, ...]


def key_columns(group: Group) -> list[Shown]:
    """Return the columns that say which variant a row is about, and its rank."""
    ranks = ["-" if row.rank is None else str(row.rank) for row in group.rows]
    families = [row.family + (f", {row.extra}" if row.extra else "") for row in group.rows]
    return [
        _shown("#", ranks, is_number=True),
        _shown("variant", families),
        _shown("L", [str(row.depth) for row in group.rows], is_number=True),
        _shown("d", [str(row.width) for row in group.rows], is_number=True),
    ]


def name_column(group: Group) -> list[Shown]:
    """Return the one column that says which variant a row is about where a table goes on."""
    return [_shown("variant", [row.name for row in group.rows])]


def sections(group: Group) -> list[list[Shown]]:
    """Return the columns of a group in the order of their importance, in sections."""
    found = [_quality(group), _size(group), _times(group)]
    return [section for section in found if section]


def _quality(group: Group) -> list[Shown]:
    split = group.metric.partition("_")[0] if group.metric else "test"
    columns = []
    for name in METRICS:
        metric = f"{split}_{name}"
        cells = [_metric_text(row, metric) for row in group.rows]
        if any(cell != "-" for cell in cells):
            columns.append(_shown(metric_name(metric), cells, is_number=True))
        if metric == group.metric:
            columns += _against_best(group)
    if any(row.not_ranked_because for row in group.rows):
        columns.append(_shown("not ranked", [row.not_ranked_because for row in group.rows]))
    return columns


def _against_best(group: Group) -> list[Shown]:
    if all(row.against_best is None for row in group.rows):
        return []
    return [
        _shown("verdict", [_verdict(row) for row in group.rows]),
        _shown("against best", [_versus(row) for row in group.rows], is_number=True),
    ]


def _metric_text(row: VariantRow, metric: str) -> str:
    found = row.metrics.get(metric)
    if found is None:
        return "-"
    write = format_percentages if metric.endswith("accuracy") else format_estimate
    return write(found.value, found.low, found.high)


def _versus(row: VariantRow) -> str:
    found = row.against_best
    if found is None:
        return "-"
    if found.is_ratio:
        ends = (None if end is None else end - 1 for end in (found.low, found.high))
        return format_percentages(found.value - 1, *ends, is_signed=True)
    return format_estimate(found.value, found.low, found.high)


def _verdict(row: VariantRow) -> str:
    if row.rank is None or row.rank == 1:
        return "best" if row.rank else "-"
    found = row.against_best
    return found.verdict if found and found.verdict else TOO_FEW_SEEDS


def _size(group: Group) -> list[Shown]:
    rows = group.rows
    columns = [_shown("weights", [format_count(row.total_params) for row in rows], is_number=True)]
    if group.budget is not None:
        errors = [format_fraction(row.budget_error_fraction, is_signed=True) for row in rows]
        columns.append(_shown("off by", errors, is_number=True))
    columns.append(
        _shown("FLOPs", [format_flops(row.forward_flops) for row in rows], is_number=True)
    )
    columns.append(_shown("lr", [_lr(row) for row in rows], is_number=True))
    columns.append(_shown("seeds", [_seeds(row) for row in rows], is_number=True))
    if group.metric and any(row.num_seeds >= MIN_INTERQUARTILE for row in rows):
        title = f"{metric_name(group.metric)}\nIQM"
        cells = [_interquartile_text(row, group.metric) for row in rows]
        columns.append(_shown(title, cells, is_number=True))
    return columns


def _lr(row: VariantRow) -> str:
    if row.lr is None:
        return "-"
    return f"{row.lr:g}" + (f" of {row.num_lrs}" if row.num_lrs > 1 else "")


def _seeds(row: VariantRow) -> str:
    return str(row.num_seeds) + (f" of {row.num_trials}" if row.num_seeds < row.num_trials else "")


def _interquartile_text(row: VariantRow, metric: str) -> str:
    found = row.interquartile_means.get(metric)
    if found is None or found.num < MIN_INTERQUARTILE:
        return "-"
    return format_estimate(found.value, found.low, found.high)


def _times(group: Group) -> list[Shown]:
    return [
        _shown(label.replace(" batch ", "\nbatch "), _times_of(group.rows, label), is_number=True)
        for label in _ways_of_timing(group)[:MAX_TIMES]
    ]


def _ways_of_timing(group: Group) -> list[str]:
    return list(dict.fromkeys(timing.label for row in group.rows for timing in row.timings))


def _times_of(rows: Sequence[VariantRow], label: str) -> list[str]:
    cells = []
    for row in rows:
        timing = next((timing for timing in row.timings if timing.label == label), None)
        if timing is None:
            cells.append("-")
        elif timing.status != "ok":
            cells.append(timing.status)
        else:
            ends = (timing.ci_low_seconds, timing.ci_high_seconds)
            doubt = " ?" if timing.flags else ""
            cells.append(format_seconds(timing.median_seconds, ends) + doubt)
    return cells


def legend(group: Group) -> list[str]:
    """Return what a reader needs to read a group's tables; alike for alike groups."""
    lines = []
    if any(found.low is not None for row in group.rows for found in row.metrics.values()):
        lines.append(
            f"[..]: {group.confidence:.0%} interval of the mean over seeds: a bootstrap, widened "
            "for few seeds."
        )
    lines += _verdict_lines(group)
    if any(row.num_seeds >= MIN_INTERQUARTILE for row in group.rows):
        lines.append("IQM: interquartile mean, that of the middle half of the seeds.")
    if any(row.timings for row in group.rows):
        doubt = "; ? doubtful" if any(t.flags for row in group.rows for t in row.timings) else ""
        lines.append(f"Times: median of one call ± the wider half of its 95% interval{doubt}.")
        num_more = len(_ways_of_timing(group)) - MAX_TIMES
        if num_more > 0:
            more = counted(num_more, "more way")
            lines.append(f"{more} of timing; --format csv and json have all.")
    return lines


def _verdict_lines(group: Group) -> list[str]:
    """Return how verdicts are given, and what so many seeds can tell where they leave some open."""
    judged = [found for row in group.rows if (found := row.against_best) and found.verdict]
    lines = []
    if judged:
        margin = format_fraction(judged[0].margin)
        lines += [
            "against best: paired by seed, Student's interval of the test behind the verdict.",
            f"same: surely within {margin} of the best; worse: surely not the best; both at "
            f"q < {ALPHA:g} over all comparisons of the run; unresolved: neither is shown.",
        ]
    unresolved = [found for found in judged if found.verdict == "unresolved"]
    if unresolved:
        lines.append(_what_seeds_tell(min(unresolved, key=lambda found: found.num_seeds)))
    if any(_verdict(row) == TOO_FEW_SEEDS for row in group.rows):
        lines.append(f"{TOO_FEW_SEEDS}: a verdict needs {MIN_SEEDS} in common with the best.")
    return lines


def _what_seeds_tell(found: Comparison) -> str:
    assert found.confidence is not None
    num, more = found.num_seeds, 2 * found.num_seeds
    here, there = (smallest_told(n, found.confidence) for n in (num, more))
    return (
        f"{num} seeds show a difference above {here:.1f} times its standard deviation between "
        f"seeds, {more} seeds one above {there:.1f}."
    )


def _shown(title: str, cells: Sequence[str], *, is_number: bool = False) -> Shown:
    return Shown(Heading(title, title, is_number), tuple(plain_line(cell) for cell in cells))


Measure = Callable[[str], int]


def pack(group: Group, width: int, measure: Measure = len) -> list[list[Shown]]:
    """Return the columns as tables no wider than a console, each with its variants' names.

    A section goes where it fits whole; only one that fits nowhere is split.
    """
    names = name_column(group)
    tables = [key_columns(group)]
    is_begun = False
    for section in sections(group):
        fits_whole = _width([*tables[-1], *section], measure) <= width
        if is_begun and not fits_whole:
            tables.append(list(names))
            is_begun = False
        for column in section:
            if is_begun and _width([*tables[-1], column], measure) > width:
                tables.append(list(names))
            tables[-1].append(column)
            is_begun = True
    return tables


def _width(columns: Sequence[Shown], measure: Measure) -> int:
    widths = [
        max(
            measure(line)
            for cell in (column.heading.title, *column.cells)
            for line in cell.split("\n")
        )
        for column in columns
    ]
    return sum(widths) + GAP * (len(widths) - 1)
