"""The course of the stream over depth: loops, plain stacks, stochastic depth, averages."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from depthbench.models import build_model
from depthbench.models.course import CourseNetwork, DepthAverage
from depthbench.models.network import Network
from tests.fixtures_networks import (
    ALIKE,
    SMALL,
    TEXT,
    assert_close,
    examples,
    images,
    seeded,
    shaken,
    trial_of,
    variant_of,
)


def built(backbone, family="deep", seed=0, **options):
    return build_model(trial_of(variant_of(backbone, family, **options), seed, SMALL))


# What options reduce to


@pytest.mark.parametrize("backbone", ALIKE)
def test_depth_averages_at_their_start_are_the_plain_network(backbone):
    plain, averaged = (seeded(variant_of(backbone, depth_average=a)) for a in (False, True))
    assert type(plain) is Network
    assert sum(w.numel() for w in averaged.average.parameters()) == 2 + 3 + 4 + 5
    assert torch.equal(averaged(images()), plain(images()))


@pytest.mark.parametrize("backbone", ALIKE)
def test_one_loop_is_the_deep_network_with_the_same_weights(backbone):
    deep, looped = built(backbone), built(backbone, "looped", loops=1)
    state = deep.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in looped.state_dict().items())
    assert type(looped) is Network
    assert torch.equal(looped(images()), deep(images()))


@pytest.mark.parametrize("backbone", [*ALIKE, "preact"])
def test_survival_of_one_is_the_plain_network(backbone):
    plain, sure = variant_of(backbone), variant_of(backbone, survival=1.0)
    assert sure == plain
    assert type(seeded(sure)) is Network


# Loops


@pytest.mark.parametrize("injects", [True, False])
@pytest.mark.parametrize("backbone", ALIKE)
def test_loops_run_the_same_modules_again_on_the_stream_and_its_start(backbone, injects):
    options = {"loops": 3, "input_injection": injects, "residual_scale": 0.5, "norm": "layer"}
    network = shaken(seeded(variant_of(backbone, "looped", 2, **options)))
    assert len(network.blocks) == 2
    z = start = network.stem(images())
    for loop in range(3):
        z = z + start if loop and injects else z
        for block in network.blocks:
            z = z + 0.5 * block(z)
    assert_close(network(images()), network.head(z))


def test_gradients_of_looped_modules_are_sums_over_their_runs():
    looped = seeded(variant_of("mlp", "looped", 1, loops=2, input_injection=False))
    deep = seeded(variant_of("mlp", "deep", 2), seed=5)
    state = looped.state_dict()
    again = {n.replace("blocks.0", "blocks.1"): t for n, t in state.items()}
    deep.load_state_dict(again | state)
    for network in (looped, deep):
        network(images()).square().sum().backward()
    first, second = (dict(block.named_parameters()) for block in deep.blocks)
    for name, weight in looped.blocks[0].named_parameters():
        assert_close(weight.grad, first[name].grad + second[name].grad)


# Plain stacks


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_plain_stacks_replace_the_stream(backbone):
    network = shaken(seeded(variant_of(backbone, skip="none")))
    z = network.stem(images())
    for block in network.blocks:
        z = block(z)
    assert_close(network(images()), network.head(z))


def test_parallel_modules_without_a_skip_are_their_sum():
    network = seeded(variant_of("mlp", "parallel_shallow", branches=2, skip="none"))
    z = network.stem(images())
    for first, second in (network.blocks[:2], network.blocks[2:]):
        z = first(z) + second(z)
    assert_close(network(images()), network.head(z))


# Averages over depth


def averaged(network, x, dilation, period):
    """Return the outputs by DenseFormer's definition, with the network's weights."""
    states = [network.stem(x)]
    z = states[0]
    for index, block in enumerate(network.blocks, 1):
        z = z + block(z)
        states.append(z)
        if index % period == 0:
            places = [j for j in range(index + 1) if (index - j) % dilation == 0]
            weights = network.average.weights[str(index)]
            assert len(weights) == len(places)
            z = sum(w * states[j] for w, j in zip(weights, places, strict=True))
    return network.head(z)


@pytest.mark.parametrize(("dilation", "period"), [(1, 1), (2, 1), (1, 2), (3, 2), (9, 4)])
@pytest.mark.parametrize("backbone", ["mlp", "transformer"])
def test_depth_averages_weigh_every_so_many_states(backbone, dilation, period):
    options = {"depth_average": True, "average_dilation": dilation, "average_period": period}
    network = shaken(seeded(variant_of(backbone, depth=6, **options)))
    assert_close(network(images()), averaged(network, images(), dilation, period))


def test_depth_averages_of_loops_have_weights_of_their_own_in_each():
    network = seeded(variant_of("mlp", "looped", 2, loops=2, depth_average=True))
    assert sorted(network.average.weights) == ["1", "2", "3", "4"]
    sizes = [len(network.average.weights[name]) for name in ("1", "2", "3", "4")]
    assert sizes == [2, 3, 4, 5]


def test_a_period_longer_than_the_network_averages_nothing():
    average = DepthAverage(3, dilation=1, period=4)
    states = [torch.full((1,), float(value)) for value in range(4)]
    assert list(average.parameters()) == []
    assert average(states) is states[3]
    for family, options in (("deep", {}), ("parallel_shallow", {"branches": 2}), ("looped", {})):
        plain = variant_of("mlp", family, 4, **options)
        num_stages = {"deep": 4, "parallel_shallow": 2, "looped": 8}[family]
        for period in (num_stages, num_stages + 1):
            averaging = {"depth_average": True, "average_period": period}
            averaged = variant_of("mlp", family, 4, **averaging, **options)
            assert (averaged == plain) == (period > num_stages)


# Stochastic depth


@pytest.mark.parametrize(("survival", "depth"), [(0.5, 4), (0.8, 2)])
@pytest.mark.parametrize("backbone", ALIKE)
def test_in_evaluation_updates_count_by_their_probability(backbone, survival, depth):
    network = seeded(variant_of(backbone, depth=depth, survival=survival)).eval()
    z = network.stem(images())
    for number, block in enumerate(network.blocks, 1):
        z = z + (1 - number / depth * (1 - survival)) * block(z)
    assert_close(network(images()), network.head(z))


def test_a_preact_counts_the_updates_of_its_entries_by_their_probability_too():
    network = seeded(variant_of("preact", "parallel_shallow", depth=6, survival=0.4)).eval()
    z = network.stem(images())
    for stage in range(3):
        first, second = network.blocks[2 * stage : 2 * stage + 2]
        probabilities = [1 - (2 * stage + number) / 6 * 0.6 for number in (1, 2)]
        # At this width the first stage's entry has nothing to project.
        z, h = first.enter(z) if hasattr(first, "enter") else (z, z)
        update = first.update(h) if hasattr(first, "enter") else first(h)
        z = z + probabilities[0] * update + probabilities[1] * second(z)
    assert_close(network(images()), network.head(z))


def runs_of(network, num_passes, x):
    """Return how often each module was run in training, each count a module."""
    counts = [0] * len(network.blocks)

    def count(index):
        def hook(*unused):
            counts[index] += 1

        return hook

    for index, block in enumerate(network.blocks):
        block.register_forward_hook(count(index))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        for _ in range(num_passes):
            network(x)
    return counts


def test_in_training_modules_are_left_out_as_often_as_said():
    network = seeded(variant_of("mlp", depth=4, width=2, survival=0.2)).train()
    counts = runs_of(network, 2000, images(1))
    for number, found in enumerate(counts, 1):
        probability = 1 - number / 4 * 0.8
        deviation = math.sqrt(2000 * probability * (1 - probability))
        assert abs(found - 2000 * probability) < 4 * deviation


def test_the_body_of_an_entry_is_left_out_and_its_projection_is_not():
    network = seeded(variant_of("preact", depth=3, width=8, survival=0.2)).train()
    entry = network.blocks[2]
    counts = {"body": 0, "projection": 0}
    for name in counts:
        hook = partial(lambda name, *unused: counts.update({name: counts[name] + 1}), name)
        getattr(entry, name).register_forward_hook(hook)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        for _ in range(200):
            network(images(1))
    assert counts["projection"] == 200
    assert abs(counts["body"] - 40) < 4 * math.sqrt(200 * 0.2 * 0.8)


KEPT = (True, False, True, True, False, False)


@pytest.mark.parametrize("family", ["deep", "parallel_shallow"])
@pytest.mark.parametrize("backbone", ["mlp", "preact"])
def test_a_module_that_is_left_out_gets_no_gradient(backbone, family):
    network = seeded(variant_of(backbone, family, 6, survival=0.01)).train()
    network._factor = lambda index: float(KEPT[index])
    network(images()).square().sum().backward()
    for block, is_kept in zip(network.blocks, KEPT, strict=True):
        body = block.body if backbone == "preact" else block
        assert {weight.grad is not None for weight in body.parameters()} == {is_kept}


def test_modules_that_are_kept_count_in_full():
    network = seeded(variant_of("mlp", depth=6, survival=0.01)).train()
    network._factor = lambda index: float(KEPT[index])
    z = network.stem(images())
    for index in (0, 2, 3):
        z = z + network.blocks[index](z)
    assert_close(network(images()), network.head(z))


# Depth without norms


def losses_of(scale, num_steps):
    """Return the losses of a norm-free mlp of depth 200 on random examples."""
    network = build_model(
        trial_of(variant_of("mlp", depth=200, width=16, norm="none", residual_scale=scale))
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, labels, losses = images(32), torch.arange(32) % 10, []
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_norm_free_depth_200_trains_with_updates_divided_by_depth_and_explodes_without():
    trained, exploded = losses_of("1/L", 25), losses_of(1.0, 5)
    assert abs(trained[0] - math.log(10)) < 0.3
    assert trained[-1] < 0.5 * trained[0]
    assert all(later < earlier for earlier, later in pairwise(trained))
    assert exploded[0] > 10 * trained[0]
    assert not math.isfinite(exploded[-1])


def test_examples_of_text_take_the_course_too():
    variant = variant_of("transformer", "looped", 1, loops=2, survival=0.5)
    network = seeded(variant, TEXT).eval()
    assert isinstance(network, CourseNetwork)
    assert network(examples(TEXT)).shape == (8, 6, 11)
