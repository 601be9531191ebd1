"""Networks that several tests build: small, seeded, with every option."""

import torch

from depthbench.grammar import (
    BACKBONE_STAGES,
    BackboneSettings,
    DatasetSettings,
    TaskSettings,
    TrainSettings,
    VariantSettings,
)
from depthbench.models import BACKBONES, build
from depthbench.models.count import count
from depthbench.spec import Problem, Trial
from depthbench.variants import resolve_variant

SMALL = Problem((1, 8, 8), (10,))
FUSABLE = [name for name, backbone in BACKBONES.items() if backbone.fused]
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


def images(num=8, problem=SMALL, seed=1):
    return torch.randn(num, *problem.input_shape, generator=torch.Generator().manual_seed(seed))


def num_weights(module):
    return sum(weight.numel() for weight in module.parameters())


def assert_close(actual, expected, tolerance=1e-5):
    error = (actual - expected).abs().max()
    assert error <= tolerance * expected.abs().max().clamp(min=1.0), float(error)
