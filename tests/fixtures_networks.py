"""Networks that several tests build: small, seeded, with every option."""

from typing import NamedTuple

import torch

from depthbench.grammar import (
    BACKBONE_STAGES,
    FAMILY_BACKBONES,
    BackboneSettings,
    DatasetSettings,
    TaskSettings,
    TrainSettings,
    VariantSettings,
)
from depthbench.models import BACKBONES, FAMILIES, build
from depthbench.models.count import count
from depthbench.spec import Problem, Trial, Variant
from depthbench.variants import resolve_variant

SMALL = Problem((1, 8, 8), (10,))
FUSABLE = [name for name, backbone in BACKBONES.items() if backbone.fused]
# The families, each on every backbone that it can lay out.
PAIRS = [
    (family, backbone)
    for family in FAMILIES
    for backbone in FAMILY_BACKBONES.get(family, tuple(BACKBONES))
]
# The modules of these are alike and keep the shape of the stream.
ALIKE = [name for name in BACKBONES if name not in BACKBONE_STAGES]
NETWORK_OPTIONS = [
    {},
    {"norm": "layer"},
    {"norm": "rms"},
    {"norm": "none"},
    {"norm": "layer", "norm_affine": False},
    {"norm": "layer", "bias": False},
    {"norm": "layer", "residual_scale": "learned"},
    {"residual_scale": "1/sqrt(L)"},
    {"residual_scale": 0.5},
    {"activation": "gelu"},
]


TEXT = Problem((6,), (6, 11), vocabulary=11)
# Every option, as the networks that the contract of `test_network_options.py` builds: backbones,
# family, and what the variant says besides its depth of 2 and its width.
_ANY, _EQUAL = "mlp conv preact transformer mixer", "mlp conv transformer mixer"
_FEED_FORWARD, _TOKENS = "mlp transformer mixer", "transformer mixer"
_FOUR_HEADS = {"heads": 4}
OPTION_TABLE = [
    (_ANY, "deep", {"activation": "silu"}),
    (_ANY, "deep", {"norm": "rms"}),
    (_ANY, "deep", {"norm": "layer", "norm_affine": False}),
    (_EQUAL, "deep", {"bias": False}),
    ("preact", "deep", {"bias": True}),
    (_ANY, "deep", {"residual_scale": "1/L"}),
    ("mlp preact transformer", "deep", {"residual_scale": "learned"}),
    ("conv transformer", "deep", {"residual_scale": "rezero"}),
    (_FEED_FORWARD, "deep", {"expansion": 3.0}),
    (_FEED_FORWARD, "deep", {"hidden": 7}),
    (_ANY, "hourglass", {"bottleneck": 0.5}),
    (_FEED_FORWARD, "deep", {"expansions": (1.0, 2.5)}),
    ("conv transformer", "hourglass", {"expansions": (0.25, 0.5)}),
    ("mlp", "parallel_shallow", {"expansions": (1.0, 2.5)}),
    ("conv", "deep", {"kernel": 5}),
    ("conv", "deep", {"stem_stride": 2}),
    ("mlp conv", "deep", {"norm": "layer", "head_norm": False}),
    ("mlp conv preact", "deep", {"output": "sigmoid"}),
    ("mlp", "deep", {"lift": "fixed"}),
    ("preact", "deep", {"dropout": 0.3}),
    ("transformer", "deep", _FOUR_HEADS),
    ("transformer", "deep", {"head_size": 4}),
    ("transformer", "deep", {"heads": 2, "head_size": 6}),
    ("transformer", "deep", {"kv_heads": 1} | _FOUR_HEADS),
    ("transformer", "hourglass", {"kv_heads": 2, "head_size": 3} | _FOUR_HEADS),
    (_TOKENS, "deep", {"patch": 2}),
    (_TOKENS, "deep", {"tie_embeddings": False}),
    (_TOKENS, "hourglass", {"sub_mlps": 2}),
    ("mlp conv", "parallel_shallow", {"execution": "fused"}),
    (_EQUAL, "parallel_shallow", {"branches": 1}),
    ("mlp conv", "deep", {"skip": "none"}),
    ("mlp", "parallel_shallow", {"skip": "none"}),
    (_ANY, "deep", {"survival": 0.5}),
    ("mlp preact transformer", "parallel_shallow", {"survival": 0.5}),
    (_ANY, "deep", {"layer_scale": 0.1}),
    (_EQUAL, "deep", {"norm": "layer", "norm_position": "post"}),
    (_EQUAL, "deep", {"norm": "layer", "norm_position": "peri"}),
    (_EQUAL, "deep", {"norm": "rms", "norm_position": "deep"}),
    ("mlp transformer", "parallel_shallow", {"norm_position": "post"}),
    ("transformer", "hourglass", {"norm_position": "deep", "layer_scale": 0.1}),
    (_EQUAL, "deep", {"norm": "layer", "norm_scale": "1/sqrt(l)"}),
    (_EQUAL, "deep", {"depth_average": True}),
    ("transformer", "deep", {"depth_average": True, "average_period": 2}),
    ("mlp", "deep", {"depth_average": True, "average_dilation": 2}),
    (_EQUAL, "looped", {"loops": 3}),
    ("mlp transformer", "looped", {"input_injection": False}),
    ("mlp transformer", "looped", {"depth_average": True, "norm_position": "post"}),
    (_FEED_FORWARD, "widenet", {}),
    (_FEED_FORWARD, "widenet", {"norm_sharing": "shared"}),
    ("transformer", "widenet", {"norm_position": "post", "norm_sharing": "shared"}),
    (_FEED_FORWARD, "deep", {"experts": 3, "active_experts": 1}),
    ("mlp", "parallel_shallow", {"experts": 2, "balance": 0.0}),
    ("transformer", "looped", {"experts": 3, "survival": 0.5}),
    (_TOKENS, "deep", {"parallel_block": True}),
    ("transformer", "deep", {"parallel_block": True, "norm_position": "peri"}),
    ("transformer", "hourglass", {"parallel_block": True, "norm_position": "post"}),
    ("mixer", "deep", {"token_expansion": 2}),
    ("mixer", "deep", {"attention_every": 2, "kv_heads": 2} | _FOUR_HEADS),
    ("mixer", "widenet", {"token_expansion": 1}),
    (_EQUAL, "deep", {"parametrization": "completep", "base_width": 4, "base_depth": 1}),
    ("mlp conv", "deep", {"init": "critical"}),
    (_TOKENS, "deep", {"init": "deepscale"}),
]


