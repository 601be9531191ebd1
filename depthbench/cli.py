"""The command line: parse, call one function, print. What is caught is caught in boundary.py."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthbench import cli_options as options
from depthbench.boundary import Boundary, write
from depthbench.interruption import INTERRUPTED, end_at_another_interrupt

if TYPE_CHECKING:
    from depthbench.spec import Trial
    from depthbench.suite import Suite


class Format(StrEnum):
    """What standard output is written as."""

    terminal = "terminal"
    md = "md"
    json = "json"
    csv = "csv"


class Peak(StrEnum):
    """Where the peak FLOP/s of a device is from."""

    known = "known"
    measured = "measured"


app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="At an equal budget, should this network be deep or wide? Write a suite, run it, read "
    "the report.",
)

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


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from depthbench import __version__

        write(__version__)
        raise typer.Exit


@app.command()
def run(
    suite: SuiteFile,
    out: Out = Path("results"),
    run_name: Annotated[
        str | None, typer.Option("--run", help="Name of the run; an existing one resumes.")
    ] = None,
    executor: Annotated[
        str, typer.Option(help="Where trials run: local, process, ray, or auto.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time (default: what is fastest).")
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(min=0.001, help="Give a trial up after so long.", metavar="SECONDS"),
    ] = None,
    memory_limit: Annotated[
        float | None,
        typer.Option(min=0.001, help="Give a trial up that takes so much.", metavar="GB"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="The ray cluster (default: started here).", metavar="HOST:PORT"),
    ] = None,
    workers_per_gpu: Annotated[
        int, typer.Option(min=1, max=100, help="Workers of ray that share a GPU.")
    ] = 2,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, or auto.")] = "auto",
    data_dir: DataDir = None,
    overrides: Overrides = None,
    only: Only = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed trials again.")
    ] = False,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the trained weights.")
    ] = False,
    peak: Annotated[
        Peak,
        typer.Option(help="Peak FLOP/s that times are held against: of data sheets, or measured."),
    ] = Peak.known,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Refuse what a run would, else show the plan."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, only errors.")] = False,
    format: As = Format.terminal,
) -> None:
    """Train, time and record every trial of a suite; finish what a former run left.

    The same --run NAME again does what is missing, and reads only the data
    that this needs. It goes on after the suite's question or claims have
    changed, and records the new ones; any other change needs another NAME.
    Ctrl-C and SIGTERM keep what was finished.

    On a CPU, more than 15 seconds of training go to several worker
    processes; how many is measured once, at the beginning.
    """
    from depthbench.expand import load_to_expand
    from depthbench.progress import progress_for, silence
    from depthbench.report.render import render_run_summary
    from depthbench.request import RunOptions, request_run
    from depthbench.run import run_suite

    given: dict[str, Any] = {
        "out": str(out),
        "run": run_name,
        "executor": executor,
        "workers": workers,
        "time_limit": time_limit,
        "memory_limit": memory_limit,
        "address": address,
        "workers_per_gpu": workers_per_gpu,
        "device": device,
        "data_dir": str(data_dir) if data_dir else None,
        "only": only,
        "retry_failed": retry_failed,
        "keep_weights": keep_weights,
        "peak": peak.value,
    }
    with silence() if quiet else nullcontext():
        loaded = load_to_expand(suite, overrides or ())
        if dry_run:
            request = request_run(loaded, RunOptions(**given))
            return _print_plan(request.suite, request.trials, format)
        summary = run_suite(loaded, **given, progress=progress_for(is_quiet=quiet))
    write(render_run_summary(summary, format.value))
    raise typer.Exit(1 if summary.num_failures else 0)


@app.command()
def plan(
    suite: SuiteFile,
    overrides: Overrides = None,
    only: Only = None,
    has_estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Time a few steps of each shape; predict time and memory."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of the estimate: as of `run`.")
    ] = None,
    device: Annotated[str, typer.Option(help="Of the estimate: as of `run`.")] = "auto",
    format: As = Format.terminal,
) -> None:
    """Show what a suite would run: variants, solved widths, weights, FLOPs. Reads no data.

    With --estimate a few real steps of each shape are timed here, on random
    data, which takes seconds to a minute or two; the plan then says how long
    the run would take and how much memory. CSV has the plan alone.
    """
    from depthbench.expand import expand, load_to_expand, select

    loaded = load_to_expand(suite, overrides or ())
    every_trial = expand(loaded)
    trials = select(every_trial, only) if only else every_trial
    more = None
    if has_estimate:
        from depthbench.estimate import estimate

        found = estimate(loaded, trials, device, every_trial=every_trial, num_workers=workers)
        more = {"estimate": found.describe()}
    _print_plan(loaded, trials, format, more)


@app.command()
def report(
    runs: Runs = None,
    out: Out = Path("results"),
    margin: Annotated[
        float, typer.Option(help="Losses within this fraction of the best are the same.")
    ] = 0.05,
    figures: options.Figures = None,
    format: options.AsReport = options.ReportFormat.terminal,
) -> None:
    """Answer the suite's question from its results, with intervals and verdicts.

    `--format html > report.html` makes a page for a browser, with charts; it
    needs nothing but itself. How to read it: docs/report.md.
    """
    from depthbench.report.listing import chosen_runs
    from depthbench.report.render import render
    from depthbench.report.summary import summarise

    summary = summarise(chosen_runs(runs, out), margin=margin)
    if figures:
        from depthbench.report.figures import write_figures

        written = write_figures(summary, figures)
        typer.echo(f"wrote {len(written)} figures to {figures}", err=True)
    write(render(summary, format.value))


@app.command()
def compare(
    baseline: options.Baseline,
    candidate: options.Candidate,
    metrics: options.Metrics = None,
    threshold: options.Threshold = 0.05,
    confidence: options.Confidence = 0.96,
    allowed: options.Allowed = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 4 where a change is unresolved.")
    ] = False,
    out: Out = Path("results"),
    format: options.AsForCi = options.CiFormat.terminal,
) -> None:
    """Tell whether times and quality have changed from one run to another, and how surely.

    Cells and trials of equal settings are compared, whatever the suites. A
    change is called where it is unlikely, large, and beyond the noise floors
    that `calibrate` has measured. Exits 0; 1 where what was ok fails; 3 where
    something is worse; 4 under --strict where something is unresolved; 5 where
    the environments differ or nothing could be compared.
    """
    from depthbench.report.compare import CompareOptions, compare_runs
    from depthbench.report.listing import only_run
    from depthbench.report.render_compare import render_comparison

    asked = (tuple(metrics or ()), threshold, confidence, tuple(allowed or ()), out)
    chosen = CompareOptions(*asked)
    found = compare_runs(only_run(baseline), only_run(candidate), chosen)
    write(render_comparison(found, format.value))
    raise typer.Exit(found.exit_code(is_strict=strict))


@app.command()
def check(
    runs: Runs = None,
    out: Out = Path("results"),
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 4 where a claim is undecided.")
    ] = False,
    format: options.AsForCi = options.CiFormat.terminal,
) -> None:
    """Judge the suite's claims: holds, refuted or undecided. Exits 0, 3, or 4 under --strict."""
    from depthbench.report.claims import check as judge
    from depthbench.report.listing import chosen_runs
    from depthbench.report.render import render_judgements

    judgements, code = judge(chosen_runs(runs, out), is_strict=strict)
    write(render_judgements(judgements, format.value))
    raise typer.Exit(code)


