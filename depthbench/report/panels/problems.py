"""Trials and timings that failed, diverged or are not supported, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from depthbench.report.panels.evidence import Evidence
from depthbench.report.tables import Heading
from depthbench.report.values import Panel, Problem
from depthbench.units import counted

TITLE = "What did not end well"
_HEADINGS = (
    Heading("what", "what"),
    Heading("status", "how it ended"),
    Heading("num", "times", is_number=True),
    Heading("reason", "why"),
)


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return the panel; none where all ended well."""
    problems = evidence.problems
    if not problems:
        return []
    return [
        Panel(
            kind="problems",
            title=TITLE,
            finding=_finding(problems),
            headings=_HEADINGS,
            rows=tuple(asdict(problem) for problem in problems),
            texts=tuple((p.what, p.status, f"{p.num:,}", p.reason or "-") for p in problems),
        )
    ]


def draw(panel: Panel) -> Any:
    """Return a chart of how many ended how, by what they are."""
    import altair as alt

    return (
        alt.Chart(alt.Data(values=list(panel.rows)))
        .mark_bar()
        .encode(
            x=alt.X("num:Q", title="times", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("what:N", title=None, sort="-x"),
            color=alt.Color("status:N", title=None),
            tooltip=["what:N", "status:N", "num:Q", "reason:N"],
        )
    )


def _finding(problems: Sequence[Problem]) -> str:
    by_status: Counter[str] = Counter()
    for problem in problems:
        by_status[problem.status] += problem.num
    num = sum(by_status.values())
    parts = ", ".join(f"{count:,} {status}" for status, count in by_status.most_common())
    return f"{counted(num, 'piece')} of work did not end well: {parts}."
