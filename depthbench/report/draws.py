"""Bootstrap draws of means, and what they say: how surely one is the least, or on a frontier.

The draws of a mean spread as its interval in the report does: `statistics.stratified_mean` says
why the plain bootstrap of few values is too narrow, and by what it is widened. Thousands of means
are drawn together, where `scipy.stats.bootstrap` draws one in a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from depthbench.report.statistics import CONFIDENCE, MIN_SEEDS

NUM_DRAWS = 2_000
_MAX_DRAWN = 4_000_000  # numbers held at once while resampling, about 64 MB with their places


def mean_draws(
    samples: Sequence[Sequence[float]], stream: int = 0, num_draws: int = NUM_DRAWS
) -> Any:
    """Return draws of the mean of each sample, independent between samples: (sample, draw).

    A sample of fewer than `MIN_SEEDS` values has no known spread: its draws are all its mean.

    Args:
        samples: the values of each; none is empty.
        stream: of random numbers; what is to be independent takes another one.
        num_draws: of each mean.
    """
    import numpy as np

    draws = np.empty((len(samples), num_draws))
    generator = np.random.default_rng(stream)
    for num in sorted({len(sample) for sample in samples}):
        places = [place for place, sample in enumerate(samples) if len(sample) == num]
        values = np.array([sorted(samples[place]) for place in places], dtype=float)
        draws[places] = values.mean(axis=1, keepdims=True)
        if num >= MIN_SEEDS:
            draws[places] += _drawn_deviations(values, generator, num_draws)
    return draws


def _drawn_deviations(values: Any, generator: Any, num_draws: int) -> Any:
    """Return how far draws of the mean of each row, all of one length, lie from its mean."""
    import numpy as np

    num_rows, num = values.shape
    scale = np.sqrt(num / (num - 1)) * _t_over_z(num)
    deviations = (values - values.mean(axis=1, keepdims=True)) * scale
    drawn = np.empty((num_rows, num_draws))
    step = max(1, _MAX_DRAWN // (num_draws * num))
    for start in range(0, num_rows, step):
        part = deviations[start : start + step, None, :]  # (row, 1, value)
        picked = generator.integers(0, num, (len(part), num_draws, num))
        drawn[start : start + step] = np.take_along_axis(part, picked, axis=2).mean(axis=2)
    return drawn


def _t_over_z(num: int) -> float:
    from scipy.stats import norm, t

    upper = (1 + CONFIDENCE) / 2
    return float(t.ppf(upper, num - 1) / norm.ppf(upper))


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
