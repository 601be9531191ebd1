"""Parametrisations: what each weight's role asks for, and that the base shape is left as it is."""

import math

import pytest
import torch
from torch import nn

from depthbench.grammar import TrainSettings
from depthbench.models.rates import Rates
from depthbench.models.readout import ScaledLinear
from depthbench.models.stacked import why_not_stacked
from depthbench.options import option_problems
from depthbench.spec import Problem
from depthbench.training.optimizers import build_optimizer, set_learning_rate
from tests.fixtures_networks import (
    SMALL,
    BackboneSettings,
    VariantSettings,
    assert_close,
    images,
    seeded,
    variant_of,
)

TEXT = Problem((16,), (16, 50), 50)
NAMES = ("ntk", "mup", "depth_mup", "completep")
FIT = Rates()


def tokens(num=4):
    return torch.randint(0, 50, (num, 16), generator=torch.Generator().manual_seed(2))


def network_of(backbone="mlp", problem=SMALL, width=64, depth=4, **options):
    return seeded(variant_of(backbone, width=width, depth=depth, **options), problem)


def settings_of(optimizer="adamw", **settings):
    return TrainSettings(optimizer=optimizer, lr=0.01, steps=1, **settings)


def take_step(network, inputs, settings):
    """Take a step on any loss, and return the outputs before it."""
    optimizer = build_optimizer(network, settings)
    set_learning_rate(optimizer, settings.lr)
    outputs = network(inputs)
    outputs.square().mean().backward()
    optimizer.step()
    return outputs.detach()


BASES = [
    ("mlp", SMALL, {}),
    ("mlp", SMALL, {"family": "hourglass", "norm": "none", "experts": 2}),
    ("conv", SMALL, {"norm": "rms"}),
    ("transformer", TEXT, {"kv_heads": 2, "heads": 4}),
    ("transformer", TEXT, {"family": "widenet", "parallel_block": True}),
    ("transformer", SMALL, {"layer_scale": 0.1, "norm_position": "post"}),
    ("mixer", TEXT, {"attention_every": 2, "token_expansion": 1}),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("backbone", "problem", "options"), BASES, ids=str)
def test_at_the_base_every_parametrisation_is_sp_bit_for_bit(backbone, problem, options, name):
    inputs = tokens() if problem is TEXT else images(4)
    base = {"base_width": 16, "base_depth": 4, "width": 16, "depth": 4}
    found = network_of(backbone, problem, parametrization=name, **base, **options)
    base = {key: value for key, value in base.items() if "base" not in key}
    plain = network_of(backbone, problem, **base, **options)
    assert found.rates is None
    for optimizer in ("adamw", "sgd"):
        outputs = [take_step(net, inputs, settings_of(optimizer)) for net in (found, plain)]
        assert torch.equal(*outputs)
        ours, theirs = found.state_dict(), plain.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_rates_of_an_mlp_under_mup_are_those_of_the_table():
    rates = network_of(width=256, base_width=64, parametrization="mup").rates
    hidden = Rates(adam=1 / 4, sgd=1.0, gradient=1 / 4, size=1 / 2)
    vector = Rates(adam=1.0, sgd=4.0, gradient=1 / 4)
    for name in ("stem.lift.weight", "stem.lift.bias", "head.linear.weight", "head.norm.weight"):
        assert rates[name] == vector, name
    for name in ("norm.weight", "norm.bias", "up.bias", "down.bias"):
        assert rates[f"blocks.1.{name}"] == vector, name
    assert rates["blocks.0.up.weight"] == rates["blocks.3.down.weight"] == hidden
    assert rates["head.linear.bias"] == FIT  # it has no size that follows the width


def test_rates_of_ntk_keep_outputs_and_not_features():
    rates = network_of(width=256, base_width=64, parametrization="ntk").rates
    m = 4.0
    # An input weight's update changes a feature by its rate, a hidden one's by m times its rate:
    # by m^-1/2 both. Outputs change by m times the effective rate of the head: by 1.
    assert rates["stem.lift.weight"].adam == pytest.approx(m**-0.5)
    assert m * rates["blocks.0.up.weight"].adam == pytest.approx(m**-0.5)
    head = rates["head.linear.weight"]
    assert m * m**-0.5 * head.adam == pytest.approx(1)  # times its multiplier
    assert head.size == pytest.approx(1)
    assert rates["blocks.0.up.weight"].sgd == pytest.approx(1 / m)
    assert rates["stem.lift.weight"].sgd == head.sgd == pytest.approx(1)


