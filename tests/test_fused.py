from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from depthbench.errors import SuiteError
from depthbench.models import build, build_model
from depthbench.models.count import count
from depthbench.models.execution import choose_execution
from depthbench.models.fused import FusedNetwork, unfused_gradients
from depthbench.models.network import Network
from tests.fixtures_networks import (
    FUSABLE,
    NETWORK_OPTIONS,
    SMALL,
    assert_close,
    images,
    num_weights,
    seeded,
    trial_of,
    variant_of,
)


def outputs_and_gradients(network, x):
    y = network(x)
    y.square().mean().backward()
    return y.detach(), unfused_gradients(network)


@pytest.mark.parametrize("backbone", FUSABLE)
@pytest.mark.parametrize("branches", [1, 2, 4])
@pytest.mark.parametrize("options", NETWORK_OPTIONS)
def test_fused_equals_loop_with_gradients(backbone, branches, options):
    variant = variant_of(backbone, "parallel_shallow", branches=branches, **options)
    loop, fused = seeded(variant), seeded(replace(variant, execution="fused"), seed=9)
    with torch.no_grad():  # Norms and scales that start alike would hide a mix-up of modules.
        for weight in (w for w in loop.parameters() if w.ndim == 1):
            weight.uniform_(0.5, 1.5)
    fused.load_state_dict(loop.state_dict())
    y, gradients = outputs_and_gradients(loop, images())
    fused_y, fused_gradients = outputs_and_gradients(fused, images())
    assert_close(fused_y, y)
    assert fused_gradients.keys() == gradients.keys() == dict(loop.named_parameters()).keys()
    for name, gradient in gradients.items():
        assert_close(fused_gradients[name], gradient)


@pytest.mark.parametrize("backbone", FUSABLE)
@pytest.mark.parametrize("branches", [2, 4])
def test_fused_and_loop_share_draws_names_and_counts(backbone, branches):
    variant = variant_of(backbone, "parallel_shallow", branches=branches, norm="layer")
    loop = build_model(trial_of(variant))
    fused = build_model(trial_of(replace(variant, execution="fused")))
    assert isinstance(fused, FusedNetwork)
    assert num_weights(fused) == num_weights(loop)
    assert len(list(fused.parameters())) < len(list(loop.parameters()))
    mine, other = fused.state_dict(), loop.state_dict()
    assert list(mine) == list(other)
    assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert count(variant, SMALL) == count(replace(variant, execution="fused"), SMALL)


def test_fused_state_round_trips_through_a_wrapper_and_a_file(tmp_path):
    variant = variant_of("mlp", "parallel_shallow", execution="fused")
    wrapped = torch.nn.Sequential(seeded(variant))
    torch.save(wrapped.state_dict(), tmp_path / "weights.pt")
    other = torch.nn.Sequential(seeded(variant, seed=9))
    assert not torch.equal(other(images()), wrapped(images()))
    other.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert torch.equal(other(images()), wrapped(images()))


def test_loading_a_state_with_a_missing_module_fails():
    network = seeded(variant_of("mlp", "parallel_shallow", execution="fused"))
    state = network.state_dict()
    del state["blocks.2.up.weight"]
    with pytest.raises(RuntimeError, match=r"blocks\.0\.up_weight"):
        network.load_state_dict(state)


def test_fused_training_follows_the_loop():
    variant = variant_of("mlp", "parallel_shallow")
    losses = {}
    for execution in ("loop", "fused"):
        network = build_model(trial_of(replace(variant, execution=execution)))
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.001)
        for _ in range(10):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images(32)), torch.arange(32) % 10)
            loss.backward()
            optimizer.step()
        losses[execution] = loss.item()
    assert losses["fused"] == pytest.approx(losses["loop"], rel=1e-4)


def test_fused_works_on_the_meta_device():
    with torch.device("meta"):
        network = build(variant_of("conv", "parallel_shallow", execution="fused"), SMALL)
        assert network(torch.empty(2, 1, 8, 8)).shape == (2, 10)


def test_fused_batch_norm_is_refused():
    variant = variant_of("mlp", "parallel_shallow", norm="batch", execution="fused")
    with pytest.raises(SuiteError, match="use loop"):
        build(variant, SMALL)


def test_execution_is_measured_only_where_there_is_a_choice():
    device, before = torch.device("cpu"), torch.get_rng_state()
    beside = variant_of("mlp", "parallel_shallow", execution="auto")
    assert choose_execution(beside, SMALL, 4, device) in ("loop", "fused")
    assert torch.equal(torch.get_rng_state(), before)
    for execution in ("loop", "fused"):
        named = replace(beside, execution=execution)
        assert choose_execution(named, SMALL, 4, device) == execution
    for backbone in ("preact", "transformer"):
        other = variant_of(backbone, "parallel_shallow", execution="auto")
        assert choose_execution(other, SMALL, 4, device) == "loop"
    assert choose_execution(replace(beside, norm="batch"), SMALL, 4, device) == "loop"
    assert choose_execution(replace(beside, branches=1), SMALL, 4, device) == "loop"
    assert choose_execution(variant_of(), SMALL, 4, device) == "loop"
    assert type(build(beside, SMALL)) is Network


def test_auto_chooses_what_takes_less_time(monkeypatch):
    variant = variant_of("mlp", "parallel_shallow", execution="auto")
    for seconds, expected in (((2.0, 1.0), "fused"), ((1.0, 2.0), "loop")):
        monkeypatch.setattr(
            "depthbench.models.execution._interleaved_medians", lambda *_, s=seconds: s
        )
        assert choose_execution(variant, SMALL, 4, torch.device("cpu")) == expected


@pytest.mark.parametrize("backbone", FUSABLE)
@pytest.mark.parametrize("options", NETWORK_OPTIONS)
def test_fused_follows_the_loop_in_bf16(backbone, options):
    variant = variant_of(backbone, "parallel_shallow", **options)
    loop, fused = seeded(variant), seeded(replace(variant, execution="fused"))
    with torch.autocast("cpu", torch.bfloat16):
        y, fused_y = loop(images()), fused(images())
    fused_y.float().square().mean().backward()
    assert fused_y.dtype == y.dtype == torch.bfloat16
    assert_close(fused_y.float(), y.float(), tolerance=0.05)
