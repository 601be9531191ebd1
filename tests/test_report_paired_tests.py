from math import exp, inf, log, sqrt

import numpy as np
import pytest

from depthbench.report.paired_tests import (
    Pair,
    as_good_probability,
    difference_probabilities,
    paired,
    sameness_probabilities,
    smallest_told,
    student_intervals,
)


def pair(*differences, is_ratio=True):
    return Pair(tuple(differences), is_ratio)


def difference_probability(tested):
    return difference_probabilities([tested])[0]


def sameness_probability(tested, margin):
    return sameness_probabilities([tested], margin)[0]


def student_interval(tested, confidence):
    return student_intervals([tested], [confidence])[0]


def test_seeds_of_both_count_alone():
    found = paired({0: 2.0, 1: 8.0, 9: 100.0}, {0: 1.0, 1: 2.0, 8: 0.1})
    assert found.differences == pytest.approx((log(2), log(4)))
    assert found.told(found.mean) == pytest.approx(sqrt(8))  # the geometric mean of 2 and 4
    assert not found.is_testable
    assert paired({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_values_that_have_no_ratio_are_subtracted(value):
    found = paired({0: 2.0, 1: 3.0}, {0: value, 1: 1.0})
    assert not found.is_ratio
    assert found.differences == (2.0 - value, 2.0)
    assert found.told(found.mean) == (4.0 - value) / 2


def test_the_paired_t_test_is_students():
    # Differences 1, 2, 3: t = 2 / (1 / sqrt(3)) = 3.464 with 2 degrees of freedom.
    tested = pair(1.0, 2.0, 3.0, is_ratio=False)
    t = 2 * sqrt(3)
    assert difference_probability(tested) == pytest.approx(1 - t / sqrt(2 + t * t))
    low, high = student_interval(tested, 0.95)
    assert (2.0 - low, high - 2.0) == pytest.approx((4.30265 / sqrt(3),) * 2, rel=1e-5)


def test_an_interval_leaves_out_equality_where_p_is_below_its_level():
    tested = pair(0.1, 0.3, 0.25, 0.2)
    p_value = difference_probability(tested)
    inside, outside = (student_interval(tested, 1 - p_value * k) for k in (0.99, 1.01))
    assert inside[0] < 1.0 < outside[0]


def test_being_as_good_counts_the_rivals_one_sided():
    assert as_good_probability(0.02, num_rivals=1) == 0.01
    assert as_good_probability(0.02, num_rivals=3) == pytest.approx(0.03)
    assert as_good_probability(0.5, num_rivals=50) == 1.0


def test_sameness_is_the_interval_within_the_margin():
    tested = pair(0.01, -0.01, 0.005, 0.0)
    p_value = sameness_probability(tested, 0.05)
    low, high = student_interval(tested, 1 - 2 * p_value)
    assert max(high, 1 / low) == pytest.approx(1.05)
    assert p_value < 0.05
    assert sameness_probability(tested, 0.005) > 0.05


def test_sameness_is_alike_in_both_directions():
    above, below = pair(0.01, 0.03, 0.02), pair(-0.01, -0.03, -0.02)
    assert sameness_probability(above, 0.05) == pytest.approx(sameness_probability(below, 0.05))


@pytest.mark.parametrize(
    ("difference", "p_different", "p_same"), [(0.0, 1.0, 0.0), (0.04, 0.0, 0.0), (0.06, 0.0, 1.0)]
)
def test_differences_without_spread_are_certain(difference, p_different, p_same):
    tested = pair(*[difference] * 3)
    assert difference_probability(tested) == p_different
    assert sameness_probability(tested, 0.05) == p_same
    assert student_interval(tested, 0.95) == (exp(difference), exp(difference))


def test_rounding_is_no_spread():
    tested = pair(log(2) - log(1), log(4) - log(2), log(8) - log(4), log(3e5) - log(1.5e5))
    assert difference_probability(tested) == 0.0
    low, high = student_interval(tested, 0.95)
    assert low == high == pytest.approx(2.0)


def test_a_ratio_beyond_all_numbers_is_infinite():
    low, high = student_interval(pair(-400.0, 0.0, 700.0), 0.999)
    assert (low, high) == (0.0, inf)


def test_a_difference_of_the_size_told_is_just_told():
    smallest = smallest_told(5, 0.95)
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    values /= values.std(ddof=1)
    p_values = [difference_probability(pair(*(values + smallest * k))) for k in (0.999, 1.001)]
    assert p_values[0] > 0.05 > p_values[1]
    # Two seeds, and among 4 variants: t of one degree of freedom over sqrt(2).
    assert smallest_told(2, 0.95) == pytest.approx(8.98, abs=0.01)
    assert smallest_told(2, 1 - 0.05 / 6) == pytest.approx(54.0, abs=0.1)


def test_pairs_that_are_tested_together_are_tested_as_each_alone():
    pairs = [
        pair(0.1, 0.3, 0.25),
        pair(0.2, 0.2, 0.2),
        pair(-0.1, 0.02, -0.04, 0.03),
        pair(-0.3, -0.1, -0.2),
    ]
    confidences = [0.95, 0.9, 0.9, 0.95]
    assert difference_probabilities(pairs) == [difference_probability(p) for p in pairs]
    assert sameness_probabilities(pairs, 0.05) == [sameness_probability(p, 0.05) for p in pairs]
    assert student_intervals(pairs, confidences) == [
        student_interval(*both) for both in zip(pairs, confidences, strict=True)
    ]
    assert difference_probabilities([]) == student_intervals([], []) == []
