"""Place names beside dots of a chart so that none hides a dot or another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from depthbench.report.theme import SMALL_HEIGHT, SMALL_WIDTH

FONT_SIZE = 11
_LETTER, _LINE, _DOT = 5.9, 12.0, 5.0  # pixels: of a letter, of a line, of half a dot
_GAP = 3.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Side:
    """Where a name stands: to the left or right of its dot, below or above it."""

    is_left: bool
    is_below: bool


_SIDES = (Side(True, True), Side(False, True), Side(True, False), Side(False, False))


def place_names(
    dots: Mapping[str, tuple[float, float]], names: Mapping[str, str]
) -> dict[str, Side]:
    """Return the side of each name that finds room; the first ones choose first.

    Args:
        dots: of the chart, by key: fractions of its width from the left and of its height from the
            top.
        names: of some of the dots, by key.
    """
    places = {key: (x * SMALL_WIDTH, y * SMALL_HEIGHT) for key, (x, y) in dots.items()}
    taken = {
        key: (x - _DOT, y - _DOT, x + _DOT, y + _DOT) for key, (x, y) in places.items()
    }  # a name may touch its own dot
    found: dict[str, Side] = {}
    boxes: list[Box] = []
    for key, name in names.items():
        others = [*(box for other, box in taken.items() if other != key), *boxes]
        for side in _SIDES:
            box = _box(places[key], len(name), side)
            if _is_inside(box) and not any(_overlap(box, other) for other in others):
                found[key] = side
                boxes.append(box)
                break
    return found


def text_beside(side: Side) -> dict[str, Any]:
    """Return how Vega-Lite draws a text on this side of a dot."""
    return {
        "align": "right" if side.is_left else "left",
        "baseline": "top" if side.is_below else "bottom",
        "dy": _DOT if side.is_below else -_DOT,
        "fontSize": FONT_SIZE,
    }


def _box(place: tuple[float, float], num_letters: int, side: Side) -> Box:
    (x, y), width = place, _LETTER * num_letters
    left = x - width if side.is_left else x
    top = y + _DOT if side.is_below else y - _DOT - _LINE
    return left, top, left + width, top + _LINE


def _is_inside(box: Box) -> bool:
    left, top, right, bottom = box
    return left >= -_GAP and top >= 0 and right <= SMALL_WIDTH and bottom <= SMALL_HEIGHT


def _overlap(first: Box, second: Box) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )
