"""Where a run's files lie, and how a file is written so that a crash never leaves half of one."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from depthbench.errors import ResultError
from depthbench.record import SCHEMA_VERSION

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# results/published/<suite>/<run> is the deepest layout that `find_runs` looks for.
MAX_SEARCH_DEPTH = 3
MEND = "Bring it back from a copy, or make the run again with `depthbench run SUITE`"
# Longer than somebody takes to look whether a run is being written.
LOCK_SECONDS = 0.2
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Facts of run.json that readers rely on; any of them may be null or missing.
FACT_TYPES: dict[str, tuple[type, str]] = {
    "suite": (str, "text"),
    "run": (str, "text"),
    "status": (str, "text"),
    "created_at": (str, "text"),
    "question": (str, "text"),
    "device": (str, "text"),
    "num_trials": (int, "a whole number"),
    "claims": (list, "a list"),
    "environment": (dict, "a mapping"),
}
MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Know every path inside a run's folder, `results/<suite>/<run>/`."""

    path: Path

    @property
    def parts(self) -> Path:
        """Return the folder of what is finished but not yet merged, one file a trial or cell."""
        return self.path / "parts"

    @property
    def weights_folder(self) -> Path:
        """Return the folder of trained weights, which last until selection and probes are done."""
        return self.path / "weights"

    @property
    def run_json(self) -> Path:
        """Return the file that says what the run is and where it was made."""
        return self.path / "run.json"

    @property
    def lock(self) -> Path:
        """Return the file that one writing process holds."""
        return self.path / ".lock"

    def weights(self, trial_id: str) -> Path:
        """Return the file of one trial's trained weights."""
        return self.weights_folder / f"{trial_id}.pt"

    def table(self, name: str) -> Path:
        """Return the Parquet file of a table of `record.TABLES`."""
        return self.path / f"{name}.parquet"

    def trial_part(self, trial_id: str) -> Path:
        """Return the part file of one trial."""
        return self.parts / f"trial-{trial_id}.parquet"

    def cell_part(self, cell_id: str) -> Path:
        """Return the part file of one timed cell."""
        return self.parts / f"cell-{cell_id}.parquet"


def as_run_folder(folder: RunFolder | Path | str) -> RunFolder:
    """Return the paths of a run's folder, however it was named."""
    return folder if isinstance(folder, RunFolder) else RunFolder(Path(folder))


def run_folder(out: Path, suite: str, run: str) -> RunFolder:
    """Return the folder that a run of this name has, made or not.

    Raises:
        ResultError: The name is no folder name.
    """
    if not RUN_NAME.fullmatch(run):
        raise ResultError(
            f"--run {run!r}: not the name of a run; allowed are letters, digits, '.', '_' and '-', "
            "at most 128, the first a letter or a digit. Name another one with --run NAME"
        )
    return RunFolder(Path(out) / suite / run)


def create_run(out: Path, suite: str, run: str) -> RunFolder:
    """Make a run's folders, or find them, and write a trial file into each before computing.

    Raises:
        ResultError: The name is no folder name, or nothing can be written there.
    """
    folder = run_folder(out, suite, run)
    for place in (folder.path, folder.parts, folder.weights_folder):
        make_folder(place)
        probe = place / ".writable"
        write_atomically(probe, b"depthbench\n")
        probe.unlink(missing_ok=True)  # another process may look at the same moment
    return folder


def make_folder(path: Path) -> None:
    """Make a folder and those above it; their names are on the disk when this returns.

    Raises:
        ResultError: It cannot be made.
    """
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for place in missing:
            sync_folder(place.parent)
    except OSError as error:
        raise write_refusal(path, error) from error


@contextmanager
def lock_run(folder: RunFolder) -> Iterator[None]:
    """Hold a run for writing, and clear away what a crashed writer left half written.

    Raises:
        ResultError: Another process is writing this run.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder.lock, timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise ResultError(
            f"{folder.path}: another process is writing this run. Wait until it ends, or start a "
            "run of its own with --run NAME"
        ) from error
    except OSError as error:
        raise write_refusal(folder.lock, error) from error
    try:
        for place in (folder.path, folder.parts, folder.weights_folder):
            for leftover in place.glob("*.tmp"):
                leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def is_being_written(folder: RunFolder | Path | str) -> bool:
    """Say whether a living process holds a run; True where the system cannot tell.

    The lock is looked at through a shared one, held for an instant: it takes nothing from the
    writer, and `lock_run` waits longer than that.
    """
    if sys.platform == "win32":  # where a lock cannot be shared
        return True
    import fcntl

    try:
        descriptor = os.open(as_run_folder(folder).lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file or nothing: what was there stays until the new content is on the disk.

    Raises:
        ResultError: The disk is full, or the folder cannot be written.
    """
    with atomic_files(path) as (file,):
        file.write(content)


