"""The preact backbone: pre-activation residual blocks in three stages, as Wide Residual Networks.

WRN-d-k is depth (d - 4) / 2, counting the blocks of all stages, at width 16 k. The stages have
widths w, 2w and 4w; the first block of the second and third halves the image. Where a block changes
the number of channels, the stream goes on as a 1x1 projection of its pre-activated input, which
both the projection and the block read.

Convolutions start normal with variance 2 / (k k outputs) ("MSR", fan out), the head's linear layer
uniform in +-1/sqrt(fan_in) with bias 0, norms at weight 1 and bias 0. The stream lies in memory
with its channels last, on every device.

Source: "Wide Residual Networks" (arXiv 1605.07146), section 2 and the authors' code, after which
dropout stands between the second activation and convolution. The parallel layouts and the
bottleneck of the hourglass (1x1 down, 3x3, 1x1 up, pre-activated throughout) are depthbench's own.
"""

from __future__ import annotations

from math import prod, sqrt

import torch
from torch import Tensor, nn

from depthbench.errors import SuiteError
from depthbench.grammar import BACKBONE_STAGES
from depthbench.models.activations import ACTIVATIONS
from depthbench.models.branches import Branch, after_branch
from depthbench.models.images import image_shape
from depthbench.models.network import Entry
from depthbench.models.norms import pixel_norm
from depthbench.models.starts import start_normal, start_zero
from depthbench.spec import Problem, Variant

STEM_WIDTH = 16
NUM_STAGES = BACKBONE_STAGES["preact"]


class PreactStem(nn.Module):
    """Map images to 16 channels, whatever the width, by a 3x3 convolution.

    Shapes:
        (B, C, H, W) -> (B, 16, H, W)
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        _check(variant, problem)
        self.conv = _conv(variant, problem.input_shape[0], STEM_WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream at the start."""
        # The convolutions after it keep this layout: on CPUs a fifth to a third faster.
        return self.conv(x).contiguous(memory_format=torch.channels_last)  # (B, 16, H, W)


