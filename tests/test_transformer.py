"""Transformers: GPT-2's weights, no look at the future, documents apart, heads that divide."""

import copy
import math
import pickle
import re

import pytest
import torch
import torch.nn.functional as F

from depthbench.errors import MatchError, SuiteError
from depthbench.grammar import BackboneSettings, VariantSettings
from depthbench.matching import solve_width
from depthbench.models import FAMILIES
from depthbench.models.count import count
from depthbench.options import option_problems
from depthbench.spec import Problem, variant_id
from depthbench.variants import resolve_variant, whole_width
from tests.fixtures_networks import SMALL, assert_close, images, num_weights, seeded, variant_of

TEXT = Problem((12,), (12, 30), vocabulary=30)
GPT2 = Problem((1024,), (1024, 50_257), vocabulary=50_257)
TRANSFORMER = BackboneSettings(name="transformer")


def transformer(family="deep", depth=3, width=16, **options):
    return variant_of("transformer", family, depth, width, **{"heads": 2} | options)


def tokens(num=4, problem=TEXT, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(problem.vocabulary, (num, *problem.input_shape), generator=generator)


def problems(family="deep", depth=4, width=64, backbone=TRANSFORMER, **options):
    settings = VariantSettings(family=family, depth=depth, width=width, **options)
    return option_problems(settings, backbone)


# Sizes


def test_smallest_gpt2_has_its_published_number_of_weights():
    variant = variant_of("transformer", depth=12, width=768)
    cost = count(variant, GPT2)
    assert variant.heads == 12
    assert cost.total_params == cost.trainable_params == 124_439_808
    block = 12 * 768**2 + 13 * 768  # attention 4 d^2, feed-forward 8 d^2, their biases and norms
    assert cost.body_params == 12 * block
    ends = 50_257 * 768 + 1024 * 768 + 2 * 768
    assert cost.total_params == cost.body_params + ends


def test_untied_head_has_weights_of_its_own():
    tied, untied = (count(transformer(tie_embeddings=tie), TEXT) for tie in (True, False))
    assert untied.total_params == tied.total_params + 30 * 16
    assert untied.body_params == tied.body_params
    assert untied.forward_flops == tied.forward_flops


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tie", [True, False])
def test_count_equals_the_real_network(family, tie):
    variant = transformer(family, tie_embeddings=tie, residual_scale="learned")
    network = seeded(variant, TEXT)
    assert count(variant, TEXT).total_params == num_weights(network)
    assert count(variant, TEXT).body_params == num_weights(network.blocks) + 3


def test_flops_count_attention_over_all_pairs_of_positions():
    length, width, depth = 12, 16, 3
    products = 12 * width**2 * length  # queries, keys, values, out, up, down
    attention = 2 * length**2 * width  # scores and their sum of values, causal not halved
    head = length * width * 30
    cost = count(transformer(depth=depth, width=width), TEXT)
    assert cost.forward_flops == 2 * (depth * (products + attention) + head)


def test_hourglass_has_four_narrow_mlps_after_its_attention():
    variant = transformer("hourglass", width=16, bottleneck=0.25)
    attention, mlp, norm = 4 * 16**2 + 4 * 16, 2 * 16 * 4 + 4 + 16, 2 * 16
    assert variant.sub_mlps == 4
    assert count(variant, TEXT).body_params == 3 * (attention + norm + 4 * (mlp + norm))
    one = transformer("hourglass", width=16, sub_mlps=1)
    assert count(one, TEXT).body_params == 3 * (attention + norm + mlp + norm)


# What a token sees


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("norm", ["layer", "rms", "none"])
@pytest.mark.parametrize("changed", [1, 7, 11])
def test_no_token_sees_those_after_it(family, norm, changed):
    network = seeded(transformer(family, norm=norm), TEXT)
    x = tokens()
    other = x.clone()
    other[:, changed] = (x[:, changed] + 1) % 30
    y, changed_y = network(x), network(other)
    assert torch.equal(changed_y[:, :changed], y[:, :changed])
    assert (changed_y[:, changed:] != y[:, changed:]).any(2).all()


def test_no_token_sees_those_after_it_in_training_on_long_texts():
    problem = Problem((300,), (300, 30), vocabulary=30)  # longer than a tile of the kernels
    network = seeded(transformer(width=64), problem).train()
    x = tokens(2, problem)
    other = x.clone()
    other[:, 200:] = 0
    assert torch.equal(network(other)[:, :200], network(x)[:, :200])


def test_no_token_gets_gradients_from_outputs_before_it():
    network = seeded(transformer(), TEXT)
    seen = []
    network.stem.register_forward_hook(lambda _, __, z: (z.retain_grad(), seen.append(z))[0])
    network(tokens())[:, 4].sum().backward()
    reached = seen[0].grad.abs().sum((0, 2)) > 0
    assert reached.tolist() == [True] * 5 + [False] * 7


def documents(*lengths, num=4):
    ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return ids.expand(num, -1)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_never_crosses_a_document(family):
    network, x = seeded(transformer(family), TEXT), tokens()
    masks = documents(5, 4, 3)
    y = network(torch.stack([x, masks], 1))
    assert y.shape == (4, 12, 30)
    for start, end in ((0, 5), (5, 9), (9, 12)):
        other = x.clone()
        other[:, start:end] = (x[:, start:end] + 1) % 30
        changed = network(torch.stack([other, masks], 1)) != y  # (B, T, K)
        assert changed[:, start:end].any(2).all()
        changed[:, start:end] = False
        assert not changed.any()


def test_documents_stay_causal_and_one_document_is_the_plain_text():
    network, x = seeded(transformer(), TEXT), tokens()
    y = network(x)
    assert_close(network(torch.stack([x, documents(12)], 1)), y)
    masks = documents(5, 7)
    assert_close(network(torch.stack([x, masks], 1))[:, :5], y[:, :5])
    other = x.clone()
    other[:, 8] = (x[:, 8] + 1) % 30
    first, changed = (network(torch.stack([t, masks], 1)) for t in (x, other))
    assert torch.equal(first[:, :8], changed[:, :8])


def test_documents_may_come_back_under_the_same_id():
    network, x = seeded(transformer(), TEXT), tokens()
    masks = torch.tensor([0] * 4 + [1] * 4 + [0] * 4).expand(4, -1)
    other = x.clone()
    other[:, 4:8] = 0
    y, changed = (network(torch.stack([t, masks], 1)) for t in (x, other))
    assert torch.equal(y[:, 8:], changed[:, 8:])


def test_shorter_texts_than_the_context_are_read():
    network, x = seeded(transformer(), TEXT), tokens()
    assert_close(network(x[:, :5]), network(x)[:, :5])


# The block


def test_attention_is_the_softmax_of_scaled_products():
    attention = seeded(transformer(), TEXT).blocks[0].attention
    z = torch.randn(2, 12, 16)
    queries, keys, values = attention.queries_keys_values(z).split(16, 2)
    heads = []
    for head in range(2):
        q, k, v = (t[..., 8 * head : 8 * head + 8] for t in (queries, keys, values))
        scores = q @ k.mT / math.sqrt(8)
        scores = scores.masked_fill(torch.ones(12, 12).triu(1).bool(), -math.inf)
        heads.append(scores.softmax(2) @ v)
    assert_close(attention(z), attention.out(torch.cat(heads, 2)))


@pytest.mark.parametrize("family", ["deep", "hourglass"])
def test_module_is_the_update_of_a_whole_block(family):
    block = seeded(transformer(family), TEXT).blocks[0]
    z = torch.randn(2, 12, 16)
    h = z + block.attention(block.norm(z))
    for mlp in block.mlps:
        h = h + mlp.down(F.gelu(mlp.up(mlp.norm(h))))
    assert len(block.mlps) == (4 if family == "hourglass" else 1)
    assert_close(z + block(z), h)


def test_weights_start_as_those_of_gpt2():
    network = seeded(transformer(depth=8, width=128, tie_embeddings=False), TEXT)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            writes = name.endswith(("attention.out", ".down"))
            expected = 0.02 / math.sqrt(16) if writes else 0.02
            assert module.weight.std().item() == pytest.approx(expected, rel=0.1), name
            if getattr(module, "bias", None) is not None:
                assert torch.count_nonzero(module.bias) == 0


# The tied head


def test_head_and_embedding_are_one_weight():
    network = seeded(transformer(), TEXT)
    for copied in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert copied.head.linear.weight is copied.stem.tokens.weight
    network(tokens()).logsumexp(2).sum().backward()
    used = tokens().unique()
    unused = [token for token in range(30) if token not in used]
    gradient = network.stem.tokens.weight.grad
    assert gradient[unused].abs().sum() > 0  # through the head, which maps to every token
    other = seeded(transformer(), TEXT, seed=9)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(tokens()), network(tokens()))


