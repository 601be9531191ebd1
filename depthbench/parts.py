"""Part files: one a finished trial or timed cell, there wholly or not at all."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from depthbench.errors import ResultError
from depthbench.folder import RunFolder, atomic_files, write_refusal
from depthbench.tables import check_names, part_schema, table_from_rows

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Which tables have parts: the first word of the file's name, and the column that names the row.
PART_KEYS = {"trials": ("trial", "trial_id"), "timings": ("cell", "cell_id")}
# Reading small files is bound by opening them; small tables are joined this many at a time, since
# each column of each costs memory of its own.
NUM_READERS = 4
PARTS_A_BATCH = 64


@dataclass(frozen=True)
class Parts:
    """Hold the part files of one table, joined, and the paths of those that cannot be read."""

    table: pa.Table
    paths: tuple[Path, ...]
    corrupt: tuple[Path, ...]


def write_part(path: Path, row: Mapping[str, Any], name: str) -> None:
    """Write one row of a table as a part, on the disk when this returns.

    Raises:
        ValueError: A name that is no column, or a value of another type.
        ResultError: The file cannot be written.
    """
    import pyarrow as pa

    schema = part_schema(name)
    check_names(row, schema.names, "the table")
    # Parquet's cost is by the column: one that is null is left out, and read as null.
    known = pa.schema([field for field in schema if row.get(field.name) is not None])
    table = table_from_rows([{column: row[column] for column in known.names}], known)
    # Statistics, dictionaries and compression pay off in large files alone.
    with (
        atomic_files(path) as (file,),
        _writer(
            file, known, compression="none", use_dictionary=False, write_statistics=False
        ) as writer,
    ):
        writer.write_table(table)


@contextmanager
def table_files(schemas: Mapping[Path, pa.Schema]) -> Iterator[list[pq.ParquetWriter]]:
    """Write tables a batch at a time; they get their names together, when the block ends.

    Raises:
        ResultError: A file cannot be written; then none of them has changed.
    """
    with atomic_files(*schemas) as files, ExitStack() as stack:
        yield [
            stack.enter_context(_writer(file, schema, compression="zstd"))
            for file, schema in zip(files, schemas.values(), strict=True)
        ]


def _writer(file: BinaryIO, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(file, schema, write_page_checksum=True, **options)


def read_parts(
    folder: RunFolder,
    name: str,
    *,
    set_aside: bool,
    only: Collection[str] | None = None,
    ids: Iterable[str] | None = None,
    is_all_checked: bool = True,
) -> Parts:
    """Return all parts of a table; one that a merge removes meanwhile is left to the table.

    Args:
        folder: The run.
        name: `trials` or `timings`.
        set_aside: Rename a part that cannot be read to *.corrupt, so that it is made again.
        only: The columns to return (default: all).
        is_all_checked: Find corruption in columns that are not returned, too.
        ids: The rows whose parts to return, those that have one (default: all).

    Raises:
        ResultError: The disk cannot be read, or a part not be renamed.
    """
    prefix, key = PART_KEYS[name]
    if ids is None:
        paths = sorted(folder.parts.glob(f"{prefix}-*.parquet"))
    else:
        paths = [folder.parts / f"{prefix}-{identity}.parquet" for identity in ids]
    tables = [_chosen(part_schema(name).empty_table(), only)]
    good: list[Path] = []
    corrupt: list[Path] = []
    for batch in _batches(paths, None if is_all_checked else only):
        pieces = []
        for path, table in batch:
            if table is not None and _ids(table, key) == [path.stem.removeprefix(f"{prefix}-")]:
                pieces.append(_chosen(table, only))
                good.append(path)
            elif path.exists():
                corrupt.append(_set_aside(path) if set_aside else path)
        if pieces:
            tables.append(_joined(pieces).combine_chunks())
    return Parts(_joined(tables), tuple(good), tuple(corrupt))


def _chosen(table: pa.Table, only: Collection[str] | None) -> pa.Table:
    if only is None:
        return table
    return table.select([name for name in table.column_names if name in only])


def read_part(path: Path, only: Collection[str] | None = None) -> pa.Table | None:
    """Return a part's table, or None where it is missing or corrupt.

    Args:
        path: The part.
        only: The columns to read (default: all); a checksum tells only of what was read.

    Raises:
        ResultError: The disk cannot be read.
    """
    import pyarrow as pa

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        with open_parquet(pa.BufferReader(content)) as file:
            present = file.schema_arrow.names
            columns = None if only is None else [name for name in present if name in only]
            # Threads within a file of one row cost more than they bring.
            return file.read(columns=columns, use_threads=False)
    except (OSError, ValueError, pa.ArrowException):
        return None


def open_parquet(source: Path | pa.NativeFile) -> pq.ParquetFile:
    """Open a Parquet file whose checksums, where it has any, are verified in reading."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)


def _batches(
    paths: list[Path], only: Collection[str] | None
) -> Iterator[list[tuple[Path, pa.Table | None]]]:
    read = partial(read_part, only=only)
    with ThreadPoolExecutor(NUM_READERS) as pool:
        for start in range(0, len(paths), PARTS_A_BATCH):
            batch = paths[start : start + PARTS_A_BATCH]
            yield list(zip(batch, pool.map(read, batch), strict=True))


def _joined(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(tables, promote_options="permissive")


def _ids(table: pa.Table, key: str) -> list[Any]:
    return table.column(key).to_pylist() if key in table.column_names else []


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.corrupt")
    try:
        path.replace(aside)
    except OSError as error:
        raise write_refusal(path, error) from error
    # Unless told otherwise, logging writes this to standard error as it is.
    logging.getLogger(__name__).warning(
        "%s: cannot be read; it is set aside as %s, and what it held is run again", path, aside.name
    )
    return aside