@contextmanager
def atomic_files(*paths: Path) -> Iterator[Sequence[BinaryIO]]:
    """Open files for writing; they get their names when the block ends and all are on the disk.

    Raises:
        ResultError: The disk is full, or the folder cannot be written.
    """
    temporaries = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in paths]
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(temporary.open("wb")) for temporary in temporaries]
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.replace(path)
        for place in dict.fromkeys(path.parent for path in paths):
            sync_folder(place)
    except OSError as error:
        raise write_refusal(paths[0], error) from error
    finally:
        for temporary in temporaries:
            if temporary.exists():
                temporary.unlink()


def sync_folder(path: Path) -> None:
    """Bring a folder's list of names to the disk, without which a rename can be lost."""
    if sys.platform == "win32":  # where a folder cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_refusal(path: Path, error: OSError) -> ResultError:
    """Return the error that says why a file could not be written, and what to do."""
    reason = error.strerror or str(error)
    if error.errno in NO_SPACE:
        advice = "Free some space; `depthbench run SUITE --run NAME` then goes on where it stopped"
    else:
        advice = "Choose a folder that can be written with --out DIR"
    return ResultError(f"{path}: cannot be written: {reason}. {advice}")


@contextmanager
def named_where_full(path: Path) -> Iterator[None]:
    """Name a full disk as what it is, whoever met it; `path` is where, if the error has no file.

    Raises:
        ResultError: Something inside found no space left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        place = error.filename if isinstance(error.filename, str | os.PathLike) else path
        raise write_refusal(Path(place), error) from error


def write_run_json(folder: RunFolder, value: dict[str, Any]) -> None:
    """Write what the run is; `schema_version` is added where it is missing."""
    versioned = {"schema_version": SCHEMA_VERSION, **value}
    text = json.dumps(versioned, indent=2, ensure_ascii=False, allow_nan=False)
    # A lone surrogate, as in the name of a file that is not UTF-8, is no UTF-8 either.
    write_atomically(folder.run_json, f"{text}\n".encode(errors="backslashreplace"))


def read_run_json(folder: RunFolder | Path | str) -> dict[str, Any]:
    """Return what the run is.

    Raises:
        ResultError: There is no run here, it cannot be read, or a newer depthbench wrote it.
    """
    path = as_run_folder(folder).run_json
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ResultError(
            f"{path.parent}: not the folder of a run, since it has no run.json. "
            "`depthbench runs` lists the runs there are"
        ) from error
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path}: not readable JSON: {error}. {MEND}") from error
    if not isinstance(value, dict) or not value.keys() & {"suite", "schema_version"}:
        raise ResultError(f"{path}: not depthbench's: it names no suite. {MEND}")
    check_version(path, value.get("schema_version", SCHEMA_VERSION))
    _check_facts(path, value)
    return value


def _check_facts(path: Path, value: dict[str, Any]) -> None:
    """Refuse what nothing of ours has written, so that no reader need expect it.

    Raises:
        ResultError: A fact that readers rely on is of another type.
    """
    for name, (kind, words) in FACT_TYPES.items():
        fact = value.get(name)
        if fact is not None and not isinstance(fact, kind):
            shown = repr(fact) if len(repr(fact)) <= MAX_SHOWN else f"{repr(fact)[:MAX_SHOWN]}..."
            raise ResultError(f"{path}: {name} is {shown}, not {words}. {MEND}")


def check_version(path: Path, version: object) -> None:
    """Refuse a schema that a newer depthbench wrote.

    Raises:
        ResultError: The version is newer than ours, or is no number.
    """
    if not isinstance(version, int) or isinstance(version, bool):
        raise ResultError(f"{path}: schema_version is {version!r}, not a whole number. {MEND}")
    if version > SCHEMA_VERSION:
        raise ResultError(
            f"{path}: written by a newer depthbench (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}). Update with `pip install --upgrade depthbench`"
        )


def find_runs(root: Path | str) -> tuple[Path, ...]:
    """Return the folders of all runs at or below a folder, newest first.

    Raises:
        ResultError: There is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ResultError(
            f"{root}: no such folder of results. Make some with `depthbench run SUITE`, "
            "or name the folder that holds them"
        )
    return tuple(sorted(_runs_below(root, MAX_SEARCH_DEPTH), key=_created_at, reverse=True))


def _runs_below(path: Path, num_levels: int) -> Iterator[Path]:
    if RunFolder(path).run_json.is_file():
        yield path
        return
    if num_levels == 0:
        return
    try:
        inside = sorted(path.iterdir())
    except PermissionError:  # somebody else's folder among ours hides no run of ours
        return
    for below in inside:
        if below.is_dir() and not below.name.startswith("."):
            yield from _runs_below(below, num_levels - 1)


def _created_at(path: Path) -> tuple[str, str]:
    """Return the time a run began; one that cannot be read comes last, and says so when read."""
    try:
        return str(read_run_json(path).get("created_at") or ""), str(path)
    except ResultError:
        return "", str(path)