def test_untied_head_is_drawn_after_all_else():
    tied, untied = (seeded(transformer(tie_embeddings=tie), TEXT) for tie in (True, False))
    shared, own = tied.state_dict(), untied.state_dict()
    assert list(shared) == list(own)
    assert [k for k in own if not torch.equal(own[k], shared[k])] == ["head.linear.weight"]


# Learning


@pytest.mark.parametrize("family", FAMILIES)
def test_text_is_learnt_by_heart_from_a_loss_near_that_of_guessing(family):
    network, x = seeded(transformer(family, width=32), TEXT), tokens(8)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        logits = network(x[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - math.log(30)) < 0.1
    assert losses[-1] < 0.6


def test_bf16_follows_fp32():
    network, x = seeded(transformer(), TEXT), tokens()
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
        masked = network(torch.stack([x, documents(5, 7)], 1))
    assert y.dtype == masked.dtype == torch.bfloat16
    assert_close(y.float(), network(x), tolerance=0.05)


# Images


def test_patches_are_linear_maps_of_squares_in_reading_order():
    problem = Problem((3, 8, 12), (10,))
    stem = seeded(transformer(), problem).stem
    x = images(2, problem)
    weight = stem.linear.weight.view(16, 3, 4, 4)
    expected = F.conv2d(x, weight, stem.linear.bias, stride=4).flatten(2).mT  # (B, 6, D)
    assert_close(stem(x), expected + stem.positions.weight)


def test_patches_see_each_other_both_ways():
    network, x = seeded(transformer(), SMALL), images(2)
    z = network.stem(x)
    assert z.shape == (2, 4, 16)
    other = z.clone()
    other[:, 3] += torch.randn(16)
    update, changed = network.blocks[0](z), network.blocks[0](other)
    assert (update[:, 0] != changed[:, 0]).any()


@pytest.mark.parametrize(("patch", "num_patches"), [(1, 64), (2, 16), (8, 1)])
def test_patch_sets_the_number_of_positions(patch, num_patches):
    network = seeded(transformer(patch=patch), SMALL)
    assert network.stem(images(2)).shape == (2, num_patches, 16)
    assert network(images(2)).shape == (2, 10)


def test_images_that_patches_do_not_divide_are_refused():
    with pytest.raises(SuiteError, match=r"8 x 10; patch may be 1, 2$"):
        count(transformer(), Problem((1, 8, 10), (10,)))


@pytest.mark.parametrize(
    ("options", "problem", "message"),
    [
        ({"tie_embeddings": False}, SMALL, "tie_embeddings: false applies to text"),
        ({"patch": 2}, TEXT, "patch: 2 applies to images"),
        ({"norm": "batch"}, TEXT, "norm: batch would let a token see those after it"),
    ],
)
def test_option_that_the_examples_leave_without_meaning_is_refused(options, problem, message):
    with pytest.raises(SuiteError, match=message):
        count(transformer(**options), problem)


# Heads


@pytest.mark.parametrize(
    ("width", "expected"),
    [(8, 1), (100, 1), (128, 2), (200, 2), (192, 3), (256, 4), (509, 1), (512, 8), (768, 12)],
)
def test_heads_are_about_64_wide_and_divide_the_width(width, expected):
    assert variant_of("transformer", width=width).heads == expected


def test_head_size_says_the_number_of_heads():
    said = variant_of("transformer", width=96, head_size=16)
    assert said.heads == 6
    assert variant_id(said) == variant_id(variant_of("transformer", width=96, heads=6))
    assert variant_id(variant_of("transformer", width=128, heads=2)) == variant_id(
        variant_of("transformer", width=128)
    )


def test_saying_a_default_changes_no_identity():
    said = variant_of("transformer", patch=4, tie_embeddings=True, expansion=4.0, norm="layer")
    assert said.identity() == {
        "family": "deep",
        "backbone": "transformer",
        "depth": 4,
        "width": 16,
    }
    assert variant_of("transformer", "hourglass", sub_mlps=4, bottleneck=0.25).identity() == {
        "family": "hourglass",
        "backbone": "transformer",
        "depth": 4,
        "width": 16,
    }


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"heads": 5}, "heads", "5 does not divide the width 64; nearest widths: 60, 65; .* 2, 4;"),
        ({"head_size": 128}, "head_size", "nearest widths: 128; nearest head_size: 32, 64"),
        ({"sub_mlps": 2}, "sub_mlps", "only a transformer or a mixer in family hourglass"),
        ({"dropout": 0.1}, "dropout", "only a preact block"),
        ({"lift": "fixed"}, "lift", "only mlp's stem"),
        ({"family": "hourglass", "expansion": 4.0}, "expansion", "4 is not below 1"),
        (
            {"family": "parallel_shallow", "execution": "fused"},
            "execution",
            "cannot join the modules of transformer",
        ),
        ({"backbone": BackboneSettings(name="mlp"), "heads": 2}, "heads", "only a transformer"),
        ({"backbone": BackboneSettings(name="conv"), "patch": 2}, "patch", "only a transformer"),
    ],
)
def test_option_that_cannot_be_is_named_with_its_reason(settings, field, message):
    [(found_field, found_message)] = problems(**settings)
    assert found_field == field
    assert re.search(message, found_message), found_message


