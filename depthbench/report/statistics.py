"""Intervals: of means over seeds, of paired comparisons, of medians. SciPy does the statistics.

Every draw is seeded, and the values are sorted or keyed before they are drawn from, so that the
same results give the same report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

# Two values span an interval that holds the mean half of the time, whatever the confidence says.
MIN_SEEDS = 3
NUM_RESAMPLES = 9_999
CONFIDENCE = 0.95

_MAX_DRAWN = 4_000_000  # numbers held at once while resampling, about 32 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval over `num` observations; without one where they are too few."""

    value: float
    low: float | None
    high: float | None
    num: int


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Return the mean over seeds with its percentile bootstrap interval.

    With few seeds a bootstrap interval is too short: at 95% it holds the mean of normal values
    in about 76% of cases with 3 seeds, 85% with 5 and 91% with 10.
    """
    return stratified_mean([values], confidence)


def stratified_mean(
    strata: Sequence[Sequence[float]],
    confidence: float = CONFIDENCE,
    min_size: int = MIN_SEEDS,
) -> Estimate:
    """Return the mean over all values; its bootstrap draws within each stratum.

    Args:
        strata: the values of each stratum; none is empty.
        confidence: of the interval.
        min_size: a stratum with fewer values leaves the mean without an interval.
    """
    import numpy as np

    samples = [np.sort(np.asarray(stratum, dtype=float)) for stratum in strata]
    total = sum(sample.size for sample in samples)
    mean = float(sum(sample.sum() for sample in samples) / total)
    if min(sample.size for sample in samples) < min_size:
        return Estimate(mean, None, None, total)

    def mean_of(*drawn: Any, axis: int = -1) -> Any:
        return sum(sample.sum(axis=axis) for sample in drawn) / total

    low, high = bootstrap_interval(samples, mean_of, confidence)
    return Estimate(mean, low, high, total)


def bootstrap_interval(
    samples: Sequence[Any],
    statistic: Callable[..., Any],
    confidence: float,
    num_resamples: int = NUM_RESAMPLES,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic of several independent samples.

    Args:
        samples: each with two values or more; each is resampled on its own.
        statistic: takes the samples as arrays, and `axis`.
        confidence: of the interval.
        num_resamples: how often all samples are drawn.
    """
    import numpy as np
    from scipy.stats import bootstrap

    num_values = sum(len(sample) for sample in samples)
    result = bootstrap(
        tuple(samples),
        statistic,
        n_resamples=num_resamples,
        batch=max(1, _MAX_DRAWN // num_values),
        vectorized=True,
        axis=-1,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    interval = result.confidence_interval
    return float(interval.low), float(interval.high)


def paired_difference(
    first: Mapping[int, float],
    second: Mapping[int, float],
    confidence: float = CONFIDENCE,
    *,
    is_ratio: bool = False,
) -> Estimate | None:
    """Return first minus second, or first over second, as a mean over the seeds of both.

    Student's interval of the paired differences (of the logs, for a ratio, whose mean is then
    geometric). A ranking picks its best after the fact and from few seeds, where a bootstrap of
    5 seeds separates equal variants far too often: the best of 4 equal ones from another in half
    of all cases.

    Args:
        first: seed to value.
        second: seed to value.
        confidence: of the interval.
        is_ratio: compare by ratio; all values must be positive.

    Returns:
        None where the two have no seed in common; no interval below `MIN_SEEDS` of them.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    if is_ratio:
        differences = [log(first[seed]) - log(second[seed]) for seed in seeds]
    else:
        differences = [first[seed] - second[seed] for seed in seeds]
    mean, low, high = _student_interval(differences, confidence)
    if is_ratio:
        mean, low, high = exp(mean), _exp(low), _exp(high)
    return Estimate(mean, low, high, len(seeds))


def _student_interval(
    values: Sequence[float], confidence: float
) -> tuple[float, float | None, float | None]:
    import numpy as np
    from scipy.stats import sem, t

    mean = float(np.mean(values))
    if len(values) < MIN_SEEDS:
        return mean, None, None
    error = 0.0 if min(values) == max(values) else float(sem(values))
    if error == 0.0:
        return mean, mean, mean
    low, high = t.interval(confidence, len(values) - 1, loc=mean, scale=error)
    return mean, float(low), float(high)


def _exp(value: float | None) -> float | None:
    return None if value is None else exp(value)


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
