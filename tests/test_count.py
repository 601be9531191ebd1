"""Weights and FLOPs in closed form: what each option adds to a plain network or takes from it."""

import pytest

from depthbench.models.count import _count_parts, _count_whole, count
from tests.fixtures_networks import SMALL, TEXT, variant_of

WIDTH, HIDDEN, DEPTH = 16, 32, 4
ENDS = (64 + 1) * WIDTH + 2 * WIDTH + (WIDTH + 1) * 10
ENDS_FLOPS = 2 * (64 * WIDTH + WIDTH * 10)
NORM = 2 * WIDTH


def mlp_module(hidden=HIDDEN):
    return (WIDTH + 1) * hidden + (hidden + 1) * WIDTH


def mlp(family="deep", depth=DEPTH, **options):
    return count(variant_of("mlp", family, depth, WIDTH, **options), SMALL)


def transformer(family="deep", depth=DEPTH, problem=TEXT, **options):
    return count(variant_of("transformer", family, depth, WIDTH, **options), problem)


def added(cost, plain):
    """Return what a network has more than another: weights of the body, and FLOPs."""
    assert cost.total_params - plain.total_params == cost.body_params - plain.body_params
    assert cost.trainable_params == cost.total_params == cost.active_params
    return cost.body_params - plain.body_params, cost.forward_flops - plain.forward_flops


def test_the_plain_mlp():
    cost = mlp()
    assert cost.body_params == DEPTH * (mlp_module() + NORM)
    assert cost.total_params == cost.trainable_params == cost.active_params
    assert cost.total_params == ENDS + cost.body_params
    assert cost.forward_flops == ENDS_FLOPS + 2 * DEPTH * 2 * WIDTH * HIDDEN
    assert cost.total_heads == 0


@pytest.mark.parametrize(
    "options",
    [
        {"skip": "none"},
        {"survival": 0.5},
        {"residual_scale": "1/L"},
        {"norm_scale": "1/sqrt(l)"},
        {"norm_position": "post"},
        {"norm_position": "deep"},
        {"init": "critical"},
        {"parametrization": "mup", "base_width": 4},
        {"parametrization": "completep", "base_width": 4, "base_depth": 1},
    ],
)
def test_options_that_change_no_size_of_an_mlp(options):
    assert mlp(**options) == mlp()


@pytest.mark.parametrize(
    "options",
    [
        {"survival": 0.5},
        {"residual_scale": "1/sqrt(L)"},
        {"norm_scale": "1/sqrt(l)"},
        {"norm_position": "post"},
        {"norm_position": "deep"},
        {"init": "deepscale"},
        {"parametrization": "ntk", "base_width": 4},
        {"parametrization": "depth_mup", "base_width": 4, "base_depth": 1},
    ],
)
def test_options_that_change_no_size_of_a_transformer(options):
    assert transformer(**options) == transformer()


def test_a_parallel_stage_has_one_norm_after_its_sum():
    cost = mlp("parallel_shallow", norm_position="post", branches=2)
    assert cost.body_params == DEPTH * mlp_module() + 2 * NORM
    assert cost.forward_flops == mlp().forward_flops


def test_peri_adds_a_norm_to_each_branch():
    assert added(mlp(norm_position="peri"), mlp()) == (DEPTH * NORM, 0)
    assert added(transformer(norm_position="peri"), transformer()) == (2 * DEPTH * NORM, 0)
    peri, plain = (transformer("hourglass", norm_position=p) for p in ("peri", "pre"))
    assert added(peri, plain) == (5 * DEPTH * NORM, 0)  # attention and four narrow mlps


def test_gains_are_a_weight_for_each_feature_of_each_branch():
    assert added(mlp(layer_scale=0.1), mlp()) == (DEPTH * WIDTH, 0)
    assert added(transformer(layer_scale=0.1), transformer()) == (2 * DEPTH * WIDTH, 0)
    conv, plain = (
        count(variant_of("conv", depth=DEPTH, layer_scale=gain), SMALL) for gain in (0.1, "none")
    )
    assert added(conv, plain) == (DEPTH * WIDTH, 0)
    preact, plain = (
        count(variant_of("preact", depth=6, layer_scale=gain), SMALL) for gain in (0.1, "none")
    )
    assert added(preact, plain) == (2 * (1 + 2 + 4) * WIDTH, 0)


def test_trained_scales_are_one_weight_a_module():
    for scale in ("learned", "rezero"):
        assert added(mlp(residual_scale=scale), mlp()) == (DEPTH, 0)
        assert added(transformer(residual_scale=scale), transformer()) == (DEPTH, 0)


