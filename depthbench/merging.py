"""Bring a run's parts and tables together, for a reader in memory, for good a batch at a time.

A merge goes through the trials in the order of the tables, so that what it holds of them does not
grow with their number, and gives the tables their names only when all are on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthbench.errors import ResultError
from depthbench.folder import RunFolder, check_version, sync_folder, write_refusal
from depthbench.parts import (
    PART_KEYS,
    Parts,
    open_parquet,
    read_parts,
    table_files,
)
from depthbench.record import TABLES
from depthbench.tables import (
    NESTED,
    ORDER,
    VERSION_KEY,
    conform,
    filled_in,
    ordered,
    table_schema,
    unnest,
    versioned,
    without,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

OF_TRIALS = ("trials", *NESTED)
# Each batch is a row group of the tables: many small ones are slow to read.
TRIALS_A_BATCH = 512


def merge(
    folder: RunFolder, values: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[Path, ...]:
    """Bring parts and tables together into the four tables; parts are removed last.

    Args:
        folder: The run.
        values: Further columns of some trials, by trial_id.

    Returns:
        Where parts that could not be read were set aside: what they held is missing.

    Raises:
        ResultError: A table cannot be read or written; then no part has been removed.
    """
    names = ("trial_id", *ORDER["trials"])
    keys = read_parts(folder, "trials", set_aside=True, only=names, is_all_checked=False)
    cells = read_parts(folder, "timings", set_aside=True)
    corrupt = keys.corrupt + cells.corrupt
    if keys.paths or values or not all(folder.table(name).exists() for name in OF_TRIALS):
        corrupt += _merge_trials(folder, keys, values or {})
    if cells.paths or not folder.table("timings").exists():
        _merge_cells(folder, cells)
    _remove(folder, keys.paths + cells.paths)
    return corrupt


def _merge_cells(folder: RunFolder, cells: Parts) -> None:
    merged = read_table(folder.table("timings"), "timings")
    new = conform(cells.table, "timings")
    table = versioned(ordered("timings", replaced(merged, new, "cell_id")))
    with table_files({folder.table("timings"): table.schema}) as (file,):
        file.write_table(table)


def _merge_trials(
    folder: RunFolder, keys: Parts, values: Mapping[str, Mapping[str, Any]]
) -> tuple[Path, ...]:
    """Write the tables of trials, a batch of trials at a time; return what was set aside."""
    merged = {name: read_table(folder.table(name), name) for name in OF_TRIALS}
    schemas = {name: versioned(table).schema for name, table in merged.items()}
    corrupt: tuple[Path, ...] = ()
    with table_files({folder.table(name): schemas[name] for name in OF_TRIALS}) as files:
        for batch in _in_order(merged["trials"], keys):
            parts = read_parts(folder, "trials", set_aside=True, ids=batch)
            corrupt += parts.corrupt
            old = {name: of_trials(table, batch) for name, table in merged.items()}
            tables = trial_tables(old, parts.table)
            tables["trials"] = filled_in(tables["trials"], values)
            for name, file in zip(OF_TRIALS, files, strict=True):
                if tables[name].num_rows:
                    file.write_table(_as_schema(tables[name], schemas[name]))
    return corrupt


def _as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _in_order(merged: pa.Table, keys: Parts) -> Iterator[list[str]]:
    """Yield the ids of all trials in the order of the table, a batch at a time."""
    names = list(dict.fromkeys(("trial_id", *ORDER["trials"])))
    new = conform(keys.table, "trials", names)
    every = ordered("trials", replaced(merged.select(names), new, "trial_id"))
    ids = every.column("trial_id").to_pylist()
    for start in range(0, len(ids), TRIALS_A_BATCH):
        yield ids[start : start + TRIALS_A_BATCH]


def of_trials(table: pa.Table, ids: Sequence[str]) -> pa.Table:
    """Return the rows of some trials, by their ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not table.num_rows:
        return table
    return table.filter(pc.is_in(table.column("trial_id"), value_set=pa.array(ids, pa.string())))


def _remove(folder: RunFolder, paths: Sequence[Path]) -> None:
    if not paths:
        return
    try:
        for path in paths:
            path.unlink(missing_ok=True)
        sync_folder(folder.parts)
    except OSError as error:
        raise write_refusal(folder.parts, error) from error


def read_all(folder: RunFolder) -> tuple[dict[str, pa.Table], tuple[Path, ...]]:
    """Return the four tables, ordered, and which part files cannot be read.

    Raises:
        ResultError: A table cannot be read.
    """
    trials = read_parts(folder, "trials", set_aside=False)
    cells = read_parts(folder, "timings", set_aside=False)
    merged = {name: read_table(folder.table(name), name) for name in TABLES}
    tables = trial_tables({name: merged[name] for name in OF_TRIALS}, trials.table)
    timings = replaced(merged["timings"], conform(cells.table, "timings"), "cell_id")
    tables["timings"] = ordered("timings", timings)
    return {name: tables[name] for name in TABLES}, trials.corrupt + cells.corrupt


def trial_tables(merged: Mapping[str, pa.Table], parts: pa.Table) -> dict[str, pa.Table]:
    """Return trials, curves and probes from tables and parts, ordered; parts win."""
    new = conform(parts.drop_columns(list(NESTED)), "trials")
    trials = ordered("trials", replaced(merged["trials"], new, "trial_id"))
    tables = {"trials": trials}
    for name in NESTED:
        holders = parts.filter(parts.column(name).is_valid())
        table = replaced(
            merged[name], unnest(holders, name), "trial_id", holders.column("trial_id")
        )
        tables[name] = ordered(name, table, trials.column("trial_id"))
    return tables


def replaced(
    merged: pa.Table, new: pa.Table, key: str, owners: pa.ChunkedArray | None = None
) -> pa.Table:
    """Return both tables as one; new rows take the place of those with the key of an owner."""
    import pyarrow as pa

    kept = without(merged, key, new.column(key) if owners is None else owners)
    return pa.concat_tables([kept, new], promote_options="default")


def read_table(path: Path, name: str, only: Sequence[str] | None = None) -> pa.Table:
    """Return a merged table, empty where it does not exist yet.

    Raises:
        ResultError: It cannot be read, or is no table of this name.
    """
    try:
        with reading(path, name), open_table(path) as file:
            names = file.schema_arrow.names  # made anew at each look
            present = [column for column in only or () if column in names]
            return conform(file.read(columns=present or None), name, only)
    except FileNotFoundError:
        return conform(table_schema(name).empty_table(), name, only)


def open_table(path: Path) -> pq.ParquetFile:
    """Open a merged table of a schema that is known.

    Raises:
        ResultError: It is of a newer schema.
    """
    file = open_parquet(path)
    check_version(path, int((file.schema_arrow.metadata or {}).get(VERSION_KEY, b"0")))
    return file


@contextmanager
def reading(path: Path, name: str) -> Iterator[None]:
    """Tell of a merged table that cannot be read, or is no table of this name, as users can mend.

    Raises:
        FileNotFoundError: It does not exist.
        ResultError: It cannot be read.
    """
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise
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
