"""A stacked network does to each member's examples what the member's own network does."""

import pytest
import torch
from torch import nn

from depthbench.expand import expand
from depthbench.models import build_model
from depthbench.models.stacked import CONVOLUTIONS, member_tensors, stack, why_not_stacked
from depthbench.suite import parse_suite

NUM_MEMBERS, BATCH = 3, 4


def trials_of(variant, dataset="mnist", seeds=NUM_MEMBERS, task="classify"):
    text = f"""
suite: stacked
dataset: {dataset}
task: {task}
variants: [{{{variant}}}]
train: {{steps: 1}}
seeds: {seeds}
"""
    return expand(parse_suite(text, "stacked.yaml"))


VARIANTS = {
    "mlp": "family: deep, backbone: mlp, depth: 2, width: 6",
    "mlp rms": "family: deep, backbone: mlp, depth: 2, width: 6, norm: rms",
    "mlp plain": "family: wide, backbone: mlp, depth: 1, width: 6, norm: none, bias: false",
    "mlp batch": "family: deep, backbone: mlp, depth: 2, width: 6, norm: batch",
    "mlp weightless norm": "family: deep, backbone: mlp, depth: 1, width: 6, norm_affine: false",
    "mlp fixed lift": "family: hourglass, backbone: mlp, depth: 2, width: 8, lift: fixed",
    "mlp parallel": (
        "family: parallel_shallow, backbone: mlp, depth: 4, width: 6, branches: 2, "
        "residual_scale: 1/L, execution: loop"
    ),
    "conv": "family: deep, backbone: conv, depth: 2, width: 3",
    "conv layer": "family: deep, backbone: conv, depth: 1, width: 3, norm: layer, kernel: 5",
    "conv rms": "family: hourglass, backbone: conv, depth: 1, width: 8, norm: rms",
    "conv batch": "family: deep, backbone: conv, depth: 1, width: 3, norm: batch",
    "conv strided": "family: deep, backbone: conv, depth: 1, width: 3, stem_stride: 2, bias: false",
    "preact": "family: deep, backbone: preact, depth: 3, width: 16",
    "preact bottleneck": "family: hourglass, backbone: preact, depth: 3, width: 16",
}


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_members_have_the_outputs_gradients_and_buffers_of_their_own_networks(variant, convolution):
    networks = [build_model(trial) for trial in trials_of(variant)]
    stacked = stack(networks, convolution)
    x = torch.randn(NUM_MEMBERS, BATCH, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    outputs = stacked(x.flatten(0, 1)).unflatten(0, (NUM_MEMBERS, BATCH))
    outputs.square().sum().backward()
    kept = dict(stacked.named_parameters())
    for index, network in enumerate(networks):
        own = network(x[index])
        torch.testing.assert_close(outputs[index], own, rtol=1e-4, atol=1e-5)
        own.square().sum().backward()
        tensors = dict(member_tensors(stacked, index))
        assert tensors.keys() == network.state_dict().keys()
        for name, buffer in network.named_buffers():
            torch.testing.assert_close(tensors[name], buffer)
        for name, weight in network.named_parameters():
            assert kept[name].requires_grad == weight.requires_grad
            if weight.requires_grad:
                module = stacked.get_submodule(name.rpartition(".")[0])
                gradient = module.own(name.rpartition(".")[2], kept[name].grad[index])
                torch.testing.assert_close(gradient, weight.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_members_are_their_own_networks_in_eval_mode_too(variant):
    networks = [build_model(trial) for trial in trials_of(variant)]
    stacked = stack(networks).eval()
    x = torch.randn(NUM_MEMBERS * BATCH, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    outputs = stacked(x).unflatten(0, (NUM_MEMBERS, BATCH))
    for index, network in enumerate(networks):
        own = network.eval()(x.unflatten(0, (NUM_MEMBERS, BATCH))[index])
        torch.testing.assert_close(outputs[index], own, rtol=1e-4, atol=1e-5)


def test_stacking_changes_none_of_the_networks():
    networks = [build_model(trial) for trial in trials_of(VARIANTS["mlp"])]
    before = [weight.clone() for network in networks for weight in network.parameters()]
    with torch.no_grad():
        for weight in stack(networks).parameters():
            weight.zero_()
    after = [weight for network in networks for weight in network.parameters()]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("family: deep, backbone: preact, depth: 3, width: 16, dropout: 0.3", "Dropout"),
        ("family: deep, backbone: mlp, depth: 2, width: 6, residual_scale: learned", "Network"),
        (
            "family: parallel_shallow, backbone: mlp, depth: 2, width: 6, execution: fused",
            "FusedNetwork",
        ),
        ("family: deep, backbone: transformer, depth: 1, width: 64", "PatchStem"),
    ],
)
def test_what_has_no_stacked_form_is_refused_with_its_reason(variant, reason):
    networks = [build_model(trial) for trial in trials_of(variant)]
    assert reason in why_not_stacked(networks[0])
    with pytest.raises(ValueError, match=reason):
        stack(networks)


class Centred(nn.Module):
    """A block that looks at the other examples of its batch, as one of a user's may."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, z):
        return self.linear(z - z.mean(0))


def test_a_module_that_could_mix_examples_is_refused():
    assert "Centred" in why_not_stacked(nn.Sequential(Centred()))
    assert "Dropout2d" in why_not_stacked(nn.Sequential(nn.Dropout2d(0.5)))
    assert "Conv2d" in why_not_stacked(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)))
    assert why_not_stacked(nn.Sequential(nn.Flatten(), nn.Linear(6, 6))) is None
