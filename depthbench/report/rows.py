"""Rows of result tables as plain values: filters that choose among them, what tells them apart."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from math import isclose
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

Row = dict[str, Any]
Key = tuple[Any, ...]


def records(table: DataFrame, columns: Iterable[str]) -> list[Row]:
    """Return a table's rows with these columns as dicts; null, NaN and absent columns are None."""
    names = tuple(dict.fromkeys(columns))
    values = [_plain_column(table, name) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _plain_column(table: DataFrame, name: str) -> list[Any]:
    if name not in table.columns:
        return [None] * len(table)
    column = table[name].astype(object)
    return [_plain(value) for value in column.where(column.notna(), None)]


def _plain(value: Any) -> Any:
    """Return numpy scalars and arrays as Python numbers and lists."""
    return value.tolist() if hasattr(value, "tolist") else value


def matches(row: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Say whether a row has, in each column, the value or one of the values asked for.

    A list is asked for by its text, "[64, 128]", and what is not there by "none".
    """
    return all(
        any(_is_same(row.get(name), value) for value in _listed(wanted))
        for name, wanted in conditions.items()
    )


def _listed(wanted: Any) -> Sequence[Any]:
    return wanted if isinstance(wanted, (list, tuple)) else (wanted,)


def _is_same(found: Any, wanted: Any) -> bool:
    if found is None or isinstance(found, list):
        return isinstance(wanted, str) and as_text(found) == wanted
    if isinstance(found, bool) or isinstance(wanted, bool):
        return isinstance(found, bool) and isinstance(wanted, bool) and found == wanted
    if isinstance(found, str):
        return found == as_text(wanted)
    return not isinstance(wanted, str) and isclose(found, wanted, rel_tol=1e-12)


def as_text(value: Any) -> str:
    """Return a setting as a suite would write it: 0.001, true, relu."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_text(item) for item in value) + "]"
    return "none" if value is None else str(value)


def distinguishing(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], always: Sequence[str] = ()
) -> list[str]:
    """Return columns that together tell rows apart as well as all of them do, few of them."""
    wanted = len({key_of(row, (*always, *columns)) for row in rows})
    shown = list(always)
    for name in columns:
        num_told = len({key_of(row, shown) for row in rows})
        if num_told == wanted:
            break
        if name not in shown and len({key_of(row, (*shown, name)) for row in rows}) > num_told:
            shown.append(name)
    return shown


def settings_text(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """Return settings in words, null ones left out: optimizer sgd, epochs 5."""
    given = [name for name in columns if row[name] is not None]
    return ", ".join(f"{name.replace('_', ' ')} {as_text(row[name])}" for name in given)


def key_of(row: Mapping[str, Any], columns: Sequence[str]) -> Key:
    """Return the values of these columns, lists as tuples."""
    values = tuple(map(row.__getitem__, columns))
    if list not in map(type, values):
        return values
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def describe(conditions: Mapping[str, Any]) -> str:
    """Return a filter in words: family deep, depth 2 or 4."""
    parts = (
        f"{name} {' or '.join(as_text(value) for value in _listed(wanted))}"
        for name, wanted in conditions.items()
    )
    return ", ".join(parts) or "all"


def explain_no_match(rows: Sequence[Row], conditions: Mapping[str, Any]) -> str:
    """Return why no row meets the conditions: which value is nowhere, and what there is."""
    for name, wanted in conditions.items():
        if any(matches(row, {name: wanted}) for row in rows):
            continue
        present = sorted({as_text(row[name]) for row in rows if row.get(name) is not None})
        if not present:
            return f"no row has a {name}"
        asked = " or ".join(as_text(value) for value in _listed(wanted))
        near = difflib.get_close_matches(asked, present, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"no row has {name} {asked}; there is {join(present, limit=8)}{hint}"
    return f"no row has all of: {describe(conditions)}"


def join(parts: Sequence[str], word: str = "and", limit: int | None = None) -> str:
    """Return a list in words: a, b and c; beyond the limit, how many more there are."""
    if limit is not None and len(parts) > limit:
        parts = [*parts[:limit], f"{len(parts) - limit} more"]
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"
