"""How many CPU threads a network is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# A training step below this many FLOPs runs on one thread. On two otherwise idle cores an mlp of
# 89 MFLOPs a step trained faster on one thread than on two, one of 961 MFLOPs slower: docs/log.md.
SMALL_STEP_FLOPS = 1e8


@contextmanager
def cpu_threads(num_threads: int | None) -> Iterator[None]:
    """Use a number of CPU threads inside, None for as many as before; restore them after."""
    before = torch.get_num_threads()
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_threads(forward_flops: int, batch_size: int) -> int | None:
    """Return 1 for a network whose steps are small, None (PyTorch's own number) for the others.

    A step of a small network is many short products: more threads gain little there, and wait for
    one another far longer than they compute when anything else uses the machine.

    Args:
        forward_flops: of one example; a step is counted as three forward passes.
        batch_size: examples a step.
    """
    return 1 if 3 * forward_flops * batch_size < SMALL_STEP_FLOPS else None
