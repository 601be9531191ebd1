"""Arrow tables of the columns in `record.TABLES`: from rows, from whatever a file holds, to pandas.

A file may have been rewritten by pandas, DuckDB or Polars, or written by an older depthbench:
`conform` brings it to our columns. pyarrow is loaded inside functions, so that importing is light.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from depthbench.record import SCHEMA_VERSION, TABLES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

VERSION_KEY = b"depthbench_schema_version"
# Without these a file is no table of ours; any other column may be missing.
KEYS: dict[str, tuple[str, ...]] = {
    "trials": ("trial_id",),
    "curves": ("trial_id", "metric", "value"),
    "timings": ("cell_id",),
    "probes": ("trial_id", "metric", "value"),
}
# The order of rows, so that a table reads the same before and after a merge, whatever ended first;
# in long tables that of the trials comes before.
ORDER: dict[str, tuple[str, ...]] = {
    "trials": ("plan_index", "started_at", "trial_id"),
    "curves": ("step", "split", "metric"),
    "timings": ("plan_index", "started_at", "cell_id"),
    "probes": ("probe", "layer", "metric"),
}
# Long tables that lie, as lists, in the part of the trial they belong to.
NESTED = ("curves", "probes")
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def arrow_type(name: str) -> pa.DataType:
    """Return the Arrow type of a `record.ColumnType`."""
    import pyarrow as pa

    if name.startswith("list<"):
        return pa.list_(arrow_type(name[5:-1]))
    if name == "budget":
        numbers = ("target", "tolerance", "error_fraction")
        claims = ("is_solved", "is_on_budget")
        return pa.struct(
            [("match", pa.string())]
            + [(number, pa.float64()) for number in numbers]
            + [(claim, pa.bool_()) for claim in claims]
        )
    return {
        "string": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
    }[name]


@cache
def table_schema(name: str) -> pa.Schema:
    """Return the Arrow schema of a table of `record.TABLES`, marked with its version."""
    import pyarrow as pa

    return pa.schema(
        [(column.name, arrow_type(column.type)) for column in TABLES[name]],
        metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()},
    )


@cache
def part_schema(name: str) -> pa.Schema:
    """Return the schema of a table's part files; a trial's holds its curves and probes as lists."""
    import pyarrow as pa

    schema = table_schema(name)
    for nested in NESTED if name == "trials" else ():
        fields = [field for field in table_schema(nested) if field.name != "trial_id"]
        schema = schema.append(pa.field(nested, pa.list_(pa.struct(fields))))
    return schema


def check_names(found: Iterable[str], allowed: Sequence[str], where: str) -> None:
    """Refuse a name that no column has.

    Raises:
        ValueError: A defect of the caller; `record.TABLES` has every name.
    """
    unknown = sorted(set(found) - set(allowed))
    if unknown:
        raise ValueError(f"{where} has no column {', '.join(unknown)}; see record.TABLES")


def table_from_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table; a missing value is null, a NaN stays one.

    Raises:
        ValueError: A name that is not in the schema, or a value not of its column's type.
    """
    import pyarrow as pa

    for row in rows:
        check_names(row, schema.names, "the table")
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    try:
        structs = pa.array(plain, type=pa.struct(list(schema)))
        return pa.Table.from_struct_array(structs).cast(schema)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Column by column takes longer, and says which one it was.
        columns = [_array(field, [row.get(field.name) for row in plain]) for field in schema]
        return pa.table(columns, schema=schema)


def _array(field: pa.Field, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"column {field.name} is {field.type}: {error}") from error


def _plain(value: Any) -> Any:
    """Return numpy's scalars and arrays as Python's, and text without lone surrogates."""
    if value is None or type(value) in (float, int, bool):  # nearly all are
        return value
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def conform(table: pa.Table, name: str, only: Sequence[str] | None = None) -> pa.Table:
    """Return a table with our columns in our order and types, then any further ones it has.

    Args:
        table: What a file holds.
        name: The table of `record.TABLES` it should be.
        only: The columns that were asked for, where not all were.

    Raises:
        ValueError: A key column is missing, a name is twice there, or a value is of another type.
    """
    import pyarrow as pa

    present = dict(zip(table.column_names, table.columns, strict=True))
    if len(present) < table.num_columns:
        raise ValueError(f"not a table of {name}: a column is there twice")
    missing = [key for key in KEYS[name] if key not in present and (only is None or key in only)]
    if missing:
        raise ValueError(f"not a table of {name}: it has no column {', '.join(missing)}")
    columns: dict[str, Any] = {}
    for field in table_schema(name):
        found = present.pop(field.name, pa.nulls(table.num_rows, field.type))
        if only is None or field.name in only:
            columns[field.name] = _cast(found, field)
    if only is None:
        columns |= {extra: present[extra] for extra in present if not _is_index(extra)}
    return pa.table(columns)


