"""The order of the examples: a permutation an epoch, the same for every variant of a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from depthbench.errors import TrialError
from depthbench.training.durations import Horizon
from depthbench.training.tensors import Tensors


def stream_seed(seed: int, stream: str) -> int:
    """Return the seed of one named stream of random numbers, independent of all others.

    Args:
        seed: the trial's seed.
        stream: what the numbers are for, as in "order".
    """
    digest = hashlib.sha256(f"{seed}:{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # 63 bits: what a generator takes


def batches(
    tensors: Tensors, batch_size: int, seed: int, num_examples: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches, epoch after epoch; each epoch has every example once.

    The last batch of an epoch is short where the set does not divide. The order comes from the
    seed alone, on the CPU, so it is the same for every variant and on every device.

    Args:
        tensors: the training split.
        batch_size: examples a batch; may exceed the set.
        seed: the trial's seed.
        num_examples: examples after which to stop, or None for no end.

    Shapes:
        yields: (B, C, H, W) float32 and (B,) int64.
    """
    for indices in orders(tensors, batch_size, seed, num_examples):
        yield tensors.inputs.index_select(0, indices), tensors.targets.index_select(0, indices)


def orders(
    tensors: Tensors, batch_size: int, seed: int, num_examples: int | None = None
) -> Iterator[Tensor]:
    """Yield the places in the training split of each of `batches`, (B,), on its device."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "order"))
    num_left = num_examples
    while num_left is None or num_left > 0:
        order = torch.randperm(len(tensors), generator=generator)[:num_left]
        yield from order.to(tensors.inputs.device).split(batch_size)
        num_left = None if num_left is None else num_left - len(order)


def check_batches(model: nn.Module, horizon: Horizon) -> None:
    """Refuse a last batch of one example where batch norm over examples could not train on it.

    Raises:
        TrialError: naming the batch size, the number of examples and what to change.
    """
    if not horizon.has_batch_of_one():
        return
    if any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
        raise TrialError(
            f"train: batch_size {horizon.batch_size} over {horizon.epoch_examples} training "
            "examples leaves a batch of a single example, which batch norm cannot train on; "
            "change batch_size or train_examples, or use norm: layer"
        )
