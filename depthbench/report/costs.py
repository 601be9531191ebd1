"""Costs: what each variant of a contest takes, in weights, FLOPs, seconds and bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from statistics import geometric_mean
from typing import Any

from depthbench.report.contests import Contest, labels_of, seconds_of
from depthbench.report.draws import mean_draws
from depthbench.report.values import VariantRow
from depthbench.units import format_count, format_flops, format_seconds

# Variants whose costs lie closer are taken to cost the same: a budget's tolerance is as wide.
MIN_RATIO = 1.05
# A suite may time dozens of kinds of cells; a table of so many costs answers no question.
MAX_TIMED = 12
_STREAM = 1  # of random numbers; draws over seeds have 0


def format_bytes(number: float | None) -> str:
    """Return a size with three digits and kB, MB, GB, ..., powers of 1000."""
    return "-" if number is None else f"{format_flops(number)}B"


_WRITERS: dict[str, Callable[[float | None], str]] = {
    "weights": format_count,
    "FLOPs": format_flops,
    "seconds": format_seconds,
    "bytes": format_bytes,
}


def write_cost(value: float | None, unit: str) -> str:
    """Return a cost as people read it: 20,010, 39.8k, 1.20 ms, 3.00MB."""
    return _WRITERS[unit](value)


@dataclass(frozen=True)
class Cost:
    """One kind of cost.

    `key` is fit for a column of a row and begins with no digit. `observations` has, for each
    contender, what its cost is known from: the quiet times of processes, or the one value;
    nothing where it is unknown.
    """

    key: str
    title: str
    unit: str
    observations: tuple[tuple[float, ...], ...]

    @property
    def known(self) -> tuple[int, ...]:
        """Return the places of the contenders whose cost is known."""
        return tuple(place for place, found in enumerate(self.observations) if found)

    def value(self, place: int) -> float | None:
        """Return a contender's cost, of times the geometric mean over processes."""
        found = self.observations[place]
        if len(found) < 2:
            return found[0] if found else None
        return geometric_mean(found)

    def draws(self, places: Sequence[int], num_draws: int) -> Any:
        """Return bootstrap draws over processes, (place, draw); of exact costs one: (place, 1)."""
        import numpy as np

        found = [self.observations[place] for place in places]
        if all(len(values) == 1 for values in found):
            return np.array(found)
        logs = [[log(value) for value in values] for values in found]
        return np.exp(mean_draws(logs, stream=_STREAM, num_draws=num_draws))


def costs_of(contest: Contest) -> list[Cost]:
    """Return the costs by which contenders differ: sizes, times of each kind of cell, memory."""
    found = []
    rows = [contender.row for contender in contest.contenders]
    for cost in _all_costs(rows):
        values = [cost.value(place) for place in cost.known]
        positive = [value for value in values if value is not None and value > 0]
        if len(positive) == len(values) > 1 and max(positive) / min(positive) >= MIN_RATIO:
            found.append(cost)
    return found


def _all_costs(rows: Sequence[VariantRow]) -> Iterator[Cost]:
    yield Cost("weights", "weights", "weights", _sizes(rows, "total_params"))
    yield Cost("flops", "FLOPs", "FLOPs", _sizes(rows, "forward_flops"))
    labels = labels_of(rows)[:MAX_TIMED]
    seconds = [seconds_of(row, labels) for row in rows]
    taken: set[str] = set()
    for label in labels:
        times = tuple(found.get(label, ()) for found in seconds)
        yield Cost(_key(label, taken), label, "seconds", times)
    yield from _memory(rows)


def left_out(rows: Sequence[VariantRow]) -> list[str]:
    """Return what of timed cells is no cost: kinds beyond the first, processes where unknown."""
    num = len(labels_of(rows))
    lines = [f"The first {MAX_TIMED} of {num} kinds of timed cells."] if num > MAX_TIMED else []
    timed = (timing for row in rows for timing in row.timings if timing.median_seconds)
    if any(not timing.process_seconds for timing in timed):
        lines.append("Some times are medians of a cell, and drawn from no processes.")
    return lines


def _sizes(rows: Sequence[VariantRow], column: str) -> tuple[tuple[float, ...], ...]:
    found = (getattr(row, column) for row in rows)
    return tuple(() if value is None else (float(value),) for value in found)


def _memory(rows: Sequence[VariantRow]) -> Iterator[Cost]:
    """Yield the most that a variant takes over the cells that all have it of; GPUs say it whole."""
    for column, title in (
        ("peak_memory_bytes", "peak memory"),
        ("saved_activation_bytes", "saved activations"),
    ):
        by_row = [
            {t.label: float(getattr(t, column)) for t in row.timings if getattr(t, column)}
            for row in rows
        ]
        shared = set.intersection(*map(set, by_row)) if by_row else set()
        if shared:
            most = tuple((max(found[label] for label in shared),) for found in by_row)
            yield Cost(column, title, "bytes", most)
            return


def _key(label: str, taken: set[str]) -> str:
    """Return a name of letters, digits and underscores that no other label has."""
    start = key = f"cell_{re.sub(r'[^a-z0-9]+', '_', label.lower()).strip('_')}_seconds"
    while key in taken:
        key = f"{start}_{len(taken)}"
    taken.add(key)
    return key
