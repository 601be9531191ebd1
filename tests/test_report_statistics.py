import subprocess
import sys

import numpy as np
import pytest
import scipy.stats

from depthbench.report.statistics import (
    bootstrap_interval,
    interquartile_mean,
    mean_interval,
    median_interval,
    stratified_mean,
)


def test_a_mean_lies_inside_its_interval_and_n_is_told():
    found = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.value == 3.0
    assert found.num == 5
    assert 1.0 < found.low < 3.0 < found.high < 5.0


def test_an_interval_is_the_bootstraps_widened_for_few_seeds():
    # All three draws are the smallest in 1 of 27 cases, more than the 2.5% below the interval: its
    # ends are the smallest and the largest, 2 below the mean and 3 above it, times what is missing
    # of their spread, sqrt(3/2), and of what is known of it, t(0.975; 2) / z(0.975).
    found = mean_interval([1.0, 2.0, 6.0])
    widening = np.sqrt(1.5) * 4.302653 / 1.959964
    assert found.low == pytest.approx(3.0 - 2.0 * widening)
    assert found.high == pytest.approx(3.0 + 3.0 * widening)


def test_many_seeds_leave_the_bootstraps_interval_as_it_is():
    values = list(np.random.default_rng(0).normal(size=2_000))
    found = mean_interval(values)
    error = np.std(values, ddof=1) / np.sqrt(2_000)
    assert found.high - found.value == pytest.approx(1.96 * error, rel=0.05)


def test_a_stratum_without_spread_does_not_lend_its_degrees_of_freedom():
    lonely = stratified_mean([[1.0, 2.0, 6.0]])
    padded = stratified_mean([[1.0, 2.0, 6.0], [5.0] * 30])
    assert 33 * (padded.high - padded.value) == pytest.approx(3 * (lonely.high - lonely.value))


@pytest.mark.parametrize("spreads", [[1.0], [1.0, 3.0, 10.0]])
@pytest.mark.parametrize("num_seeds", [3, 5])
def test_an_interval_covers_the_mean_about_as_often_as_it_says(num_seeds, spreads):
    generator = np.random.default_rng(1)
    num_hits = 0
    for _ in range(300):
        found = stratified_mean([generator.normal(0, s, num_seeds) for s in spreads])
        num_hits += found.low <= 0 <= found.high
    assert 0.90 <= num_hits / 300 <= 0.985  # plain percentiles: 0.75 to 0.85


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0]])
def test_fewer_than_three_seeds_have_no_interval(values):
    found = mean_interval(values)
    assert found.value == sum(values) / len(values)
    assert found.low is None
    assert found.high is None


def test_an_interval_ends_where_values_must():
    shares = [0.90, 0.99, 0.99]
    free = mean_interval(shares)
    cut = mean_interval(shares, bounds=(0.0, 1.0))
    assert free.high > 1.0
    assert (cut.value, cut.low, cut.high, cut.num) == (free.value, free.low, 1.0, 3)
    near_zero = mean_interval([0.01, 0.01, 0.2], bounds=(0.0, None))
    assert near_zero.low == 0.0
    assert near_zero.high > 0.2
    assert mean_interval([0.5, 0.6], bounds=(0.0, 1.0)).low is None


def test_a_mean_beyond_its_bounds_stays_within_its_interval():
    found = mean_interval([-0.3, -0.2, -0.1], bounds=(0.0, None))
    assert found.low <= found.value <= found.high


def test_equal_values_have_an_interval_without_width():
    found = mean_interval([0.5] * 5)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_order_of_values_does_not_change_an_interval():
    assert mean_interval([1.0, 2.0, 3.0, 7.0]) == mean_interval([7.0, 3.0, 1.0, 2.0])


def test_strata_are_drawn_within_themselves():
    apart = stratified_mean([[1.0, 1.0, 1.0], [9.0, 9.0, 9.0]])
    assert (apart.value, apart.low, apart.high) == (5.0, 5.0, 5.0)
    together = stratified_mean([[1.0, 1.0, 1.0, 9.0, 9.0, 9.0]])
    assert together.low < 4.0


