"""Lay a report out for a terminal of any width: the answer, the verdicts, then the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from depthbench.report.answer import budget_text
from depthbench.report.columns import legend, pack
from depthbench.report.panels import parted
from depthbench.report.tables import plain_line, rich_table, split_columns
from depthbench.report.values import Group, Panel, RunReport, Summary, VariantRow
from depthbench.report.verdicts import WHY, Judgement, verdict_counts
from depthbench.units import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"holds": "bold green", "refuted": "bold red", "undecided": "bold yellow"}
# A terminal shows so many rows of one panel; the other formats have all.
MAX_VARIANTS = 40
MAX_PANEL_ROWS = 40


def summary_parts(summary: Summary, width: int) -> Iterator[RenderableType]:
    """Yield what a terminal shows of a summary, from top to bottom.

    Args:
        summary: what to show.
        width: of the terminal, in characters; tables are split to fit.
    """
    from rich.text import Text

    for index, report in enumerate(summary.runs):
        if index:
            yield Text()
        yield from _run_parts(report, width)


def _run_parts(report: RunReport, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(_title(report), style="dim")
    if report.question:
        yield Text(plain_line(report.question), style="italic")
    yield Text()
    for group in report.groups:
        yield (
            _bullet(group.answer, "bold")
            if len(report.groups) > 1
            else Text(plain_line(group.answer), style="bold")
        )
    for note in report.notes:
        yield Text(plain_line(note), style="yellow")
    if report.claims:
        yield Text(verdict_counts(report.claims))
    for group in report.groups:
        yield from _group_parts(group, width, is_alone=len(report.groups) == 1)
    yield from _analyses(report, width)
    lines = dict.fromkeys(line for group in report.groups for line in legend(group))
    if lines:
        yield Text()
    for line in lines:
        yield Text(line, style="dim")


def _analyses(report: RunReport, width: int) -> Iterator[RenderableType]:
    """Yield the panels, with the claims after those that belong to the answer."""
    from rich.text import Text

    leading, others = parted(report.panels)
    for panel in leading:
        yield from _panel_parts(panel, width)
    if report.claims:
        yield Text()
        yield Text("Claims", style="bold")
        yield from judgement_parts(report.claims)
    for panel in others:
        yield from _panel_parts(panel, width)


def _title(report: RunReport) -> str:
    state = report.status if report.is_complete else f"{report.status}, incomplete"
    parts = [
        f"{report.suite} / {report.run}",
        state,
        f"{report.num_finished:,} of {report.num_trials:,} trials",
        report.device or "",
    ]
    return plain_line(", ".join(part for part in parts if part))


def _group_parts(group: Group, width: int, *, is_alone: bool) -> Iterator[RenderableType]:
    from rich.cells import cell_len
    from rich.text import Text

    yield Text()
    if not is_alone:
        yield Text(plain_line(group_title(group)), style="bold")
    has_lead = any(row.against_best and row.against_best.is_separated for row in group.rows)
    shown = replace(group, rows=group.rows[:MAX_VARIANTS])
    for index, table in enumerate(pack(shown, width, cell_len)):
        if index:
            yield Text()
        headings = [column.heading for column in table]
        cells = list(zip(*(column.cells for column in table), strict=True))
        styles = [_style(row, has_lead=has_lead) for row in shown.rows]
        yield rich_table(headings, cells, styles, width=width)
    num_more = len(group.rows) - len(shown.rows)
    if num_more:
        more = counted(num_more, "more variant")
        yield Text(f"... {more}; --format md, csv and json have all.", style="dim")
    if group.notes:
        yield Text()
    for note in group.notes:
        yield _bullet(note, "yellow")


def group_title(group: Group) -> str:
    """Return what a group is about: digits, total_params (20,000 within 2%)."""
    budget = budget_text(group.budget) if group.budget else "no budget"
    return ", ".join(part for part in (group.dataset, budget, group.training) if part)


def _style(row: VariantRow, *, has_lead: bool) -> str:
    if row.rank is None:
        return "dim"
    return "bold" if row.rank == 1 and has_lead else ""


def judgement_parts(judgements: Sequence[Judgement]) -> Iterator[RenderableType]:
    """Yield claims, each with its verdict, what was measured, and why."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for judgement in judgements:
        verdict = Text(judgement.verdict, style=_STYLES[judgement.verdict])
        table.add_row(verdict, Text(plain_line(f"{judgement.id}: {claim_text(judgement)}")))
        for line in (judgement.text.rpartition(": ")[0], *remarks(judgement)):
            table.add_row("", Text(plain_line(line), style="dim"))
    yield table


def remarks(judgement: Judgement) -> list[str]:
    """Return what is to say of a verdict beyond where its interval lies, and whose claim it is."""
    source = f"claimed by {judgement.source}" if judgement.source else ""
    remark = judgement.reason.removeprefix(WHY[judgement.verdict]).removeprefix("; ")
    return [text for text in (remark, source) if text]


def claim_text(judgement: Judgement) -> str:
    """Return what was measured for a claim: ratio 1.01 [0.98, 1.04] over 15 pairs."""
    if judgement.estimate is None:
        return f"nothing measured, expected {judgement.expectation}"
    pairs = "1 pair" if judgement.num_pairs == 1 else f"{judgement.num_pairs:,} pairs"
    return f"{judgement.measured()} over {pairs}, expected {_bound(judgement.expectation)}"


def _bound(expectation: str) -> str:
    return expectation.partition(" ")[2]


def _panel_parts(panel: Panel, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text()
    yield Text(plain_line(panel.title), style="bold")
    if panel.finding:
        yield Text(plain_line(panel.finding))
    texts = panel.texts[: MAX_PANEL_ROWS if panel.num_shown is None else panel.num_shown]
    tables = split_columns(panel.headings, texts, width, panel.num_names) if texts else []
    for index, columns in enumerate(tables):
        if index:
            yield Text()
        part = [[row[column] for column in columns] for row in texts]
        yield rich_table([panel.headings[column] for column in columns], part, width=width)
    for line in (*cut_text(panel, len(texts)), *panel.notes):
        yield Text(plain_line(line), style="dim")


def cut_text(panel: Panel, num_shown: int) -> list[str]:
    """Return a line that says how many of a panel's rows are not shown, where some are not."""
    num_more = len(panel.texts) - num_shown
    if num_more <= 0:
        return []
    return [f"... {counted(num_more, 'more row' if num_shown else 'row')}; --format json has all."]


def _bullet(text: str, style: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("-", Text(plain_line(text), style=style))
    return grid