def _is_index(column: str) -> bool:
    """Say whether this is the number of a row that pandas wrote as a column."""
    return _PANDAS_INDEX.fullmatch(column) is not None


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == field.type:
        return column
    if column.null_count == len(column):
        return pa.nulls(len(column), field.type)
    if pa.types.is_floating(column.type) and not pa.types.is_floating(field.type):
        # pandas stores whole numbers with gaps as floats, and the gaps as NaN.
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return _array(field, column.to_pylist())


def unnest(parts: pa.Table, name: str) -> pa.Table:
    """Return the rows of a long table that lie in trial parts, each with its trial's id."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = parts.column(name).combine_chunks()
    rows = pc.list_flatten(lists)
    owners = pc.take(parts.column("trial_id"), pc.list_parent_indices(lists))
    names = [field.name for field in rows.type]
    return conform(pa.table([owners, *rows.flatten()], names=["trial_id", *names]), name)


def without(table: pa.Table, key: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return the rows of a table whose key is none of these values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.is_in(table.column(key), value_set=values.cast(pa.string()))
    return table.filter(pc.invert(known))


def filled_in(table: pa.Table, values: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Return trials with further columns, which are given by trial_id.

    Raises:
        ValueError: A value is not of its column's type.
    """
    found = [values.get(identity, {}) for identity in table.column("trial_id").to_pylist()]
    for name in dict.fromkeys(name for row in found for name in row):
        before = table.column(name).to_pylist()
        after = [row.get(name, old) for row, old in zip(found, before, strict=True)]
        place, field = table.column_names.index(name), table_schema("trials").field(name)
        table = table.set_column(place, field, _array(field, [_plain(value) for value in after]))
    return table


def ordered(name: str, table: pa.Table, trials: pa.ChunkedArray | None = None) -> pa.Table:
    """Return a table in the order in which every reader sees it.

    Args:
        name: The table of `record.TABLES` it is.
        table: Its rows.
        trials: For a long table, the ids of its trials in their order.
    """
    return _sorted(table, ORDER[name], trials)


def is_ordered(table: pa.Table, name: str) -> bool:
    """Say whether a table of trials or timings is in the order in which every reader sees it."""
    import pyarrow.compute as pc

    keys = [(key, "ascending") for key in ORDER[name]]
    places = pc.sort_indices(table.select(ORDER[name]), sort_keys=keys).to_numpy()
    return bool((places[1:] > places[:-1]).all())


def _sorted(
    table: pa.Table, keys: Sequence[str], trials: pa.ChunkedArray | None = None
) -> pa.Table:
    """Return rows sorted by columns, and before by the place of their trial among these."""
    import pyarrow as pa
    import pyarrow.compute as pc

    by = {str(number): table.column(key) for number, key in enumerate(keys)}
    if trials is not None:
        owners = table.column("trial_id")
        places = pc.index_in(owners, value_set=trials.combine_chunks())
        by = {"place": places, "owner": owners, **by}
    order = [(name, "ascending") for name in by]
    return table.take(pc.sort_indices(pa.table(by), sort_keys=order))


def versioned(table: pa.Table) -> pa.Table:
    """Return the table marked with our schema's version."""
    return table.replace_schema_metadata({VERSION_KEY: str(SCHEMA_VERSION).encode()})


def to_frame(table: pa.Table, name: str) -> pd.DataFrame:
    """Return a table as a DataFrame; whole numbers and flags stay so where some are null.

    A null is NaN in a float column and `pd.NA` in a column of whole numbers or flags.
    """
    import pandas as pd

    nullable = {"int64": pd.Int64Dtype(), "bool": pd.BooleanDtype()}
    gaps = [
        column.name
        for column in TABLES[name]
        if column.type in nullable and table.column(column.name).null_count
    ]
    bare = table.replace_schema_metadata(None)
    plain = bare.drop_columns(gaps).to_pandas()
    masked = bare.select(gaps).to_pandas(types_mapper=lambda kind: nullable.get(str(kind)))
    return pd.concat([plain, masked], axis="columns")[table.column_names]
