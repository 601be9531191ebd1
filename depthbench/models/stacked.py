"""Run M networks of one variant as one: the same operations, each on the examples of all members.

The members are folded into the batch: a stacked network maps (M B, *input) to (M B, *output), the
examples of member 0 first. What treats each example by itself needs no change; each module with
weights is exchanged for one that keeps those of all members, and applies to each member's examples
its own. So the forward code of a network is its own, and a module that is neither in `STACKED` nor
in `EXAMPLE_WISE` makes a network that cannot be stacked rather than one that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from depthbench.models.branches import Branch, ScaledNorm
from depthbench.models.conv import ConvBottleneckModule, ConvHead, ConvModule, ConvStem
from depthbench.models.mlp import MLPHead, MLPModule, MLPStem
from depthbench.models.network import Network
from depthbench.models.norms import (
    EPS,
    FeatureBatchNorm,
    PixelLayerNorm,
    PixelRMSNorm,
    RMSNorm,
)
from depthbench.models.preact import (
    BasicBody,
    BottleneckBody,
    PreactBlock,
    PreactEntry,
    PreactHead,
    PreactStem,
)

# One convolution a member, or one of all members' channels in groups: which is faster depends on
# the shape and the device. A third way, patches unfolded and multiplied, never was (docs/log.md).
Convolution = Literal["loop", "grouped"]
CONVOLUTIONS: tuple[Convolution, ...] = ("loop", "grouped")


class StackedModule(nn.Module):
    """Hold the weights of M equal modules, each tensor with the members as its first axis.

    Args:
        modules: one a member.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.num_members = len(modules)
        for name, weight in modules[0].named_parameters():
            values = torch.stack([self.stored(name, m.get_parameter(name)) for m in modules])
            self.register_parameter(name, nn.Parameter(values.detach(), weight.requires_grad))
        for name, _ in modules[0].named_buffers():
            self.register_buffer(name, torch.stack([m.get_buffer(name) for m in modules]))

    def stored(self, name: str, tensor: Tensor) -> Tensor:
        """Return a member's tensor in the form in which it is kept: a view of it."""
        return tensor

    def own(self, name: str, stored: Tensor) -> Tensor:
        """Return a kept tensor in the form of the member's own module: a view of it."""
        return stored

    def members(self, x: Tensor) -> Tensor:
        """Return examples by member: (M B, *shape) -> (M, B, *shape)."""
        return x.unflatten(0, (self.num_members, -1))


class StackedLinear(StackedModule):
    """Map each member's examples by its own weights, all in one batched product.

    Shapes:
        (M B, *, D_in) -> (M B, *, D_out); weight (M, D_in, D_out), bias (M, 1, D_out)
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        if not hasattr(self, "bias"):
            self.register_parameter("bias", None)

    def stored(self, name: str, tensor: Tensor) -> Tensor:
        """Return a weight as (D_in, D_out): its gradient comes out in this order."""
        return tensor.mT if name == "weight" else tensor.unsqueeze(0)

    def own(self, name: str, stored: Tensor) -> Tensor:
        """Return a weight as (D_out, D_in), a bias as (D_out,)."""
        return stored.mT if name == "weight" else stored.squeeze(0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the examples mapped."""
        rows = self.members(x).flatten(1, -2)  # (M, B *, D_in)
        if self.bias is None:
            h = torch.bmm(rows, self.weight)  # (M, B *, D_out)
        else:
            h = torch.baddbmm(self.bias, rows, self.weight)  # (M, B *, D_out)
        return h.view(*x.shape[:-1], h.shape[-1])


class StackedNorm(StackedModule):
    """Normalise the features of each position, then apply each member's own weights.

    Shapes:
        (M B, *, D) -> (M B, *, D), or (M B, D, H, W) -> the same; weight and bias (M, 1, D)
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        first = modules[0]
        assert isinstance(first, nn.LayerNorm | nn.RMSNorm)
        self.shape, self.eps = first.normalized_shape, first.eps or EPS
        self.is_rms = isinstance(first, nn.RMSNorm)
        self.is_of_pixels = isinstance(first, PixelLayerNorm | PixelRMSNorm)
        if not hasattr(self, "bias"):
            self.register_parameter("bias", None)

    def stored(self, name: str, tensor: Tensor) -> Tensor:
        """Return a weight as (1, D), to stand beside any number of positions."""
        return tensor.unsqueeze(0)

    def own(self, name: str, stored: Tensor) -> Tensor:
        """Return a weight as (D,)."""
        return stored.squeeze(0)

    def forward(self, z: Tensor) -> Tensor:
        """Return the stream normalised."""
        if self.is_of_pixels:
            return self._normalised(z.movedim(1, -1)).movedim(-1, 1)  # (M B, D, H, W)
        return self._normalised(z)

    def _normalised(self, z: Tensor) -> Tensor:
        if self.is_rms:
            normal = F.rms_norm(z.to(self.weight.dtype), self.shape, eps=self.eps)
        else:
            normal = F.layer_norm(z, self.shape, eps=self.eps)  # (M B, *, D)
        rows = self.members(normal).flatten(1, -2)  # (M, B *, D)
        if self.bias is None:
            return (rows * self.weight).view(z.shape)
        return torch.addcmul(self.bias, rows, self.weight).view(z.shape)


class StackedEach(StackedModule):
    """Run the members' modules one after another: for what has no form that is faster.

    Shapes:
        (M B, *shape) -> (M B, *new shape), as the module has it
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        # In a tuple: a child of this one would have its weights among this one's.
        self.module = (deepcopy(modules[0]).to("meta"),)

    def forward(self, x: Tensor) -> Tensor:
        """Return each member's examples through its own module."""
        (module,) = self.module
        module.train(self.training)
        names = [name for name, _ in (*self.named_parameters(), *self.named_buffers())]
        tensors = [getattr(self, name).unbind(0) for name in names]
        return torch.cat(
            [
                functional_call(module, dict(zip(names, own, strict=True)), (part,))
                for part, *own in zip(self.members(x).unbind(0), *tensors, strict=True)
            ]
        )


