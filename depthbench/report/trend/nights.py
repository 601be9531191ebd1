"""The runs of a suite in the order of time: which can be judged together, and why others cannot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from depthbench.environment import differences
from depthbench.errors import NothingToCompareError, ResultError
from depthbench.folder import find_runs, is_being_written, read_run_json
from depthbench.report.groups import ENTRY_COLUMNS, Entry, entries_of_rows
from depthbench.report.processes import CELL_COLUMNS, CellTimes, cells_of
from depthbench.report.rows import as_text, join
from depthbench.report.tables import plain_line

# Of what differs between two environments so much is told.
_MAX_DIFFERENCES = 3


@dataclass(frozen=True, slots=True)
class Night:
    """One run; `problem` says why it is not judged with the others, empty where it is."""

    run: str
    folder: str
    created_at: str | None
    problem: str = ""


@dataclass(frozen=True)
class Measured:
    """What a night measured: its variants, its cells by their id, and whose cells they are."""

    night: Night
    entries: tuple[Entry, ...]
    cells: dict[str, CellTimes]
    variant_ids: dict[str, str]


@dataclass(frozen=True)
class SuiteNights:
    """The runs of a suite, oldest first: those that are judged together, and the others."""

    suite: str
    judged: tuple[Measured, ...]
    left_out: tuple[Night, ...]


@dataclass(frozen=True)
class _Found:
    """A run whose run.json can be read."""

    folder: Path
    facts: dict[str, Any]
    moment: datetime | None

    @property
    def suite(self) -> str:
        return str(self.facts.get("suite") or self.folder.parent.name)

    @property
    def night(self) -> Night:
        run = str(self.facts.get("run") or self.folder.name)
        return Night(run, str(self.folder), self.facts.get("created_at"))


def nights_below(root: Path, suite: str | None = None) -> list[SuiteNights]:
    """Return the nights of each suite that has runs below a folder, or of one suite.

    Judged together are finished runs of the newest one's environment: times of another processor
    or another PyTorch are no history of these.

    Args:
        root: a folder of results, or of one suite's.
        suite: the suite to read (default: each of them).

    Raises:
        ResultError: there is no such folder.
        NothingToCompareError: it holds no run that can be read, or none of the suite.
    """
    found, unreadable = _found_below(root)
    by_suite: dict[str, list[_Found]] = defaultdict(list)
    for run in found:
        by_suite[run.suite].append(run)
    if not by_suite:
        reason = f": {unreadable[0].problem}" if unreadable else ""
        raise NothingToCompareError(
            f"{root}: holds no run that can be read{reason}. `depthbench run SUITE` makes one"
        )
    if suite is not None and suite not in by_suite:
        raise NothingToCompareError(
            f"{root}: holds no run of suite {suite}; there are runs of "
            f"{join(sorted(map(plain_line, by_suite)), limit=8)}. Name one of them with --suite"
        )
    return [
        _together(name, runs, _of_suite(unreadable, name, by_suite.keys()))
        for name, runs in sorted(by_suite.items())
        if suite in (None, name)
    ]


def _found_below(root: Path) -> tuple[list[_Found], list[Night]]:
    found, unreadable = [], []
    for folder in find_runs(root):
        try:
            facts = read_run_json(folder)
        except ResultError as error:
            unreadable.append(Night(folder.name, str(folder), None, f"unreadable: {error}"))
        else:
            found.append(_Found(folder, facts, _moment(facts.get("created_at"))))
    return found, unreadable


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _of_suite(unreadable: Sequence[Night], suite: str, known: Collection[str]) -> list[Night]:
    """Return runs that cannot say what they are of: by their folder, else as of every suite."""
    return [
        night
        for night in unreadable
        if (name := Path(night.folder).parent.name) == suite or name not in known
    ]


def _together(suite: str, runs: Sequence[_Found], unreadable: Sequence[Night]) -> SuiteNights:
    """Read the runs of a suite, the newest first, whose environment the others are held against."""
    dated = sorted((run for run in runs if run.moment), key=_when)
    left_out = list(unreadable)
    left_out += [
        replace(run.night, problem="unreadable: run.json does not say when it began")
        for run in runs
        if not run.moment
    ]
    judged: list[Measured] = []
    newest: _Found | None = None
    for run in reversed(dated):
        problem = _problem(run, newest)
        if not problem:
            try:
                judged.append(_measured(run))
                newest = newest or run
            except ResultError as error:
                problem = f"unreadable: {error}"
        if problem:
            left_out.append(replace(run.night, problem=problem))
    left_out.sort(key=lambda night: (night.created_at or "", night.folder))
    return SuiteNights(suite, tuple(reversed(judged)), tuple(left_out))


def _when(run: _Found) -> tuple[datetime, str]:
    assert run.moment is not None
    return run.moment, str(run.folder)


def _problem(run: _Found, newest: _Found | None) -> str:
    """Return why a run is no night like the newest one, empty where it is."""
    status = str(run.facts.get("status") or "unknown")
    if status == "running" and not is_being_written(run.folder):
        status = "killed"
    if status != "finished":
        return f"unfinished: {status}"
    if newest is None:
        return ""
    theirs, ours = (_environment(found) for found in (run, newest))
    differing = [
        f"{key} {as_text(there)}, not {as_text(here)}"
        for key, (there, here) in differences(theirs, ours).items()
    ]
    return f"another environment: {join(differing, limit=_MAX_DIFFERENCES)}" if differing else ""


def _environment(run: _Found) -> dict[str, Any]:
    found = run.facts.get("environment")
    return found if isinstance(found, dict) else {}


def _measured(run: _Found) -> Measured:
    from depthbench.store import read_rows

    trials = read_rows(run.folder, "trials", (*ENTRY_COLUMNS, "data_digest"))
    timings = read_rows(run.folder, "timings", (*CELL_COLUMNS, "variant_id"))
    return Measured(
        night=run.night,
        entries=tuple(entries_of_rows(trials)),
        cells=cells_of(timings),
        variant_ids={row["cell_id"]: row["variant_id"] for row in timings},
    )
