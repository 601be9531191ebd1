import re
from time import perf_counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from depthbench.errors import MatchError, SuiteError
from depthbench.grammar import MAX_WIDTH, BackboneSettings, Match, VariantSettings, words
from depthbench.matching import Solution, solve_width
from depthbench.models.count import _count_parts, count
from depthbench.spec import Problem
from depthbench.variants import resolve_variant, whole_width
from tests.fixtures_networks import PAIRS, stages_of

PROBLEM = Problem((1, 8, 8), (10,))


def settings_of(backbone, options):
    options = {"family": "deep", "depth": 4, "width": "match"} | options
    # A depth that all stages share: 3 of a preact stand for one of another backbone.
    return VariantSettings(**options | {"depth": options["depth"] * stages_of(backbone)})


def neighbours_of(width, backbone="mlp", **options):
    """Return the width and those before and after it that the network can have."""
    settings, named = settings_of(backbone, options), BackboneSettings(name=backbone)
    lowest = 2 if options.get("family") == "hourglass" else 1
    before = whole_width(settings, named, width - 1, below=True) if width > lowest else width
    return before, width, whole_width(settings, named, width + 1)


def solve(target, tolerance=0.02, match="total_params", backbone="mlp", **options):
    variant = settings_of(backbone, options)
    settings = BackboneSettings(name=backbone)
    return solve_width(variant, settings, PROBLEM, match=match, target=target, tolerance=tolerance)


def size_at(width, match="total_params", backbone="mlp", **options):
    variant = settings_of(backbone, options)
    resolved = resolve_variant(variant, BackboneSettings(name=backbone), width)
    return count(resolved, PROBLEM).of(match)


# What follows from the width; the heads of all modules do not.
SIZES = [word for word in words(Match) if word != "total_heads"]


@pytest.mark.parametrize(("family", "backbone"), PAIRS)
@pytest.mark.parametrize("match", SIZES)
@pytest.mark.parametrize("width", [8, 61])
def test_size_of_a_width_is_solved_to_that_width_exactly(family, backbone, match, width):
    target = size_at(width, match, backbone, family=family)
    found = solve(target, match=match, backbone=backbone, family=family)
    assert found == Solution(width, 0.0)


@settings(max_examples=60, deadline=None)
@given(
    target=st.floats(100, 1e9),
    pair=st.sampled_from(PAIRS),
    depth=st.integers(1, 30),
    match=st.sampled_from(SIZES),
)
@example(target=2.0, pair=("hourglass", "mlp"), depth=30, match="body_params")
def test_solution_keeps_the_tolerance_and_no_neighbour_is_nearer(target, pair, depth, match):
    family, backbone = pair
    options = {"family": family, "depth": depth}
    try:
        found = solve(target, 0.01, match, backbone, **options)
    except MatchError as error:
        widths = [int(width) for width in re.findall(r"width (\d+) with ", str(error))]
        assert len(widths) == 2
        assert widths == list(neighbours_of(widths[0], backbone, **options)[1:])
        assert all(
            abs(size_at(width, match, backbone, **options) - target) > 0.01 * target
            for width in widths
        )
        return
    size = size_at(found.width, match, backbone, **options)
    assert found.error_fraction == pytest.approx((size - target) / target)
    assert abs(found.error_fraction) <= 0.01
    for neighbour in neighbours_of(found.width, backbone, **options):
        assert abs(size_at(neighbour, match, backbone, **options) - target) >= abs(size - target)


def test_error_names_the_two_nearest_widths_with_their_sizes_and_errors():
    low, high = size_at(5), size_at(6)
    target = (low + high) / 2
    with pytest.raises(MatchError) as error:
        solve(target)
    message = str(error.value)
    assert f"5 with {low:,} ({100 * (low - target) / target:+.3g}%)" in message
    assert f"6 with {high:,} ({100 * (high - target) / target:+.3g}%)" in message
    assert "deep of depth 4" in message
    assert "within 2%" in message


def test_tolerance_that_the_error_advises_is_enough():
    target = (size_at(8) + size_at(9)) / 2
    with pytest.raises(MatchError) as error:
        solve(target, 0.001)
    advised = float(re.search(r"set tolerance: ([\d.]+)", str(error.value)).group(1))
    assert abs(solve(target, advised).error_fraction) <= advised


def test_target_below_the_smallest_network_names_the_smallest_widths():
    with pytest.raises(MatchError, match=rf"1 with {size_at(1):,} .* 2 with {size_at(2):,}"):
        solve(3.0)


def test_target_above_the_largest_width_names_the_largest():
    with pytest.raises(MatchError, match=rf"{MAX_WIDTH - 1} with .* {MAX_WIDTH} with"):
        solve(1e30)


def test_target_at_the_smallest_network_is_met():
    assert solve(size_at(1)) == Solution(1, 0.0)


def test_hourglass_stays_wider_than_its_hidden_size():
    options = {"family": "hourglass", "hidden": 40}
    assert solve(size_at(41, **options), **options).width == 41
    with pytest.raises(MatchError, match=r"nearest are width 41 with .* and width 42 with"):
        solve(size_at(20, **options), **options)


def test_options_of_the_variant_count():
    target = size_at(24, expansion=4.0, bias=False)
    assert solve(target, expansion=4.0, bias=False) == Solution(24, 0.0)


def test_problems_of_the_data_are_reported_as_they_are():
    tiny, variant = (
        Problem((1, 2, 2), (10,)),
        VariantSettings(family="deep", depth=1, width="match"),
    )
    with pytest.raises(SuiteError, match="too small"):
        solve_width(
            variant,
            BackboneSettings(name="conv"),
            tiny,
            match="total_params",
            target=1000.0,
            tolerance=0.1,
        )


def test_solving_counts_few_networks():
    for target in (1e4, 1e6, 1e9):
        _count_parts.cache_clear()
        solve(target * 1.003, 0.05, depth=7)
        assert _count_parts.cache_info().misses <= 14


def test_solving_twice_costs_nothing():
    solve(123_456.0)
    started = perf_counter()
    solve(123_456.0)
    assert perf_counter() - started < 0.01
