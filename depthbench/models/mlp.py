"""The mlp backbone: a stream of features, modules of two linear layers.

Weights and biases of linear layers start uniform in +-1/sqrt(fan_in), PyTorch's own default.

Source: the module with d_h < d is that of "Rethinking the Shape Convention of an MLP"
(arXiv 2510.01796), with d_h > d the conventional one; the defaults (layer norm with weights,
biases, expansion 2) are depthbench's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthbench.models.activations import ACTIVATIONS
from depthbench.models.fused import FusedStage
from depthbench.models.norms import feature_norm
from depthbench.spec import Problem, Variant


class MLPStem(nn.Module):
    """Lift flattened examples to the width; a fixed lift stays as initialised.

    Shapes:
        (B, *input) -> (B, D)
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        self.lift = nn.Linear(prod(problem.input_shape), variant.width, bool(variant.bias))
        self.lift.requires_grad_(variant.lift != "fixed")

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream at the start."""
        return self.lift(x.flatten(1))  # (B, D)


class MLPModule(nn.Module):
    """Compute down(activation(up(norm(z)))), through a hidden layer wider or narrower than D.

    Shapes:
        (B, D) -> (B, D), or (B, T, D) -> (B, T, D) in a transformer
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        width, hidden, bias = variant.width, variant.hidden, bool(variant.bias)
        assert hidden is not None
        self.norm = feature_norm(variant.norm, width, variant.norm_affine)
        self.up = nn.Linear(width, hidden, bias)
        self.activation = ACTIVATIONS[str(variant.activation)]
        self.down = nn.Linear(hidden, width, bias)

    def forward(self, z: Tensor) -> Tensor:
        """Return the update of the stream."""
        h = self.activation(self.up(self.norm(z)))  # (B, D_h)
        return self.down(h)  # (B, D)


class MLPHead(nn.Module):
    """Map the stream, normalised but for `head_norm: false`, to the outputs by a linear layer.

    Shapes:
        (B, D) -> (B, *output)
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        self.output_shape = problem.output_shape
        norm = "none" if variant.head_norm is False else variant.norm
        self.norm = feature_norm(norm, variant.width, variant.norm_affine)
        self.linear = nn.Linear(variant.width, prod(problem.output_shape), bool(variant.bias))

    def forward(self, z: Tensor) -> Tensor:
        """Return logits, or an image of as many numbers."""
        return self.linear(self.norm(z)).unflatten(1, self.output_shape)  # (B, *output)


class FusedMLPStage(FusedStage):
    """Run K parallel mlp modules as two matrix products.

    All modules normalise the same stream, so this is done once; the weights of their norms, which
    differ, are applied to K copies of the result. The second product sums over the modules.

    Shapes:
        (B, D) -> (B, D)
    """

    JOINS: ClassVar[dict[str, int]] = {
        "norm.weight": 0,  # (K D,)
        "norm.bias": 0,  # (K D,)
        "up.weight": 0,  # (K D_h, D)
        "up.bias": 0,  # (K D_h,)
        "down.weight": 1,  # (D, K D_h)
        "down.bias": 0,  # (K D,)
    }
    norm_weight: Tensor | None
    norm_bias: Tensor | None
    up_weight: Tensor
    up_bias: Tensor | None
    down_weight: Tensor
    down_bias: Tensor | None

    def __init__(self, modules: Sequence[nn.Module], variant: Variant) -> None:
        super().__init__(modules, variant)
        self.normalise = feature_norm(variant.norm, variant.width, affine=False)

    def forward(self, z: Tensor, scales: Tensor | None) -> Tensor:
        """Return the sum of the modules' updates."""
        h = self.activation(self._up(self.normalise(z)))  # (B, K D_h)
        if scales is not None:
            h = (h.unflatten(1, (len(scales), -1)) * scales[:, None]).flatten(1)  # (B, K D_h)
        return F.linear(h, self.down_weight, self._down_bias(scales))  # (B, D)

    def _up(self, z: Tensor) -> Tensor:
        if self.norm_weight is None:
            return F.linear(z, self.up_weight, self.up_bias)  # (B, K D_h)
        num, size = self.num_modules, z.shape[1]
        gain = self.norm_weight.view(num, 1, size)  # (K, 1, D)
        if self.norm_bias is None:
            z = z * gain  # (K, B, D)
        else:
            z = torch.addcmul(self.norm_bias.view(num, 1, size), z, gain)  # (K, B, D)
        weight = self.up_weight.view(num, -1, size).mT  # (K, D, D_h)
        if self.up_bias is None:
            h = torch.bmm(z, weight)  # (K, B, D_h)
        else:
            h = torch.baddbmm(self.up_bias.view(num, 1, -1), z, weight)  # (K, B, D_h)
        return h.transpose(0, 1).flatten(1)  # (B, K D_h)

    def _down_bias(self, scales: Tensor | None) -> Tensor | None:
        if self.down_bias is None:
            return None
        biases = self.down_bias.view(self.num_modules, -1)  # (K, D)
        return biases.sum(0) if scales is None else scales @ biases  # (D,)
