"""A trend as a panel, the form in which renderers know every table, and its chart."""

from __future__ import annotations

from math import log
from typing import Any

from depthbench.report.rows import Row
from depthbench.report.sparkline import sparkline
from depthbench.report.tables import Heading
from depthbench.report.trend_text import change_text, date_of, value_text
from depthbench.report.trend_values import SeriesTrend, SuiteTrend
from depthbench.report.values import Panel

KIND = "trend"
# Nights of a sparkline; the newest are shown.
NUM_SHOWN = 30
# Its height at least: 10% of a value, of an exponent the difference.
_LEAST_SPAN = 0.1
_HEADINGS = (
    Heading("name", "series"),
    Heading("verdict", "verdict"),
    Heading("change", "change"),
    Heading("since", "since"),
    Heading("latest", "latest", is_number=True),
    Heading("values", "nights"),
)


def panel_of(suite: SuiteTrend, *, is_ascii: bool = False) -> Panel:
    """Return a suite's series as a panel: a row each, with all nights for charts and machines.

    Args:
        suite: the suite.
        is_ascii: draw sparklines for an output that knows no blocks.
    """
    return Panel(
        kind=KIND,
        title=f"{suite.suite}: {suite.num_nights:,} nights",
        finding=suite.answer,
        headings=_HEADINGS,
        rows=tuple(_row(suite, found) for found in suite.series),
        texts=tuple(_texts(found, is_ascii=is_ascii) for found in suite.series),
        notes=(*suite.notes, *legend(suite)),
    )


def draw(panel: Panel) -> Any:
    """Return small charts, one a series: each night's value, and where the level has changed."""
    import altair as alt

    names = [row["name"] for row in panel.rows]
    nights = alt.X("night:T", title=None)
    lines = alt.Chart().mark_line(point=alt.OverlayMarkDef(size=12))
    lines = lines.encode(
        x=nights,
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
        tooltip=["name:N", "night:T", "value:Q", "verdict:N"],
    )
    starts = alt.Chart().transform_filter("datum.is_start").mark_rule(strokeDash=[4, 3])
    rules = starts.encode(x=nights, color=alt.Color("verdict:N", title=None))
    return (
        alt.layer(lines, rules, data=alt.Data(values=_points(panel)))
        .properties(width=240, height=90)
        .facet(facet=alt.Facet("name:N", title=None, sort=names), columns=3)
        .resolve_scale(y="independent")
    )


def _points(panel: Panel) -> list[Row]:
    """Return a row for each series and night that has a value."""
    return [
        {"name": row["name"], "verdict": row["verdict"], "night": night, "value": value}
        | {"is_start": row["since"] is not None and night == row["since"]}
        for row in panel.rows
        for night, value in zip(row["nights"], row["values"], strict=True)
        if value is not None
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
    row["values"] = list(found.values)
    return row


def _texts(found: SeriesTrend, *, is_ascii: bool) -> tuple[str, ...]:
    shown = found.values[-NUM_SHOWN:]
    if found.kind != "exponent":
        shown = tuple(log(value) if value is not None and value > 0 else None for value in shown)
    return (
        found.name,
        _verdict_text(found),
        change_text(found),
        "-" if found.since is None else date_of(found.since),
        value_text(found, found.latest),
        sparkline(shown, _LEAST_SPAN, is_ascii=is_ascii),
    )


def _verdict_text(found: SeriesTrend) -> str:
    if found.is_with_all:
        return "with all"
    if not found.is_called:
        return found.verdict
    return found.verdict if found.is_new else f"{found.verdict}, known"
