"""Draw panels: interactive for a page, svg and png for papers, all from the one chart of a panel.

Altair and vl-convert are loaded when a chart is asked for. Nothing is fetched: a chart holds its
data, and vl-convert may read no address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from depthbench.report.chart_colours import set_colours
from depthbench.report.chart_layout import lay_out, with_slack
from depthbench.report.chart_parts import Spec, is_one_view
from depthbench.report.panels import draw
from depthbench.report.tables import json_value, plain_line
from depthbench.report.theme import LIGHT, Theme, chart_config
from depthbench.report.values import Panel

DOTS_PER_INCH = 300


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
    set_colours(spec, theme)
    config = chart_config(theme, is_one_view=is_one_view(spec))
    spec["config"] = _merged(spec.get("config", {}), config)
    lay_out(spec)
    return spec


def svg(spec: Spec) -> str:
    """Return a chart as svg, with text as text."""
    import vl_convert

    return vl_convert.vegalite_to_svg(
        with_slack(spec), vl_version=vega_lite_version(), allowed_base_urls=[]
    )


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


def with_own_ids(drawing: str, prefix: str) -> str:
    """Return an svg whose ids begin with a prefix, so that a page can hold it beside others."""

    def renamed(tag: re.Match[str]) -> str:
        return re.sub(r'(\sid="|url\(#)', rf"\g<1>{prefix}-", tag.group())

    return re.sub(r"<[^<>]*>", renamed, drawing)
