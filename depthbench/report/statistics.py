"""Intervals: of means over seeds, of interquartile means, of medians. SciPy does the statistics.

Every draw is seeded, and the values are sorted or keyed before they are drawn from, so that the
same results give the same report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import sqrt
from typing import Any

# Two values span an interval that holds the mean half of the time, whatever the confidence says; of
# two paired differences a t test calls only a mean of 9 times their spread.
MIN_SEEDS = 3
# Fewer values than these have no quarter to leave out.
MIN_INTERQUARTILE = 4
NUM_RESAMPLES = 9_999
CONFIDENCE = 0.95

_QUARTER = 0.25
_MAX_DRAWN = 4_000_000  # numbers held at once while resampling, about 32 MB
# Draws of few values are made once for all samples of a size: so many numbers, so many sizes.
_MAX_KEPT, _NUM_KEPT = 200_000, 16


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval over `num` observations; without one where they are too few."""

    value: float
    low: float | None
    high: float | None
    num: int


def mean_interval(
    values: Sequence[float],
    confidence: float = CONFIDENCE,
    bounds: tuple[float | None, float | None] = (None, None),
) -> Estimate:
    """Return the mean over seeds with its bootstrap interval, widened as `stratified_mean` says.

    Widening knows nothing of what values can be: of accuracies near 1 it may reach beyond. Ends are
    cut at the bounds, which changes no coverage, since the mean itself lies within them.

    Args:
        values: one a seed.
        confidence: of the interval.
        bounds: the lowest and the highest that a value can be; None: no bound.
    """
    return _within(stratified_mean([values], confidence), bounds)


def _within(found: Estimate, bounds: tuple[float | None, float | None] = (None, None)) -> Estimate:
    """Return an estimate whose interval ends where values must."""
    if found.low is None or found.high is None:
        return found
    lowest, highest = bounds
    low = found.low if lowest is None else max(found.low, min(lowest, found.value))
    high = found.high if highest is None else min(found.high, max(highest, found.value))
    return replace(found, low=low, high=high)


def interquartile_mean(
    strata: Sequence[Sequence[float]],
    confidence: float = CONFIDENCE,
    bounds: tuple[float | None, float | None] = (None, None),
    min_size: int = MIN_SEEDS,
) -> Estimate:
    """Return the mean of the middle half of all values; its bootstrap draws within each stratum.

    One seed that went astray moves it little. A quarter of the values, rounded down, is left out
    at each end: of fewer than 4 none. The interval is widened as `stratified_mean` says.

    Args:
        strata: the values of each stratum; none is empty. Values over seeds alone are one stratum.
        confidence: of the interval.
        bounds: the lowest and the highest that a value can be; None: no bound.
        min_size: a stratum with fewer values leaves the mean without an interval; at least 2.

    Source:
        Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
        Precipice", section 4; there the percentiles are not widened.
    """
    import numpy as np
    from scipy.stats import trim_mean

    def middle(*drawn: Any, axis: int = -1) -> Any:
        return trim_mean(np.concatenate(drawn, axis=axis), _QUARTER, axis=axis)

    samples = [np.sort(np.asarray(stratum, dtype=float)) for stratum in strata]
    sizes = [sample.size for sample in samples]
    value, num = float(middle(*samples)), sum(sizes)
    if min(sizes) < min_size:
        return Estimate(value, None, None, num)
    if all(sample[0] == sample[-1] for sample in samples):
        return Estimate(value, value, value, num)
    scaled = [x.mean() + (x - x.mean()) * np.sqrt(x.size / (x.size - 1)) for x in samples]
    center = float(middle(*scaled))
    low, high = (end - center for end in bootstrap_interval(scaled, middle, confidence))
    widening = _t_over_z(samples, [n / num for n in sizes], confidence)
    return _within(Estimate(value, value + widening * low, value + widening * high, num), bounds)


def stratified_mean(
    strata: Sequence[Sequence[float]],
    confidence: float = CONFIDENCE,
    min_size: int = MIN_SEEDS,
) -> Estimate:
    """Return the mean over all values; its bootstrap draws within each stratum.

    A percentile bootstrap of few values is too short: n values spread sqrt((n - 1) / n) as much
    as what they were drawn from, and their spread is itself uncertain. So deviations are scaled
    by sqrt(n / (n - 1)) in each stratum, and the interval's halves by Student's t over the
    normal's z. A nominal 95% then covers 94% to 95% of normal means with 3 to 10 values, where
    the plain percentiles cover 75% to 90% (docs/log.md).

    Args:
        strata: the values of each stratum; none is empty.
        confidence: of the interval.
        min_size: a stratum with fewer values leaves the mean without an interval; at least 2.

    Source:
        Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4 (narrowness
        bias, and t for z). There the percentiles are moved outward; here the distances are
        scaled, since the outermost percentile of 3 values is their smallest, in 25% of cases
        still above the mean or below it. Degrees of freedom: Welch and Satterthwaite.
    """
    total = sum(len(stratum) for stratum in strata)
    return combined_means(
        strata, [len(stratum) / total for stratum in strata], confidence, min_size
    )


