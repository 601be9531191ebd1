"""Mixers: each position by an explicit loop, masks, and the places of attention."""

import pytest
import torch
import torch.nn.functional as F

from depthbench.models.attention import Attention
from depthbench.models.count import count
from depthbench.models.mixer import TokenMixer
from depthbench.spec import Problem
from tests.fixtures_networks import (
    SMALL,
    TEXT,
    assert_close,
    examples,
    num_weights,
    seeded,
    shaken,
    variant_of,
)


def mixer(depth=2, **options):
    return variant_of("mixer", depth=depth, width=8, **options)


def token_mixer(problem=TEXT, **options):
    return shaken(seeded(mixer(**options), problem).blocks[0].attention)


def mixed(module, z, may_read):
    """Return what each position reads, by loops over positions and hidden places."""
    expansion, (first, *last) = module.expansion, module.weights
    length = z.shape[1]
    biases = list(module.biases)
    out = []
    for t in range(length):
        if not expansion:
            read = sum(first[t, s] * z[:, s] for s in range(length) if may_read(t, s))
            out.append(read + biases[0][t])
            continue
        total = biases[1][t].expand_as(z[:, 0])
        for s in range(length):
            if not may_read(t, s):
                continue
            for place in range(s * expansion, (s + 1) * expansion):
                inner = sum(first[place, r] * z[:, r] for r in range(length) if may_read(s, r))
                total = total + last[0][t, place] * F.gelu(inner + biases[0][place])
        out.append(total)
    return torch.stack(out, 1)


@pytest.mark.parametrize("expansion", [0, 1, 3])
@pytest.mark.parametrize("length", [6, 4])
def test_masked_mixing_is_a_loop_over_the_positions_so_far(expansion, length):
    module, z = token_mixer(token_expansion=expansion), torch.randn(2, length, 8)
    assert_close(module(z), mixed(module, z, lambda t, s: s <= t))


@pytest.mark.parametrize("expansion", [0, 2])
def test_patches_read_from_all_patches(expansion):
    module, z = token_mixer(SMALL, token_expansion=expansion), torch.randn(2, 4, 8)
    assert_close(module(z), mixed(module, z, lambda t, s: True))


@pytest.mark.parametrize("expansion", [0, 2])
def test_documents_are_mixed_apart(expansion):
    module, z = token_mixer(token_expansion=expansion), torch.randn(2, 6, 8)
    documents = [0, 0, 1, 1, 1, 0]
    mask = torch.tensor(
        [[s <= t and documents[s] == documents[t] for s in range(6)] for t in range(6)]
    )
    found = module(z, mask.expand(2, 1, 6, 6))
    assert_close(found, mixed(module, z, lambda t, s: bool(mask[t, s])))


def test_the_module_is_a_transformers_with_mixing_for_attention():
    network, x = shaken(seeded(mixer(), TEXT), 0.1), examples(TEXT)
    z = network.stem(x)
    for block in network.blocks:
        z = z + block.attention(block.norm(z))
        z = z + block.mlps[0](z)
    assert_close(network(x), network.head(z))


def test_mixing_starts_as_a_convolution_over_the_tokens_would_with_biases_of_0():
    long = Problem((256,), (256, 11), vocabulary=11)
    first, second = seeded(mixer(token_expansion=2), long).blocks[0].attention.weights
    for weight in (first, second):
        bound = weight.shape[1] ** -0.5
        assert 0.99 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    module = seeded(mixer(), TEXT).blocks[0].attention
    assert torch.count_nonzero(module.biases[0]) == 0
    assert len(seeded(mixer(bias=False), TEXT).blocks[0].attention.biases) == 0


@pytest.mark.parametrize(
    ("every", "places"), [(0, []), (1, [1, 2, 3, 4, 5]), (2, [2, 4]), (3, [3]), (5, [5]), (6, [])]
)
def test_every_so_many_modules_one_has_attention(every, places):
    variant = mixer(5, attention_every=every)
    blocks = seeded(variant, TEXT).blocks
    kinds = [type(block.attention) for block in blocks]
    expected = [Attention if i in places else TokenMixer for i in range(1, 6)]
    assert kinds == expected
    assert count(variant, TEXT).total_heads == len(places)
    assert (variant.heads is None) == (not places)


def test_a_hybrid_with_attention_everywhere_is_the_transformer():
    hybrid = seeded(mixer(attention_every=1, heads=2), TEXT)
    transformer = seeded(variant_of("transformer", depth=2, width=8, heads=2), TEXT)
    state = transformer.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in hybrid.state_dict().items())
    assert torch.equal(hybrid(examples(TEXT)), transformer(examples(TEXT)))
    # Nothing is left that a token_expansion could be of.
    assert mixer(attention_every=1, token_expansion=2) == mixer(attention_every=1)


@pytest.mark.parametrize("expansion", [0, 1, 3])
@pytest.mark.parametrize(("problem", "length"), [(TEXT, 6), (SMALL, 4)])
def test_weights_and_flops_of_mixing_grow_with_the_square_of_the_context(
    expansion, problem, length
):
    variant = mixer(token_expansion=expansion)
    hidden = expansion * length
    matrices = 2 * hidden * length if expansion else length**2
    own = matrices + hidden + length  # with a bias a place
    assert num_weights(seeded(variant, problem).blocks[0].attention) == own
    feed_forward = (8 + 1) * 32 + (32 + 1) * 8
    cost = count(variant, problem)
    assert cost.body_params == 2 * (own + feed_forward + 2 * 2 * 8)
    head = length * 8 * 11 if problem is TEXT else length * 16 * 8 + 8 * 10
    body = 2 * (matrices * 8 + length * 2 * 8 * 32)  # masked weights are not spared
    assert cost.forward_flops == 2 * (body + head)