def test_ntk_is_its_multipliers_in_the_rates_of_sgd():
    """Train the network of explicit multipliers, w -> i^-1/2 w, at one rate for all weights."""
    width, base, settings = 64, 16, settings_of("sgd", momentum=0.0)
    network = network_of(width=width, base_width=base, parametrization="ntk", norm="none")
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    take_step(network, images(), settings)
    plain = network_of(width=width, norm="none")
    factors = dict.fromkeys(before, 1.0)
    factors |= dict.fromkeys((n for n in before if n.endswith(("up.weight", "down.weight"))), 0.5)
    free = {name: (w / factors[name]).requires_grad_() for name, w in before.items()}
    effective = {name: factors[name] * weight for name, weight in free.items()}
    effective["head.linear.weight"] = 0.5 * effective["head.linear.weight"]
    torch.func.functional_call(plain, effective, images()).square().mean().backward()
    for name, weight in network.named_parameters():
        learned = free[name] - settings.lr * free[name].grad
        assert_close(weight.detach(), factors[name] * learned.detach(), 1e-6)


@pytest.mark.parametrize(("name", "power"), [("depth_mup", 0.5), ("completep", 1.0)])
def test_rates_within_branches_follow_the_depth(name, power):
    rates = network_of(depth=16, base_depth=4, parametrization=name).rates
    hidden, m = rates["blocks.5.up.weight"], 4.0
    assert hidden.adam == pytest.approx(m ** (power - 1))
    assert hidden.sgd == pytest.approx(m ** (2 * power - 1))
    assert hidden.gradient == pytest.approx(m**-power)
    assert rates["blocks.5.norm.weight"].adam == rates["blocks.5.up.bias"].adam == hidden.adam
    ends = [own for key, own in rates.items() if key.startswith(("stem", "head"))]
    assert ends and all(own == FIT for own in ends)


def test_weights_that_all_modules_share_count_their_uses():
    rates = network_of(
        "transformer", TEXT, family="widenet", depth=16, base_depth=4, parametrization="completep"
    ).rates
    shared, own = rates["blocks.0.attention.out.weight"], rates["blocks.3.norm.weight"]
    assert (shared.adam, shared.sgd, shared.gradient) == (1.0, 1.0, 1.0)
    assert (own.adam, own.sgd, own.gradient) == (1.0, 4.0, 0.25)


def test_norms_in_the_stream_that_all_stages_share_count_their_uses_too():
    options = {"depth": 16, "base_depth": 4, "norm_position": "post", "family": "widenet"}
    found = {}
    for sharing in ("shared", "individual"):
        network = network_of(parametrization="completep", norm_sharing=sharing, **options)
        found[sharing] = network.rates["norms.0.weight"]
    assert found["shared"] == Rates(adam=1 / 4, sgd=1 / 16, gradient=4.0)
    assert found["individual"] == Rates(adam=1 / 4, sgd=1 / 4)


def test_norms_in_the_stream_learn_slower_in_deeper_networks():
    network = network_of(depth=16, base_depth=4, parametrization="completep", norm_position="post")
    assert network.rates["norms.3.weight"].adam == 1 / 4
    averaged = network_of(depth=16, base_depth=4, parametrization="completep", depth_average=True)
    assert averaged.rates["average.weights.3"].adam == 1 / 4


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_first_weights_of_pytorchs_default_are_hidden_ones_already(backbone):
    found = network_of(backbone, width=128, base_width=32, parametrization="mup")
    plain = network_of(backbone, width=128)
    ours, theirs = dict(found.named_parameters()), dict(plain.named_parameters())
    for name, weight in ours.items():
        is_head = name == "head.linear.weight"
        is_started = name.endswith(".bias") and ".norm" not in name and "stem" not in name
        factor = 2.0 if is_head or is_started else 1.0  # m^1/2: as at the base
        assert torch.allclose(weight, factor * theirs[name]), name


def test_first_weights_of_a_transformer_shrink_in_hidden_layers():
    found = network_of("transformer", TEXT, width=256, base_width=64, parametrization="mup")
    plain = network_of("transformer", TEXT, width=256)
    ours, theirs = dict(found.named_parameters()), dict(plain.named_parameters())
    for name, weight in ours.items():
        is_hidden = weight.ndim == 2 and name.startswith("blocks")
        assert torch.allclose(weight, (0.5 if is_hidden else 1.0) * theirs[name]), name


def test_completep_draws_layers_that_write_as_at_base_depth():
    deep = network_of("transformer", depth=16, base_depth=4, parametrization="completep")
    plain = network_of("transformer", depth=16)
    weights = [net.blocks[0].attention.out.weight for net in (deep, plain)]
    assert torch.allclose(weights[0], 2 * weights[1])
    assert torch.equal(deep.blocks[0].mlps[0].up.weight, plain.blocks[0].mlps[0].up.weight)


