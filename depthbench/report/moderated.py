"""Variances from few values each, made steady by all of them together; q values over a run.

A cell has 3 processes or so a run: far too few to know its own spread, while a suite has dozens of
cells that spread in much the same way. So each cell's variance is drawn toward what all cells
say, as far as they agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

# Replicates of one cell that share a mean, by what they were measured in: a process, or a run.
Replicates = Mapping[int, float]

# Of the median variance: what a variance of exactly 0, which has no log, is taken to be.
_LEAST_VARIANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Spread:
    """The variance of one replicate of a cell, and how well it is known."""

    variance: float
    degrees: float


def spreads(cells: Sequence[Sequence[Replicates]]) -> list[Spread]:
    """Return the variance of a replicate of each cell, from all cells together.

    What is common to all cells of a replicate (a process that is slow in everything, a run on a
    busy day) is set apart from what is each cell's own: the one is known only as well as the few
    replicates tell, however many cells there are; the other is moderated over the cells. The
    degrees of freedom of their sum are Welch and Satterthwaite's.

    Args:
        cells: for each cell its groups of replicates; the replicates of a group share a mean, and
            at least one group of a cell has two. The groups are the same for all cells.

    Source:
        Smyth 2004, "Linear models and empirical Bayes methods for assessing differential
        expression in microarray experiments", section 6.2 (the moments of the log variances).
        The common part is ours: with it removed the cells are independent, as his genes are.
    """
    import numpy as np

    centred = [[_centred(group) for group in groups] for groups in cells]
    common = _common(centred)
    squares = np.array([_squares(groups, common) for groups in centred])
    degrees = np.array([sum(len(group) - 1 for group in groups) for groups in cells], dtype=float)
    own, own_degrees = _moderated(squares / degrees, degrees)
    shared_degrees = sum(len(group) - 1 for group in common)
    shared = sum(value**2 for group in common for value in group.values()) / shared_degrees
    if len(cells) == 1:  # nothing to tell the two parts by: all of it is common
        return [Spread(shared, shared_degrees)]
    total = shared + own
    known = shared**2 / shared_degrees + own**2 / own_degrees
    return [
        Spread(float(variance), float(variance**2 / part) if part else inf)
        for variance, part in zip(total, known, strict=True)
    ]


def _centred(group: Replicates) -> dict[int, float]:
    mean = sum(group.values()) / len(group)
    return {key: value - mean for key, value in group.items()}


def _common(cells: Sequence[Sequence[Replicates]]) -> list[dict[int, float]]:
    """Return, group by group, the mean over cells of each replicate's deviation."""
    found: list[dict[int, list[float]]] = [defaultdict(list) for _ in cells[0]]
    for groups in cells:
        for place, group in zip(found, groups, strict=True):
            for key, value in group.items():
                place[key].append(value)
    return [{key: sum(values) / len(values) for key, values in place.items()} for place in found]


def _squares(groups: Sequence[Replicates], common: Sequence[Replicates]) -> float:
    return sum(
        (value - shared[key]) ** 2
        for group, shared in zip(groups, common, strict=True)
        for key, value in group.items()
    )


def _moderated(variances: Any, degrees: Any) -> tuple[Any, Any]:
    """Return variances drawn toward their common value, with their degrees of freedom.

    Where the variances differ no more than chance makes them, all are the common one.
    """
    import numpy as np
    from scipy.special import digamma, polygamma

    least = _LEAST_VARIANCE * np.median(variances)
    if len(variances) < 2 or least == 0:
        return variances, degrees
    half = degrees / 2
    logs = np.log(np.maximum(variances, least)) - digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half).mean())
    pooled_degrees = degrees.sum()
    if excess <= 0:
        common = (variances * degrees).sum() / pooled_degrees
        return np.full(len(variances), common), np.full(len(variances), pooled_degrees)
    prior_degrees = 2 * _inverse_trigamma(excess)
    prior = float(np.exp(logs.mean() + digamma(prior_degrees / 2) - np.log(prior_degrees / 2)))
    total = prior_degrees + degrees
    moderated = (prior_degrees * prior + degrees * variances) / total
    return moderated, np.minimum(total, pooled_degrees)


def _inverse_trigamma(value: float) -> float:
    """Return x where trigamma(x) is the value, by Newton's steps on 1 / trigamma.

    Source:
        Smyth 2004, appendix.
    """
    from scipy.special import polygamma

    if value > 1e7:
        return float(value**-0.5)
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x
