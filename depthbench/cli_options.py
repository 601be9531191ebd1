"""Options of the command line that take more than a line to say."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What standard output is written as."""

    terminal = "terminal"
    md = "md"
    json = "json"
    csv = "csv"


class ReportFormat(StrEnum):
    """As `Format`; html is a page for a browser, in one file."""

    terminal = "terminal"
    md = "md"
    json = "json"
    csv = "csv"
    html = "html"


class Peak(StrEnum):
    """Where the peak FLOP/s of a device is from."""

    known = "known"
    measured = "measured"


class CiFormat(StrEnum):
    """What standard output is written as: for people, programs, continuous integration."""

    terminal = "terminal"
    md = "md"
    json = "json"
    csv = "csv"
    junit = "junit"
    github = "github"


SuiteFile = Annotated[Path, typer.Argument(help="Suite file (YAML).", metavar="SUITE")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting of the suite: train.lr=0.01.", metavar="K=V"),
]
Only = Annotated[
    str | None, typer.Option(help="Choose trials: \"family == 'deep' and depth > 4\".")
]
Out = Annotated[Path, typer.Option(help="Folder of all results.", file_okay=True)]
DataDir = Annotated[Path | None, typer.Option(help="Folder with one folder a data set.")]
As = Annotated[Format, typer.Option("--format", help="How standard output is written.")]
Runs = Annotated[
    list[Path] | None, typer.Argument(help="Run folders (default: the newest).", metavar="RUNS")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 4 where something is unresolved or undecided.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, only errors.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, or auto.")]
RunName = Annotated[
    str | None, typer.Option("--run", help="Name of the run; an existing one resumes.")
]
AsPage = Annotated[
    ReportFormat,
    typer.Option("--format", help="How standard output is written; html is a page in one file."),
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
        help="Compare this alone: quiet_seconds, test_accuracy, ...; repeatable (default: times "
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