class BasicBody(nn.Module):
    """Compute conv(dropout(act(norm(conv(h))))) with 3x3 convolutions on an activated input.

    Shapes:
        (B, C, H, W) -> (B, D, H / stride, W / stride)
    """

    def __init__(self, variant: Variant, num_inputs: int, num_outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(variant, num_inputs, num_outputs, 3, stride)
        self.norm = pixel_norm(variant.norm, num_outputs, variant.norm_affine)
        self.activation = ACTIVATIONS[str(variant.activation)]
        self.dropout = _dropout(variant)
        self.conv2 = _conv(variant, num_outputs, num_outputs, 3)

    def forward(self, h: Tensor) -> Tensor:
        """Return the update of the stream."""
        h = self.activation(self.norm(self.conv1(h)))  # (B, D, H', W')
        return self.conv2(self.dropout(h))  # (B, D, H', W')


class BottleneckBody(nn.Module):
    """Compute 1x1 down, 3x3 and 1x1 up on an activated input, each but the first pre-activated.

    Shapes:
        (B, C, H, W) -> (B, D, H / stride, W / stride)
    """

    def __init__(
        self, variant: Variant, num_inputs: int, num_outputs: int, stride: int, hidden: int
    ) -> None:
        super().__init__()
        self.down = _conv(variant, num_inputs, hidden, 1)
        self.norm1 = pixel_norm(variant.norm, hidden, variant.norm_affine)
        self.conv = _conv(variant, hidden, hidden, 3, stride)
        self.norm2 = pixel_norm(variant.norm, hidden, variant.norm_affine)
        self.activation = ACTIVATIONS[str(variant.activation)]
        self.dropout = _dropout(variant)
        self.up = _conv(variant, hidden, num_outputs, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Return the update of the stream."""
        h = self.activation(self.norm1(self.down(h)))  # (B, D_h, H, W)
        h = self.activation(self.norm2(self.conv(h)))  # (B, D_h, H', W')
        return self.up(self.dropout(h))  # (B, D, H', W')


class PreactBlock(nn.Module):
    """Compute body(act(norm(z))): a block that keeps the shape of the stream.

    Shapes:
        (B, D, H, W) -> (B, D, H, W)
    """

    def __init__(self, variant: Variant, num_channels: int, body: nn.Module) -> None:
        super().__init__()
        self.norm = pixel_norm(variant.norm, num_channels, variant.norm_affine)
        self.activation = ACTIVATIONS[str(variant.activation)]
        self.body = body

    def forward(self, z: Tensor) -> Tensor:
        """Return the update of the stream."""
        return self.body(self.activation(self.norm(z)))  # (B, D, H, W)


class PreactEntry(Entry):
    """Change the stream's channels, and its size by the stride, by a 1x1 projection.

    Shapes:
        (B, C, H, W) -> (B, D, H / stride, W / stride)
    """

    def __init__(
        self, variant: Variant, num_inputs: int, num_outputs: int, stride: int, body: nn.Module
    ) -> None:
        super().__init__()
        self.norm = pixel_norm(variant.norm, num_inputs, variant.norm_affine)
        self.activation = ACTIVATIONS[str(variant.activation)]
        self.body = body
        self.projection = _conv(variant, num_inputs, num_outputs, 1, stride)

    def enter(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the projected stream, and the pre-activated input that it is made of."""
        h = self.activation(self.norm(z))  # (B, C, H, W)
        return self.projection(h), h  # (B, D, H', W') and (B, C, H, W)

    def update(self, h: Tensor) -> Tensor:
        """Return the update of the stream."""
        return self.body(h)  # (B, D, H', W')


class PreactHead(nn.Module):
    """Average the normalised and activated stream over its pixels and map it to the outputs.

    Shapes:
        (B, D, H, W) -> (B, *output)
    """

    def __init__(self, variant: Variant, problem: Problem) -> None:
        super().__init__()
        width = stage_width(variant, NUM_STAGES - 1)
        self.output_shape = problem.output_shape
        self.norm = pixel_norm(variant.norm, width, variant.norm_affine)
        self.activation = ACTIVATIONS[str(variant.activation)]
        self.linear = nn.Linear(width, prod(problem.output_shape))
        start_zero(self.linear.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits, or an image of as many numbers."""
        z = self.activation(self.norm(z)).mean((2, 3))  # (B, D)
        return self.linear(z).unflatten(1, self.output_shape)  # (B, *output)


def preact_modules(variant: Variant, problem: Problem) -> list[nn.Module]:
    """Return the blocks of all stages in order.

    Raises:
        SuiteError: The depth does not divide into three stages.
    """
    if variant.depth % NUM_STAGES:
        raise SuiteError(
            f"backbone preact: depth {variant.depth} does not divide into {NUM_STAGES} equally "
            "deep stages; use 3, 6, 9, ..."
        )
    modules, num_inputs = [], STEM_WIDTH
    for stage in range(NUM_STAGES):
        for index in range(variant.depth // NUM_STAGES):
            is_halving = stage > 0 and index == 0
            modules.append(_block(variant, stage, num_inputs, 2 if is_halving else 1))
            num_inputs = stage_width(variant, stage)
    return modules


def stage_width(variant: Variant, stage: int) -> int:
    """Return the channels of the stream after a stage, counted from 0: the width, doubled."""
    return variant.width << stage


def _block(variant: Variant, stage: int, num_inputs: int, stride: int) -> nn.Module:
    num_outputs = stage_width(variant, stage)
    body: nn.Module
    if variant.hidden is None:
        body = BasicBody(variant, num_inputs, num_outputs, stride)
    else:
        hidden = variant.hidden << stage
        body = BottleneckBody(variant, num_inputs, num_outputs, stride, hidden)
    after = after_branch(variant, pixel_norm, num_outputs)
    if after is not None:
        body = Branch(body, after)
    if num_inputs == num_outputs:
        return PreactBlock(variant, num_inputs, body)
    return PreactEntry(variant, num_inputs, num_outputs, stride, body)


def _conv(
    variant: Variant, num_inputs: int, num_outputs: int, kernel: int, stride: int = 1
) -> nn.Conv2d:
    bias = bool(variant.bias)
    conv = nn.Conv2d(num_inputs, num_outputs, kernel, stride, kernel // 2, bias=bias)
    start_normal(conv.weight, sqrt(2 / (kernel * kernel * num_outputs)))
    start_zero(conv.bias)
    return conv


def _dropout(variant: Variant) -> nn.Module:
    return nn.Dropout(variant.dropout) if variant.dropout else nn.Identity()


def _check(variant: Variant, problem: Problem) -> None:
    _, height, width = image_shape(variant, problem)
    left = [(side + 3) // 4 for side in (height, width)]
    if min(left) < 2:
        raise SuiteError(
            f"backbone preact: images of {height} x {width} pixels are too small: halved twice, "
            f"{left[0]} x {left[1]} would be left of them; use larger images or backbone: mlp"
        )
