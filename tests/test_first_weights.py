"""First weights by rule: what they keep constant over depth, drawn by the seed alone."""

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from depthbench.models import first_weights
from depthbench.models.first_weights import CRITICAL, Criticality, second_moment
from depthbench.models.readout import ScaledLinear
from depthbench.models.sums import branch_scale, carry_of, num_branches
from depthbench.options import option_problems
from depthbench.spec import Problem
from tests.fixtures_networks import (
    SMALL,
    BackboneSettings,
    VariantSettings,
    images,
    seeded,
    variant_of,
)

TEXT = Problem((16,), (16, 50), 50)


def tokens(num=16):
    return torch.randint(0, 50, (num, 16), generator=torch.Generator().manual_seed(2))


def variances(network, inputs):
    """Return the mean square of the stream at the start and after each stage."""
    found = []
    with torch.no_grad():
        z, context = network.begin(inputs)
        found.append(float(z.square().mean()))
        for stage in range(len(network.stages)):
            z = network.advance(z, stage, context)
            found.append(float(z.square().mean()))
    return found


def stack(backbone, activation, depth=30, **options):
    width = 128 if backbone == "mlp" else 64
    options = {"skip": "none", "norm": "none", "init": "critical"} | options
    variant = variant_of(backbone, depth=depth, width=width, activation=activation, **options)
    return variances(seeded(variant), images(16))


def derivative(activation, z):
    if activation == "gelu":
        return ndtr(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    sigmoid = 1 / (1 + np.exp(-z))
    return sigmoid + z * sigmoid * (1 - sigmoid)


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_the_fixed_point_has_both_susceptibilities_1(activation):
    weight, bias, variance = CRITICAL[activation]
    nodes = np.linspace(-12, 12, 20_001)
    weights = np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum()
    z = nodes * math.sqrt(variance)
    value = z * ndtr(z) if activation == "gelu" else z / (1 + np.exp(-z))
    perpendicular = weight * weights @ derivative(activation, z) ** 2
    parallel = weight * weights @ (value**2 * (nodes**2 - 1)) / (2 * variance)
    assert perpendicular == pytest.approx(1, abs=1e-6)
    assert parallel == pytest.approx(1, abs=1e-6)
    assert bias + weight * weights @ value**2 == pytest.approx(variance, abs=1e-6)


def test_second_moments_are_those_of_closed_forms():
    assert second_moment("identity", 3.0) == pytest.approx(3.0)
    assert second_moment("relu") == pytest.approx(0.5)
    # E[(z P(z))^2] at variance 1.
    exact = 1 / 3 + 1 / (2 * math.sqrt(3) * math.pi)
    assert second_moment("gelu") == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(
    ("backbone", "activation"),
    [("mlp", "relu"), ("mlp", "gelu"), ("mlp", "silu"), ("conv", "relu"), ("conv", "gelu")],
)
def test_a_critical_stack_keeps_its_variance_over_30_modules(backbone, activation):
    found = stack(backbone, activation)
    assert 0.1 < found[-1] / found[1] < 4


def test_tanh_loses_variance_no_faster_than_one_over_depth():
    found = stack("mlp", "tanh", depth=64)
    assert 1 / 3 < (found[64] / found[16]) / (16 / 64) < 3


@pytest.mark.parametrize(("factor", "is_growing"), [(0.67, False), (1.5, True)])
@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_off_criticality_it_explodes_or_vanishes(monkeypatch, backbone, factor, is_growing):
    off = CRITICAL | {"relu": Criticality(factor * CRITICAL["relu"].weight, 0.0)}
    monkeypatch.setattr(first_weights, "CRITICAL", off)
    found = stack(backbone, "relu")
    ratio = found[-1] / found[1]
    assert ratio > 1e3 if is_growing else ratio < 1e-3


def test_the_default_start_lets_a_plain_stack_vanish():
    assert stack("mlp", "relu", init="default", bias=False)[-1] < 1e-9


def test_bottlenecks_are_critical_too():
    found = stack("conv", "relu", family="hourglass", bottleneck=0.5, depth=10)
    assert 0.1 < found[-1] / found[1] < 4


def test_taps_are_the_kernel_where_borders_are_far():
    assert first_weights._taps(1, 3) == pytest.approx(1)
    assert first_weights._taps(4, 3) == pytest.approx(1 + 2 * math.cos(math.pi / 5))
    assert 2.99 < first_weights._taps(64, 3) < 3
    assert first_weights._taps(8, 1) == pytest.approx(1)


def test_gelu_without_biases_is_not_critical_and_refused():
    settings = VariantSettings(
        family="deep", depth=4, width=16, init="critical", activation="gelu", bias=False
    )
    messages = [message for _, message in option_problems(settings, BackboneSettings(name="mlp"))]
    assert messages == ["init: critical with activation: gelu needs biases"]


DEEPSCALE = [
    ("transformer", {}),
    ("transformer", {"norm": "none", "activation": "relu"}),
    ("transformer", {"parallel_block": True}),
    ("transformer", {"experts": 4}),
    ("transformer", {"family": "hourglass", "sub_mlps": 3}),
    ("mixer", {}),
    ("mixer", {"token_expansion": 2, "family": "parallel_shallow"}),
]


@pytest.mark.parametrize(("backbone", "options"), DEEPSCALE, ids=str)
@pytest.mark.parametrize("problem", [TEXT, SMALL], ids=["text", "images"])
def test_deepscale_keeps_the_streams_variance_over_any_depth(backbone, options, problem):
    inputs = tokens(4) if problem is TEXT else images(4)
    options = options | ({} if problem is TEXT else {"patch": 2})
    for depth in (2, 8):
        variant = variant_of(backbone, depth=depth, width=64, init="deepscale", **options)
        found = variances(seeded(variant, problem), inputs)
        assert found[0] == pytest.approx(1, abs=0.2)
        assert all(0.4 < variance < 2.2 for variance in found), (depth, found)


def test_plain_sums_let_the_stream_grow_with_depth():
    ends = []
    for depth in (2, 16):
        variant = variant_of("mlp", depth=depth, width=64)
        ends.append(variances(seeded(variant), images(16))[-1])
    assert ends[1] > 1.5 * ends[0]


@pytest.mark.parametrize("options", [{}, {"parallel_block": True}], ids=str)
def test_scales_of_deepscale_keep_variance(options):
    variant = variant_of("transformer", depth=6, width=64, init="deepscale", **options)
    at_once = 2 if options else 1
    assert carry_of(variant) ** 2 + at_once * branch_scale(variant) ** 2 == pytest.approx(1)


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("width", [64, 512])
def test_deepscale_begins_near_the_loss_of_guessing(width, is_tied):
    options = {"init": "deepscale", "tie_embeddings": is_tied, "depth": 2, "width": width}
    network = seeded(variant_of("transformer", **options), TEXT)
    with torch.no_grad():
        logits = network(tokens())
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens().roll(-1, 1).flatten())
    assert abs(float(loss) - math.log(50)) < 0.3
    assert isinstance(network.head.linear, ScaledLinear) == is_tied


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        ("mlp", {"up": (16, 32), "down": (32, 16)}),
        ("conv", {"conv": (9 * 16, 9 * 16)}),
        ("transformer", {"attention.out": (16, 16), "mlps.0.up": (16, 64)}),
    ],
)
def test_deepnorm_starts_modules_by_xavier_with_its_gain(backbone, layers):
    options = {"norm": "layer"} if backbone == "conv" else {}
    variant = variant_of(backbone, depth=24, norm_position="deep", **options)
    network, beta = seeded(variant), (4 * num_branches(variant)) ** -0.25
    assert beta == pytest.approx((8 * 24) ** -0.25 if backbone == "transformer" else 96**-0.25)
    for name, (fan_in, fan_out) in layers.items():
        weights = [block.get_submodule(name).weight.detach() for block in network.blocks]
        expected = beta * math.sqrt(2 / (fan_in + fan_out))
        assert float(torch.stack(weights).std()) == pytest.approx(expected, rel=0.05)


