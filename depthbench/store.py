"""Results on disk: one part file a trial or cell while a run goes on, four tables when it is done.

A part appears wholly or not at all, and is on the disk before its trial counts as finished. A merge
writes the tables first and removes parts last, and a part wins over a row of the same id, so that a
crash at any moment loses nothing and doubles nothing. A reader looks at parts before tables: what a
merge takes from the one while it reads is by then in the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthbench.errors import ResultError
from depthbench.folder import (
    RunFolder,
    as_run_folder,
    check_version,
    create_run,
    find_runs,
    is_being_written,
    lock_run,
    read_run_json,
    run_folder,
    sync_folder,
    write_refusal,
    write_run_json,
)
from depthbench.parts import (
    PART_KEYS,
    Parts,
    open_parquet,
    read_part,
    read_parts,
    write_part,
    write_table,
)
from depthbench.record import METRICS, TABLES, column_names
from depthbench.tables import (
    NESTED,
    VERSION_KEY,
    check_names,
    conform,
    ordered,
    part_schema,
    table_schema,
    to_frame,
    unnest,
    versioned,
    without,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "Run",
    "RunFolder",
    "create_run",
    "find_runs",
    "finished_cells",
    "finished_trials",
    "is_being_written",
    "lock_run",
    "merge",
    "read_run",
    "read_run_json",
    "read_trial_row",
    "run_folder",
    "update_trial",
    "write_run_json",
    "write_timing_part",
    "write_trial_part",
]

AGAIN = "`depthbench run SUITE --run NAME` makes again what is missing"


@dataclass(frozen=True)
class Run:
    """Hold what a run has measured; tables have the columns of `record.TABLES`, in that order.

    `run` is run.json. `corrupt_parts` are finished trials or cells whose files cannot be read: they
    are missing from the tables until the run is resumed.
    """

    folder: Path
    run: dict[str, Any]
    trials: pd.DataFrame
    curves: pd.DataFrame
    timings: pd.DataFrame
    probes: pd.DataFrame
    corrupt_parts: tuple[Path, ...] = ()


def write_trial_part(
    folder: RunFolder,
    trial_row: Mapping[str, Any],
    curve_rows: Sequence[Mapping[str, Any]],
    probe_rows: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write all that a trial has measured as one file, on the disk when this returns.

    Raises:
        ValueError: A name that is no column, or a value of another type.
        ResultError: The file cannot be written.
    """
    trial_id = trial_row["trial_id"]
    nested = {"curves": list(curve_rows), "probes": list(probe_rows)}
    check_names(trial_row, column_names("trials"), "trials")
    for name, rows in nested.items():
        for row in rows:
            check_names(row, column_names(name), name)
            if row.get("trial_id", trial_id) != trial_id:
                raise ValueError(f"{name} of trial {row['trial_id']} given with {trial_id}")
    write_part(folder.trial_part(trial_id), {**trial_row, **nested}, "trials")


def write_timing_part(folder: RunFolder, timing_row: Mapping[str, Any]) -> None:
    """Write the measurement of one cell as a file, on the disk when this returns.

    Raises:
        ValueError: A name that is no column, or a value of another type.
        ResultError: The file cannot be written.
    """
    write_part(folder.cell_part(timing_row["cell_id"]), timing_row, "timings")


