"""What all times of a night share: the machine was fast or slow that night, in everything.

It is a series of its own, and cells are judged by what is left of their times without it: a cell
that is 5% slower is seen at once where the whole machine moves by 3% from night to night.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from depthbench.report.trend.history import Series
from depthbench.units import counted

# A little below the median: a change for the worse of half of the cells, as of one of two phases,
# leaves it where it was.
QUANTILE = 0.4
# Of fewer cells one that changes would pull the level along.
LEAST_CELLS = 6


def level_series(series: Sequence[Series]) -> list[Series]:
    """Return a series for each device with cells enough: a night's times over those of the others.

    The value is the 40th percentile over cells of the time over the cell's own median, so about 1
    in an ordinary night.
    """
    groups: dict[Any, list[Series]] = defaultdict(list)
    for found in series:
        if found.kind == "time" and any(value is not None for value in found.values):
            groups[found.facts["device"]].append(found)
    return [
        _level(device, cells, len(groups))
        for device, cells in groups.items()
        if len(cells) >= LEAST_CELLS
    ]


def _level(device: Any, cells: Sequence[Series], num_devices: int) -> Series:
    import numpy as np

    logs = np.log(np.array([cell.values for cell in cells], dtype=float))  # (cells, nights)
    centred = logs - np.nanmedian(logs, axis=1, keepdims=True)
    values: list[float | None] = []
    for night in centred.T:
        known = night[np.isfinite(night)]
        is_enough = len(known) >= LEAST_CELLS
        values.append(float(np.exp(np.quantile(known, QUANTILE))) if is_enough else None)
    where = f" on {device}" if num_devices > 1 else ""
    return Series(
        key=f"level of {device}",
        name=f"all {counted(len(cells), 'timed cell')} together{where}",
        kind="level",
        facts={"device": device, "num_cells": len(cells)},
        values=tuple(values),
    )