class StackedConv(StackedModule):
    """Convolve each member's images with its own kernels, in one of several ways.

    Shapes:
        (M B, C, H, W) -> (M B, D, H', W'); weight (M, D, C, k, k), bias (M, D)
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, modules: Sequence[nn.Module], convolution: Convolution) -> None:
        super().__init__(modules)
        first = modules[0]
        assert isinstance(first, nn.Conv2d)
        self.stride, self.padding = first.stride, first.padding
        self.convolution = convolution
        if not hasattr(self, "bias"):
            self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the images convolved."""
        return self._loop(x) if self.convolution == "loop" else self._grouped(x)

    def _loop(self, x: Tensor) -> Tensor:
        parts, weights = self.members(x).unbind(0), self.weight.unbind(0)
        biases = [None] * self.num_members if self.bias is None else self.bias.unbind(0)
        return torch.cat(
            [
                F.conv2d(part, weight, bias, self.stride, self.padding)
                for part, weight, bias in zip(parts, weights, biases, strict=True)
            ]
        )  # (M B, D, H', W')

    def _grouped(self, x: Tensor) -> Tensor:
        x = self.members(x).transpose(0, 1).flatten(1, 2)  # (B, M C, H, W)
        bias = None if self.bias is None else self.bias.flatten()
        h = F.conv2d(
            x, self.weight.flatten(0, 1), bias, self.stride, self.padding, groups=self.num_members
        )  # (B, M D, H', W')
        return h.unflatten(1, (self.num_members, -1)).transpose(0, 1).flatten(0, 1)


STACKED: dict[type[nn.Module], Callable[[Sequence[nn.Module]], StackedModule]] = {
    nn.Linear: StackedLinear,
    nn.LayerNorm: StackedNorm,
    PixelLayerNorm: StackedNorm,
    RMSNorm: StackedNorm,
    PixelRMSNorm: StackedNorm,
    nn.BatchNorm2d: StackedEach,
    FeatureBatchNorm: StackedEach,
}


# Modules without weights of their own that treat each example by itself: all others could mix
# members, or draw random numbers that are not each member's own.
EXAMPLE_WISE: frozenset[type[nn.Module]] = frozenset(
    {
        *(nn.Sequential, nn.ModuleList, nn.Identity, nn.Flatten, nn.ReLU, nn.Sigmoid),
        *(Network, MLPStem, MLPModule, MLPHead),
        *(ConvStem, ConvModule, ConvBottleneckModule, ConvHead),
        *(Branch, ScaledNorm),
        *(PreactStem, PreactBlock, PreactEntry, PreactHead, BasicBody, BottleneckBody),
    }
)


def why_not_stacked(network: nn.Module) -> str | None:
    """Return why networks like this one cannot be stacked, or None where they can."""
    if getattr(network, "rates", None) is not None:
        return "its parametrisation gives weights learning rates of their own"
    for name, module in network.named_modules():
        kind = type(module)
        has_stacked_form = kind in STACKED or _is_plain_convolution(module)
        if has_stacked_form or (kind in EXAMPLE_WISE and not _tensors(module)):
            continue
        return f"{name or 'the network'} ({kind.__name__}) has no stacked form"
    weights = [id(weight) for _, weight in network.named_parameters(remove_duplicate=False)]
    return "a weight is in two places" if len(set(weights)) < len(weights) else None


def stack(networks: Sequence[nn.Module], convolution: Convolution = "loop") -> nn.Module:
    """Return one network that does what equal networks do, each on its own share of the batch.

    Args:
        networks: of one variant, one a member; they are left as they are.
        convolution: how convolutions run.

    Shapes:
        (M B, *input) -> (M B, *output)

    Raises:
        ValueError: Such networks cannot be stacked.
    """
    reason = why_not_stacked(networks[0])
    if reason is not None:
        raise ValueError(reason)
    stacked = deepcopy(networks[0])
    for name, module in list(stacked.named_modules()):
        if _tensors(module):
            modules = [network.get_submodule(name) for network in networks]
            parent, _, child = name.rpartition(".")
            own = (
                StackedConv(modules, convolution)
                if isinstance(module, nn.Conv2d)
                else STACKED[type(module)](modules)
            )
            setattr(stacked.get_submodule(parent), child, own)
    return stacked


def _is_plain_convolution(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
    )


def _tensors(module: nn.Module) -> list[Tensor]:
    """Return the weights and buffers that are a module's own, not its children's."""
    own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return list(own)


def member_tensors(stacked: nn.Module, index: int) -> Iterator[tuple[str, Tensor]]:
    """Yield every weight and buffer of one member, by its name in a network of its own.

    They are views: what is copied into them changes the member.
    """
    for path, module in stacked.named_modules():
        if not isinstance(module, StackedModule):
            continue
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            yield f"{path}.{name}", module.own(name, tensor.detach()[index])
