"""List the runs of a results folder, newest first; one that cannot be read is listed as such."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from depthbench.errors import ResultError
from depthbench.record import FAILURES
from depthbench.report.tables import Heading, render_table

if TYPE_CHECKING:
    from rich.console import Console

    from depthbench.store import Run

_MAX_NAMED = 3
_FACTS = ("suite", "run", "status", "num_ok", "num_diverged", "num_failed", "num_planned")
_HEADINGS = tuple(Heading(name, name) for name in (*_FACTS, "created_at", "folder", "problem"))
_SHORT_HEADINGS = (
    Heading("suite", "suite"),
    Heading("run", "run"),
    Heading("status", "status"),
    Heading("trials", "trials"),
    Heading("created", "created (UTC)"),
)


@dataclass(frozen=True, slots=True)
class RunListing:
    """One run: what it is of, how far it is; `problem` says why it cannot be read.

    `status` is that of run.json, but killed where nobody writes a run that says it is running.
    """

    suite: str
    run: str
    status: str
    num_ok: int | None
    num_diverged: int | None
    num_failed: int | None
    num_planned: int | None
    created_at: str | None
    folder: str
    problem: str | None


def list_runs(root: Path) -> list[RunListing]:
    """Return the runs below a folder, newest first."""
    from depthbench.store import find_runs

    return [_listing(folder) for folder in find_runs(root)]


def _listing(folder: Path) -> RunListing:
    from depthbench.store import is_being_written, read_run

    try:
        found = read_run(folder)
    except ResultError as error:
        nothing = (None,) * 5
        place = (folder.parent.name, folder.name, "unreadable")
        return RunListing(*place, *nothing, str(folder), str(error))
    counts = Counter(found.trials["status"])
    status = str(found.run.get("status") or "unknown")
    if status == "running" and not is_being_written(folder):
        status = "killed"
    return RunListing(
        suite=str(found.run.get("suite") or folder.parent.name),
        run=str(found.run.get("run") or folder.name),
        status=status,
        num_ok=counts["ok"],
        num_diverged=counts["diverged"],
        num_failed=sum(counts[status] for status in FAILURES),
        num_planned=found.run.get("num_trials"),
        created_at=found.run.get("created_at"),
        folder=str(folder),
        problem=None,
    )


def render_runs(
    listings: Sequence[RunListing], format: str = "terminal", console: Console | None = None
) -> str:
    """Return a list of runs as text.

    Raises:
        ResultError: there is no such format.
    """
    if format in ("json", "csv"):
        return render_table(_HEADINGS, [asdict(listing) for listing in listings], format)
    if not listings:
        return "No runs yet; `depthbench run SUITE` makes one."
    headings: tuple[Heading, ...] = _SHORT_HEADINGS
    if any(listing.problem for listing in listings):
        headings = (*_SHORT_HEADINGS, Heading("problem", "problem"))
    rows = [
        {
            **asdict(listing),
            "trials": _trials_text(listing),
            "created": (listing.created_at or "")[:16].replace("T", " ") or None,
        }
        for listing in listings
    ]
    return render_table(headings, rows, format, console=console)


def _trials_text(listing: RunListing) -> str | None:
    """Return how far a run is: 18 of 20 ok, 2 failed."""
    if listing.num_ok is None:
        return None
    bad = [
        f"{num} {how}"
        for num, how in ((listing.num_diverged, "diverged"), (listing.num_failed, "failed"))
        if num
    ]
    return ", ".join([f"{listing.num_ok} of {listing.num_planned} ok", *bad])


def chosen_runs(paths: Sequence[Path] | None, out: Path) -> list[Run]:
    """Read the named runs, or without a name the newest one under the results folder.

    Args:
        paths: run folders, or folders that hold some.
        out: the results folder.

    Raises:
        ResultError: there is no run, or one cannot be read.
    """
    from depthbench.store import find_runs, read_run

    if paths:
        for path in paths:
            if not find_runs(path):
                raise ResultError(f"{path}: holds no run; `depthbench runs` lists what there is")
        folders = [folder for path in paths for folder in find_runs(path)]
    else:
        folders = list(find_runs(out)[:1])
    if not folders:
        raise ResultError(f"{out}: holds no run yet; `depthbench run SUITE` makes one")
    return [read_run(folder) for folder in dict.fromkeys(folders)]


def only_run(path: Path) -> Run:
    """Read the one run that a folder is, or holds.

    Raises:
        ResultError: there is none, there are several, or it cannot be read.
    """
    from depthbench.store import find_runs, read_run

    folders = find_runs(path)
    if not folders:
        raise ResultError(f"{path}: holds no run; `depthbench runs` lists what there is")
    if len(folders) > 1:
        some = ", ".join(str(folder) for folder in folders[:_MAX_NAMED])
        more = f" and {len(folders) - _MAX_NAMED:,} more" if len(folders) > _MAX_NAMED else ""
        raise ResultError(f"{path}: holds {len(folders):,} runs; name one of them: {some}{more}")
    return read_run(folders[0])
