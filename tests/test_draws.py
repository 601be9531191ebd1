import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from depthbench.report.draws import NUM_DRAWS, frontier_shares, least_shares, mean_draws

VALUES = [0.081, 0.084, 0.078, 0.083, 0.080]


def constant(*values):
    return np.tile(values, (7, 1)).T


@pytest.mark.parametrize("num", [3, 5])
def test_draws_of_a_mean_are_students_t(num):
    values = VALUES[:num]
    (draws,) = mean_draws([values], num_draws=200_000)
    for level in (0.025, 0.2, 0.5, 0.975):
        wanted = t.ppf(level, num - 1, np.mean(values), np.std(values, ddof=1) / num**0.5)
        width = t.ppf(0.975, num - 1) * np.std(values, ddof=1) / num**0.5
        assert np.quantile(draws, level) == pytest.approx(wanted, abs=0.05 * width)


def test_draws_are_the_same_each_time_and_independent_between_samples():
    first, second = mean_draws([VALUES, VALUES])
    ranks = np.argsort(np.argsort([first, second], axis=1), axis=1)  # of draws without a variance
    assert abs(np.corrcoef(*ranks)[0, 1]) < 0.1
    again = mean_draws([VALUES, VALUES])
    assert (again[0] == first).all() and (again[1] == second).all()
    assert (mean_draws([VALUES], stream=1)[0] != first).any()


@pytest.mark.parametrize("shift", [0.0, 0.002, 0.004])
@pytest.mark.parametrize("num", [3, 5])
def test_what_shares_its_seeds_is_below_another_as_often_as_the_paired_test_says(num, shift):
    values, others = np.array(VALUES[:num]), np.array([0.080, 0.085, 0.076, 0.082, 0.083][:num])
    seeds = tuple(range(num))
    draws = mean_draws([values, others + shift], [seeds, seeds], num_draws=20_000)
    wanted = ttest_rel(values, others + shift, alternative="less").pvalue
    assert np.mean(draws[0] < draws[1]) == pytest.approx(1 - wanted, abs=0.015)


def test_twins_have_the_same_draws():
    draws = mean_draws([VALUES, VALUES], [(0, 1, 2, 3, 4)] * 2)
    assert (draws[0] == draws[1]).all()


def test_of_other_seeds_those_in_common_are_drawn_alike():
    draws = mean_draws(
        [VALUES, VALUES[:4], VALUES[:4]], [(0, 1, 2, 3, 4), (0, 1, 2, 3), (5, 6, 7, 8)]
    )
    ranks = np.argsort(np.argsort(draws, axis=1), axis=1)
    found = np.corrcoef(ranks)
    assert found[0, 1] > 0.6 and abs(found[0, 2]) < 0.1


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
