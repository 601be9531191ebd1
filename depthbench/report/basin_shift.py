"""Basin shift: how far the best learning rate moves over depth, and over width.

log2 of the best rate of the largest network over that of the smallest, the other axis held. A
parametrisation that carries one rate over to any size makes it about 0; where it is not, networks
compared at one rate are compared by how well that rate suits each.

Source:
    Yang et al. 2022, "Tensor Programs V" (muP), arXiv 2203.03466, figure 1, over width; Dey et al.
    2025, "Don't be lazy: CompleteP", arXiv 2505.01618, over depth. They show the curves; the figure
    is this project's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

from depthbench.report.rows import Row

# Fewer rates than this have no inside, so that every best one lies at an end.
MIN_RATES = 3
AXES = ("depth", "width")
_SYMBOLS = {"depth": "L", "width": "d"}
# What a best rate at an end of its grid makes of a shift: the true one lies beyond.
EXACT, AT_LEAST, AT_MOST, UNKNOWN, COARSE = "", "at least", "at most", "unknown", "too coarse"


@dataclass(frozen=True, slots=True)
class BasinShift:
    """How far the best rate of one variant lies from that of the smallest one beside it.

    Attributes:
        variant: which one.
        axis: depth or width, in which the two differ.
        held: the size on the other axis; None where it follows, as at a matched budget.
        sizes: of the smallest one and of this.
        rates: the best of the smallest one and of this.
        num_rates: how many rates both were trained at.
        is_largest: whether this is the shift over the whole axis.
        doubt: exact, or what is known of the shift alone.
    """

    variant: str
    axis: str
    held: int | None
    sizes: tuple[int, int]
    rates: tuple[float, float]
    num_rates: int
    is_largest: bool
    doubt: str

    @property
    def value(self) -> float:
        """Return the shift, in powers of two."""
        return log2(self.rates[1] / self.rates[0])


def shifts_of(rows: Sequence[Row]) -> list[BasinShift]:
    """Return the shifts of the variants of one kind, over depth and over width.

    Args:
        rows: one a variant, with its depth, width, best `lr`, the `lrs` it was trained at, and the
            `edge` of these at which the best one lies.
    """
    return [
        _shift(line, place, axis, held)
        for axis in AXES
        for held, line in _lines(rows, axis)
        for place in range(1, len(line))
    ]


def _lines(rows: Sequence[Row], axis: str) -> Iterator[tuple[int | None, list[Row]]]:
    """Yield the variants that differ in one axis alone, from the smallest on.

    Where none do, since widths are matched to a budget, depths are still followed.
    """
    other = AXES[1 - AXES.index(axis)]
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[other]].append(row)
    lines: list[tuple[int | None, list[Row]]] = [
        (held, line) for held, line in sorted(found.items()) if len(line) > 1
    ]
    if not lines and axis == AXES[0] and len(rows) > 1:
        lines = [(None, list(rows))]
    for held, line in lines:
        if len({row[axis] for row in line}) == len(line):
            yield held, sorted(line, key=lambda row: int(row[axis]))


def _shift(line: Sequence[Row], place: int, axis: str, held: Any) -> BasinShift:
    first, row = line[0], line[place]
    shared = set(first["lrs"]) & set(row["lrs"])
    return BasinShift(
        variant=row["variant"],
        axis=axis,
        held=held,
        sizes=(first[axis], row[axis]),
        rates=(first["lr"], row["lr"]),
        num_rates=len(shared),
        is_largest=place == len(line) - 1,
        doubt=COARSE if len(shared) < MIN_RATES else _doubt(first["edge"], row["edge"]),
    )


def _doubt(first: str, last: str) -> str:
    """Return what best rates at ends of their grids leave of a shift."""
    beyond = {"": 0, "the smallest": -1, "the largest": 1}
    ways = {beyond[last], -beyond[first]} - {0}
    if len(ways) > 1:
        return UNKNOWN
    return {1: AT_LEAST, -1: AT_MOST}[ways.pop()] if ways else EXACT


def shift_text(value: float | None, doubt: str | None) -> str:
    """Return a shift as a table has it: -1.6, at most 0, or why it is not known."""
    if value is None or doubt is None:
        return "-"
    if doubt in (COARSE, UNKNOWN):
        return COARSE if doubt == COARSE else "grid end"
    return f"{doubt} {_number(value)}".strip()


def shift_sentences(shifts: Sequence[BasinShift], kind: str) -> list[str]:
    """Return the shifts of one kind of variants over all of an axis, in a sentence at most.

    Args:
        shifts: as `shifts_of` has them.
        kind: of what they are.
    """
    whole = [shift for shift in shifts if shift.is_largest]
    known = [shift for shift in whole if shift.doubt != COARSE]
    if not known:
        return []
    parts = [_over(axis, [shift for shift in known if shift.axis == axis]) for axis in AXES]
    nums = sorted({shift.num_rates for shift in known})
    rates = f"{nums[0]}" if len(nums) == 1 else f"{nums[0]} to {nums[-1]}"
    told = "; ".join(part for part in parts if part)
    return [f"Basin shift of {kind}: {told}; {rates} rates."]


def _over(axis: str, shifts: Sequence[BasinShift]) -> str:
    """Return the shifts over one axis, the exact ones before bounds: over depth -1.6 (...)."""
    if not shifts:
        return ""
    for doubt, ends in ((EXACT, (min, max)), (AT_MOST, (max,)), (AT_LEAST, (min,))):
        told = [shift for shift in shifts if shift.doubt == doubt]
        if told:
            values = dict.fromkeys(_number(end(s.value for s in told)) for end in ends)
            value = f"{doubt} {' to '.join(values)}".strip()
            return f"over {axis} {value} ({_where(axis, told, len(shifts))})"
    return f"over {axis} unknown, since best rates lie at an end of the grid"


def _where(axis: str, told: Sequence[BasinShift], num: int) -> str:
    """Return between which sizes shifts are, and at how many sizes of the other axis."""
    first, last = min(s.sizes[0] for s in told), max(s.sizes[1] for s in told)
    symbol, other = _SYMBOLS[axis], AXES[1 - AXES.index(axis)]
    span = f"{symbol} {first:,} to {last:,}"
    if len(told) == 1:
        low, high = (f"{rate:g}" for rate in told[0].rates)
        span = f"from {low} at {symbol} {first:,} to {high} at {symbol} {last:,}"
    if told[0].held is None:
        return f"{span}, {other}s following"
    if num == 1:
        return f"{span}, {_SYMBOLS[other]} {told[0].held:,}"
    return f"{span}, at {num if len(told) == num else f'{len(told)} of {num}'} {other}s"


def _number(value: float) -> str:
    return "0" if abs(value) < 0.05 else f"{value:+.1f}"
