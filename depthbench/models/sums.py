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
    if _has_branches(variant):
        in_module = 1 if variant.parallel_block else 1 + (variant.sub_mlps or 1)
    return run_depth(variant) * in_module


def run_depth(variant: Variant) -> int:
    """Return how many modules are run one after another: the depth, each loop counted."""
    return variant.depth * (variant.loops or 1)


def depth_growth(variant: Variant) -> float:
    """Return M, the depth over the base depth, where the parametrisation follows it, else 1."""
    if variant.parametrization not in DEPTH_POWERS:
        return 1.0
    return variant.depth / (variant.base_depth or variant.depth)


def drawn_depth(variant: Variant) -> int:
    """Return the depth by which first weights are drawn: that of the base, where scales follow."""
    if variant.parametrization not in DEPTH_POWERS:
        return run_depth(variant)
    return (variant.base_depth or variant.depth) * (variant.loops or 1)


def depth_scale(variant: Variant) -> float:
    """Return M^-a, what the parametrisation multiplies each branch by.

    Source:
        a = 1/2: depth-muP (arXiv 2310.02244); a = 1: CompleteP (arXiv 2505.01618).
    """
    return depth_growth(variant) ** -DEPTH_POWERS.get(variant.parametrization or "", 0.0)


def carry_of(variant: Variant) -> float:
    """Return c, what the stream is multiplied by where an update is added.

    Source:
        norm_position: deep is DeepNorm ("DeepNet: Scaling Transformers to 1,000 Layers", arXiv
        2203.00555, table 2): c = (2 L)^(1/4) with two branches a layer, M^(1/4) for M branches.
        Its smaller start is in `first_weights.py`.
        init: deepscale is DeepScaleLM (arXiv 2403.09635): c^2 + s^2 = 1; its s^2 = k / N is taken
        as 1 / (1 + M) here, so that 1 / e of the start's variance is left at the end of a deep
        network.
    """
    if variant.norm_position == "deep":
        return float(num_branches(variant) ** 0.25)
    if variant.init == "deepscale":
        return sqrt(1 - _share(variant))
    return 1.0


def branch_scale(variant: Variant) -> float:
    """Return s within a module: what each of its branches is multiplied by where it is added.

    Two branches that are added at once, as in a parallel block, have the variance of one.
    """
    if variant.init == "deepscale":
        at_once = 1 + (variant.sub_mlps or 1) if variant.parallel_block else 1
        return sqrt(_share(variant) / at_once)
    return depth_scale(variant) if _has_branches(variant) else 1.0


def scale_of(variant: Variant) -> float | str:
    """Return s of the network, what updates of whole modules are multiplied by, or how it starts.

    L is the depth, each loop counted. In modules of several branches these have what the
    parametrisation multiplies branches by.
    """
    match variant.residual_scale:
        case "1/sqrt(L)":
            scale: float | str = 1 / sqrt(run_depth(variant))
        case "1/L":
            scale = 1 / run_depth(variant)
        case None:
            scale = 1.0
        case given:
            scale = given
    if isinstance(scale, str) or _has_branches(variant):
        return scale
    return scale * depth_scale(variant)


def _share(variant: Variant) -> float:
    """Return the share of the stream's variance that deepscale has each branch renew."""
    return 1 / (1 + num_branches(variant))


def _has_branches(variant: Variant) -> bool:
    return variant.backbone in ("transformer", "mixer")
