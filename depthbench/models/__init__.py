"""Networks: backbones, families, and the one function that builds a variant.

`BACKBONES` and `FAMILIES` are the whole list of what there is. A network is a stem, L residual
modules of one backbone in the stages of its family, and a head; see `network.py`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import nn

from depthbench.errors import SuiteError
from depthbench.grammar import FAMILY_OPTIONS
from depthbench.models.backbone import Backbone, alike
from depthbench.models.branches import norms_the_stream, stream_norm
from depthbench.models.conv import ConvHead, ConvStem, FusedConvStage, conv_module
from depthbench.models.course import Course, CourseNetwork, course_of
from depthbench.models.experts import feed_forward
from depthbench.models.first_weights import start_weights
from depthbench.models.fused import FusedNetwork
from depthbench.models.imported import check_alike, check_shape, imported
from depthbench.models.layouts import Family, parallel, sequential
from depthbench.models.mlp import FusedMLPStage, MLPHead, MLPStem
from depthbench.models.network import Network
from depthbench.models.norms import pixel_norm
from depthbench.models.parametrization import Shapes, base_of, parametrize, shapes_of
from depthbench.models.preact import PreactHead, PreactStem, preact_modules
from depthbench.models.shared import share_weights
from depthbench.models.sums import scale_of
from depthbench.models.transformer import (
    mixer_modules,
    share_embedding,
    transformer_head,
    transformer_modules,
    transformer_stem,
)
from depthbench.network_grammar import NEUTRAL, UNFUSED
from depthbench.spec import Problem, Trial, Variant

BACKBONES: dict[str, Backbone] = {
    "mlp": Backbone(MLPStem, alike(feed_forward), MLPHead, FusedMLPStage),
    "conv": Backbone(
        ConvStem, alike(conv_module, pixel_norm), ConvHead, FusedConvStage, norm=pixel_norm
    ),
    "preact": Backbone(PreactStem, preact_modules, PreactHead),
    "transformer": Backbone(
        transformer_stem,
        transformer_modules,
        transformer_head,
        tie=share_embedding,
        reads_tokens=True,
    ),
    "mixer": Backbone(
        transformer_stem,
        mixer_modules,
        transformer_head,
        tie=share_embedding,
        reads_tokens=True,
    ),
}

FAMILIES: dict[str, Family] = {
    "deep": Family(
        layout=sequential,
        formula="z_i = z_(i-1) + s f_i(z_(i-1)), i = 1..L",
        depth_meaning="residual modules, one after another",
        depth_examples=(
            "mlp, depth 8: 8 modules of two linear layers, 18 linear layers with stem and head",
            "preact, depth 18: 6 blocks in each of three stages, WRN-40",
            "transformer, depth 12: 12 blocks of attention and feed-forward, as GPT-2's smallest",
        ),
        source='residual networks, "Identity Mappings in Deep Residual Networks" (1603.05027)',
    ),
    "wide": Family(
        layout=sequential,
        formula="as deep, at a small L, with the width solved so that the budget holds",
        depth_meaning="residual modules, one after another; few of them",
        depth_examples=(
            "mlp, depth 1: one module of two linear layers",
            "mlp, depth 2: two modules, 6 linear layers with stem and head",
            "conv, depth 1: one convolution after the stem's",
        ),
        source='"Wide Residual Networks" (1605.07146), for any backbone',
    ),
    "parallel_shallow": Family(
        layout=parallel,
        formula="z_out = z_0 + s sum_i f_i(z_0); branches: k makes L/k stages of k modules; in "
        "preact within each stage: z <- P(z) + s (f_1(z) + f_2(P(z)) + ...), P its projection",
        depth_meaning="all residual modules, beside and after one another",
        depth_examples=(
            "depth 8: 8 modules side by side, the weights and FLOPs of deep at depth 8",
            "depth 8, branches 4: 2 stages of 4 modules side by side",
            "preact, depth 18: 6 blocks side by side in each of three stages",
        ),
        source='"Make Deep Networks Shallow Again" (2309.08414)',
    ),
    "hourglass": Family(
        layout=sequential,
        formula="z_i = z_(i-1) + s f_i(z_(i-1)); f_i goes down to d_h < d, computes, and up again",
        depth_meaning="residual modules, one after another, each narrow inside",
        depth_examples=(
            "mlp, depth 4: z + W2 act(W1 norm(z)) four times, 10 linear layers with stem and head",
            "conv, depth 4: four times 1x1 down, k x k, 1x1 up: 12 convolutions after the stem's",
            "transformer, depth 4: 4 blocks of attention and four narrow residual MLPs",
        ),
        source='"Rethinking the Shape Convention of an MLP" (2510.01796); transformer: 2602.06471',
    ),
    "looped": Family(
        layout=sequential,
        formula="deep, run T times with the same weights; z <- z + z_0 before each loop after "
        "the first",
        depth_meaning="residual modules with weights of their own; loops: T runs them T times",
        depth_examples=(
            "mlp, depth 2, loops 4: 8 modules are run, with the weights of 2",
            "transformer, depth 1, loops 12: one block, twelve times",
            "depth 8, loops 1: the same network as deep at depth 8",
        ),
        source='"Looped Transformers as Programmable Computers" (2301.13196); injection: Trellis '
        "Networks (1810.06682)",
    ),
    "widenet": Family(
        layout=sequential,
        formula="deep, f_i with one set of weights for all i but norms of its own; feed-forward: "
        "sum of the K experts that a router chooses of E",
        depth_meaning="runs of the one shared module, one after another",
        depth_examples=(
            "transformer, depth 12: one attention and one set of experts, twelve pairs of norms",
            "mlp, depth 8: one set of experts, eight norms",
            "depth 1: deep at depth 1 with experts",
        ),
        source='WideNet, "Go Wider Instead of Deeper" (2107.11817)',
    ),
}


def build(variant: Variant, problem: Problem) -> nn.Module:
    """Build the network of a variant on the default device.

    Weights start as the backbone's own module says, norms at weight 1 and bias 0, unless `init` or
    the place of norms says otherwise, and then as the parametrisation has it. Draws come from
    PyTorch's global generator in the order stem, modules, head, whatever the layout and its
    execution; `execution: auto` is the loop.

    Raises:
        SuiteError: The data do not fit the backbone, or a user's block does not.
    """
    backbone = _backbone(variant, problem)
    stem = backbone.stem(variant, problem)
    blocks = list(backbone.modules(variant, problem))
    if ":" in variant.backbone:
        check_alike(variant.backbone, blocks)
    if variant.family == "widenet":
        share_weights(blocks, own_norms=variant.norm_sharing != "shared")
    head = _head(backbone, variant, problem, stem)
    network = _network(backbone, variant, stem, blocks, head)
    start_weights(network, variant, problem)
    if variant.parametrization not in (None, "sp"):
        parametrize(network, variant, _base_shapes(base_of(variant), problem))
    if variant.execution != "fused":
        return network
    if not can_fuse(variant):
        raise SuiteError(
            f"execution: fused: backbone {variant.backbone} with norm {variant.norm} has none; "
            "use loop"
        )
    assert backbone.fused is not None
    return FusedNetwork(network, backbone.fused, variant)


def build_model(trial: Trial) -> nn.Module:
    """Build the network of a trial as its seed initialises it, on the CPU.

    The same trial gives bitwise equal weights on every call; equal seeds give equal weights to
    layouts of the same modules. The global generator is left as it was.

    Raises:
        SuiteError: The data do not fit the backbone, or a user's block does not.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reach for the generators of other devices too.
        torch.default_generator.manual_seed(initial_seed(trial.seed))
        return build(trial.variant, trial.problem)


