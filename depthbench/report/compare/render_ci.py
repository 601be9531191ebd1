"""Print a comparison for continuous integration: JUnit's XML, and a step summary of GitHub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from depthbench.report.compare.answer import balance_text
from depthbench.report.compare.changes import Change, RunComparison
from depthbench.report.compare.columns import (
    change_text,
    columns_of,
    ending_lines,
    left_out,
    legend,
    level_text,
    page_of,
    ranked,
    title_of,
    value_text,
)
from depthbench.report.gate import CellVerdict
from depthbench.report.github import Folded, step_summary
from depthbench.report.junit import Case, Outcome, junit_xml
from depthbench.report.tables import Heading, markdown, markdown_table
from depthbench.units import counted

_OUTCOMES: dict[CellVerdict, Outcome] = {
    "worse": "failure",
    "better": "passed",
    "same": "passed",
    "unresolved": "skipped",
    "unmatched": "skipped",
}


def items(lines: Sequence[str]) -> str:
    """Return lines as a list in Markdown."""
    return "\n".join(f"- {markdown(line)}" for line in lines)


def comparison_head(comparison: RunComparison) -> list[str]:
    """Return what Markdown begins with: which runs, the answer, the balance."""
    answer = f"**{markdown(comparison.answer)}**"
    balances = [balance_text(balance) for balance in comparison.balances]
    return [f"## {markdown(title_of(comparison))}", answer, items(balances)]


def comparison_summary(comparison: RunComparison) -> str:
    """Return a comparison as a step summary: what changed, and the rest folded."""
    shown, order = page_of(comparison.changes), ranked(comparison.changes)
    blocks = comparison_head(comparison)
    if shown:
        blocks.append(markdown_table(*columns_of(shown)))
    blocks.append(items([*legend(comparison, order), *left_out(comparison, len(shown))]))
    endings = [[line] for line in ending_lines(comparison)]
    notes = [[line] for line in comparison.notes]
    folded = [
        Folded(f"{len(endings):,} ended otherwise", [Heading("ended", "what ended")], endings),
        Folded(counted(len(notes), "note"), [Heading("note", "note")], notes),
        Folded(f"All {len(order):,} that were looked at", *columns_of(order)),
    ]
    return step_summary(blocks, folded)


def comparison_junit(comparison: RunComparison) -> str:
    """Return a comparison as JUnit's XML: a test case a timing, and a metric of a variant.

    What is worse has failed, and what no longer works is an error; what is unresolved or only in
    one of the runs is skipped.
    """
    return junit_xml(comparison.candidate.suite, comparison_cases(comparison))


def comparison_cases(comparison: RunComparison) -> Iterator[Case]:
    """Yield a case a fact that differs, a new failure and a change: what is worse has failed."""
    outcome: Outcome
    for difference in comparison.differences:
        outcome = "passed" if difference.is_allowed else "error"
        text = f"{difference.baseline} in the baseline, {difference.candidate} in the candidate"
        yield Case("comparable", difference.key, outcome, "differs", text)
    failed = {ending.id for ending in comparison.endings if ending.is_new_failure}
    for change in comparison.changes:
        outcome = "error" if change.id in failed else _OUTCOMES[change.verdict]
        group = "times" if change.kind == "time" else "quality"
        yield Case(group, change.full_name, outcome, change.verdict, _case_text(change))
    for ending, text in zip(comparison.endings, ending_lines(comparison), strict=True):
        if ending.kind == "trial":
            outcome = "failure" if ending.is_new_divergence else "passed"
            outcome = "error" if ending.is_new_failure else outcome
            yield Case("trials", ending.name, outcome, ending.candidate_status, text)


def _case_text(change: Change) -> str:
    ends = (value_text(change, value) for value in (change.baseline, change.candidate))
    what = "quiet time " if change.kind == "time" else ""
    level = f" at {level_text(change.confidence)}" if change.confidence else ""
    numbers = f"{what}{' to '.join(ends)}, {change_text(change)}{level}"
    parts = [numbers if change.change_fraction is not None else "", change.reason, *change.notes]
    return "; ".join(part for part in parts if part)
