"""Write a report as a page: the answer, who leads at what cost, the verdicts, then analyses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from depthbench.report.columns import key_columns, legend, sections
from depthbench.report.origin import citation, environment_facts, run_facts
from depthbench.report.page import render_page
from depthbench.report.page_parts import Figure, Table, figure_of
from depthbench.report.panels import parted
from depthbench.report.render_terminal import claim_text, group_title, remarks
from depthbench.report.values import Group, RunReport, Summary
from depthbench.report.verdicts import Judgement, verdict_counts


@dataclass(frozen=True, slots=True)
class Part:
    """A section of a page about one group of variants."""

    id: str
    title: str
    group: Group
    table: Table
    legend: tuple[str, ...]
    ranking: Figure | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim on a page, with all that is to say of its verdict."""

    verdict: str
    id: str
    measured: str
    lines: tuple[str, ...]


def summary_html(summary: Summary) -> str:
    """Return a summary as a page of its own: scripts, styles and data are in it."""
    runs = [_run_facts(report, f"r{index}") for index, report in enumerate(summary.runs, 1)]
    figures = [figure for run in runs for figure in run["all_figures"]]
    suites = ", ".join(dict.fromkeys(report.suite for report in summary.runs))
    return render_page(
        "report.html.j2",
        has_charts=any(figure.spec is not None for figure in figures),
        title=f"{suites}: depthbench report",
        runs=runs,
    )


def _run_facts(report: RunReport, place: str) -> dict[str, Any]:
    leading, others = parted(report.panels)
    figures = {
        id(panel): figure_of(panel, f"{place}-p{index}")
        for index, panel in enumerate(report.panels, 1)
    }
    return {
        "id": place,
        "report": report,
        "state": report.status if report.is_complete else f"{report.status}, incomplete",
        "verdicts": verdict_counts(report.claims),
        "claims": [_claim(judgement) for judgement in report.claims],
        "parts": list(_parts(report, list(figures.values()), place)),
        "leading": [figures[id(panel)] for panel in leading],
        "others": [figures[id(panel)] for panel in others],
        "all_figures": list(figures.values()),
        "facts": run_facts(report),
        "environment": environment_facts(report.origin),
        "citation": citation(report),
    }


def _parts(report: RunReport, figures: Sequence[Figure], place: str) -> Iterator[Part]:
    rankings = [figure for figure in figures if figure.panel.is_of_group_table]
    for index, group in enumerate(report.groups):
        ranking = next((figure for figure in rankings if figure.panel.group == index), None)
        title = group_title(group)
        yield Part(
            id=f"{place}-g{index + 1}",
            title=f"Ranking: {title}" if ranking else title,
            group=group,
            table=_group_table(group),
            legend=tuple(legend(group)),
            ranking=ranking,
        )


def _group_table(group: Group) -> Table:
    keys = key_columns(group)
    columns = keys + [column for section in sections(group) for column in section]
    return Table(
        headings=tuple(column.heading for column in columns),
        rows=tuple(zip(*(column.cells for column in columns), strict=True)),
        num_names=len(keys),
        families=tuple(row.family for row in group.rows),
        faint=tuple(row.rank is None for row in group.rows),
    )


def _claim(judgement: Judgement) -> Claim:
    states = judgement.text.rpartition(": ")[0]
    return Claim(
        verdict=judgement.verdict,
        id=judgement.id,
        measured=claim_text(judgement),
        lines=(states, *remarks(judgement)),
    )
