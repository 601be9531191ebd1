import copy
import math
import pickle
from time import perf_counter

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from depthbench.errors import SuiteError
from depthbench.grammar import AVAILABLE, FAMILY_OPTIONS, Activation, Family, words
from depthbench.models import BACKBONES, FAMILIES, build_model
from depthbench.models.activations import ACTIVATIONS
from depthbench.models.count import _count_parts, count
from depthbench.models.layouts import parallel, sequential
from depthbench.spec import Problem
from tests.fixtures_networks import (
    ALIKE,
    FUSABLE,
    NETWORK_OPTIONS,
    PAIRS,
    SMALL,
    assert_close,
    images,
    num_weights,
    seeded,
    stages_of,
    trial_of,
    variant_of,
)

# Every family on every backbone


@pytest.mark.parametrize(("family", "backbone"), PAIRS)
def test_network_gives_finite_logits_and_gradients_to_every_weight(family, backbone):
    network = seeded(variant_of(backbone, family))
    y = network(images(32))  # enough for each expert to be chosen
    assert y.shape == (32, 10)
    y.logsumexp(1).sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


@pytest.mark.parametrize(("family", "backbone"), PAIRS)
def test_layout_places_every_module_once(family, backbone):
    variant = variant_of(backbone, family, depth=6)
    assert sum(FAMILIES[family].layout(variant)) == len(seeded(variant).blocks) == 6


# What the options do in families that share weights is in `test_network_options.py`.
@pytest.mark.parametrize(
    ("family", "backbone", "options"),
    [
        (family, backbone, options)
        for family, backbone in PAIRS
        for options in [*NETWORK_OPTIONS, {"norm": "batch"}]
        if family not in ("looped", "widenet") or options in ({}, {"norm": "batch"})
    ],
)
@pytest.mark.parametrize("depth", [1, 3])
def test_count_equals_the_real_network(family, backbone, depth, options):
    variant = variant_of(backbone, family, depth * stages_of(backbone), **options)
    network = seeded(variant).eval()
    # The kernel of plain matrix products: the counter misses the CPU's fused attention.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images(1))
    cost = count(variant, SMALL)
    num_scales = 0 if network.scales is None else variant.depth
    assert cost.total_params == cost.trainable_params == num_weights(network)
    assert cost.body_params == num_weights(network.blocks) + num_scales
    assert cost.forward_flops == counter.get_total_flops()


