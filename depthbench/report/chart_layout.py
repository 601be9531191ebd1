"""Lay a chart out so that every name can be read: on paper, on a wide page and on a phone.

A chart is told how it changes where there is little room; the page's script does that, and fits
charts of several views to their place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from depthbench.report.chart_parts import Spec, encodings, has_own_legends, is_one_view, names_in
from depthbench.report.theme import SMALL_WIDTH, WIDTH

# Letters of a line of a name on an axis, where there is room and on a phone.
LETTERS, FEW_LETTERS = 40, 18
_LEGEND_LETTERS = 28
# Pixels: of a letter, of a line of names, between two names, of a legend's symbol, of a phone.
_LETTER, _LINE, _GAP, _SYMBOL, _PHONE = 6.4, 14, 9, 28, 300
_MAX_COLUMNS = 6
# Around a chart, in pixels, and how much wider a letter may be than it was measured.
_PADDING, _SLACK = {"left": 5, "right": 5, "top": 5, "bottom": 5}, 1.5
_LEGENDS = ("color", "fill", "stroke", "shape", "strokeDash", "strokeWidth", "size")
_TYPES = ("nominal", "ordinal")
# A long name is broken before its parentheses, then between words, else within them; `letters` is
# a parameter of the chart. `_lines` does the same.
_BROKEN = "(length(datum.label) > letters ? replace(datum.label, ' (', '\\n(') : datum.label)"
_WORDS = "regexp('(.{1,' + letters + '})(?: |\\n|$)|(.{' + letters + '})', 'g')"
_WRAPPED = f"split(trim(replace({_BROKEN}, {_WORDS}, '$1$2\\n')), '\\n')"


def lay_out(spec: Spec) -> None:
    """Wrap the names on a chart's y axis, and give lines and legends the room that they take.

    A chart's `usermeta` may say by itself what is different where there is little room: the `step`
    of its lines in pixels, and what is set in its `config`.
    """
    config, step = spec["config"], _own_step(spec)
    narrow: dict[str, Any] = {"config": {"legend": {"gradientLength": 120}}}
    own = spec.get("usermeta", {}).get("narrow", {})
    _wrap_legends(spec)
    if has_own_legends(spec):
        for view in spec["concat"]:
            _set_columns(view)
    else:
        names = [name for found in _legends(spec) for name in names_in(spec, found)]
        config["legend"]["columns"] = _columns(names, WIDTH)
        room = _PHONE - (FEW_LETTERS * _LETTER if _names_on_y(spec) else 0)
        narrow["columns"] = _columns(names, room)
    names = _names_on_y(spec)
    if names:
        spec["params"] = [{"name": "letters", "value": LETTERS}]
        config["axisYDiscrete"] = {"labelExpr": _WRAPPED, "labelLimit": 0, "labelLineHeight": _LINE}
        spec["height"] = {"step": _step(names, LETTERS, step)}
        narrow |= {"letters": FEW_LETTERS, "step": _step(names, FEW_LETTERS, step)}
    spec["usermeta"] = {"narrow": narrow | own}


def filling(spec: Spec) -> Spec:
    """Return a chart of one view as wide as its place on a page.

    One of several views, or with a width of its own, is fitted there by the page's script.
    """
    if not is_one_view(spec) or "width" in spec:
        return spec
    return spec | {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


def with_slack(spec: Spec) -> Spec:
    """Return a chart whose names find room in wider letters, too, than they were measured in.

    An svg is shown in the fonts of whoever opens it; what is wider would be cut at its left edge.
    """
    names = _names_on_y(spec)
    if not names:
        return spec
    longest = max(len(line) for name in names for line in _lines(name, LETTERS))
    return spec | {"padding": _PADDING | {"left": _PADDING["left"] + round(_SLACK * longest)}}


def num_lines(name: str, letters: int) -> int:
    """Return how many lines a name takes, broken between words."""
    return len(_lines(name, letters))


def _lines(name: str, letters: int) -> list[str]:
    broken = name.replace(" (", "\n(", 1) if len(name) > letters else name
    pattern = f"(.{{1,{letters}}})(?: |\n|$)|(.{{{letters}}})"
    return re.sub(pattern, r"\1\2\n", broken).strip().split("\n")


def _names_on_y(spec: Spec) -> list[str]:
    """Return the names on the y axis of a chart of one view."""
    if not is_one_view(spec):
        return []
    found = (encoding.get("y", {}) for encoding in encodings(spec))
    return [n for y in found if y.get("type") == "nominal" for n in names_in(spec, y)]


def _own_step(spec: Spec) -> int:
    height = spec.get("height")
    return int(height["step"] if isinstance(height, dict) else spec["config"]["view"]["step"])


def _step(names: Sequence[str], letters: int, least: int) -> int:
    """Return the height of a line of a chart that the longest name fits into."""
    return max(least, _LINE * max(num_lines(name, letters) for name in names) + _GAP)


def _legends(node: Spec) -> Iterator[Spec]:
    """Yield the encodings of a chart that have a legend of names or sizes."""
    for encoding in encodings(node):
        for channel in _LEGENDS:
            found = encoding.get(channel)
            if not isinstance(found, dict) or found.get("type") not in _TYPES:
                continue
            if found.get("legend", {}) is not None:
                yield found


def _wrap_legends(spec: Spec) -> None:
    """Break the long names of a chart's legends into lines."""
    for found in _legends(spec):
        if any(len(name) > _LEGEND_LETTERS for name in names_in(spec, found)):
            wrapped = _WRAPPED.replace("letters", str(_LEGEND_LETTERS))
            told = {"labelExpr": wrapped, "labelLimit": 0}
            found["legend"] = found.get("legend", {}) | told


def _set_columns(view: Spec) -> None:
    """Give the legends of one view of several as many columns as fit beside their title."""
    for found in _legends(view):
        room = SMALL_WIDTH - _LETTER * len(found.get("title") or "")
        columns = _columns(names_in(view, found), room)
        found["legend"] = found.get("legend", {}) | {"columns": columns}


def _columns(names: Sequence[str], room: float) -> int:
    """Return how many entries of a legend fit beside one another."""
    longest = _LETTER * min(_LEGEND_LETTERS, max(map(len, names), default=0)) + _SYMBOL
    return max(1, min(_MAX_COLUMNS, int(room / longest)))
