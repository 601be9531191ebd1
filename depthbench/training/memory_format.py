"""In which order the numbers of images lie in memory while a network trains."""

from __future__ import annotations

import torch
from torch import nn


def in_training_format(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with its kernels in the order in which its convolutions train fastest.

    On a CPU that is channels last: a step with 8 to 32 channels took 0.5 to 0.8 of the time that it
    took channels first, poolings included (docs/log.md). Images follow the kernels. The numbers
    are the same to rounding, and nothing else is changed.
    """
    if device.type != "cpu" or not has_convolutions(network):
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def has_convolutions(network: nn.Module) -> bool:
    """Say whether any module of a network is a convolution over images."""
    return any(isinstance(module, nn.Conv2d) for module in network.modules())
