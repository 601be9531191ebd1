"""Tell running out of memory from every other failure."""

from __future__ import annotations

import torch

# What PyTorch's allocator says on a CPU, where it has no exception class of its own.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that the device or the machine ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error)
