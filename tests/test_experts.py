"""Mixtures of experts: by a loop over positions, their balance, and what they share over depth."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from depthbench.grammar import TrainSettings
from depthbench.models import build_model
from depthbench.models.count import count
from depthbench.models.experts import MixtureModule, balance_of
from depthbench.models.mlp import MLPModule
from depthbench.spec import Problem
from depthbench.training import train
from depthbench.training.optimizers import build_optimizer
from depthbench.training.step import build_step
from depthbench.training.tasks.classify import Classify
from tests.fixtures_networks import (
    SMALL,
    TEXT,
    assert_close,
    examples,
    images,
    num_weights,
    seeded,
    shaken,
    trial_of,
    variant_of,
)
from tests.fixtures_timing import called, cell_of, prepared
from tests.test_training import make_data

SETTINGS = TrainSettings(steps=1, optimizer="sgd", lr=0.1)
LABELS = torch.arange(64) % 10


def mixture(experts=4, active=2, **options):
    options = {"experts": experts, "active_experts": active} | options
    return shaken(seeded(variant_of("mlp", depth=1, **options)).blocks[0])


def mixtures_of(network):
    return [module for module in network.modules() if isinstance(module, MixtureModule)]


# What is computed


@pytest.mark.parametrize(("experts", "active"), [(4, 1), (4, 2), (3, 3), (8, 5)])
@pytest.mark.parametrize("shape", [(5, 16), (2, 7, 16)])
def test_each_position_gets_the_gated_answers_of_its_likeliest_experts(experts, active, shape):
    module, z = mixture(experts, active), torch.randn(shape)
    h = module.norm(z)
    expected = torch.zeros(shape)
    for place in torch.cartesian_prod(*map(torch.arange, shape[:-1])).view(-1, len(shape) - 1):
        row = h[tuple(place)]
        probabilities = (module.router.weight @ row).softmax(0)
        for index in probabilities.argsort(descending=True)[:active]:
            expert = module.experts[index]
            expected[tuple(place)] += probabilities[index] * expert.down(F.relu(expert.up(row)))
    assert_close(module(z), expected)


def test_one_expert_is_the_plain_layer():
    plain, one = variant_of("mlp"), variant_of("mlp", experts=1, active_experts=1, balance=0.5)
    assert one == plain
    assert isinstance(seeded(one).blocks[0], MLPModule)
    module, layer = MixtureModule(replace(one, experts=1, active_experts=1)), MLPModule(plain)
    layer.load_state_dict(module.norm.state_dict(prefix="norm.") | module.experts[0].state_dict())
    z = torch.randn(5, 16)
    assert_close(module(z), layer(z))


def test_all_experts_active_are_a_weighted_mean():
    module, z = mixture(3, 3), torch.randn(9, 16)
    h = module.norm(z)
    probabilities = module.router(h).softmax(1)
    answers = torch.stack([expert(h) for expert in module.experts], 1)  # (9, 3, D)
    assert_close(module(z), (probabilities[..., None] * answers).sum(1))


def test_no_position_is_dropped_however_many_choose_one_expert():
    module, z = mixture(4, 1), torch.randn(100, 16)
    with torch.no_grad():
        module.router.weight.zero_()
        module.norm.bias.fill_(1.0)
        module.router.weight[2] = 10.0
    alone = torch.cat([module(row[None]) for row in z])
    assert (module.router(module.norm(z)).argmax(1) == 2).all()
    assert_close(module(z), alone)
    assert (module(z).abs().sum(1) > 0).all()


@pytest.mark.parametrize("family", ["deep", "widenet", "looped", "parallel_shallow"])
@pytest.mark.parametrize("backbone", ["mlp", "transformer"])
def test_every_expert_and_router_gets_gradients_over_a_batch(family, backbone):
    options = {"experts": 4, "active_experts": 1}
    network = seeded(variant_of(backbone, family, 2, **options))
    network(images(64)).square().sum().backward()
    for name, weight in network.named_parameters():
        if "expert" in name or "router" in name:
            assert weight.grad is not None, name
            assert weight.grad.abs().sum() > 0, name


# Balance


def balances(module, z):
    balance = balance_of(module.train())
    balance.begin()
    module(z)
    return balance.end() / module.balance_weight


def test_balance_is_one_where_experts_are_equally_busy_and_grows_to_their_number():
    module = mixture(4, 1, norm="none", balance=0.5)
    with torch.no_grad():
        module.router.weight.zero_()
        for expert in range(4):
            module.router.weight[expert, expert] = 100.0
    equal = torch.eye(16)[[0, 1, 2, 3] * 5]
    assert balances(module, equal).item() == pytest.approx(1.0)
    assert balances(module, torch.eye(16)[[0, 0, 1, 1]]).item() == pytest.approx(2.0)
    assert balances(module, torch.eye(16)[[3, 3]]).item() == pytest.approx(4.0)


def test_balance_counts_all_choices_where_several_experts_are_active():
    module, z = mixture(4, 2, balance=0.5), torch.randn(30, 16)
    probabilities = module.router(module.norm(z)).softmax(1)
    chosen = probabilities.topk(2, 1).indices
    shares = torch.stack([(chosen == index).float().sum() for index in range(4)]) / 60
    assert shares.sum().item() == pytest.approx(1.0)
    assert_close(balances(module, z), 4 * (shares * probabilities.mean(0)).sum())


def test_the_balance_is_minimised_and_not_reported():
    variant = variant_of("mlp", depth=2, experts=4, active_experts=1, balance=0.7)
    network, x, task = seeded(variant), images(64), Classify()
    reference = copy.deepcopy(network)
    balance = balance_of(network)
    step = build_step(
        network, build_optimizer(network, SETTINGS), SETTINGS, "fp32", task, balance=balance
    )
    found = step(x, LABELS)
    own = balance_of(reference)
    own.begin()
    loss = task.loss(reference(x), LABELS, SETTINGS)
    assert_close(found, loss.detach())
    (loss + own.end()).backward()
    for weight, expected in zip(network.parameters(), reference.parameters(), strict=True):
        assert_close(weight.grad, expected.grad)
    routers = [m.router.weight.grad for m in mixtures_of(network)]
    plain = copy.deepcopy(reference)
    plain.zero_grad()
    task.loss(plain(x), LABELS, SETTINGS).backward()
    for grad, without in zip(routers, mixtures_of(plain), strict=True):
        assert not torch.allclose(grad, without.router.weight.grad, rtol=0.01)


def test_training_with_it_keeps_experts_busy():
    shares = {}
    for weight in (0.0, 1.0):
        variant = variant_of("mlp", depth=1, experts=4, active_experts=1, balance=weight)
        network, x = seeded(variant), images(64)
        with torch.no_grad():
            mixtures_of(network)[0].router.weight[0] += 0.3  # some expert is ahead
        settings = SETTINGS.model_copy(update={"optimizer": "adam", "lr": 0.01})
        step = build_step(
            *(network, build_optimizer(network, settings), settings, "fp32", Classify()),
            balance=balance_of(network),
        )
        for _ in range(60):
            step(x, LABELS)
        (module,) = mixtures_of(network)
        chosen = module.router(module.norm(network.stem(x))).argmax(1)
        shares[weight] = torch.bincount(chosen, minlength=4) / 64
    assert shares[1.0].max() < 0.35
    assert shares[1.0].min() > 0.15
    assert shares[0.0].max() > shares[1.0].max()


def test_no_weight_of_the_balance_is_no_balance():
    assert balance_of(seeded(variant_of("mlp", experts=4, balance=0.0))) is None
    assert balance_of(seeded(variant_of("mlp"))) is None


@pytest.mark.parametrize(("family", "num_runs"), [("deep", 3), ("widenet", 3), ("looped", 6)])
def test_every_run_of_a_mixture_in_a_pass_counts_once(family, num_runs):
    variant = variant_of("mlp", family, 3, experts=4, active_experts=2, balance=0.5)
    network = seeded(variant)
    for module in mixtures_of(network):
        torch.nn.init.zeros_(module.router.weight)  # all are equally likely: each balance is 1
    balance = balance_of(network)
    for _ in range(2):
        balance.begin()
        network(images())
        assert balance.end().item() == pytest.approx(0.5 * num_runs)


def test_balance_is_noted_only_in_training_and_where_somebody_asks():
    network = seeded(variant_of("mlp", experts=4))
    balance = balance_of(network)
    network(images())
    assert all(module.balances is None for module in mixtures_of(network))
    balance.begin()
    network.eval()(images())
    assert balance.end() == 0.0


def test_modules_that_stochastic_depth_leaves_out_have_no_balance():
    network = seeded(variant_of("mlp", depth=2, experts=4, survival=0.5)).train()
    balance = balance_of(network)
    step = build_step(
        *(network, build_optimizer(network, SETTINGS), SETTINGS, "fp32", Classify()),
        balance=balance,
    )
    kept = iter([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    network._factor = lambda index: next(kept)
    for _ in range(4):
        assert step(images(64), LABELS).isfinite()


@pytest.mark.parametrize("phase", ["forward", "backward", "train_step"])
def test_timed_passes_keep_no_graph_of_a_balance(phase):
    ready = prepared(cell_of(variant_of("mlp", experts=4), phase=phase))
    for _ in range(2):
        called(ready)
    ready.work.record()
    called(ready)
    assert all(module.balances is None for module in mixtures_of(ready.work.network))


def test_trainings_that_draw_modules_and_choose_experts_are_repeated_bit_by_bit():
    data, settings = make_data(), TrainSettings(steps=20, batch_size=32)
    variant = variant_of("mlp", "looped", experts=4, survival=0.5)
    networks = [seeded(variant, Problem((1, 4, 4), (4,))) for _ in range(2)]
    first, again = (train(network, data, settings, seed=0) for network in networks)
    assert first.curve == again.curve
    assert first.metrics == again.metrics


# Sizes


def test_total_and_active_weights_and_flops_of_experts():
    width, hidden, experts, active = 16, 32, 5, 2
    options = {"experts": experts, "active_experts": active, "expansion": 2.0}
    expert = (width + 1) * hidden + (hidden + 1) * width
    for backbone, problem, positions in (("mlp", SMALL, 1), ("transformer", TEXT, 6)):
        many = count(variant_of(backbone, depth=3, **options), problem)
        plain = count(variant_of(backbone, depth=3, expansion=2.0), problem)
        router = width * experts
        assert many.total_params == plain.total_params + 3 * (router + (experts - 1) * expert)
        assert many.active_params == plain.total_params + 3 * (router + (active - 1) * expert)
        assert many.trainable_params == many.total_params
        assert many.body_params - plain.body_params == many.total_params - plain.total_params
        products = router + (active - 1) * 2 * width * hidden
        assert many.forward_flops == plain.forward_flops + 2 * 3 * positions * products


# Sharing over depth


@pytest.mark.parametrize("backbone", ["mlp", "transformer", "mixer"])
def test_widenet_of_depth_one_is_deep_with_experts(backbone):
    shared, deep = (
        build_model(trial_of(variant_of(backbone, family, 1, **options)))
        for family, options in (("widenet", {}), ("deep", {"experts": 4}))
    )
    state = deep.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in shared.state_dict().items())
    assert torch.equal(shared(images()), deep(images()))


@pytest.mark.parametrize("norm_sharing", ["individual", "shared"])
@pytest.mark.parametrize("position", ["pre", "post", "peri"])
@pytest.mark.parametrize("backbone", ["mlp", "transformer"])
def test_widenet_shares_all_weights_but_those_of_norms(backbone, position, norm_sharing):
    options = {"norm_position": position, "norm_sharing": norm_sharing, "layer_scale": 0.5}
    network = shaken(seeded(variant_of(backbone, "widenet", 3, **options)))
    own = {id(w) for n, w in network.named_parameters() if n.startswith(("blocks.0", "norms.0"))}
    norms = [m for m in network.modules() if isinstance(m, torch.nn.LayerNorm)]
    others = [n for n, w in network.named_parameters() if n.startswith(("blocks", "norms"))]
    others = [n for n in others if not n.startswith(("blocks.0", "norms.0"))]
    assert own
    if norm_sharing == "shared":
        assert others == []
    else:
        assert all("norm" in n or "after" in n or "between" in n for n in others)
        assert len({id(norm.weight) for norm in norms}) == len(norms)


def test_widenet_of_experts_is_deep_with_one_set_of_weights():
    shared = shaken(seeded(variant_of("transformer", "widenet", 3)))
    deep = seeded(variant_of("transformer", "deep", 3, experts=4), seed=8)
    deep.load_state_dict(shared.state_dict())  # each module's own copy of what is shared
    assert num_weights(deep) > num_weights(shared)
    assert torch.equal(shared(images()), deep(images()))
    for network in (shared, deep):
        network(images()).square().sum().backward()
    gradients = [block.attention.out.weight.grad for block in deep.blocks]
    assert_close(shared.blocks[0].attention.out.weight.grad, sum(gradients))


@pytest.mark.parametrize("depth", [1, 5])
@pytest.mark.parametrize("norm_sharing", ["individual", "shared"])
def test_weights_and_flops_of_widenet(depth, norm_sharing):
    width, hidden, experts, active, length = 16, 64, 4, 2, 6
    variant = variant_of("transformer", "widenet", depth, norm_sharing=norm_sharing)
    expert = (width + 1) * hidden + (hidden + 1) * width
    attention, router = 4 * (width + 1) * width, width * experts
    norms = 2 * 2 * width * (depth if norm_sharing == "individual" else 1)
    cost = count(variant, TEXT)
    assert cost.body_params == attention + router + experts * expert + norms
    assert cost.active_params == cost.total_params - (experts - active) * expert
    products = 4 * width**2 + router + active * 2 * width * hidden + 2 * length * width
    assert cost.forward_flops == 2 * length * (depth * products + width * 11)
    assert cost.total_heads == depth * variant.heads


def test_examples_of_text_reach_all_experts():
    network = seeded(variant_of("transformer", "widenet", 2), TEXT)
    network(examples(TEXT, 64)).logsumexp(2).sum().backward()
    for expert in mixtures_of(network)[0].experts:
        assert expert.up.weight.grad.abs().sum() > 0