def initial_seed(seed: int) -> int:
    """Return the seed of the stream that draws a trial's first weights."""
    digest = hashlib.sha256(f"{seed} init".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@lru_cache(maxsize=256)
def _base_shapes(base: Variant, problem: Problem) -> Shapes:
    with torch.device("meta"):
        return shapes_of(build(base, problem))


def can_fuse(variant: Variant) -> bool:
    """Say whether the parallel modules of a variant can run as one."""
    backbone = BACKBONES.get(variant.backbone)
    return (
        backbone is not None
        and backbone.fused is not None
        and "execution" in FAMILY_OPTIONS[variant.family]
        and variant.norm != "batch"
        and variant.hidden_sizes is None
        and all(getattr(variant, name) in (None, NEUTRAL[name]) for name in UNFUSED)
    )


def _backbone(variant: Variant, problem: Problem) -> Backbone:
    is_imported = ":" in variant.backbone
    base = BACKBONES[(variant.base or "mlp") if is_imported else variant.backbone]
    if problem.vocabulary is not None and not base.reads_tokens:
        raise SuiteError(
            f"backbone {variant.backbone}: examples are text, sequences of tokens; use backbone: "
            "transformer"
        )
    if not is_imported:
        return base
    check_shape(base, variant, problem)
    return imported(base, variant)


def _head(backbone: Backbone, variant: Variant, problem: Problem, stem: nn.Module) -> nn.Module:
    head = backbone.head(variant, problem)
    if backbone.tie is not None:
        backbone.tie(stem, head)
    return nn.Sequential(head, nn.Sigmoid()) if variant.output == "sigmoid" else head


def _network(
    backbone: Backbone,
    variant: Variant,
    stem: nn.Module,
    blocks: list[nn.Module],
    head: nn.Module,
) -> Network:
    """Return the parts as one network: the plain one, or where options ask for it on a course."""
    stages, scale = FAMILIES[variant.family].layout(variant), scale_of(variant)
    course, has_norms = course_of(variant), norms_the_stream(variant)
    if course == Course() and not has_norms:
        return Network(stem, blocks, head, stages=stages, scale=scale)
    norms = [stream_norm(variant, backbone.norm) for _ in stages] if has_norms else None
    if norms and variant.norm_sharing == "shared":
        share_weights(norms, own_norms=False)
    return CourseNetwork(stem, blocks, head, stages=stages, scale=scale, course=course, norms=norms)
