"""A row of numbers as a line of small bars, a character each."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-:=+x#"
# No blanks: who tames a line for a terminal joins them.
GAP, ASCII_GAP = "·", "?"


def sparkline(
    values: Sequence[float | None], least_span: float = 0.0, *, is_ascii: bool = False
) -> str:
    """Return a bar for each value, a gap where there is none.

    Args:
        values: on a scale on which equal steps look equal, such as logs.
        least_span: the line's height at least, so that noise does not look like mountains.
        is_ascii: for an output that knows no blocks.
    """
    bars, gap = (ASCII, ASCII_GAP) if is_ascii else (BLOCKS, GAP)
    known = [value for value in values if value is not None]
    if not known:
        return gap * len(values)
    low, span = min(known), max(known) - min(known)
    if span < least_span:
        low, span = low - (least_span - span) / 2, least_span
    return "".join(gap if v is None else bars[_height(v, low, span, len(bars))] for v in values)


def _height(value: float, low: float, span: float, num: int) -> int:
    return min(num - 1, int((value - low) / span * num)) if span else 0


def is_encodable(encoding: str | None) -> bool:
    """Say whether an output of this encoding can show the blocks."""
    try:
        (BLOCKS + GAP).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
