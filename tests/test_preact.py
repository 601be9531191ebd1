"""Wide Residual Networks: their published weights, their blocks, their layouts."""

import re
from math import sqrt

import pytest
import torch
import torch.nn.functional as F

from depthbench.errors import SuiteError
from depthbench.expand import expand
from depthbench.grammar import BackboneSettings, VariantSettings
from depthbench.models import build_model
from depthbench.models.count import count
from depthbench.models.network import Entry
from depthbench.options import option_problems
from depthbench.spec import Problem, variant_id
from depthbench.suite import parse_suite
from tests.fixtures_networks import SMALL, assert_close, images, num_weights, seeded, variant_of
from tests.fixtures_networks import trial_of as trial
from tests.test_suite import MINIMAL

CIFAR10 = Problem((3, 32, 32), (10,))


def preact(family="deep", depth=6, width=8, **options):
    return variant_of("preact", family, depth, width, **options)


def wide_resnet(num_layers, widening):
    """Return WRN-d-k: d convolutions with the stem's, widened k times."""
    return preact(depth=(num_layers - 4) // 2, width=16 * widening)


def problems(backbone="preact", family="deep", depth=6, width=8, **options):
    settings = VariantSettings(family=family, depth=depth, width=width, **options)
    return option_problems(settings, BackboneSettings(name=backbone))


@pytest.mark.parametrize(
    ("num_layers", "widening", "expected"),
    [
        (40, 1, 563_930),
        (40, 2, 2_243_546),
        (40, 4, 8_949_210),
        (16, 4, 2_748_890),
        (16, 8, 10_961_370),
        (22, 8, 17_158_106),
        (16, 10, 17_116_634),
        (28, 10, 36_479_194),
    ],
)
def test_wide_resnets_have_the_published_number_of_weights(num_layers, widening, expected):
    cost = count(wide_resnet(num_layers, widening), CIFAR10)
    assert cost.total_params == cost.trainable_params == expected


def test_real_network_has_the_published_number_of_weights():
    assert num_weights(seeded(wide_resnet(40, 1), CIFAR10)) == 563_930
    assert num_weights(seeded(wide_resnet(16, 4), CIFAR10)) == 2_748_890


def test_flops_follow_from_the_sizes_of_the_images():
    width, pixels = 8, 64
    stem = pixels * 9 * 1 * 16
    first = pixels * (9 * 16 * 8 + 9 * 8 * 8 + 16 * 8 + 2 * 9 * 8 * 8)
    second = pixels // 4 * (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16 + 2 * 9 * 16 * 16)
    third = pixels // 16 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32 + 2 * 9 * 32 * 32)
    cost = count(preact(depth=6, width=width), SMALL)
    assert cost.forward_flops == 2 * (stem + first + second + third + 4 * width * 10)


# The blocks


def reference(state, x, num_blocks):
    """Compute a deep network from its weights as the paper draws it, in evaluation mode."""

    def normalised(name, z):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.relu(F.batch_norm(z, mean, var, state[f"{name}.weight"], state[f"{name}.bias"]))

    z = F.conv2d(x, state["stem.conv.weight"], padding=1)
    for index in range(3 * num_blocks):
        block = f"blocks.{index}"
        stride = 2 if index in (num_blocks, 2 * num_blocks) else 1
        h = normalised(f"{block}.norm", z)
        update = F.conv2d(h, state[f"{block}.body.conv1.weight"], stride=stride, padding=1)
        update = normalised(f"{block}.body.norm", update)
        update = F.conv2d(update, state[f"{block}.body.conv2.weight"], padding=1)
        projection = state.get(f"{block}.projection.weight")
        z = update + (z if projection is None else F.conv2d(h, projection, stride=stride))
    z = normalised("head.norm", z).mean((2, 3))
    return F.linear(z, state["head.linear.weight"], state["head.linear.bias"])


@pytest.mark.parametrize("width", [8, 16])
def test_network_is_that_of_the_paper(width):
    network = seeded(preact(width=width), CIFAR10)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5)
    x = images(2, CIFAR10)
    assert_close(network.eval()(x), reference(network.state_dict(), x, num_blocks=2))


@pytest.mark.parametrize(("width", "expected"), [(8, [0, 2, 4]), (16, [2, 4]), (32, [0, 2, 4])])
def test_stream_is_projected_only_where_its_channels_change(width, expected):
    network = seeded(preact(width=width))
    assert [i for i, block in enumerate(network.blocks) if isinstance(block, Entry)] == expected


def test_stem_keeps_16_channels_and_stages_double_the_width():
    network = seeded(preact(depth=3, width=10), CIFAR10)
    z, shapes = network.stem(images(1, CIFAR10)), []
    for stage in range(3):
        shapes.append(tuple(z.shape[1:]))
        z = network.advance(z, stage)
    assert shapes == [(16, 32, 32), (10, 32, 32), (20, 16, 16)]
    assert z.shape[1:] == (40, 8, 8)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_stream_lies_with_its_channels_last(num_channels):
    problem = Problem((num_channels, 16, 16), (10,))
    network, x = seeded(preact(), problem), images(2, problem)
    z = network.stem(x)
    for stage in range(6):
        assert z.is_contiguous(memory_format=torch.channels_last)
        z = network.advance(z, stage)
    assert z.is_contiguous(memory_format=torch.channels_last)


