"""Walk a chart as Vega-Lite writes it: its encodings, its rows, whether it is one view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Spec = dict[str, Any]

_FACETS = ("row", "column", "facet")


def is_one_view(spec: Spec) -> bool:
    """Say whether a chart is a single view or layers of one, which alone can fill a place."""
    if not ("mark" in spec or "layer" in spec):
        return False
    return not any(channel in encoding for encoding in encodings(spec) for channel in _FACETS)


def has_own_legends(spec: Spec) -> bool:
    """Say whether each of a chart's views has colours, and so a legend, of its own."""
    scales = spec.get("resolve", {}).get("scale", {})
    return "concat" in spec and scales.get("color") == "independent"


def encodings(node: Any) -> Iterator[Spec]:
    """Yield every encoding of a chart, of whatever views it is made."""
    if isinstance(node, list):
        for item in node:
            yield from encodings(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "encoding" and isinstance(value, dict):
                yield value
            elif key not in ("data", "datasets", "config"):
                yield from encodings(value)


def rows_of(node: Any) -> Iterator[Spec]:
    """Yield every row of data in a chart."""
    if isinstance(node, list):
        for item in node:
            yield from rows_of(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "datasets":
                for rows in value.values():
                    yield from (row for row in rows if isinstance(row, dict))
            elif key == "data" and isinstance(value, dict):
                rows = value.get("values")
                yield from (row for row in rows or () if isinstance(row, dict))
            else:
                yield from rows_of(value)


def names_in(node: Any, definition: Spec) -> list[str]:
    """Return the values that an encoding tells apart, once each: its domain's, else its field's."""
    domain = (definition.get("scale") or {}).get("domain")
    if isinstance(domain, list):
        return [str(name) for name in domain]
    field = str(definition.get("field"))
    found = (row[field] for row in rows_of(node) if row.get(field) is not None)
    return list(dict.fromkeys(map(str, found)))
