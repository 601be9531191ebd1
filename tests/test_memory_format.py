"""Channels last is another order in memory, and the same network."""

import pytest
import torch

from depthbench.models import build_model
from depthbench.training.memory_format import in_training_format
from tests.test_stacked import VARIANTS, trials_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["conv", "conv batch", "preact"])
def test_outputs_gradients_and_names_are_those_of_the_plain_network(name):
    (trial,) = trials_of(VARIANTS[name], seeds=1)
    plain, network = build_model(trial), in_training_format(build_model(trial), CPU)
    assert any(
        weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
        for weight in network.parameters()
        if weight.ndim == 4
    )
    x = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    own, expected = network(x), plain(x)
    torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)
    for outputs in (own, expected):
        outputs.square().sum().backward()
    assert network.state_dict().keys() == plain.state_dict().keys()
    for weight, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, rtol=1e-3, atol=1e-3)


def test_networks_without_convolutions_and_other_devices_are_left_alone():
    (trial,) = trials_of(VARIANTS["mlp"], seeds=1)
    network = build_model(trial)
    before = [weight.stride() for weight in network.parameters()]
    assert in_training_format(network, CPU) is network
    assert [weight.stride() for weight in network.parameters()] == before
    (trial,) = trials_of(VARIANTS["conv"], seeds=1)
    network = build_model(trial)
    in_training_format(network, torch.device("cuda"))
    assert all(weight.is_contiguous() for weight in network.parameters())
