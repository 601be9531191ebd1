"""How updates are added to the stream: z <- c z + s f(z), the carry c and the scale s of a variant.

Plain networks have c = 1 and s = 1. An option changes one of them; two that both would are refused
with the suite.
"""

from __future__ import annotations

from math import sqrt

from depthbench.spec import Variant

# Parametrisations whose residual sums follow the depth, with the power of L / base_depth.
DEPTH_POWERS = {"depth_mup": 0.5, "completep": 1.0}


def num_branches(variant: Variant) -> int:
    """Return how often something is added to the stream: each branch of each module, each loop."""
    in_module = 1
    if variant.backbone in ("transformer", "mixer"):
        in_module = 1 if variant.parallel_block else 1 + (variant.sub_mlps or 1)
    return variant.depth * in_module * (variant.loops or 1)


def carry_of(variant: Variant) -> float:
    """Return c, what the stream is multiplied by where an update is added.

    Source:
        norm_position: deep is DeepNorm ("DeepNet: Scaling Transformers to 1,000 Layers", arXiv
        2203.00555, table 2): c = (2 L)^(1/4) with two branches a layer, M^(1/4) for M branches.
        Its smaller start, (8 L)^(-1/4) for the weights on both sides of an activation and of
        attention, is left out: a transformer's layers that write start (2 L)^(-1/2) smaller here
        in any case, those of mlp and conv as they always do.
        init: deepscale is DeepScaleLM (arXiv 2403.09635): c^2 + s^2 = 1; its s^2 = k / N is taken
        as 1 / M here, so that 1 / e of the start's variance is left at the end of a deep network.
    """
    if variant.norm_position == "deep":
        return float(num_branches(variant) ** 0.25)
    if variant.init == "deepscale":
        return sqrt(1 - branch_scale(variant) ** 2)
    return 1.0


def branch_scale(variant: Variant) -> float:
    """Return s within a module: what each of its branches is multiplied by, 1 but for deepscale."""
    return 1 / sqrt(1 + num_branches(variant)) if variant.init == "deepscale" else 1.0


def scale_of(variant: Variant) -> float | str:
    """Return s of the network, what updates of whole modules are multiplied by, or how it starts.

    Source:
        depth_mup and completep multiply it by (L / base_depth)^-a, a = 1/2 (arXiv 2310.02244) and
        a = 1 (arXiv 2505.01618).
    """
    match variant.residual_scale:
        case "1/sqrt(L)":
            scale: float | str = 1 / sqrt(variant.depth)
        case "1/L":
            scale = 1 / variant.depth
        case None:
            scale = 1.0
        case given:
            scale = given
    power = DEPTH_POWERS.get(variant.parametrization or "", 0.0)
    if not power or isinstance(scale, str):
        return scale
    return scale * (variant.depth / (variant.base_depth or variant.depth)) ** -power
