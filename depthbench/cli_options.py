"""Options of the command line that take more than a line to say."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class CiFormat(StrEnum):
    """What standard output is written as: for people, programs, continuous integration."""

    terminal = "terminal"
    md = "md"
    json = "json"
    csv = "csv"
    junit = "junit"
    github = "github"


class ReportFormat(StrEnum):
    """What a report is written as; html is a page for a browser, in one file."""

    terminal = "terminal"
    md = "md"
    json = "json"
    csv = "csv"
    html = "html"


AsReport = Annotated[
    ReportFormat,
    typer.Option("--format", help="How standard output is written; html is a page in one file."),
]
Figures = Annotated[
    Path | None, typer.Option(help="Also write each chart there, as svg and png.", metavar="DIR")
]
AsForCi = Annotated[
    CiFormat,
    typer.Option("--format", help="How standard output is written; junit and github are for CI."),
]
Baseline = Annotated[
    Path, typer.Argument(help="Run folder, or one that holds one run.", metavar="BASELINE")
]
Candidate = Annotated[
    Path, typer.Argument(help="The same, of the run to judge.", metavar="CANDIDATE")
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="Compare this alone: median_seconds, test_accuracy, ...; repeatable (default: times "
        "and the loss that ranks).",
        metavar="NAME",
    ),
]
Threshold = Annotated[float, typer.Option(help="Call no smaller change.", metavar="FRACTION")]
Confidence = Annotated[
    float, typer.Option(help="Call a change where its q value is below 1 less this.")
]
Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        help="Compare although this fact of the environment, or data_digest, differs; repeatable.",
        metavar="KEY",
    ),
]