@pytest.mark.parametrize(
    "settings",
    [
        {"width": "match", "heads": 12},
        {"width": 100},
        {"family": "hourglass", "sub_mlps": 2, "hidden": 8},
        {"backbone": BackboneSettings(name="transformer", heads=12, sub_mlps=2), "head_size": 16},
        {"family": "parallel_shallow", "execution": "auto", "branches": 2},
    ],
)
def test_option_that_can_be_is_no_problem(settings):
    assert problems(**settings) == []


def solved(target, *, tolerance=0.1, depth=4, **options):
    settings = VariantSettings(family="deep", depth=depth, width="match", **options)
    match = {"match": "body_params", "target": target, "tolerance": tolerance}
    width = solve_width(settings, TRANSFORMER, TEXT, **match).width
    return resolve_variant(settings, TRANSFORMER, width)


@pytest.mark.parametrize("options", [{"heads": 12}, {"heads": 5}, {"head_size": 24}])
@pytest.mark.parametrize("target", [1e6, 3e6, 2e7])
def test_solved_widths_are_multiples_of_their_heads(options, target):
    variant = solved(target, **options)
    [step] = options.values()
    assert variant.width % step == 0
    sizes = {
        width: count(resolve_variant_at(width, options), TEXT).body_params
        for width in (variant.width - step, variant.width, variant.width + step)
    }
    assert min(sizes, key=lambda width: abs(sizes[width] - target)) == variant.width


