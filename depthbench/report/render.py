"""Print what was found: a summary, judgements or the end of a run, in any of the formats."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Protocol

from depthbench.report.comparison import Comparison
from depthbench.report.tables import (
    CI_FORMATS,
    REPORT_FORMATS,
    captured,
    check_format,
    plain_line,
    to_csv,
    to_json,
)
from depthbench.report.values import Group, RunReport, Summary, VariantRow
from depthbench.report.verdicts import Judgement
from depthbench.units import counted

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_JUDGEMENT_KEYS = (
    "suite",
    "run",
    "id",
    "verdict",
    "estimate",
    "low",
    "high",
    "confidence",
    "num_pairs",
    "num_strata",
    "num_missing",
    "expectation",
    "text",
    "reason",
    "source",
)


# What a CSV has of a comparison besides its value.
_VERSUS_KEYS = tuple(field.name for field in fields(Comparison) if field.name != "value")

# The end of a run shows so many reasons for which trials failed; its table has them all.
NUM_REASONS = 3


class EndedWork(Protocol):
    """Why some trials or cells failed."""

    @property
    def status(self) -> str:
        """Return how they ended."""

    @property
    def error(self) -> str:
        """Return the first line of why."""

    @property
    def num(self) -> int:
        """Return how many did."""


class EndedRun(Protocol):
    """What `run_suite` returns: where the results are, and how many trials and cells ended how."""

    @property
    def folder(self) -> Path:
        """Return the run's folder."""

    @property
    def suite(self) -> str:
        """Return the suite's name."""

    @property
    def run(self) -> str:
        """Return the run's name."""

    @property
    def num_trials(self) -> int:
        """Return how many trials the suite has."""

    @property
    def trials_by_status(self) -> dict[str, int]:
        """Return how many trials ended how."""

    @property
    def cells_by_status(self) -> dict[str, int]:
        """Return how many timing cells ended how."""

    @property
    def failures(self) -> Sequence[EndedWork]:
        """Return why some failed, the most frequent reason first."""

    @property
    def retry_command(self) -> str:
        """Return the command that runs the failed ones again."""


def render(summary: Summary, format: str = "terminal", console: Console | None = None) -> str:
    """Return a summary as text.

    Args:
        summary: what to print.
        format: terminal, md, json, csv or html.
        console: whose width and colours the terminal format takes (default: standard output's).

    Raises:
        ResultError: there is no such format.
    """
    check_format(format, REPORT_FORMATS)
    if format == "json":
        return to_json(asdict(summary))
    if format == "csv":
        return _summary_csv(summary)
    if format == "md":
        from depthbench.report.render_markdown import summary_markdown

        return summary_markdown(summary)
    if format == "html":
        from depthbench.report.render_html import summary_html

        return summary_html(summary)
    from depthbench.report.render_terminal import summary_parts

    console = console or _console()
    return captured(summary_parts(summary, console.width), console)


def render_judgements(
    judgements: Sequence[Judgement], format: str = "terminal", console: Console | None = None
) -> str:
    """Return judgements as text, one after another.

    Raises:
        ResultError: there is no such format.
    """
    check_format(format, CI_FORMATS)
    if format == "json":
        return to_json([asdict(judgement) for judgement in judgements])
    if format == "csv":
        return to_csv(_JUDGEMENT_KEYS, [_judgement_row(judgement) for judgement in judgements])
    if format in ("junit", "github"):
        from depthbench.report.render_claims_ci import judgements_junit, judgements_summary

        return {"junit": judgements_junit, "github": judgements_summary}[format](judgements)
    if not judgements:
        return "Nothing to judge: the suite has no claims."
    if format == "md":
        from depthbench.report.render_markdown import judgements_markdown

        return judgements_markdown(judgements)
    from depthbench.report.render_terminal import judgement_parts

    return captured(judgement_parts(judgements), console or _console())


def render_run_summary(
    ended: EndedRun, format: str = "terminal", console: Console | None = None
) -> str:
    """Return how a run ended, and the command that reports on it.

    Raises:
        ResultError: there is no such format.
    """
    check_format(format)
    facts = {
        "suite": ended.suite,
        "run": ended.run,
        "folder": str(ended.folder),
        "num_trials": ended.num_trials,
        "trials_by_status": ended.trials_by_status,
        "cells_by_status": ended.cells_by_status,
        "failures": [
            {"status": failure.status, "error": failure.error, "num": failure.num}
            for failure in ended.failures
        ],
    }
    if format == "json":
        return to_json(facts)
    if format == "csv":
        return to_csv(list(facts), [facts])
    num_trials = counted(ended.num_trials, "trial")
    lines = [f"{plain_line(ended.suite)}: {num_trials}: {_counts(ended.trials_by_status)}"]
    if ended.cells_by_status:
        num_cells = counted(sum(ended.cells_by_status.values()), "timing")
        lines.append(f"{num_cells}: {_counts(ended.cells_by_status)}")
    lines += [
        f"{failure.num:,} {failure.status}: {plain_line(failure.error)}"
        for failure in ended.failures[:NUM_REASONS]
    ]
    if len(ended.failures) > NUM_REASONS:
        lines.append(f"and {counted(len(ended.failures) - NUM_REASONS, 'more reason')}")
    lines.append(f"results: {ended.folder}")
    if ended.failures:
        lines.append(f"next, after mending that: {ended.retry_command}")
    lines.append(f"next: {shlex.join(['depthbench', 'report', str(ended.folder)])}")
    return "\n".join(f"- {line}" for line in lines) if format == "md" else "\n".join(lines)


def _counts(by_status: Mapping[str, int]) -> str:
    return ", ".join(f"{num:,} {status}" for status, num in by_status.items()) or "none"


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _judgement_row(judgement: Judgement) -> dict[str, Any]:
    low, high = judgement.interval or (None, None)
    return asdict(judgement) | {"low": low, "high": high}


def _summary_csv(summary: Summary) -> str:
    """Return a line a variant and group; metrics and timings are columns of their own."""
    rows = [
        _csv_row(report, group, row)
        for report in summary.runs
        for group in report.groups
        for row in group.rows
    ]
    return to_csv(list(dict.fromkeys(key for row in rows for key in row)) or ["suite"], rows)


def _csv_row(report: RunReport, group: Group, row: VariantRow) -> dict[str, Any]:
    facts: dict[str, Any] = {"suite": report.suite, "run": report.run, "status": report.status}
    facts |= {"dataset": group.dataset, "task": group.task, "training": group.training}
    facts |= {
        "budget_match": group.budget.match if group.budget else None,
        "budget_target": group.budget.target if group.budget else None,
        "budget_tolerance": group.budget.tolerance if group.budget else None,
    }
    nested = ("metrics", "interquartile_means", "against_best", "timings")
    facts |= {key: value for key, value in asdict(row).items() if key not in nested}
    versus = asdict(row.against_best) if row.against_best else {}
    facts["against_best"] = versus.get("value")
    facts |= {f"against_best_{key}": versus.get(key) for key in _VERSUS_KEYS}
    for name, found in row.metrics.items():
        facts |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    for name, found in row.interquartile_means.items():
        start = f"{name}_iqm"
        facts |= {start: found.value, f"{start}_low": found.low, f"{start}_high": found.high}
    for timing in row.timings:
        start = timing.label.replace(", ", "_").replace(" ", "_")
        facts |= {
            f"{start}_status": timing.status,
            f"{start}_median_seconds": timing.median_seconds,
            f"{start}_ci_low_seconds": timing.ci_low_seconds,
            f"{start}_ci_high_seconds": timing.ci_high_seconds,
        }
    return facts
