"""How weights start where not by PyTorch's own default."""

from __future__ import annotations

from torch import Tensor, nn


def start_normal(weight: Tensor, deviation: float) -> None:
    """Draw a weight from a normal distribution around 0."""
    # On the meta device there is nothing to draw, and PyTorch takes long to find that out.
    if not weight.is_meta:
        nn.init.normal_(weight, std=deviation)


def start_uniform(weight: Tensor, bound: float) -> None:
    """Draw a weight uniformly between -bound and bound."""
    if not weight.is_meta:
        nn.init.uniform_(weight, -bound, bound)


def start_zero(weight: Tensor | None) -> None:
    """Set a bias to 0, where there is one."""
    if weight is not None and not weight.is_meta:
        nn.init.zeros_(weight)
