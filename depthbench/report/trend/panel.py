"""A trend as a panel, the form in which renderers know every table, and its chart."""

from __future__ import annotations

from math import isfinite, log
from statistics import median
from textwrap import wrap
from typing import Any

from depthbench.report.narrow_tables import Stack
from depthbench.report.rows import Row
from depthbench.report.tables import Heading
from depthbench.report.trend.sparkline import sparkline
from depthbench.report.trend.text import change_text, date_of, value_text
from depthbench.report.trend.values import SeriesTrend, SuiteTrend
from depthbench.report.values import Panel
from depthbench.units import counted, unit_of

KIND = "trend"
# Nights of a sparkline; the newest are shown.
NUM_SHOWN = 30
# Its height at least: 10% of a value, of an exponent the difference.
_LEAST_SPAN = 0.1
# Of many series, those that have changed come first.
MAX_DRAWN = 24
# Letters of a line of a small chart's title.
_TITLE_WIDTH = 42
# Of a small chart, in pixels.
_HEIGHT = 90
_HEADINGS = (
    Heading("name", "series"),
    Heading("verdict", "verdict"),
    Heading("change", "change"),
    Heading("since", "since"),
    Heading("latest", "latest", is_number=True),
    Heading("values", "nights"),
)
# How they stand below one another on a narrow terminal.
STACKS: tuple[Stack, ...] = (
    (("name",), ("values",)),
    (("verdict",), ("change",), ("since",)),
    (("latest",),),
)


def panel_of(suite: SuiteTrend, *, is_ascii: bool = False) -> Panel:
    """Return a suite's series as a panel: a row each, with all nights for charts and machines.

    Args:
        suite: the suite.
        is_ascii: draw sparklines for an output that knows no blocks.
    """
    return Panel(
        kind=KIND,
        title=f"{suite.suite}: {counted(suite.num_nights, 'night')}",
        finding=suite.answer,
        headings=_HEADINGS,
        rows=tuple(_row(suite, found) for found in suite.series),
        texts=tuple(_texts(found, is_ascii=is_ascii) for found in suite.series),
        notes=(*suite.notes, *legend(suite)),
    )


def draw(panel: Panel) -> Any:
    """Return small charts, one a series: each night's value, and where the level has changed."""
    import altair as alt

    drawn = [row for row in panel.rows if _known(row)][:MAX_DRAWN]
    return alt.concat(*map(_small_chart, drawn), columns=2, spacing=24) if drawn else None


def _small_chart(row: Row) -> Any:
    """Return the chart of one series; the dashed line is the night from which it has changed."""
    import altair as alt

    factor, unit = _unit(row)
    layers = [_line(row, factor)]
    if row["since"] is not None:
        start = {"night": row["since"], "verdict": row["verdict"]}
        rule = alt.Chart(alt.Data(values=[start])).mark_rule(strokeDash=[4, 3])
        layers.append(rule.encode(x=_nights(), color=alt.Color("verdict:N", legend=None)))
    title = alt.TitleParams(
        wrap(row["name"] + unit, _TITLE_WIDTH), subtitle=_said(row), fontSize=12, frame="group"
    )
    return alt.layer(*layers).properties(height=_HEIGHT, title=title)


def _line(row: Row, factor: float) -> Any:
    import altair as alt

    scale = alt.Scale(domain=[end / factor for end in _ends(row)], zero=False)
    # With room for numbers of the same width, so that charts below one another are in line.
    axis = alt.Axis(tickCount=3, minExtent=36)
    line = alt.Chart(alt.Data(values=_points(row, factor))).mark_line(
        point=alt.OverlayMarkDef(size=14), strokeWidth=1.5
    )
    return line.encode(
        x=_nights(),
        y=alt.Y("value:Q", title=None, scale=scale, axis=axis),
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("date:N", title="night"),
            alt.Tooltip("text:N", title="value"),
        ],
    )


def _nights() -> Any:
    """Return the axis of nights, by the clock of the dates in texts, wherever the reader is."""
    import altair as alt

    axis = alt.Axis(tickCount=4, grid=False)
    return alt.X("night:T", title=None, scale=alt.Scale(type="utc"), axis=axis)


def _said(row: Row) -> str:
    """Return what has become of a series, in words: colour alone says nothing."""
    if row["since"] is None:
        return str(row["verdict"])
    return f"{change_text(row['kind'], row['change'])} since {date_of(row['since'])}"


def _unit(row: Row) -> tuple[float, str]:
    """Return what the values of a chart are divided by, and what its title says of that."""
    if row["kind"] != "time":
        return 1.0, ""
    factor, unit = unit_of(median(_known(row)))
    return factor, f", {unit}"


def _known(row: Row) -> list[float]:
    return [value for value in row["values"] if value is not None and isfinite(value)]


def _ends(row: Row) -> tuple[float, float]:
    """Return the ends of a chart's scale: noise shall not look like mountains there either."""
    known = _known(row)
    low, high = min(known), max(known)
    least = _LEAST_SPAN * (1.0 if row["kind"] == "exponent" else abs(median(known)))
    more = max(0.0, least - (high - low)) / 2 + 0.05 * max(high - low, least)
    return low - more, high + (more or 1.0)


def _points(row: Row, factor: float) -> list[Row]:
    """Return a row for each night; one without a value is a gap in the line."""
    nights = zip(row["nights"], row["runs"], row["values"], strict=True)
    return [
        {
            "night": night,
            "date": date_of(night),
            "run": run,
            "value": None if value is None or not isfinite(value) else value / factor,
            "text": value_text(row["kind"], value),
        }
        for night, run, value in nights
    ]


def legend(suite: SuiteTrend) -> list[str]:
    """Return what the table's columns mean, as far as they are there."""
    lines = []
    if any(found.kind == "time" for found in suite.series):
        lines.append("Times are quiet times, the mean of processes; losses are means over seeds.")
    if any(found.verdict in ("worse", "better") for found in suite.series):
        lines.append(
            f"A change to the worse is an alarm (exit 3) until it has been called for "
            f"{suite.window} nights; then it is known."
        )
    if any(found.kind == "level" for found in suite.series):
        lines.append(
            "Cells are judged beside what all cells of a night share, too; that is the series "
            "of all cells together, over an ordinary night."
        )
    return lines


def _row(suite: SuiteTrend, found: SeriesTrend) -> Row:
    names = ("key", "name", "kind", "verdict", "is_new", "is_with_all", "change", "since")
    more = ("num_nights_since", "before", "latest", "p_value", "q_value")
    row: Row = {"suite": suite.suite} | {name: getattr(found, name) for name in (*names, *more)}
    row["nights"] = [night.created_at for night in suite.nights]
    row["runs"] = [night.run for night in suite.nights]
    row["values"] = list(found.values)
    return row


def _texts(found: SeriesTrend, *, is_ascii: bool) -> tuple[str, ...]:
    shown = found.values[-NUM_SHOWN:]
    if found.kind != "exponent":
        shown = tuple(log(value) if value is not None and value > 0 else None for value in shown)
    return (
        found.name,
        _verdict_text(found),
        change_text(found.kind, found.change),
        "-" if found.since is None else date_of(found.since),
        value_text(found.kind, found.latest),
        sparkline(shown, _LEAST_SPAN, is_ascii=is_ascii),
    )


def _verdict_text(found: SeriesTrend) -> str:
    if found.is_with_all:
        return "with all"
    if not found.is_called:
        return found.verdict
    return found.verdict if found.is_new else f"{found.verdict}, known"
