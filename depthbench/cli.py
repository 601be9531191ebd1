"""The command line: parse, call one function, print. What is caught is caught in boundary.py."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthbench import cli_options as options
from depthbench.boundary import Boundary, write
from depthbench.cli_regressions import calibrate, compare, nightly, trend
from depthbench.interruption import INTERRUPTED, end_at_another_interrupt

if TYPE_CHECKING:
    from depthbench.spec import Trial
    from depthbench.suite import Suite


app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="At an equal budget, should this network be deep or wide? Write a suite, run it, read "
    "the report.",
)


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
    suite: options.SuiteFile,
    out: options.Out = Path("results"),
    run_name: options.RunName = None,
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
    device: options.Device = "auto",
    data_dir: options.DataDir = None,
    overrides: options.Overrides = None,
    only: options.Only = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed trials again.")
    ] = False,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the trained weights.")
    ] = False,
    peak: Annotated[
        options.Peak,
        typer.Option(help="Peak FLOP/s that times are held against: of data sheets, or measured."),
    ] = options.Peak.known,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Refuse what a run would, else show the plan."),
    ] = False,
    quiet: options.Quiet = False,
    format: options.As = options.Format.terminal,
) -> None:
    """Train, time and record every trial of a suite; finish what a former run left.

    The same --run NAME again does what is missing, and reads only the data
    that this needs. It goes on after the suite's question or claims have
    changed, and records the new ones; any other change needs another NAME.
    Ctrl-C and SIGTERM keep what was finished.

    On a CPU, training and the test pass go to several worker processes
    where that saves more than starting them costs; how many is measured
    once, at the beginning.
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
    suite: options.SuiteFile,
    overrides: options.Overrides = None,
    only: options.Only = None,
    has_estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Time a few steps of each shape; predict time and memory."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of the estimate: as of `run`.")
    ] = None,
    device: Annotated[str, typer.Option(help="Of the estimate: as of `run`.")] = "auto",
    format: options.As = options.Format.terminal,
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
    runs: options.Runs = None,
    out: options.Out = Path("results"),
    margin: Annotated[
        float, typer.Option(help="Losses within this fraction of the best are the same.")
    ] = 0.05,
    figures: Annotated[
        Path | None,
        typer.Option(help="Also write each chart there, as svg and png.", metavar="DIR"),
    ] = None,
    format: options.AsPage = options.ReportFormat.terminal,
) -> None:
    """Answer the suite's question from its results, with intervals and verdicts.

    `--format html > report.html` makes a page for a browser, with charts; it
    needs nothing but itself. How to read it: docs/report.md.
    """
    from depthbench.garbage import no_garbage_collection
    from depthbench.report.listing import chosen_runs
    from depthbench.report.render import render
    from depthbench.report.summary import summarise

    with no_garbage_collection():  # it would look through a million cells again and again
        summary = summarise(chosen_runs(runs, out), margin=margin)
        if figures:
            from depthbench.report.figures import write_figures

            written = write_figures(summary, figures)
            typer.echo(f"wrote {len(written)} figures to {figures}", err=True)
        write(render(summary, format.value))


@app.command()
def check(
    runs: options.Runs = None,
    out: options.Out = Path("results"),
    strict: options.Strict = False,
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
def coordinate_check(
    suite: options.SuiteFile,
    parametrization: Annotated[
        str | None,
        typer.Option(help="Such as sp,mup, or all (default: those of the suite).", metavar="NAMES"),
    ] = None,
    widths: Annotated[
        str, typer.Option(help="At base depth; or none.", metavar="SIZES")
    ] = "64,128,256,512,1024,2048",
    depths: Annotated[
        str, typer.Option(help="At base width; or none.", metavar="SIZES")
    ] = "2,4,8,16,32,64",
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Training steps.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Networks of each size.")] = 3,
    lr: Annotated[
        float | None,
        typer.Option(min=1e-12, max=1e6, help="The learning rate (default: the suite's first)."),
    ] = None,
    device: options.Device = "auto",
    data_dir: options.DataDir = None,
    overrides: options.Overrides = None,
    quiet: options.Quiet = False,
    format: options.AsPage = options.ReportFormat.terminal,
) -> None:
    """Show how sizes inside networks follow width and depth, under each parametrisation.

    Each kind of network of the suite is trained for a few steps at many
    widths and depths, at one learning rate; its own widths and depths do not
    count. `--format html` makes a page with charts. How to read it:
    docs/parametrizations.md. Nothing is stored.
    """
    from depthbench.coordinate_check import coordinate_check as check
    from depthbench.coordinate_curves import CheckOptions, parametrizations_in, sizes_in
    from depthbench.coordinate_table import render_check
    from depthbench.progress import progress_for, silence
    from depthbench.suite import load_suite

    chosen = CheckOptions(
        widths=sizes_in(widths, "widths"),
        depths=sizes_in(depths, "depths"),
        parametrizations=parametrizations_in(parametrization),
        num_steps=steps,
        num_seeds=seeds,
        lr=lr,
    )
    with silence() if quiet else nullcontext():
        found = check(
            load_suite(suite, overrides or ()),
            chosen,
            device=device,
            data_dir=data_dir,
            progress=progress_for(is_quiet=quiet),
            tell=lambda line: None if quiet else typer.echo(line, err=True),
        )
    write(render_check(found, format.value))


for command in (compare, trend, nightly, calibrate):
    app.command()(command)


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
def runs(out: options.Out = Path("results"), format: options.As = options.Format.terminal) -> None:
    """List the runs in the results folder, newest first."""
    from depthbench.report.listing import list_runs, render_runs

    write(render_runs(list_runs(out), format.value))


@app.command()
def families(format: options.As = options.Format.terminal) -> None:
    """Show each family, with what depth means in it, and each option: formula, source, suite."""
    from depthbench.plan import render_families

    write(render_families(format.value))


@app.command()
def datasets(
    data_dir: options.DataDir = None, format: options.As = options.Format.terminal
) -> None:
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
    out: options.Out = Path("results"),
    data_dir: options.DataDir = None,
    format: options.As = options.Format.terminal,
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
    suite: Suite,
    trials: Sequence[Trial],
    format: options.Format,
    more: dict[str, Any] | None = None,
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