@pytest.mark.parametrize(("name", "multiplier"), [("mup", 1 / 4), ("ntk", 1 / 2)])
@pytest.mark.parametrize("is_tied", [True, False])
def test_the_head_multiplies_its_input_tied_or_not(name, multiplier, is_tied):
    options = {"width": 256, "base_width": 64, "tie_embeddings": is_tied}
    network = network_of("transformer", TEXT, parametrization=name, **options)
    linear = network.head.linear
    assert isinstance(linear, ScaledLinear) and linear.multiplier == multiplier
    assert (linear.weight is network.stem.tokens.weight) == is_tied
    h = torch.randn(2, 3, 256)
    assert_close(linear(h), multiplier * (h @ linear.weight.mT))
    assert ("head.linear.weight" in network.state_dict()) and linear.bias is None
    names = [own for own, _ in network.named_parameters()]
    assert set(network.rates) == set(names)


def test_a_bias_of_the_head_is_not_multiplied():
    network = network_of(width=256, base_width=64, parametrization="mup")
    with torch.no_grad():
        network.head.linear.weight.zero_()
        assert_close(network(images()), network.head.linear.bias.expand(8, 10))


SCORES = [
    ({}, 128, None),  # two heads of 64, as one at the base
    ({"heads": 4}, 128, math.sqrt(16) / 32),
    ({"head_size": 32}, 128, None),
    ({"heads": 4, "head_size": 16}, 256, None),
    ({"heads": 1}, 16, math.sqrt(64) / 16),
    ({"heads": 2}, 64, None),
]


@pytest.mark.parametrize(("options", "width", "scale"), SCORES, ids=str)
@pytest.mark.parametrize("name", ["mup", "completep", "ntk"])
def test_scores_are_divided_by_the_head_size(options, width, scale, name):
    network = network_of("transformer", TEXT, width=width, parametrization=name, **options)
    found = network.blocks[0].attention.scale
    assert found == (None if name == "ntk" or scale is None else pytest.approx(scale))


def test_sizes_that_do_not_follow_the_width_make_outputs_and_inputs_of_weights():
    options = {"width": 256, "base_width": 64, "parametrization": "mup"}
    rates = network_of(hidden=32, **options).rates
    up, down = rates["blocks.0.up.weight"], rates["blocks.0.down.weight"]
    assert (up.adam, up.sgd, up.gradient, up.size) == (1 / 4, 1 / 4, 1.0, 1 / 4)
    assert (down.adam, down.sgd, down.gradient, down.size) == (1.0, 4.0, 1 / 4, 1.0)
    rates = network_of("transformer", TEXT, experts=4, **options).rates
    router = rates["blocks.0.mlps.0.router.weight"]
    assert (router.adam, router.sgd, router.size) == (1 / 4, 1 / 4, 1 / 4)
    rates = network_of("mixer", TEXT, token_expansion=2, **options).rates
    assert rates["blocks.0.attention.weights.0"] == FIT


def test_few_keys_for_many_queries_start_as_outputs():
    options = {"width": 256, "head_size": 16, "kv_heads": 1}
    found = network_of("transformer", TEXT, parametrization="mup", base_width=64, **options)
    plain = network_of("transformer", TEXT, **options)
    ours, theirs = (n.blocks[0].attention.queries_keys_values.weight for n in (found, plain))
    assert torch.allclose(ours[:256], 0.5 * theirs[:256])
    assert torch.allclose(ours[256:], 0.25 * theirs[256:])
    rates = found.rates["blocks.0.attention.queries_keys_values.weight"]
    assert (rates.adam, rates.sgd) == (1 / 4, 1 / 4)


def test_base_sizes_are_what_the_same_settings_mean_at_base_width():
    mup = {"parametrization": "mup", "base_width": 64}
    found = variant_of("transformer", width=256, **mup)
    assert (found.base_hidden, found.base_heads, found.base_head_size) == (256, 1, 64)
    found = variant_of("transformer", width=256, heads=4, hidden=100, **mup)
    assert (found.base_hidden, found.base_heads, found.base_head_size) == (100, 4, 16)
    found = variant_of("transformer", width=256, head_size=32, bottleneck=0.5, **mup)
    assert (found.base_hidden, found.base_heads, found.base_head_size) == (32, 2, 32)
    plain = variant_of("transformer", width=256)
    assert (plain.base_hidden, plain.base_heads, plain.base_head_size) == (None, None, None)
    conv = variant_of("conv", **mup)
    assert (conv.base_hidden, conv.base_heads) == (None, None)


@pytest.mark.parametrize(
    ("backbone", "family", "expansions"),
    [("mlp", "deep", (1.0, 1.01)), ("conv", "hourglass", (0.25, 0.26))],
)
def test_modules_that_are_alike_at_one_width_alone_have_a_base(backbone, family, expansions):
    options = {"family": family, "depth": 2, "expansions": expansions, "parametrization": "mup"}
    for width, base_width in ((16, 128), (128, 16)):
        network = network_of(backbone, width=width, base_width=base_width, **options)
        m = width / base_width
        rates = [network.rates[f"blocks.{index}.up.weight"].adam for index in (0, 1)]
        assert rates == pytest.approx([1 / m, 1 / m], rel=0.1)


