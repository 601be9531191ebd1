"""Norms before, after and around branches, their scale over depth, and gains, by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from depthbench.models.branches import Gain, ScaledNorm
from depthbench.models.conv import ConvModule
from tests.fixtures_networks import (
    ALIKE,
    SMALL,
    TEXT,
    assert_close,
    examples,
    images,
    num_weights,
    seeded,
    shaken,
    variant_of,
)

POSITIONS = ("pre", "post", "peri", "deep")


def built(backbone, family="deep", depth=4, **options):
    """Return a network with noise on its weights, and examples for it."""
    problem = TEXT if backbone in ("transformer", "mixer") else SMALL
    heads = {"heads": 2} if backbone == "transformer" else {}
    variant = variant_of(backbone, family, depth, **{"norm": "layer"} | heads | options)
    return shaken(seeded(variant, problem), 0.1), examples(problem)


def normed(norm, z):
    """Return a layer norm over the features, written out."""
    axis = 1 if z.ndim == 4 else -1
    shape = (-1, 1, 1) if z.ndim == 4 else (-1,)
    mean, variance = z.mean(axis, keepdim=True), z.var(axis, correction=0, keepdim=True)
    normal = (z - mean) / (variance + 1e-5).sqrt()
    return normal * norm.weight.view(shape) + norm.bias.view(shape)


def update_of(module, h):
    """Return what a module of mlp or conv makes of its normalised input."""
    if isinstance(module, ConvModule):
        return F.relu(F.conv2d(h, module.conv.weight, module.conv.bias, padding=1))
    return module.down(F.relu(module.up(h)))


# The place of norms in mlp and conv


@pytest.mark.parametrize("family", ["deep", "parallel_shallow"])
@pytest.mark.parametrize(("position", "carry"), [("post", 1.0), ("deep", math.sqrt(2))])
@pytest.mark.parametrize("backbone", ["mlp", "conv"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_norms_stand_after_the_sums(scale, backbone, position, carry, family):
    network, x = built(backbone, family, norm_position=position, residual_scale=scale)
    z = network.stem(x)
    if family == "deep":
        for block, norm in zip(network.blocks, network.norms, strict=True):
            z = normed(norm, carry * z + scale * update_of(block, z))
    else:
        (norm,), updates = network.norms, [update_of(block, z) for block in network.blocks]
        z = normed(norm, carry * z + scale * sum(updates))
    assert_close(network(x), network.head(z))


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_peri_has_a_norm_before_a_module_and_one_on_its_update(backbone):
    network, x = built(backbone, norm_position="peri")
    z = network.stem(x)
    for block in network.blocks:
        module, after = block.module, block.after
        z = z + normed(after, update_of(module, normed(module.norm, z)))
    assert_close(network(x), network.head(z))


def test_pre_is_the_plain_network():
    assert variant_of("conv", norm="layer", norm_position="pre") == variant_of("conv", norm="layer")
    network, x = built("mlp", norm_position="pre")
    z = network.stem(x)
    for block in network.blocks:
        z = z + update_of(block, normed(block.norm, z))
    assert_close(network(x), network.head(z))


# The place of norms in a transformer's block


def test_post_norms_follow_attention_and_feed_forward():
    network, x = built("transformer", norm_position="post")
    z = network.stem(x)
    for block, last in zip(network.blocks, network.norms, strict=True):
        (mlp,), (between,) = block.mlps, block.between
        z = normed(between, z + block.attention(z))
        z = normed(last, z + mlp.down(F.gelu(mlp.up(z))))
    assert_close(network(x), network.head(z))


def test_deep_norms_enlarge_the_stream_at_each_of_two_sums_a_block():
    network, x = built("transformer", norm_position="deep")
    carry = (2 * 4) ** 0.25
    z = network.stem(x)
    for block, last in zip(network.blocks, network.norms, strict=True):
        (mlp,), (between,) = block.mlps, block.between
        z = normed(between, carry * z + block.attention(z))
        z = normed(last, carry * z + mlp.down(F.gelu(mlp.up(z))))
    assert_close(network(x), network.head(z))


@pytest.mark.parametrize(("position", "carry"), [("post", 1.0), ("deep", (3 * 2) ** 0.25)])
def test_norms_follow_each_narrow_mlp_of_an_hourglass(position, carry):
    network, x = built("transformer", "hourglass", 2, sub_mlps=2, norm_position=position)
    z = network.stem(x)
    for block, last in zip(network.blocks, network.norms, strict=True):
        z = normed(block.between[0], carry * z + block.attention(z))
        for mlp, norm in zip(block.mlps, [block.between[1], last], strict=True):
            z = normed(norm, carry * z + mlp.down(F.gelu(mlp.up(z))))
    assert_close(network(x), network.head(z))


def test_peri_norms_stand_around_attention_and_feed_forward():
    network, x = built("transformer", norm_position="peri")
    z = network.stem(x)
    for block in network.blocks:
        (mlp,), (after_attention, after_mlp) = block.mlps, block.afters
        z = z + normed(after_attention, block.attention(normed(block.norm, z)))
        z = z + normed(after_mlp, mlp.down(F.gelu(mlp.up(normed(mlp.norm, z)))))
    assert_close(network(x), network.head(z))


def test_parallel_transformers_norm_the_sum_of_all_blocks():
    network, x = built("transformer", "parallel_shallow", 3, norm_position="post")
    start = network.stem(x)
    total = start
    for block in network.blocks:
        (mlp,), (between,) = block.mlps, block.between
        z = normed(between, start + block.attention(start))
        total = total + (z - start) + mlp.down(F.gelu(mlp.up(z)))
    (last,) = network.norms
    assert_close(network(x), network.head(normed(last, total)))


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("backbone", ALIKE)
def test_places_of_norms_need_no_weights_but_for_those_of_more_norms(backbone, position):
    network, _ = built(backbone, norm_position=position)
    plain, _ = built(backbone)
    num_branches = 2 if backbone in ("transformer", "mixer") else 1
    added = 4 * num_branches * 2 * 16 if position == "peri" else 0
    assert num_weights(network) == num_weights(plain) + added


# Side by side


def test_a_parallel_block_reads_one_norm_with_attention_and_feed_forward():
    network, x = built("transformer", parallel_block=True)
    z = network.stem(x)
    for block in network.blocks:
        (mlp,), h = block.mlps, normed(block.norm, z)
        z = z + block.attention(h) + mlp.down(F.gelu(mlp.up(h)))
    assert_close(network(x), network.head(z))


def test_a_parallel_block_without_feed_forward_is_attention_alone():
    network, x = built("transformer", parallel_block=True)
    for block in network.blocks:
        for name, weight in block.mlps[0].named_parameters():
            if name.startswith("down"):
                nn.init.zeros_(weight)
    z = network.stem(x)
    for block in network.blocks:
        z = z + block.attention(block.norm(z))
    assert_close(network(x), network.head(z))


def test_parallel_blocks_of_every_place_of_norms():
    for position, carry in (("post", 1.0), ("peri", 1.0), ("deep", 4**0.25)):
        network, x = built("transformer", parallel_block=True, norm_position=position)
        z = network.stem(x)
        for index, block in enumerate(network.blocks):
            (mlp,), h = block.mlps, z
            h = normed(block.norm, z) if position == "peri" else z
            parts = [block.attention(h), mlp.down(F.gelu(mlp.up(h)))]
            if position == "peri":
                parts = [normed(norm, u) for norm, u in zip(block.afters, parts, strict=True)]
            z = carry * z + sum(parts)
            z = z if position == "peri" else normed(network.norms[index], z)
        assert_close(network(x), network.head(z))


# Gains


@pytest.mark.parametrize("backbone", [*ALIKE, "preact"])
def test_gains_of_one_are_the_plain_network(backbone):
    variants = (variant_of(backbone, layer_scale=1.0), variant_of(backbone))
    problem = TEXT if backbone in ("transformer", "mixer") else SMALL
    gained, plain = (seeded(variant, problem) for variant in variants)
    assert num_weights(gained) > num_weights(plain)
    assert torch.equal(gained(examples(problem)), plain(examples(problem)))


def test_gains_multiply_each_feature_of_an_update_and_start_as_said():
    for backbone in ("mlp", "conv"):
        network = seeded(variant_of(backbone, layer_scale=0.01))
        assert all((block.after.weight == 0.01).all() for block in network.blocks)
        shaken(network)
        z = network.stem(images())
        for block in network.blocks:
            gain = block.after.weight.view((-1, 1, 1) if z.ndim == 4 else (-1,))
            z = z + gain * block.module(z)
        assert_close(network(images()), network.head(z))


def test_a_transformer_has_a_gain_for_attention_and_one_for_feed_forward():
    network, x = built("transformer", layer_scale=0.3)
    z = network.stem(x)
    for block in network.blocks:
        first, second = (gain.weight for gain in block.afters)
        z = z + first * block.attention(block.norm(z))
        z = z + second * block.mlps[0](z)
    assert_close(network(x), network.head(z))


def test_gains_of_a_preact_stand_on_the_updates_and_not_on_the_projections():
    network = shaken(seeded(variant_of("preact", depth=6, layer_scale=0.5)), 0.01)
    gains = [module for module in network.modules() if isinstance(module, Gain)]
    assert [gain.weight.shape[0] for gain in gains] == [16, 16, 32, 32, 64, 64]
    z = network.stem(images())
    for block, gain in zip(network.blocks, gains, strict=True):
        h = block.activation(block.norm(z))
        z = block.projection(h) if hasattr(block, "projection") else z
        z = z + gain.weight * block.body.module(h)
    assert_close(network(images()), network.head(z))


# The scale of norms over depth


@pytest.mark.parametrize("backbone", [*ALIKE])
def test_norms_of_module_l_are_divided_by_the_root_of_l(backbone):
    network, x = built(backbone, norm_scale="1/sqrt(l)")
    plain, _ = built(backbone)
    plain.load_state_dict(
        {name.replace("norm.norm", "norm"): t for name, t in network.state_dict().items()}
    )
    for index, block in enumerate(plain.blocks, 1):
        for module in block.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.data /= math.sqrt(index)
                module.bias.data /= math.sqrt(index)
    assert_close(network(x), plain(x))
    factors = [m.factor for m in network.modules() if isinstance(m, ScaledNorm)]
    num_branches = 2 if backbone in ("transformer", "mixer") else 1
    assert factors == [1 / math.sqrt(i) for i in (1, 2, 3, 4) for _ in range(num_branches)]


def variance_of_stream(depth, norm_scale, backbone="mlp", width=256):
    """Return the variance of the last stream of a network as it starts, and that of the first."""
    options = {"bias": False, "norm": "layer", "norm_scale": norm_scale}
    network = seeded(variant_of(backbone, depth=depth, width=width, **options))
    with torch.no_grad():
        start, context = network.begin(images(64))
        z = start
        for stage in range(depth):
            z = network.advance(z, stage, context)
    return z.var().item(), start.var().item()


def test_the_variance_of_the_stream_grows_with_depth_and_with_scaled_norms_hardly():
    # Uniform weights in +-1/sqrt(n) have variance 1/(3 n), and a relu halves the square: an update
    # of a normalised stream has variance 1/3 1/2 1/3. Scaled norms divide that of module l by l.
    update, depths = 1 / 18, (4, 16, 64)
    for scale, growth in (
        ("none", lambda depth: depth),
        ("1/sqrt(l)", lambda depth: sum(1 / number for number in range(1, depth + 1))),
    ):
        found = [variance_of_stream(depth, scale) for depth in depths]
        for depth, (last, first) in zip(depths, found, strict=True):
            assert last == pytest.approx(first + update * growth(depth), rel=0.15)
        exponent = math.log(found[-1][0] / found[0][0]) / math.log(depths[-1] / depths[0])
        assert exponent > 0.6 if scale == "none" else exponent < 0.15


@pytest.mark.parametrize("backbone", ["conv", "mixer"])
def test_scaled_norms_slow_the_growth_of_every_backbone_whose_stream_grows(backbone):
    # A transformer's does not: its first weights are divided by the root of 2 L, as GPT-2's.
    exponents = {}
    for scale in ("none", "1/sqrt(l)"):
        (small, _), (large, _) = (variance_of_stream(d, scale, backbone, 32) for d in (4, 64))
        exponents[scale] = math.log(large / small) / math.log(16)
    assert exponents["none"] > 0.9
    assert exponents["1/sqrt(l)"] < 0.55 * exponents["none"]
