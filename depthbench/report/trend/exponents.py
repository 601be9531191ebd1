"""How time grows with depth and width, night by night: the exponents of time ~ L^a d^b.

A single cell is noisy; an exponent is made of all cells of a backbone, so that it moves only where
the way they scale has changed: with what is common to all of them it does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import log
from typing import Any

from depthbench.report.depth_tax import MAX_RESIDUAL
from depthbench.report.processes import CELL_KEYS
from depthbench.report.rows import Key, distinguishing, key_of, settings_text
from depthbench.report.trend.history import Series

# Layouts whose time grows with depth by the same law: one module after another.
_SEQUENTIAL = ("deep", "wide")
_SAME = ("backbone", *CELL_KEYS)
_ALWAYS = ("backbone", "phase", "batch_size")
_AXES = ("depth", "width")


def exponent_series(times: Sequence[Series]) -> list[Series]:
    """Return the exponents of depth and width of each backbone and way of timing.

    Only where it fits: there is a cell more than the law has parameters, no two of one depth and
    width, and in the median night no cell lies more than 10% off the law. A night that lacks one
    of the cells is a gap, since the others alone follow another law.

    Args:
        times: series of cells.
    """
    groups: dict[Key, list[Series]] = defaultdict(list)
    for series in times:
        if _is_followed(series):
            groups[key_of(series.facts, _SAME)].append(series)
    fitted = [group for group in groups.values() if _is_a_law(group)]
    facts = [group[0].facts for group in fitted]
    rest = [name for name in distinguishing(facts, _SAME, _ALWAYS) if name not in _ALWAYS]
    return [found for group in fitted for found in _exponents(group, rest)]


def _is_followed(series: Series) -> bool:
    """Say whether a cell is of a sequential network of known size, and was ever timed."""
    facts = series.facts
    has_size = all(facts[axis] for axis in _AXES)
    is_timed = any(value is not None for value in series.values)
    return facts["family"] in _SEQUENTIAL and has_size and is_timed


def _design(group: Sequence[Series]) -> tuple[list[str], Any]:
    """Return the axes along which the cells lie, and the matrix of a fit: (cells, 1 + axes)."""
    import numpy as np

    axes = [axis for axis in _AXES if len({series.facts[axis] for series in group}) > 1]
    rows = [[1.0, *(log(series.facts[axis]) for axis in axes)] for series in group]
    return axes, np.array(rows)


def _is_a_law(group: Sequence[Series]) -> bool:
    import numpy as np

    axes, design = _design(group)
    num_cells, num_parameters = design.shape
    if not axes or num_cells <= num_parameters:
        return False
    if len({key_of(series.facts, _AXES) for series in group}) < num_cells:
        return False
    if np.linalg.matrix_rank(design) < num_parameters:  # on a line of equal weights, say
        return False
    worst = [found[1] for found in _fits(group, design) if found is not None]
    return bool(worst) and float(np.median(worst)) <= MAX_RESIDUAL


def _fits(group: Sequence[Series], design: Any) -> list[tuple[Any, float] | None]:
    """Return of each night the parameters and the largest residual, as a fraction of the time."""
    import numpy as np

    inverse = np.linalg.pinv(design)  # (1 + axes, cells)
    found: list[tuple[Any, float] | None] = []
    for night in zip(*(series.values for series in group), strict=True):
        times = [value for value in night if value is not None]
        if len(times) < len(night):
            found.append(None)
            continue
        logs = np.log(times)
        parameters = inverse @ logs
        found.append((parameters, float(np.expm1(np.abs(logs - design @ parameters).max()))))
    return found


def _exponents(group: Sequence[Series], rest: Sequence[str]) -> list[Series]:
    axes, design = _design(group)
    fits = _fits(group, design)
    facts = {name: group[0].facts[name] for name in _SAME}
    where = f"{facts['backbone']}, {facts['phase']} batch {facts['batch_size']}"
    extra = settings_text(facts, rest)
    where = f"{where}, {extra}" if extra else where
    return [
        Series(
            key=f"{axis} of {where}",
            name=f"exponent of {axis}, {where}",
            kind="exponent",
            facts={"axis": axis, **facts},
            values=tuple(None if fit is None else float(fit[0][place]) for fit in fits),
        )
        for place, axis in enumerate(axes, start=1)
    ]