def finished_trials(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """Return, by trial_id, what resuming and selecting need: has this trial been done, how well?

    Each has `status`, `error`, `lr`, `val_loss`, `is_selected` and `has_test`. A part that cannot
    be read is renamed to *.corrupt, and its trial is not among them.

    Raises:
        ResultError: A table cannot be read.
    """
    tests = tuple(f"test_{metric}" for metric in METRICS)
    facts = ("status", "error", "lr", "val_loss", "is_selected")
    return {
        row["trial_id"]: {fact: row[fact] for fact in facts}
        | {"has_test": any(row[test] is not None for test in tests)}
        for row in _finished(folder, "trials", ("trial_id", *facts, *tests))
    }


def finished_cells(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """Return `status` and `error` of each cell that has been timed, by cell_id.

    A part that cannot be read is renamed to *.corrupt, and its cell is not among them.

    Raises:
        ResultError: A table cannot be read.
    """
    rows = _finished(folder, "timings", ("cell_id", "status", "error"))
    return {row.pop("cell_id"): row for row in rows}


def _finished(folder: RunFolder, name: str, only: Sequence[str]) -> list[dict[str, Any]]:
    parts = conform(read_parts(folder, name, set_aside=True).table, name, only)
    merged = _read_table(folder.table(name), name, only)
    return list(_replaced(merged, parts, PART_KEYS[name][1]).to_pylist())


def read_trial_row(folder: RunFolder, trial_id: str) -> dict[str, Any]:
    """Return one trial's row by column name, unknown values as None.

    Raises:
        ResultError: The trial is not among the results.
    """
    row = _trial(folder, trial_id)
    return {name: row[name] for name in column_names("trials")}


def update_trial(folder: RunFolder, trial_id: str, **values: Any) -> None:
    """Write a trial's part again with further columns; its curves and probes stay as they are.

    Raises:
        ValueError: A name that is no column, or a value of another type.
        ResultError: The trial is not among the results, or cannot be written.
    """
    check_names(values, column_names("trials"), "trials")
    row = _trial(folder, trial_id) | values
    write_part(folder.trial_part(trial_id), row, "trials")


def _trial(folder: RunFolder, trial_id: str) -> dict[str, Any]:
    """Return a trial's row, with `curves` and `probes` where they lie in its part.

    A row that comes from the merged table has neither, and a part without them leaves the merged
    ones as they are.
    """
    import pyarrow.compute as pc

    part = read_part(folder.trial_part(trial_id))
    if part is not None:
        table = conform(part, "trials")
    else:
        merged = _read_table(folder.table("trials"), "trials")
        table = merged.filter(pc.equal(merged.column("trial_id"), trial_id))
    if not table.num_rows:
        raise ResultError(f"{folder.path}: has no trial {trial_id}. {AGAIN}")
    known = set(part_schema("trials").names)
    return {name: value for name, value in table.to_pylist()[0].items() if name in known}


def merge(folder: RunFolder) -> None:
    """Bring parts and tables together into the four tables; parts are removed last.

    Raises:
        ResultError: A table cannot be read or written; then no part has been removed.
    """
    tables, parts = _read_all(folder, set_aside=True)
    for name, table in tables.items():
        write_table(folder.table(name), versioned(table), compression="zstd")
    if not parts.paths:
        return
    try:
        for path in parts.paths:
            path.unlink(missing_ok=True)
        sync_folder(folder.parts)
    except OSError as error:
        raise write_refusal(folder.parts, error) from error


def read_run(folder: RunFolder | Path | str) -> Run:
    """Return what a run has measured so far, merged or not, whoever rewrote its files.

    Raises:
        ResultError: A file is missing, cannot be read, is not a run's or is of a newer schema.
    """
    place = as_run_folder(folder)
    run = read_run_json(place)
    tables, parts = _read_all(place, set_aside=False)
    missing = [place.table(name) for name in TABLES if not place.table(name).exists()]
    if missing and run.get("status") == "finished":
        raise ResultError(
            f"{missing[0]}: missing, though the run is finished. Bring it back from a copy, or "
            f"{AGAIN}"
        )
    frames = {name: to_frame(table, name) for name, table in tables.items()}
    return Run(place.path, run, **frames, corrupt_parts=parts.corrupt)


def _read_all(folder: RunFolder, *, set_aside: bool) -> tuple[dict[str, pa.Table], Parts]:
    """Return the four tables, ordered, and which part files went into them."""
    trials = read_parts(folder, "trials", set_aside=set_aside)
    cells = read_parts(folder, "timings", set_aside=set_aside)
    merged = {name: _read_table(folder.table(name), name) for name in TABLES}
    new = {"trials": trials.table.drop_columns(list(NESTED)), "timings": cells.table}
    tables = {
        name: _replaced(merged[name], conform(table, name), PART_KEYS[name][1])
        for name, table in new.items()
    }
    for name in NESTED:
        holders = trials.table.filter(trials.table.column(name).is_valid())
        tables[name] = _replaced(
            merged[name], unnest(holders, name), "trial_id", holders.column("trial_id")
        )
    both = Parts(trials.table, trials.paths + cells.paths, trials.corrupt + cells.corrupt)
    return ordered(tables), both


def _replaced(
    merged: pa.Table, new: pa.Table, key: str, owners: pa.ChunkedArray | None = None
) -> pa.Table:
    """Return both tables as one; new rows take the place of those with the key of an owner."""
    import pyarrow as pa

    kept = without(merged, key, new.column(key) if owners is None else owners)
    return pa.concat_tables([kept, new], promote_options="default")


def _read_table(path: Path, name: str, only: Sequence[str] | None = None) -> pa.Table:
    """Return a merged table, empty where it does not exist yet."""
    import pyarrow as pa

    try:
        with open_parquet(path) as file:
            check_version(path, int((file.schema_arrow.metadata or {}).get(VERSION_KEY, b"0")))
            present = [column for column in only or () if column in file.schema_arrow.names]
            return conform(file.read(columns=present or None), name, only)
    except FileNotFoundError:
        return conform(table_schema(name).empty_table(), name, only)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ResultError(
            f"{path}: not a readable table of {name}: {reason}. Bring it back from a copy, or "
            f"{_way_out(path, name)}"
        ) from error


def _way_out(path: Path, name: str) -> str:
    """Return what makes a lost table again: resuming, where it says which work has been done."""
    if name in PART_KEYS:
        return f"remove it and make its rows again: depthbench run SUITE --run {path.parent.name}"
    return "make the run again under another name: depthbench run SUITE --run NAME"
