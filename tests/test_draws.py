import numpy as np
import pytest

from depthbench.report.draws import NUM_DRAWS, frontier_shares, least_shares, mean_draws
from depthbench.report.statistics import mean_interval

VALUES = [0.081, 0.084, 0.078, 0.083, 0.080]


def constant(*values):
    return np.tile(values, (7, 1)).T


@pytest.mark.parametrize("num", [3, 5])
def test_draws_spread_as_the_interval_of_the_report_does(num):
    (draws,) = mean_draws([VALUES[:num]])
    found = mean_interval(VALUES[:num])
    low, high = np.percentile(draws, [2.5, 97.5])
    width = found.high - found.low
    assert low == pytest.approx(found.low, abs=0.07 * width)
    assert high == pytest.approx(found.high, abs=0.07 * width)


def test_draws_are_the_same_each_time_and_independent_between_samples():
    first, second = mean_draws([VALUES, VALUES])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    again = mean_draws([VALUES, VALUES])
    assert (again[0] == first).all() and (again[1] == second).all()
    assert (mean_draws([VALUES], stream=1)[0] != first).any()


def test_few_or_equal_values_have_no_spread():
    draws = mean_draws([[0.2, 0.4], [0.3, 0.3, 0.3]])
    assert draws.shape == (2, NUM_DRAWS)
    assert np.allclose(draws, 0.3)


def test_shares_of_winning_add_up_and_ties_are_shared():
    assert least_shares(constant(1.0, 2.0, 1.0)) == [0.5, 0.0, 0.5]
    shares = least_shares(mean_draws([VALUES, VALUES, [value + 1 for value in VALUES]]))
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] == pytest.approx(0.5, abs=0.05) and shares[2] == 0.0


def test_a_frontier_is_what_no_other_beats_in_both():
    costs = constant(1.0, 2.0, 3.0, 3.0, 2.5)
    losses = constant(3.0, 2.0, 2.5, 1.0, 2.0)
    assert frontier_shares(costs, losses) == [1.0, 1.0, 0.0, 1.0, 0.0]


def test_of_equal_costs_the_better_is_on_the_frontier_alone():
    assert frontier_shares(constant(1.0, 1.0), constant(2.0, 1.0)) == [0.0, 1.0]


def test_an_uncertain_place_on_the_frontier_has_a_share_between():
    costs = constant(1.0, 2.0)[:, :1].repeat(NUM_DRAWS, axis=1)
    shares = frontier_shares(costs, mean_draws([VALUES, VALUES]))
    assert shares[0] == 1.0
    assert 0.4 < shares[1] < 0.6