def test_depth_scales_each_branch_of_a_block():
    network = network_of("transformer", TEXT, depth=8, base_depth=4, parametrization="completep")
    plain = network_of("transformer", TEXT, depth=8)
    plain.load_state_dict(network.state_dict())
    block, own = plain.blocks[2], network.blocks[2]
    z = torch.randn(2, 16, 64)
    stream = z + 0.5 * block.attention(block.norm(z))
    stream = stream + 0.5 * block.mlps[0](stream)
    assert network.scale == 1.0
    assert_close((z + own(z)).detach(), stream.detach())
    assert network_of(depth=8, base_depth=4, parametrization="depth_mup").scale == 2**-0.5


class TestOptimizer:
    @pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
    def test_a_plain_network_has_one_group_as_pytorch_makes_it(self, optimizer):
        built = build_optimizer(network_of(), settings_of(optimizer))
        (group,) = built.param_groups
        assert "rate" not in group and group["lr"] == 0.01
        set_learning_rate(built, 0.1 + 0.2)
        assert group["lr"] == 0.1 + 0.2

    @pytest.mark.parametrize(
        ("optimizer", "rate", "decay", "eps"),
        [("adamw", 1 / 4, 4.0, 1 / 4), ("adam", 1 / 4, 1 / 2, 1 / 4), ("sgd", 1.0, 1.0, None)],
    )
    def test_each_group_has_what_its_weights_ask_for(self, optimizer, rate, decay, eps):
        network = network_of(width=256, base_width=64, parametrization="mup")
        settings = settings_of(optimizer, weight_decay=0.1, eps=1e-6)
        built = build_optimizer(network, settings)
        set_learning_rate(built, 0.5)
        weight = network.blocks[1].up.weight
        (group,) = (g for g in built.param_groups if any(w is weight for w in g["params"]))
        assert group["lr"] == pytest.approx(0.5 * rate)
        assert group["weight_decay"] == pytest.approx(0.1 * decay)
        assert eps is None or group["eps"] == pytest.approx(1e-6 * eps)
        held = [id(w) for g in built.param_groups for w in g["params"]]
        assert sorted(held) == sorted(id(w) for w in network.parameters())
        keys = [(g["lr"], g["weight_decay"], g.get("eps")) for g in built.param_groups]
        assert len(set(keys)) == len(keys)

    @pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
    def test_decay_keeps_its_strength(self, optimizer):
        network = network_of(
            "transformer", width=128, depth=8, base_width=64, parametrization="depth_mup"
        )
        built = build_optimizer(network, settings_of(optimizer, weight_decay=0.1))
        assert len(built.param_groups) > 2
        for group in built.param_groups:
            assert group["lr"] * group["weight_decay"] == pytest.approx(0.01 * 0.1)

    def test_a_fixed_lift_is_in_no_group(self):
        network = network_of(width=128, base_width=64, parametrization="mup", lift="fixed")
        built = build_optimizer(network, settings_of())
        held = {id(w) for g in built.param_groups for w in g["params"]}
        assert id(network.stem.lift.weight) not in held


def test_networks_with_rates_train_alone_and_say_why():
    network = network_of(width=128, parametrization="mup")
    assert "learning rates of their own" in why_not_stacked(network)
    with torch.device("meta"):
        assert why_not_stacked(network_of(width=128, parametrization="mup")) is not None
    assert why_not_stacked(network_of(width=64, parametrization="mup")) is None


def test_a_readout_has_the_weights_of_the_layer_it_is_made_of():
    linear = nn.Linear(3, 2)
    scaled = ScaledLinear(linear, 0.5)
    assert scaled.weight is linear.weight and scaled.bias is linear.bias
    x = torch.randn(4, 3)
    assert_close(scaled(x), linear(0.5 * x))


REFUSED = [
    ({"parametrization": "completep", "skip": "none"}, "skip: none has none"),
    ({"parametrization": "depth_mup", "residual_scale": "1/L"}, "give a number"),
    ({"parametrization": "completep", "residual_scale": "learned"}, "give a number"),
    ({"parametrization": "mup", "init": "critical"}, "each says how weights start"),
    ({"parametrization": "mup", "norm_position": "deep"}, "each says how weights start"),
    ({"init": "critical", "norm_position": "deep"}, "each says how weights start"),
    ({"init": "deepscale"}, "not for mlp"),
]


@pytest.mark.parametrize(("options", "reason"), REFUSED, ids=str)
def test_rules_that_contradict_one_another_are_refused(options, reason):
    settings = VariantSettings(family="deep", depth=4, width=16, **options)
    problems = option_problems(settings, BackboneSettings(name="mlp"))
    assert any(reason in message for _, message in problems), problems
