"""A night: run a suite, compare it with the pinned baseline and with the night before, judge it.

The first night has nothing to be compared with: it becomes the baseline, and says so. A baseline
stays until somebody pins another run, so that many small steps to the worse add up to one that is
seen; the night before shows which night it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from depthbench.errors import NothingToCompareError, ResultError
from depthbench.folder import find_runs, read_run_json, run_folder, write_atomically
from depthbench.outcome import RunSummary
from depthbench.report.claims import check
from depthbench.report.compare.render import render_comparison
from depthbench.report.compare.render_ci import comparison_cases
from depthbench.report.compare.runs import CompareOptions, compare_runs
from depthbench.report.junit import Case, Outcome, junit_xml
from depthbench.report.render import render, render_judgements
from depthbench.report.render_claims_ci import judgement_cases
from depthbench.report.rows import join
from depthbench.report.summary import summarise
from depthbench.report.tables import Heading, check_format, markdown, render_table, to_csv, to_json
from depthbench.report.trend.alarms import trend
from depthbench.report.trend.render import render_trend
from depthbench.store import Run, read_run
from depthbench.suite import Suite
from depthbench.units import counted

PIN = "baseline.txt"
# Where several apply, the first of these is the night's.
EXIT_CODES = (2, 5, 3, 1, 4)
_HEADINGS = (Heading("name", "step"), Heading("exit_code", "exit", True), Heading("answer", "says"))


@dataclass(frozen=True)
class Step:
    """One of a night's questions: its answer in a sentence, its exit code.

    `cases` are for JUnit, `markdown` the whole of it for a summary, `page` it as a page of its own.
    """

    name: str
    answer: str
    exit_code: int = 0
    cases: tuple[Case, ...] = ()
    markdown: str = ""
    page: str = ""


@dataclass(frozen=True)
class Night:
    """What became of a night: its run, its steps, and the files that tell of it."""

    suite: str
    run: str
    folder: Path
    steps: tuple[Step, ...]
    files: tuple[Path, ...]

    @property
    def exit_code(self) -> int:
        """Return the first that applies of 2, 5, 3, 1 and 4, or 0."""
        found = {step.exit_code for step in self.steps}
        return next((code for code in EXIT_CODES if code in found), 0)


def play_night(
    suite: Suite,
    *,
    out: Path = Path("results"),
    artifacts: Path | None = None,
    options: CompareOptions | None = None,
    is_strict: bool = False,
    **run_options: Any,
) -> Night:
    """Run a suite, and judge what came of it.

    Args:
        suite: the suite.
        out: folder of all results.
        artifacts: as of `judge_night` (default: nightly-report/SUITE in the results folder).
        options: what counts as a change.
        is_strict: whether what is unresolved is an error.
        run_options: of `run_suite`.

    Raises:
        DepthbenchError: as of `run_suite` and `judge_night`.
    """
    from depthbench.run import run_suite

    tonight = run_suite(suite, out=out, **run_options)
    return judge_night(
        tonight,
        out,
        artifacts or Path(out) / "nightly-report" / suite.name,
        options or CompareOptions(out=Path(out)),
        is_strict=is_strict,
    )


def judge_night(
    tonight: RunSummary,
    out: Path,
    artifacts: Path,
    options: CompareOptions,
    *,
    is_strict: bool = False,
) -> Night:
    """Judge a run that has just ended, and write what there is to say of it.

    Args:
        tonight: the run.
        out: folder of all results.
        artifacts: folder for junit.xml, summary.md, report.html and trend.html.
        options: what counts as a change.
        is_strict: whether what is unresolved is an error.

    Raises:
        ResultError: a run or the pinned baseline cannot be read, or a file not be written.
    """
    run = read_run(tonight.folder)
    steps = [_ran(tonight)]
    compared: set[str] = set()
    for name, other in (
        ("baseline", _baseline(tonight, out)),
        ("night before", _night_before(tonight, out)),
    ):
        steps.append(_compared(name, other, run, options, compared, is_strict=is_strict))
    steps.append(_trend(tonight.folder.parent))
    if run.run.get("claims"):
        steps.append(_claims(run, is_strict=is_strict))
    if steps[1].exit_code == 0 and not _pin(out, tonight.suite).exists() and not steps[0].exit_code:
        pin_baseline(out, tonight.suite, tonight.run)
    files = _written(artifacts, tonight, run, steps)
    return Night(tonight.suite, tonight.run, tonight.folder, tuple(steps), tuple(files))


def pin_baseline(out: Path, suite: str, run: str) -> Path:
    """Let a run be what later nights are compared with; return the file that says so.

    Raises:
        ResultError: there is no such run, or the file cannot be written.
    """
    folder = run_folder(out, suite, run)
    if not folder.run_json.is_file():
        raise ResultError(
            f"{folder.path}: no run to pin as baseline; `depthbench runs --out {out}` lists them"
        )
    facts = read_run_json(folder)
    if facts.get("status") != "finished":
        raise ResultError(
            f"{folder.path}: is {facts.get('status') or 'unknown'}, and a baseline must be whole; "
            f"finish it with `depthbench run SUITE --run {run}`"
        )
    path = _pin(out, suite)
    write_atomically(path, f"{run}\n".encode())
    return path


def _pin(out: Path, suite: str) -> Path:
    return Path(out) / suite / PIN


def _baseline(tonight: RunSummary, out: Path) -> Path | None:
    """Return the folder of the pinned run; None where none is pinned.

    Raises:
        ResultError: the pinned run is not there.
    """
    path = _pin(out, tonight.suite)
    try:
        name = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: cannot be read: {error}") from error
    folder = path.parent / name
    if not name or not run_folder(out, tonight.suite, name).run_json.is_file():
        raise ResultError(
            f"{path}: pins {name!r}, and {folder} is no run. Bring it back, or remove {path} so "
            "that the next night becomes the baseline"
        )
    return folder


def _night_before(tonight: RunSummary, out: Path) -> Path | None:
    """Return the newest run of the suite that is finished and older than tonight's."""
    begun = str(read_run_json(run_folder(out, tonight.suite, tonight.run)).get("created_at"))
    for folder in find_runs(Path(out) / tonight.suite):
        try:
            facts = read_run_json(run_folder(out, tonight.suite, folder.name))
        except ResultError:  # `trend` tells of it
            continue
        is_older = str(facts.get("created_at")) < begun and folder.name != tonight.run
        if is_older and facts.get("status") == "finished":
            return folder
    return None


