"""Precisions: the types of numbers, and PyTorch's switches for how they are multiplied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Of weights and inputs in inference; in training weights are float32, under autocast.
INFERENCE_TYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@contextmanager
def arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """Let a GPU multiply float32 numbers as TF32 inside for tf32, and never otherwise.

    PyTorch's own default is neither: convolutions may use TF32, matrix products may not.
    """
    if device.type != "cuda":
        yield
        return
    is_tf32 = precision == "tf32"
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=False, allow_tf32=is_tf32
    ):
        matmul.allow_tf32 = is_tf32
        try:
            yield
        finally:
            matmul.allow_tf32 = before
