"""What a backbone consists of: the contract behind the table `BACKBONES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from depthbench.models.fused import FusedStage
from depthbench.spec import Problem, Variant


@dataclass(frozen=True, slots=True)
class Backbone:
    """Name the builders of one kind of network around one kind of residual module.

    Args:
        stem: maps examples to the residual stream.
        module: builds one f_i, which keeps the shape of the stream; called once for each of the L
            modules, and every call returns the same structure.
        head: maps the stream to the outputs.
        fused: runs the modules of one parallel stage as one; None where nothing does.
    """

    stem: Callable[[Variant, Problem], nn.Module]
    module: Callable[[Variant], nn.Module]
    head: Callable[[Variant, Problem], nn.Module]
    fused: type[FusedStage] | None = None