def test_deepnorm_gives_queries_and_keys_gain_1():
    network = seeded(variant_of("transformer", depth=24, width=32, norm_position="deep"))
    weights = [b.attention.queries_keys_values.weight.detach() for b in network.blocks]
    queries, keys, values = (float(part.std()) for part in torch.stack(weights).chunk(3, 1))
    beta = (8 * 24) ** -0.25
    assert queries == pytest.approx(1 / math.sqrt(32), rel=0.05)
    assert keys == pytest.approx(1 / math.sqrt(32), rel=0.05)
    assert values == pytest.approx(beta / math.sqrt(32), rel=0.05)


RULES = [
    ("mlp", {"init": "critical"}),
    ("conv", {"init": "critical"}),
    ("transformer", {"init": "deepscale"}),
    ("mixer", {"init": "deepscale"}),
    ("mlp", {"norm_position": "deep"}),
    ("mixer", {"norm_position": "deep"}),
]


@pytest.mark.parametrize(("backbone", "rule"), RULES, ids=str)
def test_equal_seeds_draw_equal_weights_whatever_the_layout(backbone, rule):
    first = seeded(variant_of(backbone, **rule)).state_dict()
    again = seeded(variant_of(backbone, family="parallel_shallow", **rule)).state_dict()
    other = seeded(variant_of(backbone, **rule), seed=1).state_dict()
    plain = seeded(variant_of(backbone)).state_dict()
    shared = [name for name in first if name.startswith(("stem", "blocks", "head"))]
    assert all(torch.equal(first[name], again[name]) for name in shared)
    drawn = [name for name in shared if first[name].ndim > 1 and name in plain]
    assert all(not torch.equal(first[name], other[name]) for name in drawn if "mask" not in name)
    inside = [name for name in drawn if name.startswith("blocks")]
    assert inside and all(not torch.equal(first[name], plain[name]) for name in inside)


def test_fused_execution_starts_as_the_loop_does():
    options = {"family": "parallel_shallow", "norm": "none", "init": "critical"}
    loop = seeded(variant_of("mlp", execution="loop", **options)).state_dict()
    fused = seeded(variant_of("mlp", execution="fused", **options)).state_dict()
    assert all(torch.equal(loop[name], fused[name]) for name in loop)


def test_shared_weights_are_drawn_once():
    variant = variant_of("transformer", family="widenet", depth=2, init="deepscale", width=64)
    network = seeded(variant)
    down = network.blocks[0].mlps[0].experts[0].down.weight
    assert network.blocks[-1].mlps[0].experts[0].down.weight is down
    gain = 4 / math.sqrt(2) / math.sqrt(second_moment("gelu"))
    assert float(down.detach().std()) == pytest.approx(gain / math.sqrt(256), rel=0.05)