def test_a_stratified_mean_weighs_every_value_alike():
    found = stratified_mean([[0.0, 0.0, 0.0], [4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]])
    assert found.value == 3.0
    assert found.num == 12


def test_one_thin_stratum_takes_the_interval_away():
    assert stratified_mean([[1.0, 2.0, 3.0], [1.0, 2.0]]).low is None


def test_an_interquartile_mean_is_that_of_the_middle_half():
    found = interquartile_mean([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 100.0]])
    assert (found.value, found.num) == (4.5, 8)
    assert found.low < 4.5 < found.high


def test_a_seed_astray_moves_the_mean_and_not_the_interquartile_mean():
    near, far = [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 500.0]
    assert interquartile_mean([near]).value == interquartile_mean([far]).value == 3.0
    assert mean_interval(far).value > 100


@pytest.mark.parametrize("values", [[3.0], [1.0, 3.0], [1.0, 2.0, 6.0]])
def test_fewer_than_four_seeds_have_no_quarter_to_leave_out(values):
    found, mean = interquartile_mean([values]), mean_interval(values)
    assert (found.value, found.num) == (pytest.approx(mean.value), mean.num)
    assert (found.low is None) == (len(values) < 3)


def test_an_interquartile_mean_draws_within_strata():
    apart = interquartile_mean([[1.0] * 4, [9.0] * 4])
    assert (apart.value, apart.low, apart.high) == (5.0, 5.0, 5.0)
    together = interquartile_mean([[1.0] * 4 + [9.0] * 4])
    assert together.low < 3.0
    assert interquartile_mean([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0]]).low is None


def test_an_interquartile_mean_ends_where_values_must():
    shares = [0.9, 0.999, 0.97, 0.999]
    assert interquartile_mean([shares], bounds=(0.0, 1.0)).high == 1.0
    assert interquartile_mean([shares]).high > 1.0


@pytest.mark.parametrize("num_seeds", [4, 5, 10])
def test_an_interquartile_interval_covers_about_as_often_as_it_says(num_seeds):
    generator = np.random.default_rng(2)
    num_hits = 0
    for _ in range(300):
        found = interquartile_mean([generator.normal(size=num_seeds)])
        num_hits += found.low <= 0 <= found.high
    assert 0.90 <= num_hits / 300 <= 0.99


def test_the_median_has_an_interval_from_six_samples_on():
    assert median_interval([5, 1, 2, 3, 4]) is None
    assert median_interval([6, 5, 1, 2, 3, 4]) == (1.0, 6.0)
    assert median_interval(range(1, 11)) == (2.0, 9.0)
    assert median_interval([]) is None


def test_a_lower_confidence_needs_fewer_samples():
    assert median_interval([1, 2, 3], confidence=0.7) == (1.0, 3.0)


def test_the_median_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(5).exponential(size=(1000, 15))
    ends = [median_interval(sample) for sample in draws]
    covered = np.mean([low <= np.log(2) <= high for low, high in ends])
    assert 0.94 <= covered <= 0.99  # exactly 0.965


def test_reports_never_import_torch():
    code = (
        "import sys, pkgutil, importlib, depthbench.report as r;"
        "[importlib.import_module(f'depthbench.report.{m.name}') for m in"
        " pkgutil.iter_modules(r.__path__)];"
        "heavy = {'torch', 'scipy', 'pandas', 'rich', 'pyarrow'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("sizes", [(3,), (5, 4), (200, 7, 30)])
def test_the_bootstrap_is_that_of_scipy(sizes):
    rng = np.random.default_rng(7)
    samples = [rng.normal(size=size) for size in sizes]

    def total(*drawn, axis=-1):
        return sum(np.median(x, axis=axis) for x in drawn)

    wanted = scipy.stats.bootstrap(
        tuple(samples),
        total,
        n_resamples=999,
        confidence_level=0.9,
        method="percentile",
        vectorized=True,
        axis=-1,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert bootstrap_interval(samples, total, 0.9, 999) == pytest.approx(tuple(wanted), rel=1e-12)
