"""What options put around the computation of a branch: its norm's place and scale, and its gain.

A branch is what reads the stream once and writes to it once: a module of mlp or conv, and in a
transformer's block attention and each feed-forward layer. Modules without such options are returned
as they are, so plain networks hold and run nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import torch
from torch import Tensor, nn

from depthbench.models.norms import feature_norm, pixel_norm
from depthbench.spec import Variant

Norm = Callable[[str | None, int, bool | None], nn.Module]


class ScaledNorm(nn.Module):
    """Multiply what a norm gives by a fixed number.

    Source:
        LayerNorm Scaling, "The Curse of Depth in Large Language Models" (arXiv 2502.05795): the
        norms of layer l by 1 / sqrt(l). The paper does without a scaled start of the layers that
        write to the stream; a transformer keeps that of GPT-2 here.
    """

    def __init__(self, norm: nn.Module, factor: float) -> None:
        super().__init__()
        self.norm = norm
        self.factor = factor

    def forward(self, z: Tensor) -> Tensor:
        """Return the stream normalised and multiplied."""
        return self.factor * self.norm(z)


class Gain(nn.Module):
    """Multiply each feature by a trained number of its own.

    Shapes:
        (B, *, D) -> (B, *, D), or of pixels (B, D, H, W) -> (B, D, H, W)

    Source:
        LayerScale, "Going deeper with Image Transformers" (arXiv 2103.17239), section 2.
    """

    def __init__(self, width: int, start: float, *, of_pixels: bool = False) -> None:
        super().__init__()
        shape = (width, 1, 1) if of_pixels else (width,)
        self.weight = nn.Parameter(torch.full(shape, start))

    def forward(self, update: Tensor) -> Tensor:
        """Return the update multiplied."""
        return self.weight * update


class Branch(nn.Module):
    """Run a module, then what stands between it and the stream: a norm, a gain, or both.

    Shapes:
        (B, *stream) -> (B, *stream)
    """

    def __init__(self, module: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.after = after

    def forward(self, z: Tensor, *context: Tensor) -> Tensor:
        """Return the update of the stream."""
        return self.after(self.module(z, *context))  # (B, *stream)


def norms_the_stream(variant: Variant) -> bool:
    """Say whether norms stand after the sums, in the stream itself."""
    return variant.norm_position in ("post", "deep")


def has_branch_options(variant: Variant) -> bool:
    """Say whether anything stands around the branches that is not plain."""
    return (
        variant.norm_position not in (None, "pre")
        or variant.norm_scale not in (None, "none")
        or variant.layer_scale not in (None, "none")
    )


def stream_norm(variant: Variant, norm: Norm, width: int | None = None) -> nn.Module:
    """Return a norm of the variant's kind for the stream."""
    return norm(variant.norm, variant.width if width is None else width, variant.norm_affine)


def norm_before(norm: nn.Module, variant: Variant, index: int) -> nn.Module:
    """Return what stands before a branch of module `index`, from 0; `norm` is the plain norm."""
    if norms_the_stream(variant):
        return nn.Identity()
    if variant.norm_scale == "1/sqrt(l)":
        return ScaledNorm(norm, 1 / sqrt(index + 1))
    return norm


def after_branch(
    variant: Variant, norm: Norm = feature_norm, width: int | None = None
) -> nn.Module | None:
    """Return what stands between a branch and the stream; None: nothing.

    Source:
        peri: "Peri-LN: Revisiting Layer Normalization in the Transformer Architecture" (arXiv
        2502.02732): a norm before a branch and one on its output.
    """
    width = variant.width if width is None else width
    parts: list[nn.Module] = []
    if variant.norm_position == "peri":
        parts.append(stream_norm(variant, norm, width))
    if isinstance(variant.layer_scale, float):
        parts.append(Gain(width, variant.layer_scale, of_pixels=norm is pixel_norm))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


def branched(module: nn.Module, variant: Variant, index: int, norm: Norm) -> nn.Module:
    """Return a module of one branch with what its variant's options put around it.

    Args:
        module: as it is without them; its `norm` is exchanged where an option asks for that.
        variant: whose options.
        index: of the module, from 0.
        norm: makes norms of the module's stream.
    """
    if not has_branch_options(variant):
        return module
    plain = module.get_submodule("norm")
    module.add_module("norm", norm_before(plain, variant, index))
    after = after_branch(variant, norm)
    return module if after is None else Branch(module, after)


def sized(variant: Variant, index: int) -> Variant:
    """Return the variant with the hidden size of one module, where modules differ in it."""
    if variant.hidden_sizes is None:
        return variant
    return replace(variant, hidden=variant.hidden_sizes[index])
