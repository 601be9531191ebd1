"""Results on disk: one part file a trial or cell while a run goes on, four tables when it is done.

A part appears wholly or not at all, and is on the disk before its trial counts as finished. A merge
writes the tables first and removes parts last, and a part wins over a row of the same id, so that a
crash at any moment loses nothing and doubles nothing. A reader looks at parts before tables: what a
merge takes from the one while it reads is by then in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthbench.errors import ResultError
from depthbench.folder import (
    RunFolder,
    as_run_folder,
    create_run,
    find_runs,
    is_being_written,
    lock_run,
    read_run_json,
    run_folder,
    write_run_json,
)
from depthbench.merging import merge, of_trials, read_table, replaced
from depthbench.parts import (
    PART_KEYS,
    read_part,
    read_parts,
    write_part,
)
from depthbench.record import METRICS, TABLES, column_names
from depthbench.run_tables import Tables, open_tables, plain_columns, plain_rows
from depthbench.tables import (
    ORDER,
    check_names,
    conform,
    ordered,
    part_schema,
    to_frame,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "Run",
    "RunFolder",
    "TrialUpdates",
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
    "update_trials",
    "write_run_json",
    "write_timing_part",
    "write_trial_part",
]

AGAIN = "`depthbench run SUITE --run NAME` makes again what is missing"


@dataclass(frozen=True)
class Run:
    """What a run has measured; tables have the columns of `record.TABLES`, in that order.

    `run` is run.json. `corrupt_parts` are finished trials or cells whose files cannot be read: they
    are missing from the tables until the run is resumed.
    """

    folder: Path
    run: dict[str, Any]
    tables: Tables
    corrupt_parts: tuple[Path, ...] = ()

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Return a row a trial."""
        return to_frame(self.tables.read("trials"), "trials")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Return a row a metric of a trial at a step."""
        return to_frame(self.tables.read("curves"), "curves")

    @cached_property
    def timings(self) -> pd.DataFrame:
        """Return a row a timed cell."""
        return to_frame(self.tables.read("timings"), "timings")

    @cached_property
    def probes(self) -> pd.DataFrame:
        """Return a row a measurement inside a trained network."""
        return to_frame(self.tables.read("probes"), "probes")

    def rows(
        self,
        name: str,
        columns: Iterable[str],
        tested: Sequence[str] = (),
        is_wanted: Callable[..., bool] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table with these columns alone; others are not read.

        Args:
            name: trials, curves, timings or probes.
            columns: null, NaN and columns that the table does not have are None.
            tested: columns whose values `is_wanted` is given, row by row.
            is_wanted: says which rows to yield; None: all.

        Raises:
            ResultError: The table cannot be read.
        """
        return plain_rows(self.tables, name, tuple(columns), tested, is_wanted)

    def columns(self, name: str, columns: Iterable[str]) -> Iterator[dict[str, list[Any]]]:
        """Yield these columns of a table in batches of rows, for tables of a million rows.

        Args:
            name: trials, curves, timings or probes.
            columns: null, NaN and columns that the table does not have are None.

        Raises:
            ResultError: The table cannot be read.
        """
        return plain_columns(self.tables, name, tuple(columns))


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
    parts = conform(read_parts(folder, name, set_aside=True, only=only).table, name, only)
    merged = read_table(folder.table(name), name, only)
    return list(replaced(merged, parts, PART_KEYS[name][1]).to_pylist())


def read_trial_row(folder: RunFolder, trial_id: str) -> dict[str, Any]:
    """Return one trial's row by column name, unknown values as None.

    Raises:
        ResultError: The trial is not among the results.
    """
    row = TrialUpdates(folder, [trial_id]).row(trial_id)
    return {name: row.get(name) for name in column_names("trials")}


def update_trial(folder: RunFolder, trial_id: str, **values: Any) -> None:
    """Write a trial's part again with further columns; its curves and probes stay as they are.

    Raises:
        ValueError: A name that is no column, or a value of another type.
        ResultError: The trial is not among the results, or cannot be written.
    """
    TrialUpdates(folder, [trial_id]).write(trial_id, **values)