@pytest.mark.parametrize(("family", "backbone"), PAIRS)
def test_same_seed_gives_bitwise_equal_weights_and_another_seed_others(family, backbone):
    variant = variant_of(backbone, family)
    first, again = (build_model(trial_of(variant, seed=3)).state_dict() for _ in range(2))
    other = build_model(trial_of(variant, seed=4)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(("family", "backbone"), PAIRS)
def test_initial_loss_is_near_that_of_guessing(family, backbone):
    # Sums of twice as many updates as there are modules need norms.
    options = {"norm": "layer"} if (family, backbone) == ("looped", "conv") else {}
    network = build_model(trial_of(variant_of(backbone, family, width=64, **options)))
    labels = torch.arange(200) % 10
    loss = F.cross_entropy(network(images(200)), labels).item()
    assert abs(loss - math.log(10)) < 0.6


@pytest.mark.parametrize(("family", "backbone"), PAIRS)
def test_network_learns_16_examples_by_heart(family, backbone):
    network = build_model(trial_of(variant_of(backbone, family, width=32)))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    x, labels = images(16), torch.arange(16) % 10
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.mark.parametrize(("family", "backbone"), PAIRS)
def test_network_can_be_copied_and_pickled(family, backbone):
    is_fused = family == "parallel_shallow" and backbone in FUSABLE
    options = {"execution": "fused"} if is_fused else {}
    network, x = seeded(variant_of(backbone, family, **options)), images()
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(copied(x), network(x))


@pytest.mark.parametrize("norm", ["none", "layer", "rms", "batch"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_norm_affine_false_leaves_no_norm_weights(backbone, norm):
    network = seeded(variant_of(backbone, norm=norm, norm_affine=False))
    assert not [name for name, _ in network.named_parameters() if ".norm." in name]


@pytest.mark.parametrize("norm", ["none", "layer", "rms", "batch"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_norm_works_in_bf16(backbone, norm):
    network = seeded(variant_of(backbone, norm=norm))
    with torch.autocast("cpu", torch.bfloat16):
        y = network(images())
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), network(images()), tolerance=0.05)


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_norms_act_on_the_features_of_each_position(backbone):
    x = images(4, Problem((6, 5, 5), (10,))) * 3 + 2  # (B, D, H, W)
    layer, rms = (seeded(variant_of("conv", width=6, norm=n)).head.norm for n in ("layer", "rms"))
    if backbone == "mlp":
        x = x[:, :, 0, 0]  # (B, D)
        layer, rms = (seeded(variant_of(width=6, norm=n)).head.norm for n in ("layer", "rms"))
    centred = x - x.mean(1, keepdim=True)
    assert_close(layer(x), centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt())
    assert_close(rms(x), x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bias_false_leaves_weights_of_layers_alone(backbone):
    network = seeded(variant_of(backbone, bias=False, norm="none"))
    kept = {"head.linear.bias"} if backbone == "preact" else set()
    assert {name for name, _ in network.named_parameters() if "weight" not in name} == kept


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_layers_start_uniform_within_the_root_of_their_inputs(backbone):
    network = seeded(variant_of(backbone, width=64))
    bounds = {
        name: module.weight[0].numel() ** -0.5
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    }
    assert len(bounds) >= 6
    for name, bound in bounds.items():
        layer = network.get_submodule(name)
        for tensor in (layer.weight, layer.bias):
            assert tensor.abs().max() <= bound, name
        assert layer.weight.abs().max() > 0.95 * bound, name
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15), name


# Closed forms


@pytest.mark.parametrize(
    ("num_in", "num_out", "depth", "expected"),
    [(196, 784, 2, 1_130_400), (784, 784, 4, 1_953_080)],
)
def test_hourglass_mlp_has_the_published_number_of_weights(num_in, num_out, depth, expected):
    variant = variant_of("mlp", "hourglass", depth, 785, hidden=115, bias=False, norm_affine=False)
    problem = Problem((num_in,), (num_out,))
    closed_form = num_in * 785 + 2 * depth * 785 * 115 + 785 * num_out
    assert count(variant, problem).total_params == closed_form == expected


def test_flops_of_mlp_are_two_for_each_weight_of_its_layers():
    variant = variant_of("mlp", depth=3, width=32, bias=False, norm_affine=False)
    cost = count(variant, SMALL)
    assert cost.total_params == 64 * 32 + 3 * 2 * 32 * 64 + 32 * 10
    assert cost.forward_flops == 2 * cost.total_params


@pytest.mark.parametrize("stride", [1, 2])
def test_flops_of_conv_follow_from_its_image_sizes(stride):
    problem = Problem((3, 28, 20), (10,))
    variant = variant_of("conv", depth=3, width=8, kernel=5, stem_stride=stride)
    height, width = 28 // stride, 20 // stride
    stem = height * width * 9 * 3 * 8
    body = 3 * (height // 2) * (width // 2) * 25 * 8 * 8
    head = 8 * (height // 4) * (width // 4) * 10
    assert count(variant, problem).forward_flops == 2 * (stem + body + head)


def test_weights_of_conv_bottleneck_follow_from_its_three_convolutions():
    variant = variant_of("conv", "hourglass", depth=2, width=16, kernel=5)
    module = (16 * 4 + 4) + (25 * 4 * 4 + 4) + (4 * 16 + 16)
    assert count(variant, SMALL).body_params == 2 * module


def test_fixed_lift_is_counted_but_not_trained():
    fixed, trained = variant_of(lift="fixed"), variant_of(lift="trained")
    cost, other = count(fixed, SMALL), count(trained, SMALL)
    assert cost.total_params == other.total_params == other.trainable_params
    assert cost.trainable_params == cost.total_params - (64 * 16 + 16)
    network = seeded(fixed)
    network(images()).sum().backward()
    assert network.stem.lift.weight.grad is None


def test_learned_scales_are_one_weight_a_module_in_the_body():
    plain, learned = variant_of(depth=5), variant_of(depth=5, residual_scale="learned")
    assert count(learned, SMALL).body_params == count(plain, SMALL).body_params + 5
    assert torch.equal(seeded(learned).scales, torch.ones(5))


def test_counting_is_fast_and_does_not_grow_with_depth():
    count(variant_of(), SMALL)
    _count_parts.cache_clear()
    started = perf_counter()
    count(variant_of(depth=4096), SMALL)
    assert perf_counter() - started < 0.05 * 4  # four times the aim, for busy machines


def test_counting_allocates_nothing_and_leaves_the_generator_alone():
    before = torch.get_rng_state()
    cost = count(variant_of(width=1 << 20), SMALL)
    assert cost.total_params > 10**12
    assert torch.equal(torch.get_rng_state(), before)


# Layouts


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("options", NETWORK_OPTIONS)
def test_deep_and_parallel_have_equal_weights_and_flops(backbone, options):
    deep = variant_of(backbone, "deep", **options)
    beside = variant_of(backbone, "parallel_shallow", **options)
    assert count(deep, SMALL) == count(beside, SMALL)
    first, other = (build_model(trial_of(v)).state_dict() for v in (deep, beside))
    assert list(first) == list(other)
    assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("backbone", "execution"), [*((b, "loop") for b in BACKBONES), *((b, "fused") for b in FUSABLE)]
)
@pytest.mark.parametrize("options", NETWORK_OPTIONS)
def test_deep_and_parallel_agree_at_depth_one(backbone, execution, options):
    depth = stages_of(backbone)
    deep = seeded(variant_of(backbone, "deep", depth, **options))
    beside = variant_of(backbone, "parallel_shallow", depth, execution=execution, **options)
    other = seeded(beside, seed=9)
    other.load_state_dict(deep.state_dict())
    assert_close(other(images()), deep(images()))


@pytest.mark.parametrize("backbone", ALIKE)
def test_one_branch_is_deep_and_all_branches_are_the_sum(backbone):
    x = images()
    deep = seeded(variant_of(backbone, "deep"))
    one = seeded(variant_of(backbone, "parallel_shallow", branches=1))
    every = seeded(variant_of(backbone, "parallel_shallow"))
    assert torch.equal(one(x), deep(x))
    z = deep.stem(x)
    assert_close(every(x), deep.head(z + sum(block(z) for block in deep.blocks)))


@pytest.mark.parametrize("backbone", ALIKE)
def test_two_branches_are_two_modules_a_stage(backbone):
    network, x = seeded(variant_of(backbone, "parallel_shallow", branches=2)), images()
    z = network.stem(x)
    z = z + network.blocks[0](z) + network.blocks[1](z)
    z = z + network.blocks[2](z) + network.blocks[3](z)
    assert_close(network(x), network.head(z))


@pytest.mark.parametrize(
    ("scale", "factor"), [(0.5, 0.5), ("1/sqrt(L)", 0.5), ("1/L", 0.25), ("learned", 1.0)]
)
@pytest.mark.parametrize("family", ["deep", "parallel_shallow"])
def test_residual_scale_multiplies_every_update(scale, factor, family):
    network, x = seeded(variant_of("mlp", family, residual_scale=scale)), images()
    z = start = network.stem(x)
    for block in network.blocks:
        z = z + factor * block(z if family == "deep" else start)
    assert_close(network(x), network.head(z))


# The public builder


def test_build_model_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_model(trial_of(variant_of()))
    assert torch.equal(torch.rand(3), expected)


def test_build_model_ignores_the_global_generator_and_the_default_device():
    trial = trial_of(variant_of())
    first = build_model(trial).state_dict()
    torch.manual_seed(77)
    with torch.device("meta"):
        other = build_model(trial).state_dict()
    assert all(torch.equal(first[name], other[name]) for name in first)


def test_network_can_give_images():
    network = seeded(variant_of(), Problem((1, 7, 7), (1, 14, 14)))
    assert network(torch.zeros(2, 1, 7, 7)).shape == (2, 1, 14, 14)


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (6, 2), (1, 1)])
def test_images_too_small_to_halve_twice_are_refused(side, stride):
    variant = variant_of("conv", stem_stride=stride)
    with pytest.raises(SuiteError, match=f"{side} x {side} pixels are too small"):
        count(variant, Problem((1, side, side), (10,)))


@pytest.mark.parametrize(("side", "stride"), [(4, 1), (7, 2)])
def test_the_smallest_images_are_accepted(side, stride):
    problem = Problem((1, side, side), (10,))
    assert count(variant_of("conv", stem_stride=stride), problem).forward_flops > 0


@pytest.mark.parametrize("backbone", ["conv", "preact", "transformer"])
def test_examples_that_are_no_images_are_refused(backbone):
    with pytest.raises(SuiteError, match=rf"backbone {backbone}: .*no images"):
        count(variant_of(backbone), Problem((196,), (10,)))


@pytest.mark.parametrize("backbone", ["mlp", "conv", "preact"])
def test_text_is_for_transformers(backbone):
    with pytest.raises(SuiteError, match="text, sequences of tokens; use backbone: transformer"):
        count(variant_of(backbone), Problem((8,), (8, 20), vocabulary=20))


# The tables


def test_tables_have_exactly_the_words_of_the_grammar():
    assert set(FAMILIES) == set(words(Family)) == set(FAMILY_OPTIONS)
    assert set(BACKBONES) == set(AVAILABLE["backbone"])
    assert set(ACTIVATIONS) == set(words(Activation))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_families_explain_depth_by_three_examples_and_name_their_source(family):
    assert len(set(family.depth_examples)) == 3
    assert all((family.formula, family.depth_meaning, family.source))
    assert family.layout in (sequential, parallel)


def test_depth_examples_of_mlp_count_its_linear_layers():
    for family, depth, expected in (("deep", 8, 18), ("wide", 2, 6), ("hourglass", 4, 10)):
        network = seeded(variant_of("mlp", family, depth))
        layers = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
        assert len(layers) == expected
        assert any(str(expected) in example for example in FAMILIES[family].depth_examples)
