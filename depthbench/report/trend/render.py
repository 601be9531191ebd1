"""Print a trend in any of the formats: the answer first, then its series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from depthbench.report.narrow_tables import laid_out
from depthbench.report.tables import (
    REPORT_FORMATS,
    captured,
    check_format,
    markdown,
    markdown_table,
    plain_line,
    rich_table,
    to_csv,
    to_json,
)
from depthbench.report.trend.panel import STACKS, panel_of
from depthbench.report.trend.sparkline import is_encodable
from depthbench.report.trend.values import SuiteTrend, Trend
from depthbench.report.values import Panel

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_STYLES = {"worse": "bold red", "better": "bold green"}


def render_trend(
    trend: Trend,
    format: str = "terminal",
    console: Console | None = None,
    encoding: str | None = "utf-8",
) -> str:
    """Return a trend as text.

    Args:
        trend: what to print.
        format: terminal, md, json, csv or html. json holds every night of every series; csv a
            line a series, its nights as lists; html is a page in one file, with charts.
        console: whose width and colours the terminal format takes (default: standard output's).
        encoding: of the output; one that has no block characters gets plain ones.

    Raises:
        ResultError: there is no such format.
    """
    check_format(format, REPORT_FORMATS)
    if format == "html":
        from depthbench.report.trend.render_html import trend_html

        return trend_html(trend)
    if format == "json":
        return to_json(asdict(trend) | {"exit_code": trend.exit_code})
    is_ascii = not is_encodable(encoding)
    panels = [panel_of(suite, is_ascii=is_ascii) for suite in trend.suites]
    if format == "csv":
        rows = [row for panel in panels for row in panel.rows]
        return to_csv(list(rows[0]) if rows else ["suite"], rows)
    if format == "md":
        return "\n\n".join(map(_markdown, panels)) + "\n"
    from rich.console import Console

    console = console or Console(highlight=False)
    pairs = zip(trend.suites, panels, strict=True)
    parts = [part for pair in pairs for part in _parts(*pair, console.width)]
    return captured(parts, console)


def _markdown(panel: Panel) -> str:
    notes = "\n".join(f"- {markdown(note)}" for note in panel.notes)
    table = markdown_table(panel.headings, panel.texts)
    blocks = (f"## {markdown(panel.title)}", f"**{markdown(panel.finding)}**", table, notes)
    return "\n\n".join(block for block in blocks if block)


def _parts(suite: SuiteTrend, panel: Panel, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    is_alarm = any(found.is_alarm for found in suite.series)
    yield Text(plain_line(panel.title), style="dim")
    yield Text(plain_line(panel.finding), style="bold red" if is_alarm else "bold")
    yield Text()
    styles = [
        "" if not found.is_called else _STYLES[found.verdict] if found.is_new else "yellow"
        for found in suite.series
    ]
    for headings, cells in laid_out(panel.headings, panel.texts, STACKS, width, panel.num_names):
        yield rich_table(headings, cells, styles, width=width)
        yield Text()
    for note in panel.notes:
        yield Text(plain_line(note), style="dim")
    yield Text()
