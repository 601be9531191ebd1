import numpy as np
import pytest

from depthbench.report.trend.change_points import LEAST_NOISE, noise_of, steps_of, without_outliers

LEAST = 0.03


def noise(num=40, sd=0.01, seed=0):
    return np.random.default_rng(seed).normal(-7, sd, num)


def test_a_planted_step_is_found_where_it_is():
    signal = noise()
    signal[25:] += 0.08
    (step,) = steps_of(signal, LEAST)
    assert step.place == 25
    assert step.shift == pytest.approx(0.08, abs=0.01)
    assert step.before == pytest.approx(-7, abs=0.01)
    assert step.p_value < 1e-6


def test_three_nights_at_the_end_are_a_level():
    signal = noise()
    signal[-3:] += 0.10
    assert [step.place for step in steps_of(signal, LEAST)] == [37]


@pytest.mark.parametrize("place", [0, 1, 20, 38, 39])
def test_a_lone_night_is_no_level_wherever_it_is(place):
    signal = noise()
    signal[place] += 0.5
    assert steps_of(signal, LEAST) == []


def test_noise_alone_has_no_steps():
    assert sum(len(steps_of(noise(seed=seed), LEAST)) for seed in range(50)) == 0


def test_a_step_below_the_least_one_is_none():
    signal = noise(sd=0.001)
    signal[20:] += 0.02
    assert steps_of(signal, LEAST) == []
    assert len(steps_of(signal, 0.01)) == 1


def test_several_steps_are_found_in_their_order():
    signal = noise(60)
    signal[20:] += 0.10
    signal[45:] -= 0.06
    steps = steps_of(signal, LEAST)
    assert [step.place for step in steps] == [20, 45]
    assert [np.sign(step.shift) for step in steps] == [1, -1]


def test_slow_drift_is_no_step():
    assert steps_of(noise(30) + np.arange(30) * 0.0005, LEAST) == []


def test_a_signal_without_noise_steps_where_it_does_and_nowhere_else():
    assert steps_of(np.full(20, 2.0), LEAST) == []
    (step,) = steps_of(np.repeat([2.0, 2.1], 10), LEAST)
    assert (step.place, step.shift) == (10, pytest.approx(0.1))


@pytest.mark.parametrize("num", range(6))
def test_too_few_nights_have_no_steps(num):
    assert steps_of(np.arange(num), 0.0) == []


def test_the_noise_is_that_of_single_nights_whatever_the_levels_do():
    signal = noise(2000, sd=0.02)
    assert noise_of(signal) == pytest.approx(0.02, rel=0.1)
    signal[1000:] += 0.5
    signal[::100] += 0.5
    assert noise_of(signal) == pytest.approx(0.02, rel=0.1)
    assert noise_of(np.ones(9)) == LEAST_NOISE


def test_outliers_are_brought_back_and_levels_of_three_nights_stay():
    signal = noise(30, sd=0.001)
    stepped = signal.copy()
    stepped[-3:] += 0.2
    assert without_outliers(stepped, 0.001)[-3:] == pytest.approx(stepped[-3:])
    signal[12] += 0.2
    assert without_outliers(signal, 0.001)[12] < signal.max() - 0.19
