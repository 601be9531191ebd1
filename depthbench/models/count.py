"""Count weights and FLOPs of a variant: one counter for all families and backbones.

The L modules of a network are alike and keep the shape of the stream, so one of them is counted
for all, and the cost of counting does not grow with the depth.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from depthbench.models import build
from depthbench.models.network import Network
from depthbench.spec import Cost, Problem, Variant


class _Sizes(NamedTuple):
    total: int
    trainable: int


class _Parts(NamedTuple):
    """Sizes of stem and head together and of one module, and the FLOPs of each in turn."""

    ends: _Sizes
    module: _Sizes
    num_scales: int
    stem_flops: int
    module_flops: int
    head_flops: int


def count(variant: Variant, problem: Problem) -> Cost:
    """Count the weights of a network and the FLOPs of its forward pass for one example.

    A multiply-add is 2 FLOPs; matrix products and convolutions are counted, in evaluation mode.
    Nothing is computed or allocated: shapes alone are followed, on PyTorch's meta device. Equal
    modules are counted once.

    Raises:
        SuiteError: The data do not fit the backbone, or a user's block does not.
    """
    # Neither how modules execute nor `defaults` change what there is to count.
    branches = None if variant.branches is None else 1
    one = replace(variant, depth=1, branches=branches, execution=None, defaults=())
    parts, depth = _count_parts(one, problem), variant.depth
    body = depth * (parts.module.total + parts.num_scales)
    return Cost(
        total_params=parts.ends.total + body,
        trainable_params=parts.ends.trainable + depth * (parts.module.trainable + parts.num_scales),
        body_params=body,
        forward_flops=parts.stem_flops + depth * parts.module_flops + parts.head_flops,
    )


@lru_cache(maxsize=65536)
def _count_parts(variant: Variant, problem: Problem) -> _Parts:
    """Count the parts of a network with one module."""
    with torch.device("meta"):
        network = build(variant, problem)
    assert isinstance(network, Network)
    return _Parts(
        _sizes(nn.ModuleList([network.stem, network.head])),
        _sizes(network.blocks),
        0 if network.scales is None else network.scales.numel(),
        *_forward_flops(network, problem),
    )


def _sizes(module: nn.Module) -> _Sizes:
    weights = [(weight.numel(), weight.requires_grad) for weight in module.parameters()]
    return _Sizes(sum(n for n, _ in weights), sum(n for n, is_trained in weights if is_trained))


def _forward_flops(network: Network, problem: Problem) -> tuple[int, int, int]:
    """Return the FLOPs of stem, module and head for one example."""
    flops = []
    z = torch.empty(1, *problem.input_shape, device="meta")
    with torch.no_grad():
        for part in (network.stem, network.blocks[0], network.head):
            with FlopCounterMode(display=False) as counter:
                z = part.eval()(z)
            flops.append(int(counter.get_total_flops()))
    stem, module, head = flops
    return stem, module, head