def _ran(tonight: RunSummary) -> Step:
    counts = {"trials": tonight.trials_by_status, "timings": tonight.cells_by_status}
    parts = [
        f"{counted(sum(by_status.values()), what.removesuffix('s'))}: "
        + ", ".join(f"{num:,} {status}" for status, num in by_status.items())
        for what, by_status in counts.items()
        if by_status
    ]
    reasons = "; ".join(f"{f.num:,} {f.status}: {f.error}" for f in tonight.failures)
    answer = "; ".join(parts) + (f" ({reasons})" if reasons else "")
    is_failed = tonight.num_failures > 0
    outcome: Outcome = "failure" if is_failed else "passed"
    case = Case("run", tonight.suite, outcome, "failed" if is_failed else "ok", answer)
    return Step("run", f"{answer}.", int(is_failed), (case,))


def _compared(
    name: str,
    other: Path | None,
    run: Run,
    options: CompareOptions,
    compared: set[str],
    *,
    is_strict: bool,
) -> Step:
    """Compare tonight's run with another, unless there is none or it has been done already."""
    if other is None:
        told = "; this run is pinned as the baseline from now on" if name == "baseline" else ""
        return Step(name, f"There is no {name} yet{told}.")
    if other.name in compared or other == run.folder:
        return Step(name, f"It is the baseline, {other.name}.")
    compared.add(other.name)
    found = compare_runs(read_run(other), run, options)
    # A build knows a test by its group and name: those of the two comparisons are not the same.
    cases = tuple(replace(c, group=f"{name}, {c.group}") for c in comparison_cases(found))
    code = found.exit_code(is_strict=is_strict)
    return Step(name, found.answer, code, cases, render_comparison(found, "github"))


def _trend(folder: Path) -> Step:
    try:
        found = trend(folder)
    except NothingToCompareError as error:
        return Step("trend", str(error))
    answer = " ".join(suite.answer for suite in found.suites)
    texts = (render_trend(found, format) for format in ("md", "html"))
    return Step("trend", answer, found.exit_code, (), *texts)


def _claims(run: Run, *, is_strict: bool) -> Step:
    judgements, code = check([run], is_strict=is_strict)
    said = []
    for verdict in ("refuted", "undecided", "holds"):
        ids = [found.id for found in judgements if found.verdict == verdict]
        if ids:
            said.append(f"{len(ids):,} {verdict} ({join(ids, limit=3)})")
    answer = f"{counted(len(judgements), 'claim')}: {join(said)}."
    return Step(
        "claims",
        answer,
        code,
        tuple(replace(case, group="claims") for case in judgement_cases(judgements)),
        render_judgements(judgements, "github"),
    )


def _written(
    artifacts: Path, tonight: RunSummary, run: Run, steps: Sequence[Step]
) -> Iterator[Path]:
    """Write the files of a night and yield their paths."""
    cases = [case for step in steps for case in step.cases]
    texts: dict[str, Callable[[], str]] = {
        "junit.xml": lambda: junit_xml(tonight.suite, cases),
        "summary.md": lambda: _summary(tonight, steps),
        "report.html": lambda: render(summarise([run]), "html"),
    }
    texts |= {f"{step.name}.html": partial(str, step.page) for step in steps if step.page}
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        (artifacts / "trend.html").unlink(missing_ok=True)  # of a night before
    except OSError as error:
        raise ResultError(f"{artifacts}: cannot be made: {error.strerror or error}") from error
    for name, text in texts.items():
        write_atomically(artifacts / name, text().encode())
        yield artifacts / name


def _summary(tonight: RunSummary, steps: Sequence[Step]) -> str:
    rows = [{"name": s.name, "exit_code": s.exit_code, "answer": s.answer} for s in steps]
    title = f"# {markdown(tonight.suite)}, night of {markdown(tonight.run)}"
    blocks = [title, render_table(_HEADINGS, rows, "md")]
    blocks += [step.markdown for step in steps if step.markdown]
    return "\n\n".join(blocks) + "\n"


def render_night(night: Night, format: str = "terminal") -> str:
    """Return a night's steps as text, each with its exit code and answer.

    Raises:
        ResultError: there is no such format.
    """
    check_format(format)
    rows: list[dict[str, Any]] = [
        {"name": s.name, "exit_code": s.exit_code, "answer": s.answer} for s in night.steps
    ]
    facts = {
        "suite": night.suite,
        "run": night.run,
        "folder": str(night.folder),
        "exit_code": night.exit_code,
        "steps": rows,
        "files": [str(path) for path in night.files],
    }
    if format == "json":
        return to_json(facts)
    if format == "csv":
        return to_csv([heading.key for heading in _HEADINGS], rows)
    table = render_table(_HEADINGS, rows, format, title=f"{night.suite}, night of {night.run}")
    files = "\n".join(f"- {path}" for path in night.files)
    return f"{table}\n\n{files}\n"
