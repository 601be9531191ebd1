"""Count weights and FLOPs of a variant: one counter for all families and backbones.

Modules that are alike are counted once, so the cost of counting does not grow with the depth: all
modules of a backbone, or, where it has stages, of a stage but for its first, which may be unlike.
Where an option makes modules unlike, shared, or not all there is in the body, the whole network is
counted as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from depthbench.grammar import BACKBONE_STAGES
from depthbench.models import build
from depthbench.models.attention import Attention
from depthbench.models.branches import norms_the_stream
from depthbench.models.experts import MixtureModule
from depthbench.models.network import Network
from depthbench.spec import Cost, Problem, Variant


class _Sizes(NamedTuple):
    """Weights of modules: all, those that are trained, those that work for one example."""

    total: int
    trainable: int
    active: int


class _Part(NamedTuple):
    """Weights of a part of the network, and the FLOPs of its forward pass for one example."""

    sizes: _Sizes
    flops: int


class _Parts(NamedTuple):
    """Stem and head together, each module of a network no deeper than need be, and the scales."""

    ends: _Part
    modules: tuple[_Part, ...]
    num_scales: int


def count(variant: Variant, problem: Problem) -> Cost:
    """Count the weights of a network and the FLOPs of its forward pass for one example.

    A multiply-add is 2 FLOPs; matrix products, attention and convolutions are counted, in
    evaluation mode. Attention is counted over all pairs of positions, causal or not. Nothing is
    computed or allocated: shapes alone are followed, on PyTorch's meta device, so the counts are
    the same on every machine. Shared weights count once, the FLOPs of each run of theirs; of a
    mixture of experts the FLOPs of those that work for a position.

    Raises:
        SuiteError: The data do not fit the backbone, or a user's block does not.
    """
    if not is_uniform(variant):
        return _count_whole(replace(variant, execution=None, defaults=()), problem)
    num_stages = BACKBONE_STAGES.get(variant.backbone, 1)
    depth = _counted_depth(variant.depth, num_stages)
    # Neither how modules execute nor `defaults` change what there is to count.
    branches = None if variant.branches is None else 1
    short = replace(variant, depth=depth, branches=branches, execution=None, defaults=())
    parts = _count_parts(short, problem)
    return _sum(parts, _times(variant.depth, depth, num_stages), variant)


def is_uniform(variant: Variant) -> bool:
    """Say whether a network is its stem, its head and modules that are alike, and nothing else."""
    return (
        variant.family != "widenet"
        and variant.hidden_sizes is None
        and not variant.depth_average
        and not variant.attention_every
        and not norms_the_stream(variant)
    )


def _counted_depth(depth: int, num_stages: int) -> int:
    """Return the depth of the network that is counted for one of this depth."""
    if num_stages == 1 or depth % num_stages:
        return 1 if num_stages == 1 else depth  # what does not divide is refused when it is built
    return min(depth, 2 * num_stages)


def _times(depth: int, counted: int, num_stages: int) -> list[int]:
    """Return how many modules of the network each counted one stands for."""
    if counted == num_stages:
        return [depth // num_stages] * num_stages
    return [1, depth // num_stages - 1] * num_stages


def _sum(parts: _Parts, times: list[int], variant: Variant) -> Cost:
    weighted = list(zip(times, parts.modules, strict=True))
    num_scales = variant.depth if parts.num_scales else 0
    body = _Sizes(*(sum(n * m.sizes[i] for n, m in weighted) + num_scales for i in range(3)))
    loops = variant.loops or 1
    return Cost(
        total_params=parts.ends.sizes.total + body.total,
        trainable_params=parts.ends.sizes.trainable + body.trainable,
        active_params=parts.ends.sizes.active + body.active,
        body_params=body.total,
        forward_flops=parts.ends.flops + loops * sum(n * m.flops for n, m in weighted),
        total_heads=loops * variant.depth * (variant.heads or 0),
    )


@lru_cache(maxsize=65536)
def _count_whole(variant: Variant, problem: Problem) -> Cost:
    """Count a network as it is built, each weight once, however often it is used."""
    with torch.device("meta"):
        network = build(variant, problem)
    assert isinstance(network, Network)
    sizes, ends = _sizes(network), _sizes(network.stem, network.head)
    with_attention = sum(isinstance(module, Attention) for module in network.modules())
    _drop_batch_norms(network.eval())
    with torch.no_grad():
        _, flops = _counted(network, _example(problem))
    return Cost(
        total_params=sizes.total,
        trainable_params=sizes.trainable,
        active_params=sizes.active,
        body_params=sizes.total - ends.total,
        forward_flops=flops,
        total_heads=with_attention * (variant.heads or 0) * (variant.loops or 1),
    )


@lru_cache(maxsize=65536)
def _count_parts(variant: Variant, problem: Problem) -> _Parts:
    """Count the parts of a network, each module by itself."""
    with torch.device("meta"):
        network = build(variant, problem)
    assert isinstance(network, Network)
    ends, blocks = _sizes(network.stem, network.head), [_sizes(block) for block in network.blocks]
    _drop_batch_norms(network.eval())
    with torch.no_grad():
        (z, context), stem_flops = _counted(network.begin, _example(problem))
        modules = []
        for block, sizes in zip(network.blocks, blocks, strict=True):
            z, flops = _counted(block, z, *context)
            modules.append(_Part(sizes, flops))
        _, head_flops = _counted(network.head, z)
    num_scales = 0 if network.scales is None else len(network.scales)
    return _Parts(_Part(ends, stem_flops + head_flops), tuple(modules), num_scales)


def _drop_batch_norms(network: nn.Module) -> None:
    """Take out what keeps every shape and has no FLOPs that are counted, but takes long on meta."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, nn.Identity())


def _counted(part: Callable[..., Any], *inputs: Tensor) -> tuple[Any, int]:
    """Return what a part of a network gives, and the FLOPs it takes."""
    with FlopCounterMode(display=False) as counter:
        outputs = part(*inputs)
    return outputs, int(counter.get_total_flops())


def _sizes(*modules: nn.Module) -> _Sizes:
    """Return the number of weights of modules, shared ones once."""
    parts = nn.ModuleList(modules)
    weights = [(w.numel(), w.requires_grad) for w in parts.parameters()]
    mixtures = (module for module in parts.modules() if isinstance(module, MixtureModule))
    idle = {id(mixture.router.weight): mixture.num_idle_params for mixture in mixtures}
    total = sum(n for n, _ in weights)
    trained = sum(n for n, is_trained in weights if is_trained)
    return _Sizes(total, trained, total - sum(idle.values()))


def _example(problem: Problem) -> Tensor:
    dtype = torch.float32 if problem.vocabulary is None else torch.int64
    return torch.empty(1, *problem.input_shape, dtype=dtype, device="meta")
