"""One token with a cache gives what the whole text gives at its last position."""

import copy

import pytest
import torch

from depthbench.models import FAMILIES
from depthbench.models.decoding import decoder
from depthbench.spec import Problem
from tests.fixtures_networks import assert_close, seeded, variant_of

TEXT = Problem((12,), (12, 30), vocabulary=30)


def make(family="deep", problem=TEXT, **options):
    variant = variant_of("transformer", family, 4, 16, **{"heads": 2} | options)
    network = seeded(variant, problem).eval()
    x = torch.randint(30, (3, *problem.input_shape), generator=torch.Generator().manual_seed(1))
    return network, x


def decoded(network, x):
    return decoder(copy.deepcopy(network), x[:, :-1])


@torch.no_grad()
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "looped"])
@pytest.mark.parametrize(
    "options",
    [{}, {"norm": "rms", "bias": False}, {"tie_embeddings": False}, {"residual_scale": "learned"}],
)
def test_decoding_gives_the_logits_of_the_last_position(family, options):
    network, x = make(family, **options)
    whole = network(x)
    step = decoded(network, x)
    assert step(x[:, -1:]).shape == (3, 1, 30)
    assert_close(step(x[:, -1:]), whole[:, -1:])


@torch.no_grad()
def test_a_parallel_layout_with_branches_decodes_too():
    network, x = make("parallel_shallow", branches=2)
    assert_close(decoded(network, x)(x[:, -1:]), network(x)[:, -1:])


@torch.no_grad()
def test_each_call_does_the_same_and_depends_on_every_cached_token():
    network, x = make()
    step = decoded(network, x)
    first = step(x[:, -1:])
    other = step((x[:, -1:] + 1) % 30)
    assert not torch.equal(first, other)
    assert torch.equal(step(x[:, -1:]), first)
    for position in range(11):
        changed = x.clone()
        changed[:, position] = (x[:, position] + 1) % 30
        assert not torch.equal(decoded(network, changed)(x[:, -1:]), first)


@torch.no_grad()
def test_a_context_of_one_token_has_nothing_to_cache():
    network, x = make(problem=Problem((1,), (1, 30), vocabulary=30))
    assert_close(decoded(network, x)(x), network(x))


def test_the_cache_is_as_long_as_the_context_and_of_the_type_of_the_weights():
    network, x = make()
    step = decoder(network.bfloat16(), x[:, :-1])
    caches = dict(step.named_buffers())
    assert len(caches) == 2 * 4
    for cache in caches.values():
        assert cache.shape == (3, 2, 12, 8)
        assert cache.dtype == torch.bfloat16
        assert (cache[:, :, :11] != 0).any((0, 1, 3)).all()