@pytest.mark.parametrize(
    ("dilation", "period", "weights"),
    [
        (1, 1, 2 + 3 + 4 + 5 + 6 + 7),
        (2, 1, 1 + 2 + 2 + 3 + 3 + 4),
        (1, 3, 4 + 7),
        (3, 2, 1 + 2 + 3),
    ],
)
def test_depth_averages_have_a_weight_for_each_state_they_read(dilation, period, weights):
    options = {"depth_average": True, "average_dilation": dilation, "average_period": period}
    assert added(mlp(depth=6, **options), mlp(depth=6)) == (weights, 0)
    assert added(transformer(depth=6, **options), transformer(depth=6)) == (weights, 0)


def test_a_depth_average_after_each_stage_of_parallel_modules():
    averaged = mlp("parallel_shallow", branches=2, depth_average=True)
    assert added(averaged, mlp("parallel_shallow", branches=2)) == (2 + 3, 0)


@pytest.mark.parametrize("loops", [1, 2, 5])
def test_loops_multiply_the_flops_of_the_body_and_no_weights(loops):
    cost, plain = mlp("looped", loops=loops), mlp()
    assert (cost.total_params, cost.body_params) == (plain.total_params, plain.body_params)
    assert cost.forward_flops - ENDS_FLOPS == loops * (plain.forward_flops - ENDS_FLOPS)
    deep, looped = transformer(depth=2 * loops), transformer("looped", 2, loops=loops)
    assert looped.forward_flops == deep.forward_flops
    assert looped.total_heads == deep.total_heads
    averaged = mlp("looped", 2, loops=loops, depth_average=True)
    states = sum(range(2, 2 * loops + 2))
    assert averaged.body_params == 2 * (mlp_module() + NORM) + states


def test_expansions_give_each_module_a_hidden_size_of_its_own():
    cost = mlp(expansions=(0.5, 1.0, 2.0, 4.03125))  # 8, 16, 32 and 64.5, which is rounded up
    sizes = (8, 16, 32, 65)
    assert cost.body_params == sum(mlp_module(size) + NORM for size in sizes)
    assert cost.forward_flops == ENDS_FLOPS + sum(2 * 2 * WIDTH * size for size in sizes)
    narrow = transformer(expansions=(1.0, 1.0, 1.0, 2.0))
    equal = transformer(expansion=1.0)
    assert added(narrow, equal) == (16 * (2 * WIDTH + 1), 2 * 6 * 2 * WIDTH * 16)


def test_expansions_of_a_conv_hourglass():
    variant = variant_of("conv", "hourglass", 2, WIDTH, expansions=(0.25, 0.5))
    modules = [(WIDTH * h + h) + (9 * h * h + h) + (h * WIDTH + WIDTH) for h in (4, 8)]
    assert count(variant, SMALL).body_params == sum(modules)


def test_expansions_that_are_equal_are_an_expansion():
    for backbone in ("mlp", "transformer", "mixer"):
        said = variant_of(backbone, depth=3, expansions=(3.0, 3.0, 3.0))
        assert said == variant_of(backbone, depth=3, expansion=3.0)
        assert said.identity() == variant_of(backbone, depth=3, expansion=3.0).identity()


def test_a_parallel_block_has_one_norm_less():
    weights, flops = added(transformer(), transformer(parallel_block=True))
    assert (weights, flops) == (DEPTH * NORM, 0)
    weights, flops = added(transformer("hourglass"), transformer("hourglass", parallel_block=True))
    assert (weights, flops) == (4 * DEPTH * NORM, 0)


def test_hybrids_are_counted_by_what_each_module_has():
    costs = {
        every: count(variant_of("mixer", depth=4, attention_every=every, heads=2), TEXT)
        if every
        else count(variant_of("mixer", depth=4), TEXT)
        for every in (0, 1, 2, 3)
    }
    assert costs[1] == transformer(depth=4, heads=2)
    differences = [added(costs[1], costs[every]) for every in (0, 2, 3)]
    weights, flops = differences[0]
    assert (weights % 4, flops % 4) == (0, 0)
    assert differences[1] == (weights // 2, flops // 2)
    assert differences[2] == (3 * weights // 4, 3 * flops // 4)
    assert [costs[every].total_heads for every in (0, 1, 2, 3)] == [0, 8, 4, 2]


@pytest.mark.parametrize(
    "options",
    [
        {"family": "looped"},
        {"experts": 4},
        {"norm_position": "peri", "layer_scale": 0.1},
        {"kv_heads": 1},
        {"parallel_block": True, "survival": 0.5},
    ],
)
def test_networks_of_alike_modules_are_counted_without_building_them_all(options):
    plain = {"family": "deep"} | options
    deep = variant_of("transformer", depth=2000, width=WIDTH, **plain)
    shallow = variant_of("transformer", depth=1, width=WIDTH, **plain)
    _count_whole.cache_clear()
    _count_parts.cache_clear()
    cost, one = count(deep, TEXT), count(shallow, TEXT)
    assert cost.body_params == 2000 * one.body_params
    assert cost.total_params - cost.active_params == 2000 * (one.total_params - one.active_params)
    assert _count_whole.cache_info().misses == 0
    assert _count_parts.cache_info().misses == 1
