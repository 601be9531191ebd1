"""What a backbone consists of: the contract behind the table `BACKBONES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from depthbench.models.fused import FusedStage
from depthbench.spec import Problem, Variant

Modules = Callable[[Variant, Problem], Sequence[nn.Module]]


@dataclass(frozen=True, slots=True)
class Backbone:
    """Name the builders of one kind of network around one kind of residual module.

    Args:
        stem: maps examples to the residual stream.
        modules: builds f_1 .. f_L. In each of the backbone's stages (`BACKBONE_STAGES`; most have
            one) the first may be unlike the others and change the shape of the stream; the others
            are alike and keep it.
        head: maps the stream to the outputs.
        fused: runs the modules of one parallel stage as one; None where nothing does.
        tie: lets the head use weights of the stem; None where it has its own.
        reads_tokens: whether examples may be text.
    """

    stem: Callable[[Variant, Problem], nn.Module]
    modules: Modules
    head: Callable[[Variant, Problem], nn.Module]
    fused: type[FusedStage] | None = None
    tie: Callable[[nn.Module, nn.Module], None] | None = None
    reads_tokens: bool = False


def alike(module: Callable[[Variant], nn.Module]) -> Modules:
    """Return the builder of L modules that are all alike."""
    return lambda variant, problem: [module(variant) for _ in range(variant.depth)]
