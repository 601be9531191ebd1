"""Draw panels: interactive for a page, svg and png for papers, all from the one chart of a panel.

Altair and vl-convert are loaded when a chart is asked for. Nothing is fetched: a chart holds its
data, and vl-convert may read no address.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from depthbench.report.panels import draw
from depthbench.report.tables import json_value, plain_line
from depthbench.report.theme import LIGHT, Theme, chart_config, in_order, shades
from depthbench.report.values import Panel

Spec = dict[str, Any]

DOTS_PER_INCH = 300
_COLOURS = ("color", "fill", "stroke")
_FACETS = ("row", "column", "facet")


def specification(panel: Panel, theme: Theme = LIGHT) -> Spec | None:
    """Return a panel's chart as Vega-Lite in a theme; None where the panel has none.

    Whatever is coloured by family has the family's colour, and so has what belongs to one family
    each, such as variants; worse and better have colours, too. What the chart colours itself is
    left alone. All text is tamed.
    """
    chart = draw(panel) if panel.rows else None
    if chart is None:
        return None
    spec = _tamed(json_value(chart.to_dict()))
    _colour_families(spec, theme)
    config = chart_config(theme, is_one_view=_is_one_view(spec))
    spec["config"] = _merged(spec.get("config", {}), config)
    return spec


def filling(spec: Spec) -> Spec:
    """Return a chart as wide as its place on a page; one of several views stays as it is."""
    if not _is_one_view(spec) or isinstance(spec.get("width"), dict):
        return spec
    return spec | {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


def svg(spec: Spec) -> str:
    """Return a chart as svg, with text as text."""
    import vl_convert

    return vl_convert.vegalite_to_svg(spec, vl_version=vega_lite_version(), allowed_base_urls=[])


def png(spec: Spec) -> bytes:
    """Return a chart as png, at 300 dots an inch."""
    import vl_convert

    return vl_convert.vegalite_to_png(
        spec, vl_version=vega_lite_version(), ppi=DOTS_PER_INCH, allowed_base_urls=[]
    )


def vega_lite_version() -> str:
    """Return the version of Vega-Lite that charts are written in, as vl-convert names it: 6.1."""
    import altair

    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def _tamed(value: Any) -> Any:
    """Return a value in which no text can reorder what is read, or break a file that holds it."""
    if isinstance(value, str):
        return plain_line(value)
    if isinstance(value, list):
        return [_tamed(item) for item in value]
    if isinstance(value, dict):
        return {key: _tamed(item) for key, item in value.items()}
    return value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Spec:
    """Return two configurations as one; the second wins."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merged(below[key], above[key])
    return merged


def _is_one_view(spec: Spec) -> bool:
    """Say whether a chart is a single view or layers of one, which alone can fill a place."""
    if not ("mark" in spec or "layer" in spec):
        return False
    return not any(channel in encoding for encoding in _encodings(spec) for channel in _FACETS)


def _encodings(node: Any) -> Iterator[Spec]:
    """Yield every encoding of a chart, of whatever views it is made."""
    if isinstance(node, list):
        for item in node:
            yield from _encodings(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "encoding" and isinstance(value, dict):
                yield value
            elif key not in ("data", "datasets", "config"):
                yield from _encodings(value)


def _rows(node: Any) -> Iterator[Spec]:
    """Yield every row of data in a chart."""
    if isinstance(node, list):
        for item in node:
            yield from _rows(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "datasets":
                for rows in value.values():
                    yield from (row for row in rows if isinstance(row, dict))
            elif key == "data" and isinstance(value, dict):
                rows = value.get("values")
                yield from (row for row in rows or () if isinstance(row, dict))
            else:
                yield from _rows(value)


def _colour_families(spec: Spec, theme: Theme) -> None:
    """Set the colours of every encoding whose values are families, or belong to one each."""
    rows = list(_rows(spec))
    for encoding in _encodings(spec):
        for channel in _COLOURS:
            definition = encoding.get(channel)
            if not isinstance(definition, dict) or definition.get("type") != "nominal":
                continue
            scale = definition.get("scale", {})
            if scale is None or scale.keys() & {"range", "scheme"}:
                continue
            colours = _colours(rows, str(definition.get("field")), theme)
            if colours:
                domain = scale.get("domain") or list(colours)
                definition["scale"] = scale | {
                    "domain": domain,
                    "range": [colours.get(str(name), theme.muted) for name in domain],
                }


def _colours(rows: Sequence[Spec], field: str, theme: Theme) -> dict[str, str]:
    """Return the colour of each value of a field; nothing where one has no family, or several."""
    if field == "verdict":
        return {"worse": theme.bad, "better": theme.good}
    families: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if field in row and row[field] is not None:
            family = row[field] if field == "family" else row.get("family")
            families[str(row[field])].add(str(family or ""))
    if not families or any(len(found) > 1 or "" in found for found in families.values()):
        return {}
    members: dict[str, list[str]] = defaultdict(list)
    for name, found in families.items():
        members[next(iter(found))].append(name)
    return {
        name: colour
        for family in in_order(members)
        for name, colour in zip(
            members[family], shades(family, len(members[family]), theme), strict=True
        )
    }


def with_own_ids(drawing: str, prefix: str) -> str:
    """Return an svg whose ids begin with a prefix, so that a page can hold it beside others."""

    def renamed(tag: re.Match[str]) -> str:
        return re.sub(r'(\sid="|url\(#)', rf"\g<1>{prefix}-", tag.group())

    return re.sub(r"<[^<>]*>", renamed, drawing)