def update_trials(folder: RunFolder, values: Mapping[str, Mapping[str, Any]]) -> None:
    """Merge, and give many trials further columns on the way; one by one, each would cost a file.

    A trial that is not among the results is passed over.

    Raises:
        ValueError: A name that is no column, or a value of another type.
        ResultError: A table cannot be read or written; then nothing has changed.
    """
    for row in values.values():
        check_names(row, column_names("trials"), "trials")
    merge(folder, values)


class TrialUpdates:
    """Write parts of trials again with further columns, one trial at a time.

    Of trials that were merged before, the table is read once, for all of them.

    Args:
        folder: The run, in which nothing else is merged meanwhile.
        trial_ids: The trials that may be written.
    """

    def __init__(self, folder: RunFolder, trial_ids: Iterable[str]) -> None:
        self._folder, self._ids = folder, list(trial_ids)

    def write(self, trial_id: str, **values: Any) -> None:
        """Write a trial's part again; its curves and probes stay as they are.

        Raises:
            ValueError: A name that is no column, or a value of another type.
            ResultError: The trial is not among the results, or cannot be written.
        """
        check_names(values, column_names("trials"), "trials")
        write_part(self._folder.trial_part(trial_id), self.row(trial_id) | values, "trials")

    def row(self, trial_id: str) -> dict[str, Any]:
        """Return what is known of a trial, with `curves` and `probes` where they lie in its part.

        A row that comes from the merged table has neither, and a part without them leaves the
        merged ones as they are.

        Raises:
            ResultError: The trial is not among the results.
        """
        table = read_part(self._folder.trial_part(trial_id))
        if table is None:
            table = self._of_merged(trial_id)
        if not table.num_rows:
            raise ResultError(f"{self._folder.path}: has no trial {trial_id}. {AGAIN}")
        known = set(part_schema("trials").names)
        return {name: value for name, value in table.to_pylist()[0].items() if name in known}

    def _of_merged(self, trial_id: str) -> pa.Table:
        table, places = self._merged
        return table.slice(places.get(trial_id, table.num_rows), 1)

    @cached_property
    def _merged(self) -> tuple[pa.Table, dict[str, int]]:
        """Return the merged rows of the trials that may be written, and the place of each."""
        table = of_trials(read_table(self._folder.table("trials"), "trials"), self._ids)
        names = table.column("trial_id").to_pylist()
        return table, {name: place for place, name in enumerate(names)}


def read_rows(
    folder: RunFolder | Path | str, name: str, only: Sequence[str]
) -> list[dict[str, Any]]:
    """Return some columns of `trials` or `timings` as rows, in order; the others are not read.

    Args:
        folder: The run.
        name: The table.
        only: The columns; null where the file has none of that name.

    Raises:
        ResultError: A file is missing or cannot be read, or is of a newer schema.
    """
    place = as_run_folder(folder)
    wanted = tuple(dict.fromkeys((*only, *ORDER[name], PART_KEYS[name][1])))
    parts = read_parts(place, name, set_aside=False, only=wanted, is_all_checked=False)
    if parts.corrupt:
        raise ResultError(f"{parts.corrupt[0]}: cannot be read; {AGAIN}")
    if not parts.paths and not place.table(name).exists():
        raise ResultError(f"{place.table(name)}: missing. Bring it back from a copy, or {AGAIN}")
    new = conform(parts.table, name, wanted)
    table = replaced(read_table(place.table(name), name, wanted), new, PART_KEYS[name][1])
    return list(ordered(name, table).to_pylist())


def read_run(folder: RunFolder | Path | str) -> Run:
    """Return what a run has measured so far, merged or not, whoever rewrote its files.

    Raises:
        ResultError: A file is missing, cannot be read, is not a run's or is of a newer schema.
    """
    place = as_run_folder(folder)
    run = read_run_json(place)
    tables, corrupt = open_tables(place)
    missing = [place.table(name) for name in TABLES if not place.table(name).exists()]
    if missing and run.get("status") == "finished":
        raise ResultError(
            f"{missing[0]}: missing, though the run is finished. Bring it back from a copy, or "
            f"{AGAIN}"
        )
    return Run(place.path, run, tables, corrupt)
