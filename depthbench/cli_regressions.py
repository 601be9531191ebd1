"""Commands that guard against regressions: one run against others, over nights, against noise."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from depthbench import cli_options as options
from depthbench.boundary import write


def compare(
    baseline: options.Baseline,
    candidate: options.Candidate,
    metrics: options.Metrics = None,
    threshold: options.Threshold = 0.05,
    confidence: options.Confidence = 0.96,
    allowed: options.Allowed = None,
    strict: options.Strict = False,
    out: options.Out = Path("results"),
    format: options.AsForCi = options.CiFormat.terminal,
) -> None:
    """Tell whether times and quality have changed from one run to another, and how surely.

    Cells and trials of equal settings are compared, whatever the suites. A
    change is called where it is unlikely, large, and beyond the noise floors
    that `calibrate` has measured. Exits 0; 1 where what was ok fails; 3 where
    something is worse; 4 under --strict where something is unresolved; 5 where
    the environments differ or nothing could be compared.
    """
    from depthbench.report.compare.render import render_comparison
    from depthbench.report.compare.runs import CompareOptions, compare_runs
    from depthbench.report.listing import only_run

    asked = (tuple(metrics or ()), threshold, confidence, tuple(allowed or ()), out)
    chosen = CompareOptions(*asked)
    found = compare_runs(only_run(baseline), only_run(candidate), chosen)
    write(render_comparison(found, format.value))
    raise typer.Exit(found.exit_code(is_strict=strict))


def trend(
    root: Annotated[
        Path, typer.Argument(help="Folder of results, or of one suite's.", metavar="ROOT")
    ] = Path("results"),
    suite: Annotated[
        str | None, typer.Option(help="The suite (default: each that has runs there).")
    ] = None,
    window: Annotated[
        int,
        typer.Option(min=1, help="Nights for which a change to the worse is an alarm (exit 3)."),
    ] = 7,
    format: options.AsPage = options.ReportFormat.terminal,
) -> None:
    """Follow a suite's times and losses over its runs; exit 3 where one has got worse lately.

    Runs of another environment than the newest one's, unfinished ones and
    those that cannot be read are told and not judged. Exits 0 where there
    are too few nights to judge, 5 where there is nothing to follow.
    """
    import sys

    from depthbench.report.trend.alarms import trend as follow
    from depthbench.report.trend.render import render_trend

    found = follow(root, suite, window)
    write(render_trend(found, format.value, encoding=sys.stdout.encoding))
    raise typer.Exit(found.exit_code)


def nightly(
    suite: options.SuiteFile,
    out: options.Out = Path("results"),
    run_name: options.RunName = None,
    artifacts: Annotated[
        Path | None,
        typer.Option(
            help="Folder for junit.xml, summary.md, report.html and trend.html (default: "
            "nightly-report/SUITE in the results folder)."
        ),
    ] = None,
    pin: Annotated[
        str | None,
        typer.Option(help="Make this run the baseline, and do nothing else.", metavar="RUN"),
    ] = None,
    metrics: options.Metrics = None,
    threshold: options.Threshold = 0.05,
    confidence: options.Confidence = 0.96,
    allowed: options.Allowed = None,
    strict: options.Strict = False,
    device: options.Device = "auto",
    data_dir: options.DataDir = None,
    overrides: options.Overrides = None,
    quiet: options.Quiet = False,
    format: options.As = options.Format.terminal,
) -> None:
    """Run a suite, compare it with the baseline and with the last night, follow it, judge it.

    The first run becomes the baseline. Exits with the first of 2, 5, 3, 1 and 4
    that any step calls for, else 0; docs/nightly.md.
    """
    from depthbench.expand import load_to_expand
    from depthbench.nightly import pin_baseline, play_night, render_night
    from depthbench.progress import progress_for, silence
    from depthbench.report.compare.runs import CompareOptions

    asked = (tuple(metrics or ()), threshold, confidence, tuple(allowed or ()), out)
    chosen = CompareOptions(*asked)
    with silence() if quiet else nullcontext():
        loaded = load_to_expand(suite, overrides or ())
        if pin is not None:
            return write(f"baseline: {pin} ({pin_baseline(out, loaded.name, pin)})")
        night = play_night(
            loaded,
            out=out,
            run=run_name,
            artifacts=artifacts,
            options=chosen,
            is_strict=strict,
            device=device,
            data_dir=data_dir,
            progress=progress_for(is_quiet=quiet),
        )
    write(render_night(night, format.value))
    raise typer.Exit(night.exit_code)


def calibrate(
    suite: options.SuiteFile,
    num_runs: Annotated[
        int, typer.Option("--runs", min=5, max=1000, help="How often all cells are timed.")
    ] = 12,
    out: options.Out = Path("results"),
    device: options.Device = "auto",
    overrides: options.Overrides = None,
    quiet: options.Quiet = False,
    format: options.As = options.Format.terminal,
) -> None:
    """Measure this machine's noise: time a suite again and again, store by how much it differs.

    Trains nothing. Later comparisons on the same machine call no change that
    is below a cell's noise floor. Prints how often equal runs would be called
    different.
    """
    from depthbench.calibrate import calibrate as measure
    from depthbench.calibrate import render_calibration
    from depthbench.expand import load_to_expand
    from depthbench.progress import progress_for, silence

    with silence() if quiet else nullcontext():
        found = measure(
            load_to_expand(suite, overrides or ()),
            num_runs=num_runs,
            out=out,
            device=device,
            progress=progress_for(is_quiet=quiet),
        )
    write(render_calibration(found, format.value))
