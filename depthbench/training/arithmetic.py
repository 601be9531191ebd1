"""PyTorch's global state and what a precision means, for training and timing alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def forward_in(model: Callable[[Tensor], Tensor], precision: str) -> Callable[[Tensor], Tensor]:
    """Return the network's forward pass in a precision.

    In fp32 and tf32 it is the network itself; in bf16 and fp16 it runs under autocast: the weights
    stay float32, and PyTorch chooses which operations run in the smaller type.
    """
    dtype = _AUTOCAST.get(precision)
    if dtype is None:
        return model

    def forward(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, dtype=dtype):
            return model(inputs)

    return forward


@contextmanager
def exact_arithmetic(device: torch.device, *, is_deterministic: bool) -> Iterator[None]:
    """Keep fp32 convolutions in float32 (cuDNN would use TF32), and repeatable where asked."""
    with ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=is_deterministic, allow_tf32=False
                )
            )
        yield


@contextmanager
def forked_random(device: torch.device, seed: int) -> Iterator[None]:
    """Seed PyTorch's global random numbers inside, and leave them untouched outside."""
    is_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if is_cuda else []):
        # torch.manual_seed would seed every device, also those that are not restored.
        torch.default_generator.manual_seed(seed)
        if is_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