def combined_means(
    strata: Sequence[Sequence[float]],
    weights: Sequence[float],
    confidence: float = CONFIDENCE,
    min_size: int = MIN_SEEDS,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Return the weighted sum of the means of strata, with the interval of `stratified_mean`.

    Args:
        strata: the values of each stratum; none is empty.
        weights: of each stratum's mean; they need not sum to 1, nor be positive.
        confidence: of the interval.
        min_size: a stratum with fewer values leaves the sum without an interval; at least 2.
        num_resamples: how often all strata are drawn.
    """
    import numpy as np

    samples = [np.sort(np.asarray(stratum, dtype=float)) for stratum in strata]
    num = sum(sample.size for sample in samples)
    value = float(sum(w * x.mean() for w, x in zip(weights, samples, strict=True)))
    if min(sample.size for sample in samples) < min_size:
        return Estimate(value, None, None, num)
    if all(sample[0] == sample[-1] for sample in samples):
        return Estimate(value, value, value, num)

    def sum_of(*drawn: Any, axis: int = -1) -> Any:
        return sum(w * x.mean(axis=axis) for w, x in zip(weights, drawn, strict=True))

    sizes = [sample.size for sample in samples]
    scaled = [(x - x.mean()) * np.sqrt(n / (n - 1)) for x, n in zip(samples, sizes, strict=True)]
    low, high = bootstrap_interval(scaled, sum_of, confidence, num_resamples)
    widening = _t_over_z(samples, weights, confidence)
    return Estimate(value, value + widening * low, value + widening * high, num)


def sum_of_means(
    strata: Sequence[Sequence[float]],
    weights: Sequence[float],
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the weighted sum of the means of strata, with Student's interval.

    What `combined_means` finds by drawing again, where values are about normal, in a thousandth of
    the time; without an interval where a stratum has one value.

    Source:
        Welch 1947; degrees of freedom of Welch and Satterthwaite.
    """
    from scipy.special import stdtrit

    num = sum(len(stratum) for stratum in strata)
    means = [sum(stratum) / len(stratum) for stratum in strata]
    value = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    if min(len(stratum) for stratum in strata) < 2:
        return Estimate(value, None, None, num)
    parts = [
        weight**2 * sum((x - mean) ** 2 for x in stratum) / (len(stratum) - 1) / len(stratum)
        for weight, mean, stratum in zip(weights, means, strata, strict=True)
    ]
    variance = sum(parts)
    if not variance:
        return Estimate(value, value, value, num)
    spread = [part**2 / (len(x) - 1) for part, x in zip(parts, strata, strict=True)]
    half = float(stdtrit(variance**2 / sum(spread), (1 + confidence) / 2)) * sqrt(variance)
    return Estimate(value, value - half, value + half, num)


def _t_over_z(samples: Sequence[Any], weights: Sequence[float], confidence: float) -> float:
    """Return how much wider Student's interval of a sum of means is than the normal's."""
    from scipy.special import ndtri, stdtrit

    parts = [w * w * float(x.var(ddof=1)) / x.size for w, x in zip(weights, samples, strict=True)]
    share = [part / sum(parts) for part in parts]  # of the variance of the sum
    degrees = 1 / sum(s * s / (x.size - 1) for s, x in zip(share, samples, strict=True))
    upper = (1 + confidence) / 2
    return float(stdtrit(degrees, upper) / ndtri(upper))


def bootstrap_interval(
    samples: Sequence[Any],
    statistic: Callable[..., Any],
    confidence: float,
    num_resamples: int = NUM_RESAMPLES,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic of several independent samples.

    The draws and the result are those of `scipy.stats.bootstrap`, which takes several times as long
    for a few values.

    Args:
        samples: each with two values or more; each is resampled on its own.
        statistic: takes the samples as arrays, and `axis`.
        confidence: of the interval.
        num_resamples: how often all samples are drawn.
    """
    import numpy as np

    arrays = [np.asarray(sample) for sample in samples]
    sizes = tuple(array.size for array in arrays)
    found = [
        statistic(*(x[its] for x, its in zip(arrays, places, strict=True)), axis=-1)
        for places in _drawn_places(sizes, num_resamples)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return float(low), float(high)


def _drawn_places(sizes: tuple[int, ...], num_resamples: int) -> Iterable[tuple[Any, ...]]:
    """Return batches of places drawn in samples of these sizes, always the same ones."""
    if sum(sizes) * num_resamples > _MAX_KEPT:
        return _draw_places(sizes, num_resamples)
    return _kept_places(sizes, num_resamples)


@lru_cache(_NUM_KEPT)
def _kept_places(sizes: tuple[int, ...], num_resamples: int) -> list[tuple[Any, ...]]:
    return list(_draw_places(sizes, num_resamples))


def _draw_places(sizes: tuple[int, ...], num_resamples: int) -> Iterator[tuple[Any, ...]]:
    import numpy as np

    generator = np.random.default_rng(0)
    batch = max(1, _MAX_DRAWN // sum(sizes))
    for start in range(0, num_resamples, batch):
        num = min(batch, num_resamples - start)
        yield tuple(generator.integers(0, size, (num, size)) for size in sizes)


def median_interval(
    samples: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return the distribution-free interval of the median: two order statistics.

    Returns:
        None where the samples are too few for the confidence: 95% needs 6.

    Source:
        The number of samples below the median is binomial with p = 1/2.
    """
    from scipy.stats import binom

    ordered = sorted(float(sample) for sample in samples)
    num = len(ordered)
    rank = int(binom.ppf((1 - confidence) / 2, num, 0.5)) if num else 0
    if rank < 1:
        return None
    return ordered[rank - 1], ordered[num - rank]
