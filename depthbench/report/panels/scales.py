"""Scales and axes of charts: few ticks at round numbers, or at the sizes that were given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil, floor, isfinite, log, log10
from typing import Any

# More labels than this touch one another in a small chart.
MAX_TICKS = 5
# Values whose largest is so many times the smallest are spread evenly by their logarithms alone.
WIDE = 4.0
_MANTISSAS = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,))
_STEPS = (1, 2, 2.5, 5, 10)
_ROOM = 12  # pixels between the outermost marks and the ends of an axis


def positive(values: Iterable[Any]) -> list[float]:
    """Return the numbers among values that have a logarithm."""
    numbers = (float(value) for value in values if value is not None)
    return [number for number in numbers if isfinite(number) and number > 0]


def round_ticks(low: float, high: float, most: int = MAX_TICKS) -> list[float]:
    """Return up to `most` round numbers between two positive ends, for a logarithmic axis.

    Powers of ten with as much between them as fits, or even steps where the ends lie close.
    """
    if high < WIDE * low:
        return _even_ticks(low, high, most)
    found = [_decade_ticks(low, high, mantissas) for mantissas in _MANTISSAS]
    fitting = [ticks for ticks in found if 1 < len(ticks) <= most]
    if fitting:
        return fitting[0]
    powers = found[-1]
    if len(powers) > most:
        return powers[:: ceil(len(powers) / most)]
    return _even_ticks(low, high, most)


def _decade_ticks(low: float, high: float, mantissas: Sequence[int]) -> list[float]:
    decades = range(floor(log10(low)), floor(log10(high)) + 1)
    ticks = (float(f"{mantissa}e{decade}") for decade in decades for mantissa in mantissas)
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def _even_ticks(low: float, high: float, most: int) -> list[float]:
    """Return multiples of a round step between two ends."""
    if high <= low:
        return [low]
    decade = 10.0 ** floor(log10((high - low) / most))
    for step in (factor * decade for factor in _STEPS):
        first, last = ceil(low / step), floor(high / step)
        if last - first < most:
            return [float(f"{place * step:.12g}") for place in range(first, last + 1)]
    return []


def spaced(sizes: Iterable[float], most: int = 8) -> list[float]:
    """Return the sizes that were given, without those too near to the one before on a log axis."""
    given = sorted(set(positive(sizes)))
    kept = given[:1]
    for size in given[1:]:
        if log(size / kept[-1]) >= log(given[-1] / given[0]) / most * (1 - 1e-9):
            kept.append(size)
    return kept


def size_scale(channel: Callable[..., Any], field: str, sizes: Iterable[Any], title: str) -> Any:
    """Return a logarithmic axis of depths, widths or rates with ticks where values were given.

    Args:
        channel: alt.X or alt.Y.
        field: which values are placed on it.
        sizes: its values.
        title: of the axis.
    """
    import altair as alt

    axis = alt.Axis(values=spaced(positive(sizes)), format="~g")
    scale = alt.Scale(type="log", nice=False, padding=_ROOM)
    return channel(f"{field}:Q", title=title, scale=scale, axis=axis)


def cost_scale(
    channel: Callable[..., Any], field: str, costs: Iterable[Any], title: str, unit: str = ""
) -> Any:
    """Return a logarithmic axis of times or counts: 100 µs, 20k.

    Args:
        channel: alt.X or alt.Y.
        field: which values are placed on it.
        costs: its values.
        title: of the axis.
        unit: stands behind each number: s or B.
    """
    import altair as alt

    found = positive(costs)
    ticks = round_ticks(min(found), max(found)) if found else []
    space = " " if unit else ""
    axis = alt.Axis(
        values=ticks,
        labelExpr=f"replace(format(datum.value, '~s'), regexp('([0-9])([^0-9.]*)$'), "
        f"'$1{space}$2{unit}')",
    )
    scale = alt.Scale(type="log", nice=False, padding=_ROOM)
    return channel(f"{field}:Q", title=title, scale=scale, axis=axis)


def loss_scale(field: str, losses: Iterable[Any], reach: Iterable[Any], title: str) -> Any:
    """Return a y axis of losses: by their logarithms where these spread them better.

    What of an interval reaches beyond the axis is cut there: its lower end may be 0.

    Args:
        field: which values are placed on it.
        losses: all of them.
        reach: the ends of their intervals.
        title: of the axis.
    """
    import altair as alt

    low, high, is_log = _loss_ends(losses, reach)
    ticks = {"values": round_ticks(low, high), "format": "~g"} if is_log else {"tickCount": 5}
    scale = alt.Scale(type="log" if is_log else "linear", domain=[low, high], clamp=True)
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(**ticks))


def loss_fractions(losses: Sequence[Any], reach: Iterable[Any]) -> list[float]:
    """Return how far up the axis of `loss_scale` losses lie: 0 at its lower end."""
    low, high, is_log = _loss_ends(losses, reach)
    return fractions(losses, is_log=is_log, ends=(low, high))


def fractions(
    values: Sequence[float], *, is_log: bool, ends: tuple[float, float] | None = None
) -> list[float]:
    """Return how far along an axis values lie, from 0 at its start to 1 at its end."""
    low, high = ends or (min(values), max(values))
    if is_log:
        low, high, values = log(low), log(high), [log(value) for value in values]
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _loss_ends(losses: Iterable[Any], reach: Iterable[Any]) -> tuple[float, float, bool]:
    """Return the ends of an axis of losses, and whether it is logarithmic."""
    found = [float(loss) for loss in losses if loss is not None and isfinite(loss)]
    known = [float(end) for end in reach if end is not None and isfinite(end)]
    if not found or min(found) <= 0 or max(found) < WIDE * min(found):
        low, high = min([*found, *known], default=0.0), max([*found, *known], default=1.0)
        room = 0.05 * ((high - low) or abs(high) or 1.0)
        return max(low - room, 0.0) if low >= 0 else low - room, high + room, False
    low = max(min([*positive(known), min(found)]), min(found) / 2) / 1.1
    return low, min(max([*known, max(found)]), 2 * max(found)) * 1.1, True
