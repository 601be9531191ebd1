"""The tables of a run for a reader: whole, or a few of their columns, a batch of rows at a time.

A large run is read from its files column by column, so that a report on a million timings does not
hold their samples; the files stay open, so that a merge meanwhile changes nothing. Any other run is
read at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from depthbench.folder import RunFolder
from depthbench.merging import open_table, read_all, reading
from depthbench.record import TABLES
from depthbench.tables import ORDER, conform, is_ordered

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

Row = dict[str, Any]
Columns = dict[str, list[Any]]
ROWS_A_BATCH = 16_384
# Tables that are smaller are read whole: then all of them is checked, and what happens to the files
# afterwards changes nothing.
LARGE_BYTES = 64 << 20


class Tables(Protocol):
    """The four tables of `record.TABLES`, in the order in which every reader sees them."""

    def read(self, name: str) -> pa.Table:
        """Return a whole table."""

    def num_rows(self, name: str) -> int:
        """Return how many rows a table has."""

    def batches(self, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield a table in batches of rows, with those of these columns that it has."""


class HeldTables:
    """Tables in memory."""

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self._tables = tables

    def read(self, name: str) -> pa.Table:
        """Return a whole table."""
        return self._tables[name]

    def num_rows(self, name: str) -> int:
        """Return how many rows a table has."""
        return int(self._tables[name].num_rows)

    def batches(self, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield a table in batches of rows, with those of these columns that it has."""
        table = self._tables[name]
        table = table.select([column for column in columns if column in table.column_names])
        for start in range(0, table.num_rows, ROWS_A_BATCH):
            yield table.slice(start, ROWS_A_BATCH)


class FileTables:
    """Tables in the files of a merged run, each open from the first look at it.

    Raises:
        ResultError: from any method, where a file cannot be read.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._paths = {name: folder.table(name) for name in TABLES}
        self._files: dict[str, pq.ParquetFile] = {}
        for name, path in self._paths.items():
            with reading(path, name):
                self._files[name] = open_table(path)

    def read(self, name: str) -> pa.Table:
        """Return a whole table."""
        with reading(self._paths[name], name):
            return conform(self._files[name].read(), name)

    def num_rows(self, name: str) -> int:
        """Return how many rows a table has."""
        return int(self._files[name].metadata.num_rows)

    def batches(self, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield a table in batches of rows, with those of these columns that it has."""
        import pyarrow as pa

        file = self._files[name]
        present = [column for column in columns if column in file.schema_arrow.names]
        found = file.iter_batches(ROWS_A_BATCH, columns=present)
        while True:
            with reading(self._paths[name], name):
                batch = next(found, None)
                if batch is None:
                    return
                table = conform(pa.Table.from_batches([batch]), name, present)
            yield table

    def is_ordered(self) -> bool:
        """Say whether rows lie as `ordered` lays them; a file that others rewrote may not."""
        return all(self._is_ordered(name) for name in ("trials", "timings"))

    def _is_ordered(self, name: str) -> bool:
        with reading(self._paths[name], name):
            present = [key for key in ORDER[name] if key in self._files[name].schema_arrow.names]
            return is_ordered(
                conform(self._files[name].read(columns=present), name, ORDER[name]), name
            )


def open_tables(
    folder: RunFolder, large_bytes: int = LARGE_BYTES
) -> tuple[Tables, tuple[Path, ...]]:
    """Return a run's tables, and which part files cannot be read.

    Args:
        folder: the run.
        large_bytes: files of so many bytes together are read column by column, once merged.

    Raises:
        ResultError: A table cannot be read.
    """
    paths = [folder.table(name) for name in TABLES]
    is_merged = not any(folder.parts.glob("*.parquet")) and all(path.exists() for path in paths)
    if is_merged and sum(path.stat().st_size for path in paths) >= large_bytes:
        files = FileTables(folder)
        if files.is_ordered():
            return files, ()
    tables, corrupt = read_all(folder)
    return HeldTables(tables), corrupt


def plain_rows(
    tables: Tables,
    name: str,
    columns: Sequence[str],
    tested: Sequence[str] = (),
    is_wanted: Callable[..., bool] | None = None,
) -> Iterator[Row]:
    """Yield rows with these columns as dicts; null, NaN and absent columns are None.

    Args:
        tables: of a run.
        name: of the table.
        columns: of the rows.
        tested: what `is_wanted` is given of each row; the rest is only looked at where it says so.
        is_wanted: says which rows to yield; None: all.
    """
    names = tuple(dict.fromkeys(columns))
    for batch in tables.batches(name, (*names, *(n for n in tested if n not in names))):
        if is_wanted is not None:
            found = plain_batch(batch, tested)
            wanted = [bool(is_wanted(*row)) for row in zip(*found.values(), strict=True)]
            if not any(wanted):
                continue
            batch = batch.filter(wanted)
        for row in zip(*plain_batch(batch, names).values(), strict=True):
            yield dict(zip(names, row, strict=True))


def plain_columns(tables: Tables, name: str, columns: Sequence[str]) -> Iterator[Columns]:
    """Yield these columns in batches of rows; null, NaN and absent columns are None."""
    names = tuple(dict.fromkeys(columns))
    for batch in tables.batches(name, names):
        yield plain_batch(batch, names)


def plain_batch(batch: pa.Table, columns: Sequence[str]) -> Columns:
    """Return these columns of a table as `plain_columns` has them."""
    present, nothing = set(batch.column_names), [None] * batch.num_rows
    return {n: plain_values(batch.column(n)) if n in present else nothing for n in columns}


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """Return a column as Python's values, null and NaN as None; equal texts are one object.

    Arrow's own `to_pylist` makes a scalar of every value on the way, and takes several times as
    long.
    """
    import pyarrow as pa

    kind = column.type
    if column.null_count == len(column):
        return [None] * len(column)
    if pa.types.is_floating(kind):
        return _numbers(column)
    if pa.types.is_integer(kind) and not column.null_count:
        return list(column.to_numpy().tolist())
    if pa.types.is_string(kind):
        return _texts(column)
    if pa.types.is_list(kind):
        return [found for chunk in column.chunks for found in _lists(chunk)]
    return list(column.to_pylist())


def _numbers(column: pa.ChunkedArray) -> list[Any]:
    """Return floats; those without a value are NaN in numpy, which alone is not itself."""
    found = column.to_numpy()
    values: list[Any] = found.tolist()
    if (found == found).all():
        return values
    return [value if value == value else None for value in values]


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """Return texts, each different one made once."""
    encoded = column.combine_chunks().dictionary_encode()
    words = [*encoded.dictionary.to_pylist(), None]  # the last is that of no index
    places = encoded.indices.fill_null(len(words) - 1)
    return [words[place] for place in places.to_numpy().tolist()]


def _lists(chunk: pa.ListArray) -> list[Any]:
    """Return lists, all items first."""
    import pyarrow as pa

    flat = chunk.values
    if flat.null_count:
        return list(chunk.to_pylist())
    is_number = pa.types.is_primitive(flat.type)
    items = flat.to_numpy(zero_copy_only=False).tolist() if is_number else flat.to_pylist()
    missing = chunk.is_null().to_pylist() if chunk.null_count else None
    lists = [items[start:end] for start, end in pairwise(chunk.offsets.to_numpy().tolist())]
    if missing is None:
        return lists
    return [None if gone else found for found, gone in zip(lists, missing, strict=True)]