@app.command()
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
    format: As = Format.terminal,
) -> None:
    """Follow a suite's times and losses over its runs; exit 3 where one has got worse lately.

    Runs of another environment than the newest one's, unfinished ones and
    those that cannot be read are told and not judged. Exits 0 where there
    are too few nights to judge, 5 where there is nothing to follow.
    """
    import sys

    from depthbench.report.render_trend import render_trend
    from depthbench.report.trend import trend as follow

    found = follow(root, suite, window)
    write(render_trend(found, format.value, encoding=sys.stdout.encoding))
    raise typer.Exit(found.exit_code)


@app.command()
def calibrate(
    suite: SuiteFile,
    num_runs: Annotated[
        int, typer.Option("--runs", min=5, max=1000, help="How often all cells are timed.")
    ] = 12,
    out: Out = Path("results"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, or auto.")] = "auto",
    overrides: Overrides = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, only errors.")] = False,
    format: As = Format.terminal,
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


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")],
    trial: Annotated[str, typer.Argument(help="trial_id, or its beginning.", metavar="TRIAL")],
    prompt: Annotated[str, typer.Option(help="How the text begins.")] = "",
    length: Annotated[int, typer.Option(min=1, max=1_000_000, help="Tokens at most.")] = 200,
    temperature: Annotated[
        float, typer.Option(min=0, max=100, help="0 takes the likeliest token each time.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="Of the random choices.")] = 0,
) -> None:
    """Write a text with a trained language model; needs `run --keep-weights`."""
    from depthbench.sampling import sample_text

    write(sample_text(run, trial, prompt, length=length, temperature=temperature, seed=seed))


@app.command()
def runs(out: Out = Path("results"), format: As = Format.terminal) -> None:
    """List the runs in the results folder, newest first."""
    from depthbench.report.listing import list_runs, render_runs

    write(render_runs(list_runs(out), format.value))


@app.command()
def families(format: As = Format.terminal) -> None:
    """Show each family: its formula, what depth means, by three examples, and its source."""
    from depthbench.plan import render_families

    write(render_families(format.value))


@app.command()
def datasets(data_dir: DataDir = None, format: As = Format.terminal) -> None:
    """Show which data sets are here, complete and official, and how to get the others."""
    from depthbench.data import survey
    from depthbench.plan import render_datasets

    write(render_datasets(survey(data_dir), format.value))


@app.command()
def schema() -> None:
    """Print the JSON Schema of suite files, for editors."""
    import json

    from depthbench.sections import json_schema

    write(json.dumps(json_schema(), indent=2))


@app.command()
def doctor(
    out: Out = Path("results"), data_dir: DataDir = None, format: As = Format.terminal
) -> None:
    """Check this machine: versions, device, threads, clock, disk, data. Exits 1 at a PROBLEM."""
    from depthbench.data import survey
    from depthbench.environment import doctor as examine
    from depthbench.plan import data_checks, render_checks

    checks = examine(out, data_checks=data_checks(survey(data_dir)))
    write(render_checks(checks, format.value))
    raise typer.Exit(1 if any(check.is_ok is False for check in checks) else 0)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("suite.yaml"),
) -> None:
    """Write a suite to start from, and its JSON Schema beside it, for editors."""
    from depthbench.starter import write_starter

    write("\n".join(write_starter(path)))


def _print_plan(
    suite: Suite, trials: Sequence[Trial], format: Format, more: dict[str, Any] | None = None
) -> None:
    from depthbench.plan import describe_plan, render_plan

    write(render_plan(describe_plan(suite, trials) | (more or {}), format.value))


def main() -> None:
    """Run the command line."""
    try:
        app()
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            # Libraries still tidy up after this, and it takes a moment.
            end_at_another_interrupt()
        raise


if __name__ == "__main__":
    main()
