"""Test values that pair by seed: Student's paired t tests of SciPy, for difference and sameness.

Many pairs are tested at once, all of as many seeds in one call of SciPy, whose own work on a few
numbers takes a thousandth of what the call does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log, log1p, sqrt
from typing import Any

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


def difference_probabilities(pairs: Sequence[Pair]) -> list[float]:
    """Return each pair's two-sided p value of the paired t test: how likely equals differ so much.

    Differences without spread differ surely, or surely not at all.
    """
    from scipy.stats import ttest_1samp

    found = [1.0 if pair.mean == 0 else 0.0 for pair in pairs]
    for places, differences in _tested_together(pairs):
        _put(found, places, ttest_1samp(differences, 0.0, axis=1).pvalue)
    return found


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


def sameness_probabilities(pairs: Sequence[Pair], margin: float) -> list[float]:
    """Return each pair's p value of equivalence: the larger one of two one-sided paired t tests.

    Args:
        pairs: of logs.
        margin: a ratio of at least 1 / (1 + margin) and at most 1 + margin is the same.

    Source:
        Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach
        for assessing the equivalence of average bioavailability".
    """
    import numpy as np
    from scipy.stats import ttest_1samp

    bound = log1p(margin)
    found = [0.0 if abs(pair.mean) < bound else 1.0 for pair in pairs]
    for places, differences in _tested_together(pairs):
        # The test against the nearer bound has the larger p value.
        towards_it = differences * np.sign(differences.mean(axis=1, keepdims=True))
        _put(found, places, ttest_1samp(towards_it, bound, axis=1, alternative="less").pvalue)
    return found


def student_intervals(
    pairs: Sequence[Pair], confidences: Sequence[float]
) -> list[tuple[float, float]]:
    """Return Student's interval of each pair's mean difference, or of its mean ratio."""
    from scipy.stats import ttest_1samp

    found = [(pair.told(pair.mean),) * 2 for pair in pairs]
    for confidence in set(confidences):
        its = [place for place, wanted in enumerate(confidences) if wanted == confidence]
        for places, differences in _tested_together([pairs[place] for place in its]):
            ends = ttest_1samp(differences, 0.0, axis=1).confidence_interval(confidence)
            for place, low, high in zip(places, ends.low, ends.high, strict=True):
                told = pairs[its[place]].told
                found[its[place]] = (told(float(low)), told(float(high)))
    return found


def _tested_together(pairs: Sequence[Pair]) -> Iterator[tuple[list[int], Any]]:
    """Yield the pairs with as many seeds, and a spread: their places, differences (pair, seed)."""
    import numpy as np

    by_size: dict[int, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        if pair.has_spread:
            by_size[len(pair.differences)].append(place)
    for places in by_size.values():
        yield places, np.array([pairs[place].differences for place in places])


def _put(found: list[float], places: Sequence[int], values: Any) -> None:
    for place, value in zip(places, values, strict=True):
        found[place] = float(value)


def smallest_told(num_seeds: int, confidence: float) -> float:
    """Return the smallest mean difference that is told from none, in its own spread over seeds.

    The spread is the standard deviation of the paired differences.

    Args:
        num_seeds: that the two have in common; at least 2.
        confidence: of the test's interval.
    """
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, num_seeds - 1)) / sqrt(num_seeds)