def test_hourglass_goes_down_and_up_with_the_hidden_size_of_its_stage():
    network = seeded(preact("hourglass", depth=6, width=16, hidden=4))
    for index, block in enumerate(network.blocks):
        hidden, width = 4 << index // 2, 16 << index // 2
        shapes = [tuple(getattr(block.body, n).weight.shape) for n in ("down", "conv", "up")]
        num_inputs = width if index % 2 or index == 0 else width // 2
        assert shapes == [(hidden, num_inputs, 1, 1), (hidden, hidden, 3, 3), (width, hidden, 1, 1)]


def test_dropout_stands_before_the_second_convolution_and_only_in_training():
    network = seeded(preact(dropout=0.5), CIFAR10)
    body, seen = network.blocks[1].body, []
    body.conv2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    body.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = images(2, CIFAR10)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network(x)
    before, after = ((z == 0).float().mean().item() for z in seen)
    assert 0.4 < before < 0.6  # what ReLU leaves
    assert 0.7 < after < 0.8  # and half of the rest
    assert torch.equal(network.eval()(x), network(x))
    assert not [m for m in seeded(preact()).modules() if isinstance(m, torch.nn.Dropout)]


def test_convolutions_start_normal_by_their_outputs_and_the_bias_of_the_head_at_zero():
    network = seeded(preact(width=32), CIFAR10)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            expected = sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.15), name
            assert module.bias is None
    assert torch.count_nonzero(network.head.linear.bias) == 0


# The layouts


def test_parallel_sums_the_updates_of_a_stage_on_its_projected_stream():
    network, x = seeded(preact("parallel_shallow", depth=9)), images(4)
    assert network.stages == (3, 3, 3)
    z = network.stem(x)
    for stage in range(3):
        first, second, third = network.blocks[3 * stage : 3 * stage + 3]
        stream, h = first.enter(z)
        z = stream + first.update(h) + second(stream) + third(stream)
    assert_close(network(x), network.head(z))


@pytest.mark.parametrize("width", [8, 16])
def test_one_branch_is_deep_and_weights_and_flops_are_equal(width):
    deep = preact(depth=6, width=width)
    beside = preact("parallel_shallow", depth=6, width=width)
    one = preact("parallel_shallow", depth=6, width=width, branches=1)
    x = images()
    assert torch.equal(seeded(one)(x), seeded(deep)(x))
    assert not torch.equal(seeded(beside)(x), seeded(deep)(x))
    assert count(deep, SMALL) == count(beside, SMALL) == count(one, SMALL)


def test_branches_lie_within_a_stage():
    network = seeded(preact("parallel_shallow", depth=12, branches=2))
    assert network.stages == (2,) * 6
    variant = preact("parallel_shallow", depth=12)
    assert variant.branches == 4
    assert "branches" not in variant.identity()


def test_residual_scale_multiplies_updates_and_not_the_projection():
    network, x = seeded(preact(depth=3, residual_scale=0.5)), images()
    z = network.stem(x)
    for block in network.blocks:
        stream, h = block.enter(z)
        z = stream + 0.5 * block.update(h)
    assert_close(network(x), network.head(z))


# Settings


def test_saying_a_default_changes_no_identity():
    said = preact(norm="batch", bias=False, dropout=0.0, activation="relu")
    assert variant_id(said) == variant_id(preact())
    assert variant_id(preact(dropout=0.1)) != variant_id(preact())


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"depth": 4}, "depth", "does not divide into the 3 equally deep stages .* use 3 or 6"),
        ({"depth": 2}, "depth", "use 3$"),
        (
            {"family": "parallel_shallow", "depth": 12, "branches": 3},
            "branches",
            "stage, 4; nearest: 2, 4",
        ),
        (
            {"family": "parallel_shallow", "execution": "fused"},
            "execution",
            "cannot join the modules of preact; use loop or auto",
        ),
        ({"hidden": 4}, "hidden", "only in family hourglass"),
        ({"kernel": 5}, "kernel", "only the built-in conv module"),
        ({"heads": 2}, "heads", "only a transformer"),
        ({"backbone": "conv", "dropout": 0.1}, "dropout", "only a preact block"),
    ],
)
def test_option_that_cannot_be_is_named_with_its_reason(settings, field, message):
    [(found_field, found_message)] = problems(**settings)
    assert found_field == field
    assert re.search(message, found_message), found_message


def test_suite_with_a_depth_of_no_three_stages_is_refused_with_its_line():
    text = MINIMAL.replace("backbone: mlp", "backbone: preact")
    with pytest.raises(SuiteError, match=r"s\.yaml:\d+:\d+: .*depth: 2 does not divide .* use 3"):
        expand(parse_suite(text, "s.yaml"))
    (good,) = expand(parse_suite(text.replace("depth: 2", "depth: 3"), "s.yaml"))
    assert build_model(good)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_images_too_small_to_halve_twice_are_refused():
    with pytest.raises(SuiteError, match=r"4 x 4 pixels are too small: halved twice, 1 x 1"):
        count(preact(), Problem((1, 4, 4), (10,)))
    assert count(preact(), Problem((1, 5, 5), (10,))).forward_flops > 0


def test_a_network_of_no_three_stages_is_not_built():
    with pytest.raises(SuiteError, match="depth 7 does not divide"):
        count(preact(depth=7), SMALL)


def test_build_model_draws_the_same_for_all_layouts():
    first, other = (
        build_model(trial(preact(family))).state_dict() for family in ("deep", "parallel_shallow")
    )
    assert list(first) == list(other)
    assert all(torch.equal(first[name], other[name]) for name in first)
