"""Draws of means over seeds, and what they say: how surely one is the least, or on a frontier.

A multiplier bootstrap. In a draw each seed has a normal weight, the same one for all variants,
since these pair by their seeds. As few seeds do not tell a spread well, a draw is divided by what
their standard deviation might be off by, as Student's t is. So the share of draws in which one mean
is below another is one minus the one-sided p value of the paired t test between the two. Resampling
three values instead draws nothing beyond the largest of them, and calls sure what no test does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from depthbench.report.statistics import MIN_SEEDS

NUM_DRAWS = 2_000

Units = tuple[Hashable, ...]


def mean_draws(
    samples: Sequence[Sequence[float]],
    units: Sequence[Units] | None = None,
    stream: int = 0,
    num_draws: int = NUM_DRAWS,
) -> Any:
    """Return draws of the mean of each sample: (sample, draw).

    A sample of fewer than `MIN_SEEDS` values has no known spread: its draws are all its mean.

    Args:
        samples: the values of each; none is empty.
        units: what the values of each were observed on, such as seeds; what two samples have in
            common is drawn alike in both. None: nothing is.
        stream: of random numbers; what is to be independent takes another one.
        num_draws: of each mean.

    Source:
        Multiplier bootstrap: van der Vaart and Wellner, "Weak Convergence and Empirical Processes",
        section 3.6. Student's t of paired differences is its exact case for normal values.
    """
    import numpy as np

    units = units or [tuple((place, i) for i in range(len(s))) for place, s in enumerate(samples)]
    means = np.array([np.mean(values) for values in samples])
    draws = np.tile(means[:, None], num_draws)
    places_of: dict[Units, list[int]] = defaultdict(list)
    for place, found in enumerate(units):
        if len(found) >= MIN_SEEDS:
            places_of[tuple(found)].append(place)
    generator = np.random.default_rng(stream)
    ranks = generator.random(num_draws)
    weights = {unit: generator.standard_normal(num_draws) for unit in _each(places_of)}
    widths = {num: _width(ranks, num) for num in {len(found) for found in places_of}}
    for found, places in places_of.items():
        num = len(found)
        values = np.array([samples[place] for place in places], dtype=float)  # (sample, value)
        deviations = values - values.mean(axis=1, keepdims=True)
        normal = deviations @ np.stack([weights[unit] for unit in found])  # (sample, draw)
        draws[places] += normal / np.sqrt(num * (num - 1)) * widths[num]
    return draws


def _each(found: Iterable[Units]) -> list[Hashable]:
    """Return all units once, in the order in which they are first there."""
    return list(dict.fromkeys(unit for units in found for unit in units))


def _width(ranks: Any, num: int) -> Any:
    """Return by what the draws of a mean of so many values are wider than a normal's, a draw each.

    The same rank is as extreme for any number of values, so that unlike samples still pair.
    """
    from scipy.stats import chi2

    return ((num - 1) / chi2.ppf(ranks, num - 1)) ** 0.5


def least_shares(draws: Any) -> list[float]:
    """Return for each row the share of draws in which it is the least; equal ones share a draw.

    Args:
        draws: (row, draw).
    """
    is_least = draws == draws.min(axis=0)
    return [float(share) for share in (is_least / is_least.sum(axis=0)).mean(axis=1)]


def frontier_shares(costs: Any, losses: Any) -> list[float]:
    """Return for each row the share of draws in which no other one is both as cheap and as good.

    Args:
        costs: (row, draw), or (row, 1) where they are exact; lower is better.
        losses: (row, draw); lower is better.
    """
    import numpy as np

    if costs.shape[1] == 1:
        is_on = _is_on_exact_frontier(costs[:, 0], losses)
    else:
        is_on = np.empty(losses.shape, dtype=bool)
        order = np.lexsort((losses.T, costs.T)).T  # of each draw: from the cheapest on
        ordered = np.take_along_axis(losses, order, axis=0)
        is_better = np.ones(ordered.shape, dtype=bool)
        is_better[1:] = ordered[1:] < np.minimum.accumulate(ordered, axis=0)[:-1]
        np.put_along_axis(is_on, order, is_better, axis=0)
    return [float(share) for share in is_on.mean(axis=1)]


def _is_on_exact_frontier(costs: Any, losses: Any) -> Any:
    """Say of each row and draw whether it is the best of its cost, and better than all cheaper."""
    import numpy as np

    levels, level_of = np.unique(costs, return_inverse=True)
    best = np.full((len(levels) + 1, losses.shape[1]), np.inf)
    np.minimum.at(best, level_of + 1, losses)  # row 0: nothing is cheaper than the cheapest
    cheaper = np.minimum.accumulate(best, axis=0)
    return (losses <= best[level_of + 1]) & (losses < cheaper[level_of])
