"""Write a report as Markdown: the answer, one whole table a group, the verdicts, then analyses."""

from __future__ import annotations

from collections.abc import Sequence

from depthbench.report.columns import key_columns, legend, sections
from depthbench.report.panels import parted
from depthbench.report.render_terminal import claim_text, cut_text, group_title
from depthbench.report.tables import Heading, markdown, markdown_table
from depthbench.report.values import Group, Panel, RunReport, Summary
from depthbench.report.verdicts import Judgement, verdict_counts


def summary_markdown(summary: Summary) -> str:
    """Return a summary as GitHub's Markdown."""
    return "\n\n".join(_run_markdown(report) for report in summary.runs) + "\n"


def _run_markdown(report: RunReport) -> str:
    state = report.status if report.is_complete else f"{report.status}, incomplete"
    blocks = [f"# {markdown(report.suite)} / {markdown(report.run)}"]
    if report.question:
        blocks.append(f"> {markdown(report.question)}")
    blocks.append("\n".join(f"- **{markdown(group.answer)}**" for group in report.groups))
    facts = f"{report.num_finished:,} of {report.num_trials:,} trials, run {state}"
    device = f", on {report.device}" if report.device else ""
    created = f", begun {report.created_at}" if report.created_at else ""
    blocks.append(markdown(f"{facts}{device}{created}."))
    blocks += [_items(report.notes), markdown(verdict_counts(report.claims))]
    blocks += [_group_markdown(group) for group in report.groups]
    leading, others = parted(report.panels)
    blocks += [_panel_markdown(panel) for panel in leading]
    if report.claims:
        blocks += ["## Claims", judgements_markdown(report.claims)]
    blocks += [_panel_markdown(panel) for panel in others]
    return "\n\n".join(block for block in blocks if block)


def _group_markdown(group: Group) -> str:
    columns = key_columns(group) + [column for section in sections(group) for column in section]
    cells = list(zip(*(column.cells for column in columns), strict=True))
    table = markdown_table([column.heading for column in columns], cells)
    title = f"## {markdown(group_title(group))}"
    blocks = [title, table, _items(group.notes), _items(legend(group))]
    return "\n\n".join(block for block in blocks if block)


def _panel_markdown(panel: Panel) -> str:
    texts = panel.texts[: panel.num_shown]
    table = markdown_table(panel.headings, texts) if texts else ""
    lines = [*cut_text(panel, len(texts)), *panel.notes]
    blocks = [f"## {markdown(panel.title)}", markdown(panel.finding), table, _items(lines)]
    return "\n\n".join(block for block in blocks if block)


def judgements_markdown(judgements: Sequence[Judgement]) -> str:
    """Return claims and their verdicts as a table in Markdown."""
    headings = [Heading(name, name) for name in ("verdict", "claim", "measured", "states", "why")]
    cells = [
        (item.verdict, item.id, claim_text(item), item.text, item.reason) for item in judgements
    ]
    return markdown_table(headings, cells)


def _items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)
