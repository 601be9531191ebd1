"""Turn what went wrong into the columns of a row: its status and its reason."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

# What PyTorch's allocator says on a CPU, where it has no exception class of its own.
_CPU_ALLOCATOR = "DefaultCPUAllocator"
_MAX_REASON = 2000


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that the device or the machine ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error)


def failure_columns(error: BaseException) -> dict[str, str]:
    """Return the status, oom or failed, and the error: its kind, its message, its place."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return {
        "status": "oom" if is_out_of_memory(error) else "failed",
        "error": f"{type(error).__name__}: {error}{place}"[:_MAX_REASON],
    }
