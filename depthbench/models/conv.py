"""The conv backbone: a stream of images, modules of one convolution each.

Weights and biases of convolutions and linear layers start uniform in +-1/sqrt(fan_in), PyTorch's
own default.

Source: after "Make Deep Networks Shallow Again" (arXiv 2309.08414), whose layers are single
convolutions of one size between poolings; the bottleneck of the hourglass is depthbench's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from depthbench.errors import SuiteError
from depthbench.models.activations import ACTIVATIONS
from depthbench.models.fused import FusedStage
from depthbench.models.images import image_shape
from depthbench.models.norms import pixel_norm
from depthbench.spec import Problem, Variant


class ConvStem(nn.Module):
    """Map images to the width by a 3x3 convolution and an activation, then halve them.

    Shapes:
        (B, C, H, W) -> (B, D, H', W'), H' = ceil(H / stride) // 2
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        stream_size(variant, problem)
        channels, stride = problem.input_shape[0], variant.stem_stride or 1
        self.conv = nn.Conv2d(channels, variant.width, 3, stride, 1, bias=bool(variant.bias))
        self.activation = ACTIVATIONS[str(variant.activation)]

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream at the start."""
        z = self.activation(self.conv(x))  # (B, D, H / stride, W / stride)
        return F.max_pool2d(z, 2)  # (B, D, H', W')


class ConvModule(nn.Module):
    """Compute activation(conv(norm(z))) with a k x k convolution.

    Shapes:
        (B, D, H, W) -> (B, D, H, W)
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.norm = pixel_norm(variant.norm, variant.width, variant.norm_affine)
        self.conv = _conv(variant, variant.width, variant.width, variant.kernel or 3)
        self.activation = ACTIVATIONS[str(variant.activation)]

    def forward(self, z: Tensor) -> Tensor:
        """Return the update of the stream."""
        return self.activation(self.conv(self.norm(z)))  # (B, D, H, W)


class ConvBottleneckModule(nn.Module):
    """Compute up(activation(conv(activation(down(norm(z)))))): 1x1, k x k at D_h, 1x1.

    Shapes:
        (B, D, H, W) -> (B, D, H, W)
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        width, hidden = variant.width, variant.hidden
        assert hidden is not None
        self.norm = pixel_norm(variant.norm, width, variant.norm_affine)
        self.down = _conv(variant, width, hidden, 1)
        self.conv = _conv(variant, hidden, hidden, variant.kernel or 3)
        self.up = _conv(variant, hidden, width, 1)
        self.activation = ACTIVATIONS[str(variant.activation)]

    def forward(self, z: Tensor) -> Tensor:
        """Return the update of the stream."""
        h = self.activation(self.down(self.norm(z)))  # (B, D_h, H, W)
        h = self.activation(self.conv(h))  # (B, D_h, H, W)
        return self.up(h)  # (B, D, H, W)


def conv_module(variant: Variant) -> nn.Module:
    """Return the module of a variant: with a hidden size, the bottleneck of the hourglass."""
    return ConvModule(variant) if variant.hidden is None else ConvBottleneckModule(variant)


class ConvHead(nn.Module):
    """Halve the normalised images once more and map all of their numbers to the outputs.

    Shapes:
        (B, D, H, W) -> (B, *output)
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        height, width = stream_size(variant, problem)
        num_features = variant.width * (height // 2) * (width // 2)
        self.output_shape = problem.output_shape
        norm = "none" if variant.head_norm is False else variant.norm
        self.norm = pixel_norm(norm, variant.width, variant.norm_affine)
        self.linear = nn.Linear(num_features, prod(problem.output_shape), bool(variant.bias))

    def forward(self, z: Tensor) -> Tensor:
        """Return logits, or an image of as many numbers."""
        z = F.max_pool2d(self.norm(z), 2)  # (B, D, H // 2, W // 2)
        return self.linear(z.flatten(1)).unflatten(1, self.output_shape)  # (B, *output)


class FusedConvStage(FusedStage):
    """Run K parallel conv modules as one convolution of K D outputs, summed over the modules.

    Shapes:
        (B, D, H, W) -> (B, D, H, W)
    """

    JOINS: ClassVar[dict[str, int]] = {
        "norm.weight": 0,  # (K D,)
        "norm.bias": 0,  # (K D,)
        "conv.weight": 0,  # (K D, D, k, k)
        "conv.bias": 0,  # (K D,)
    }
    norm_weight: Tensor | None
    norm_bias: Tensor | None
    conv_weight: Tensor
    conv_bias: Tensor | None

    def __init__(self, modules: Sequence[nn.Module], variant: Variant) -> None:
        super().__init__(modules, variant)
        self.normalise = pixel_norm(variant.norm, variant.width, affine=False)
        self.padding = (variant.kernel or 3) // 2

    def forward(self, z: Tensor, scales: Tensor | None) -> Tensor:
        """Return the sum of the modules' updates."""
        h = self.activation(self._convolve(self.normalise(z)))  # (B, K D, H, W)
        h = h.unflatten(1, (self.num_modules, -1))  # (B, K, D, H, W)
        return (h if scales is None else h * scales.view(-1, 1, 1, 1)).sum(1)  # (B, D, H, W)

    def _convolve(self, z: Tensor) -> Tensor:
        weight, bias, padding = self.conv_weight, self.conv_bias, self.padding
        if self.norm_weight is None:
            return F.conv2d(z, weight, bias, padding=padding)  # (B, K D, H, W)
        gained = self._per_module(weight, self.norm_weight)  # (K D, D, k, k)
        if self.norm_bias is None:
            return F.conv2d(z, gained, bias, padding=padding)  # (B, K D, H, W)
        # What the norms' biases add differs at the borders, where the padding has none, so it is
        # a map, not a number: the convolution of an image of ones.
        shifts = self._per_module(weight, self.norm_bias).sum(1, keepdim=True)  # (K D, 1, k, k)
        ones = z.new_ones(1, 1, *z.shape[2:])  # (1, 1, H, W)
        shift = F.conv2d(ones, shifts, bias, padding=padding)  # (1, K D, H, W)
        return F.conv2d(z, gained, padding=padding) + shift  # (B, K D, H, W)

    def _per_module(self, weight: Tensor, factors: Tensor) -> Tensor:
        """Multiply each module's convolution by its own factor for each input channel."""
        factors = factors.view(self.num_modules, 1, -1, 1, 1)  # (K, 1, D, 1, 1)
        return (weight.unflatten(0, (self.num_modules, -1)) * factors).flatten(0, 1)


def stream_size(variant: Variant, problem: Problem) -> tuple[int, int]:
    """Return the height and width of the stream's images in pixels.

    Raises:
        SuiteError: The examples are no images, or too small to be halved in stem and head.
    """
    shape, stride = image_shape(variant, problem), variant.stem_stride or 1
    height, width = (((side - 1) // stride + 1) // 2 for side in shape[1:])
    if min(height, width) < 2:
        advice = "stem_stride: 1, larger images" if stride > 1 else "larger images"
        raise SuiteError(
            f"backbone {variant.backbone}: images of {shape[1]} x {shape[2]} pixels are too small "
            f"for stem_stride {stride}: the stem leaves {height} x {width} and the head halves "
            f"that again; use {advice} or backbone: mlp"
        )
    return height, width


def _conv(variant: Variant, num_inputs: int, num_outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(num_inputs, num_outputs, kernel, padding=kernel // 2, bias=bool(variant.bias))
