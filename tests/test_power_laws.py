import numpy as np
import pytest

from depthbench.report.power_laws import fit_power_law


def noisy(center, generator, noise=0.02, num=5):
    return list(center * np.exp(generator.normal(0, noise, num)))


def test_a_planted_exponent_is_found_inside_its_interval():
    generator = np.random.default_rng(0)
    sizes = [1e3, 4e3, 16e3, 64e3]
    law = fit_power_law([(s,) for s in sizes], [noisy(5 * s**-0.3, generator) for s in sizes])
    (exponent,) = law.exponents
    assert exponent.low < -0.3 < exponent.high
    assert exponent.high - exponent.low < 0.05
    assert law.coefficient == pytest.approx(5, rel=0.2) and law.is_told


def test_the_interval_holds_the_exponent_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    sizes = [1e3, 4e3, 16e3, 64e3]
    hits = 0
    for _ in range(100):
        values = [noisy(s**-0.3, generator, 0.05, 3) for s in sizes]
        (exponent,) = fit_power_law([(s,) for s in sizes], values).exponents
        hits += exponent.low <= -0.3 <= exponent.high
    assert hits >= 88


def test_depth_and_width_have_exponents_of_their_own():
    generator = np.random.default_rng(2)
    sizes = [(depth, width) for depth in (2, 8) for width in (16, 64)]
    values = [noisy(1e-6 * depth * width**1.5, generator, 0.01) for depth, width in sizes]
    depth, width = fit_power_law(sizes, values).exponents
    assert depth.low < 1.0 < depth.high and width.low < 1.5 < width.high


def test_what_bends_is_no_power_law():
    sizes = [1e3, 4e3, 16e3, 64e3]
    law = fit_power_law([(s,) for s in sizes], [[1.0], [0.3], [0.28], [0.27]])
    assert law.largest_residual_fraction > 0.10 and not law.is_told


@pytest.mark.parametrize(
    "sizes",
    [
        [(1.0,), (4.0,), (16.0,)],
        [(1.0,), (1.5,), (2.0,), (3.0,)],
        [(2.0, 64.0), (4.0, 45.0), (8.0, 32.0), (16.0, 22.0), (32.0, 16.0)],
        [(2.0, 16.0), (4.0, 17.0), (8.0, 16.0), (16.0, 17.0)],
    ],
    ids=["three points", "too little span", "width follows depth", "hardly any width"],
)
def test_sizes_that_tell_no_exponent_are_not_fitted(sizes):
    assert fit_power_law(sizes, [[1.0, 1.1, 0.9]] * len(sizes)) is None


def test_single_observations_leave_an_exponent_without_an_interval():
    law = fit_power_law([(s,) for s in (1, 2, 4, 8)], [[1.0], [2.0], [4.0], [8.0]])
    assert law.exponents[0].value == pytest.approx(1.0)
    assert law.exponents[0].low is None