class OptionCase(NamedTuple):
    """A network with an option, and the examples that it is for; one of each row is in turn."""

    variant: Variant
    problem: Problem
    is_in_turn: bool = True

    @property
    def is_text(self):
        return self.problem.vocabulary is not None


def option_cases():
    """Return the networks of the table by name: with text where their backbone reads it."""
    cases = {}
    for row, (backbones, family, options) in enumerate(OPTION_TABLE):
        names = backbones.split()
        for backbone in names:
            said = " ".join(f"{name}={value}" for name, value in options.items())
            is_text = backbone in _TOKENS and "patch" not in options
            depth, width = (2, 8) if backbone in ALIKE else (3, 16)
            variant = variant_of(backbone, family, depth, width, **options)
            problem = TEXT if is_text else SMALL
            is_in_turn = backbone == names[row % len(names)]
            name = f"{backbone} {family} {said}".strip()
            cases[name] = OptionCase(variant, problem, is_in_turn)
    return cases


def stages_of(backbone):
    """Return what the depth of a backbone must be a multiple of."""
    return BACKBONE_STAGES.get(backbone, 1)


def variant_of(backbone="mlp", family="deep", depth=None, width=16, **options):
    depth = depth or (4 if backbone in ALIKE else 2 * stages_of(backbone))
    settings = VariantSettings(family=family, depth=depth, width=width, **options)
    return resolve_variant(settings, BackboneSettings(name=backbone), width)


def seeded(variant, problem=SMALL, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build(variant, problem)


def trial_of(variant, seed=0, problem=SMALL):
    return Trial(
        trial_id="t",
        variant_id="v",
        variant=variant,
        dataset_settings=DatasetSettings(name="digits"),
        task_settings=TaskSettings(name="classify"),
        train=TrainSettings(steps=1),
        seed=seed,
        problem=problem,
        cost=count(variant, problem),
    )


def shaken(network, size=0.2, seed=7):
    """Return a network with noise on all of its weights, so that none is still at 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=generator))
    return network


def examples(problem, num=8, seed=1):
    """Return examples of a problem: images, or tokens."""
    if problem.vocabulary is None:
        return images(num, problem, seed)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(problem.vocabulary, (num, *problem.input_shape), generator=generator)


def images(num=8, problem=SMALL, seed=1):
    return torch.randn(num, *problem.input_shape, generator=torch.Generator().manual_seed(seed))


def num_weights(module):
    return sum(weight.numel() for weight in module.parameters())


def assert_close(actual, expected, tolerance=1e-5):
    error = (actual - expected).abs().max()
    assert error <= tolerance * expected.abs().max().clamp(min=1.0), float(error)
