"""The last layer of a network with a multiplier, tied to an embedding or not."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ScaledLinear(nn.Linear):
    """Map c x by the weights of a linear layer; its bias is not multiplied.

    Args:
        linear: whose weights it has, the same tensors.
        multiplier: c.

    Shapes:
        (*, D_in) -> (*, D_out)
    """

    def __init__(self, linear: nn.Linear, multiplier: float) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.multiplier = multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        return F.linear(self.multiplier * x, self.weight, self.bias)


def readout_of(head: nn.Module) -> tuple[nn.Module, str, nn.Linear]:
    """Return a head's linear layer, the module that holds it, and its name there."""
    for parent in head.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                return parent, name, child
    raise AssertionError("a head ends in a linear layer")


def multiply_readout(head: nn.Module, multiplier: float) -> None:
    """Let a head multiply what its linear layer reads."""
    parent, name, linear = readout_of(head)
    setattr(parent, name, ScaledLinear(linear, multiplier))
