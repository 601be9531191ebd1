"""Give a chart its colours and symbols: each family has its own, and its variants shades of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from depthbench.report.chart_parts import Spec, encodings, has_own_legends, rows_of
from depthbench.report.theme import SHAPES, Theme, family_place, in_order, shades

_COLOURS = ("color", "fill", "stroke")
_TYPES = ("nominal", "ordinal")


def set_colours(spec: Spec, theme: Theme) -> None:
    """Set the colours and symbols of every encoding by family, or by what belongs to one each.

    Of charts whose views have scales of their own, each view is coloured by its own rows, so that
    depth can be shades of one family here and of another there.
    """
    if has_own_legends(spec):
        for view in spec["concat"]:
            _colour_view(view, theme)
    else:
        _colour_view(spec, theme)


def _colour_view(view: Spec, theme: Theme) -> None:
    rows = list(rows_of(view))
    for encoding in encodings(view):
        for channel in _COLOURS:
            if _is_free(encoding.get(channel)):
                found = _colours(rows, encoding[channel]["field"], theme)
                _set_range(encoding[channel], found, theme.muted)
        if _is_free(encoding.get("shape")):
            field = encoding["shape"]["field"]
            _set_range(encoding["shape"], _symbols(rows, field), SHAPES[0])


def _is_free(definition: Any) -> bool:
    """Say whether an encoding tells names or sizes apart and leaves it open how they look."""
    if not isinstance(definition, dict) or definition.get("type") not in _TYPES:
        return False
    scale = definition.get("scale", {})
    return scale is not None and not scale.keys() & {"range", "scheme"} and "field" in definition


def _set_range(definition: Spec, found: dict[Any, str], other: str) -> None:
    if found:
        scale = definition.get("scale", {})
        domain = scale.get("domain") or list(found)
        definition["scale"] = scale | {
            "domain": domain,
            "range": [found.get(name, other) for name in domain],
        }


def _colours(rows: Sequence[Spec], field: str, theme: Theme) -> dict[Any, str]:
    """Return the colour of each value of a field; nothing where one has no family, or several."""
    if field == "verdict":
        return {"worse": theme.bad, "better": theme.good}
    return {
        name: colour
        for family, members in _members(rows, field)
        for name, colour in zip(members, shades(family, len(members), theme), strict=True)
    }


def _symbols(rows: Sequence[Spec], field: str) -> dict[Any, str]:
    """Return the symbol of each value of a field, in the order of their colours."""
    return {
        name: SHAPES[(family_place(family) + place) % len(SHAPES)]
        for family, members in _members(rows, field)
        for place, name in enumerate(members)
    }


def _members(rows: Sequence[Spec], field: str) -> list[tuple[str, list[Any]]]:
    """Return each family with the values of a field that belong to it, in order."""
    members: dict[str, list[Any]] = defaultdict(list)
    for name, family in _families(rows, field).items():
        members[family].append(name)
    return [(family, _sorted(members[family])) for family in in_order(members)]


def _families(rows: Sequence[Spec], field: str) -> dict[Any, str]:
    """Return the family of each value of a field; nothing where one has none, or several."""
    found: dict[Any, set[str]] = defaultdict(set)
    for row in rows:
        if row.get(field) is not None:
            family = row[field] if field == "family" else row.get("family")
            found[row[field]].add(str(family or ""))
    if any(len(families) > 1 or "" in families for families in found.values()):
        return {}
    return {name: next(iter(families)) for name, families in found.items()}


def _sorted(members: list[Any]) -> list[Any]:
    """Return sizes from the least on, names as they come."""
    return sorted(members) if all(isinstance(name, (int, float)) for name in members) else members
