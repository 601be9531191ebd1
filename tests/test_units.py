import pytest

from depthbench.units import (
    format_count,
    format_estimate,
    format_flops,
    format_fraction,
    format_percentages,
    format_seconds,
    significant,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (12_345, "12,345"),
        (999_999, "999,999"),
        (1_234_567, "1.23M"),
        (999_999_999, "1.00G"),
        (36_479_194, "36.5M"),
        (None, "-"),
        (float("nan"), "-"),
    ],
)
def test_counts_are_exact_below_a_million(number, text):
    assert format_count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(12, "12"), (39_800, "39.8k"), (4.56e9, "4.56G"), (999_999, "1.00M")]
)
def test_flops_have_three_digits_and_a_magnitude(number, text):
    assert format_flops(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.23456e-3, "1.23 ms"),
        (4.56e-7, "456 ns"),
        (9.9999e-7, "1.00 µs"),
        (12.3, "12.3 s"),
        (90, "90.0 s"),
        (600, "10.0 min"),
        (0, "0 ns"),
        (None, "-"),
        (float("inf"), "-"),
    ],
)
def test_times_come_in_the_unit_that_suits_them(seconds, text):
    assert format_seconds(seconds) == text


def test_a_time_shows_the_wider_half_of_its_interval():
    assert format_seconds(1e-3, (0.99e-3, 1.05e-3)) == "1.00 ms ±5%"
    assert format_seconds(1e-3, (None, None)) == "1.00 ms"


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((0.08123, 0.0752, 0.0881), "0.081 [0.075, 0.088]"),
        ((0.08123, 0.0802, 0.0821), "0.0812 [0.0802, 0.0821]"),
        ((1234.5, 1200.0, 1269.0), "1234 [1200, 1269]"),
        ((0.5, 0.5, 0.5), "0.5000 [0.5000, 0.5000]"),
        ((0.08123, None, None), "0.0812"),
        ((float("nan"), 0.0, 1.0), "-"),
    ],
)
def test_digits_follow_the_interval(ends, text):
    assert format_estimate(*ends) == text


def test_fractions_become_percentages():
    assert format_fraction(0.12) == "12%"
    assert format_fraction(0.0034, is_signed=True) == "+0.3%"
    assert format_fraction(-0.2, is_signed=True) == "-20%"
    assert format_fraction(-0.00001, is_signed=True) == "0%"
    assert format_percentages(0.123, 0.05, 0.19) == "12% [5, 19]"
    assert format_percentages(-0.02, -0.04, 0.01, is_signed=True) == "-2.0% [-4.0, 1.0]"


@pytest.mark.parametrize(
    ("value", "text"),
    [(99.96, "100"), (0.0009996, "0.00100"), (1.5e9, "1.50e+09"), (-2.5, "-2.50")],
)
def test_significant_digits_survive_rounding_up(value, text):
    assert significant(value) == text


def test_an_interval_that_leaves_out_zero_shows_that_it_does():
    assert format_percentages(0.19, 0.003, 0.37) == "19.0% [0.3, 37.0]"
    assert format_percentages(-0.19, -0.37, -0.003) == "-19.0% [-37.0, -0.3]"
    assert format_percentages(3e-5, 1e-5, 5e-5) == "0.003% [0.001, 0.005]"
    assert format_estimate(19.0, 0.3, 37.0) == "19.0 [0.3, 37.0]"
    assert format_percentages(0.19, -0.003, 0.37) == "19% [0, 37]"


def test_an_end_beyond_tenfold_is_cut():
    assert format_percentages(0.37, -1.0, 32287.07, is_signed=True) == "+37% [-100, >999]"
    assert format_percentages(12.5, 12.0, 13.0) == "1,250% [>999, >999]"
