"""What a backbone consists of: the contract behind the table `BACKBONES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from depthbench.models.branches import Norm, branched, sized
from depthbench.models.fused import FusedStage
from depthbench.models.norms import feature_norm
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
        norm: makes norms of the stream, by kind, width and whether they have weights.
    """

    stem: Callable[[Variant, Problem], nn.Module]
    modules: Modules
    head: Callable[[Variant, Problem], nn.Module]
    fused: type[FusedStage] | None = None
    tie: Callable[[nn.Module, nn.Module], None] | None = None
    reads_tokens: bool = False
    norm: Norm = feature_norm


def alike(module: Callable[[Variant], nn.Module], norm: Norm = feature_norm) -> Modules:
    """Return the builder of L modules that are all alike, but for what options put around them.

    Args:
        module: builds one of a variant; it has one branch, and its norm is `norm`.
        norm: makes norms of the stream.
    """

    def modules(variant: Variant, problem: Problem) -> list[nn.Module]:
        return [
            branched(module(sized(variant, index)), variant, index, norm)
            for index in range(variant.depth)
        ]

    return modules