def resolve_variant_at(width, options):
    settings = VariantSettings(family="deep", depth=4, width=width, **options)
    return resolve_variant(settings, TRANSFORMER, width)


@pytest.mark.parametrize("target", [1e5, 1e6, 1e7, 1e8, 1e9])
def test_solved_widths_keep_default_heads_of_about_64_within_two_percent(target):
    variant = solved(target, tolerance=0.02)
    assert variant.heads == max(1, variant.width // 64)
    assert variant.width % variant.heads == 0


def test_no_width_within_the_tolerance_names_two_that_the_heads_divide():
    with pytest.raises(MatchError, match=r"width 48 with .* and width 96 with"):
        solved(2e5, tolerance=0.001, heads=48)


@pytest.mark.parametrize("width", [1, 63, 130, 509, 4097])
def test_whole_widths_are_those_around(width):
    settings = VariantSettings(family="deep", depth=4, width="match")
    above = whole_width(settings, TRANSFORMER, width)
    below = whole_width(settings, TRANSFORMER, width, below=True)
    assert below <= width <= above
    for whole in (below, above):
        assert whole % max(1, whole // 64) == 0
    between = [w for w in range(below + 1, above) if w % max(1, w // 64) == 0]
    assert between == []
    assert whole_width(settings, BackboneSettings(name="mlp"), width) == width
