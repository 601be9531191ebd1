"""Test values that pair by seed: Student's paired t tests of SciPy, for difference and sameness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, inf, log, log1p, sqrt

from depthbench.report.statistics import MIN_SEEDS

_ROUNDING = 1e-12  # differences that are alike but for so much of their size have no spread
_LARGEST_LOG = 709.0  # of a ratio that is a number still


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants' differences by seed, first minus second; of their logs where `is_ratio`.

    The second one was picked from `num_rivals` others of the first; where it was not, that is 1.
    """

    differences: tuple[float, ...]
    is_ratio: bool
    num_rivals: int = 1

    @property
    def is_testable(self) -> bool:
        """Say whether there are seeds enough for any test."""
        return len(self.differences) >= MIN_SEEDS

    @property
    def mean(self) -> float:
        """Return the mean difference."""
        return sum(self.differences) / len(self.differences)

    @property
    def has_spread(self) -> bool:
        """Say whether the differences differ."""
        size = max(abs(difference) for difference in self.differences)
        return max(self.differences) - min(self.differences) > _ROUNDING * size

    def told(self, difference: float) -> float:
        """Return a difference as people are told of it: a ratio where the pair is of logs."""
        if not self.is_ratio:
            return difference
        return exp(difference) if difference < _LARGEST_LOG else inf


def paired(
    first: Mapping[int, float], second: Mapping[int, float], num_rivals: int = 1
) -> Pair | None:
    """Return the differences over the seeds of both, of logs where all values are positive.

    The mean ratio is then the geometric one. None where the two have no seed in common.

    Args:
        first: seed to value.
        second: seed to value.
        num_rivals: how many the second was picked from.
    """
    both = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
    if not both:
        return None
    if min(min(values) for values in both) > 0:
        return Pair(tuple(log(one) - log(other) for one, other in both), True, num_rivals)
    return Pair(tuple(one - other for one, other in both), False, num_rivals)


def difference_probability(pair: Pair) -> float:
    """Return the two-sided p value of the paired t test: how likely equals differ so much."""
    if not pair.has_spread:
        return 1.0 if pair.mean == 0 else 0.0
    return _p_value(pair, 0.0, "two-sided")


def as_good_probability(p_value: float, num_rivals: int) -> float:
    """Return the p value of the loser being as good as each of its rivals.

    It holds whichever of them was picked for the test, since it is that of the best of them.

    Args:
        p_value: two-sided, of the loser against the one that was picked.
        num_rivals: of the loser.

    Source:
        Bonferroni's bound of comparisons with the best (Hsu 1984, "Constrained simultaneous
        confidence intervals for multiple comparisons with the best").
    """
    return min(1.0, num_rivals * p_value / 2)


def sameness_probability(pair: Pair, margin: float) -> float:
    """Return the p value of equivalence: the larger one of two one-sided paired t tests.

    Args:
        pair: of logs.
        margin: a ratio of at least 1 / (1 + margin) and at most 1 + margin is the same.

    Source:
        Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach
        for assessing the equivalence of average bioavailability".
    """
    bound = log1p(margin)
    if not pair.has_spread:
        return 0.0 if abs(pair.mean) < bound else 1.0
    if pair.mean > 0:  # the test against the nearer bound has the larger p value
        return _p_value(pair, bound, "less")
    return _p_value(pair, -bound, "greater")


def _p_value(pair: Pair, mean: float, alternative: str) -> float:
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(pair.differences, mean, alternative=alternative).pvalue)


def student_interval(pair: Pair, confidence: float) -> tuple[float, float]:
    """Return Student's interval of the mean difference, or of the mean ratio."""
    from scipy.stats import ttest_1samp

    if not pair.has_spread:
        return pair.told(pair.mean), pair.told(pair.mean)
    found = ttest_1samp(pair.differences, 0.0).confidence_interval(confidence)
    return pair.told(float(found.low)), pair.told(float(found.high))


def smallest_told(num_seeds: int, confidence: float) -> float:
    """Return the smallest mean difference that is told from none, in its own spread over seeds.

    The spread is the standard deviation of the paired differences.

    Args:
        num_seeds: that the two have in common; at least 2.
        confidence: of the test's interval.
    """
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, num_seeds - 1)) / sqrt(num_seeds)
