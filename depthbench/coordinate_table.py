"""What `coordinate-check` prints."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from depthbench.coordinate_check import CoordinateCheck
from depthbench.report.coordinate_panel import panels_of
from depthbench.report.tables import (
    REPORT_FORMATS,
    Heading,
    check_format,
    markdown,
    render_table,
    to_json,
)
from depthbench.report.values import Panel

if TYPE_CHECKING:
    from rich.console import Console

_KEYS = (
    *("network", "parametrization", "over", "lr", "quantity", "step", "exponent", "low", "high"),
    *("num_seeds", "verdict", "smallest", "largest", "at_smallest", "at_largest"),
)


def render_check(
    check: CoordinateCheck, format: str = "terminal", console: Console | None = None
) -> str:
    """Return a check as text: for people the exponents after the last step, in csv those of all.

    Args:
        check: what was found.
        format: terminal, md, csv, html with charts, or json, which has the sizes of each network.
        console: whose width the terminal format takes (default: standard output's).

    Raises:
        ResultError: there is no such format.
    """
    check_format(format, REPORT_FORMATS)
    if format == "json":
        names = ("suite", "num_steps", "growth", "sizes")
        return to_json({name: getattr(check, name) for name in names})
    if format == "csv":
        return render_table([Heading(key, key) for key in _KEYS], check.growth, format)
    panels = panels_of([row for row in check.growth if row["step"] == check.num_steps])
    if format == "html":
        return _page(check, panels)
    tables = [_table(check, panel, format, console) for panel in panels]
    notes = list(panels[0].notes)
    if format == "terminal":
        width = console.width if console else _width()
        return "\n\n".join(
            [*tables, "\n".join(line for note in notes for line in wrap(note, width))]
        )
    return "\n\n".join([*tables, *map(markdown, notes)])


def _table(check: CoordinateCheck, panel: Panel, format: str, console: Console | None) -> str:
    keys = [heading.key for heading in panel.headings]
    return render_table(
        panel.headings,
        [dict(zip(keys, texts, strict=True)) for texts in panel.texts],
        format,
        title=f"{check.suite}: {panel.title}",
        note=panel.finding,
        console=console,
        num_names=panel.num_names,
    ).rstrip("\n")


def _page(check: CoordinateCheck, panels: Sequence[Panel]) -> str:
    from depthbench.report.page import render_page
    from depthbench.report.page_parts import figure_of

    return render_page(
        "coordinates.html.j2",
        has_charts=True,
        title=f"{check.suite}: depthbench coordinate-check",
        suite=check.suite,
        figures=[figure_of(panel, f"c{place}") for place, panel in enumerate(panels, 1)],
    )


def _width() -> int:
    from rich.console import Console

    return Console().width
