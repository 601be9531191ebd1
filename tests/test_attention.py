"""Heads of keys and values that groups share, and heads of a size of their own."""

import math

import pytest
import torch

from depthbench.models.attention import Attention
from depthbench.models.count import count
from depthbench.spec import variant_id
from tests.fixtures_networks import TEXT, assert_close, examples, num_weights, seeded, variant_of


def transformer(**options):
    return variant_of("transformer", depth=2, width=16, **options)


def attention(**options):
    return seeded(transformer(**options), TEXT).blocks[0].attention


def split(module):
    """Return the weights of queries, keys and values, each (H, S, D + 1) with its bias."""
    weight = torch.cat(
        [module.queries_keys_values.weight, module.queries_keys_values.bias[:, None]], 1
    )
    heads = weight.unflatten(0, (-1, module.head_size))
    return heads.split((module.num_heads, module.num_kv_heads, module.num_kv_heads))


def attended(module, z):
    """Return what attention reads, each head by itself and written out."""
    size, group = module.head_size, module.num_heads // module.num_kv_heads
    z1 = torch.cat([z, torch.ones_like(z[..., :1])], 2)
    queries, keys, values = split(module)
    causal = torch.ones(z.shape[1], z.shape[1]).triu(1).bool()
    heads = []
    for head in range(module.num_heads):
        q = z1 @ queries[head].mT
        k, v = z1 @ keys[head // group].mT, z1 @ values[head // group].mT
        scores = (q @ k.mT / math.sqrt(size)).masked_fill(causal, -math.inf)
        heads.append(scores.softmax(2) @ v)
    return module.out(torch.cat(heads, 2))


@pytest.mark.parametrize(
    "options",
    [
        {"heads": 4, "kv_heads": 1},
        {"heads": 4, "kv_heads": 2},
        {"heads": 4},
        {"heads": 3, "head_size": 7},
        {"heads": 6, "head_size": 5, "kv_heads": 3},
        {"heads": 1, "head_size": 40},
    ],
)
def test_each_group_of_heads_reads_by_its_own_keys_and_values(options):
    module, z = attention(**options), torch.randn(2, 6, 16)
    assert_close(module(z), attended(module, z))


def test_groups_equal_full_heads_with_their_keys_and_values_repeated():
    grouped, full = attention(heads=4, kv_heads=2), attention(heads=4)
    queries, keys, values = split(grouped)
    repeated = (part.repeat_interleave(2, 0) for part in (keys, values))
    joined = torch.cat([queries, *repeated]).flatten(0, 1)
    full.load_state_dict(
        {
            "queries_keys_values.weight": joined[:, :-1],
            "queries_keys_values.bias": joined[:, -1],
            "out.weight": grouped.out.weight,
            "out.bias": grouped.out.bias,
        }
    )
    z = torch.randn(2, 6, 16)
    assert_close(grouped(z), full(z))


def test_as_many_heads_of_keys_and_values_as_of_queries_are_the_plain_network():
    plain, said = transformer(heads=4), transformer(heads=4, kv_heads=4)
    assert said == plain
    assert variant_id(said) == variant_id(plain)


def test_heads_that_make_the_width_are_heads_alone():
    assert transformer(heads=4, head_size=4) == transformer(heads=4)
    assert variant_id(transformer(head_size=4)) == variant_id(transformer(heads=4))
    free = transformer(heads=4, head_size=6)
    assert (free.head_size, free.size_of_heads) == (6, 6)
    assert (transformer(heads=4).head_size, transformer(heads=4).size_of_heads) == (None, 4)


def test_document_masks_hold_for_groups_too():
    network = seeded(transformer(heads=4, kv_heads=1), TEXT)
    x = examples(TEXT)
    one = torch.zeros_like(x)
    assert_close(network(torch.stack([x, one], 1)), network(x))


@pytest.mark.parametrize(("heads", "size", "groups"), [(4, 4, 4), (4, 4, 1), (6, 3, 2), (2, 9, 2)])
def test_weights_and_flops_follow_from_heads_their_size_and_groups(heads, size, groups):
    width, depth, length = 16, 2, 6
    variant = transformer(heads=heads, head_size=size, kv_heads=groups)
    projected, joined = (heads + 2 * groups) * size, heads * size
    own = (width + 1) * projected + (joined + 1) * width
    feed_forward = (width + 1) * 64 + (64 + 1) * width
    cost = count(variant, TEXT)
    assert cost.body_params == depth * (own + feed_forward + 2 * 2 * width)
    products = width * projected + joined * width + 2 * width * 64
    scores = 2 * length * joined  # of all pairs, and their sums of values
    assert cost.forward_flops == 2 * length * (depth * (products + scores) + width * 11)
    assert cost.total_heads == depth * heads
    module = attention(heads=heads, head_size=size, kv_heads=groups)
    assert isinstance(module, Attention)
    assert num_weights(module) == own
