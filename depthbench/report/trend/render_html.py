"""Write a trend as a page: the answer, what has become of each series, and its nights as charts."""

from __future__ import annotations

from dataclasses import replace
from textwrap import fill
from typing import Any

from depthbench.report.page import render_page
from depthbench.report.page_parts import Figure, Table, figure_of
from depthbench.report.tables import Heading
from depthbench.report.trend.panel import MAX_DRAWN, legend, panel_of
from depthbench.report.trend.text import date_of, value_text
from depthbench.report.trend.values import SeriesTrend, SuiteTrend, Trend
from depthbench.report.values import Panel
from depthbench.units import counted

# Letters of a line of a heading that is a series' name.
_HEADING_WIDTH = 20


def trend_html(trend: Trend) -> str:
    """Return a trend as a page of its own: scripts, styles and data are in it."""
    suites = [_suite_facts(suite, f"s{index}") for index, suite in enumerate(trend.suites, 1)]
    names = ", ".join(suite.suite for suite in trend.suites)
    return render_page(
        "trend.html.j2",
        has_charts=any(told["figure"].spec is not None for told in suites),
        title=f"{names}: depthbench trend",
        suites=suites,
    )


def _suite_facts(suite: SuiteTrend, place: str) -> dict[str, Any]:
    panel = panel_of(suite)
    return {
        "id": place,
        "suite": suite,
        "kicker": _kicker(suite),
        "is_alarm": any(found.is_alarm for found in suite.series),
        "table": _table(suite, panel),
        "legend": legend(suite),
        "figure": _figure(suite, panel, f"{place}-nights"),
    }


def _kicker(suite: SuiteTrend) -> str:
    judged = f"{counted(suite.num_nights, 'night')} judged"
    if not suite.nights:
        return judged
    return (
        f"{judged}, {date_of(suite.nights[0].created_at)} to {date_of(suite.nights[-1].created_at)}"
    )


def _table(suite: SuiteTrend, panel: Panel) -> Table:
    """Return what has become of each series, a row each; its nights are in the chart."""
    return Table(
        headings=panel.headings[:-1],
        rows=tuple(texts[:-1] for texts in panel.texts),
        num_names=panel.num_names,
        families=(None,) * len(panel.texts),
        faint=(False,) * len(panel.texts),
        marks=tuple(map(_mark, suite.series)),
    )


def _mark(found: SeriesTrend) -> str:
    if not found.is_called:
        return ""
    return found.verdict if found.is_new else "known"


def _figure(suite: SuiteTrend, panel: Panel, place: str) -> Figure:
    """Return the chart of every series; its table has all nights, as the chart has."""
    notes = ["Dashed lines: the night from which the value has changed. Dates are UTC."]
    if len(suite.series) > MAX_DRAWN:
        notes.append(f"The chart has the first {MAX_DRAWN} of {len(suite.series):,} series.")
    shown = replace(panel, title="Night by night", finding="", notes=tuple(notes))
    return replace(figure_of(shown, place), table=_nights(suite))


def _nights(suite: SuiteTrend) -> Table:
    """Return the value of each series in each night, a row a night, the newest first."""
    series = [
        Heading(found.key, fill(found.name, _HEADING_WIDTH), is_number=True)
        for found in suite.series
    ]
    rows = tuple(
        (
            date_of(night.created_at),
            night.run,
            *(value_text(found.kind, found.values[place]) for found in suite.series),
        )
        for place, night in reversed(list(enumerate(suite.nights)))
    )
    return Table(
        headings=(Heading("night", "night"), Heading("run", "run"), *series),
        rows=rows,
        num_names=2,
        families=(None,) * len(rows),
        faint=(False,) * len(rows),
    )
