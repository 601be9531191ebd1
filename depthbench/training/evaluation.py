"""A task's metrics over a whole split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from depthbench.training.arithmetic import exact_arithmetic, forward_in
from depthbench.training.tasks import Task
from depthbench.training.tasks.classify import Classify
from depthbench.training.tensors import Tensors

# Constant, so that a number does not depend on the batch size a trial trains with.
EVALUATION_BATCH_SIZE = 512


def evaluate(
    model: nn.Module,
    tensors: Tensors,
    batch_size: int | None = None,
    precision: str = "fp32",
    task: Task | None = None,
) -> dict[str, float]:
    """Return a task's metrics over all examples of a split, whatever the batches.

    The network runs in eval mode, without label smoothing; losses are float32, sums float64.

    Args:
        model: the network, on the device of the tensors; its mode is restored.
        tensors: the split.
        batch_size: examples a forward pass (default: as the task has it, else 512).
        precision: fp32 or bf16, of the forward pass.
        task: what is measured (default: classify, loss and accuracy).
    """
    task = task or Classify()
    batch_size = batch_size or tensors.evaluation_batch_size or EVALUATION_BATCH_SIZE
    forward = forward_in(model, precision)
    totals: dict[str, Tensor] = {}
    exact = exact_arithmetic(tensors.inputs.device, is_deterministic=True)
    with eval_mode(model), torch.inference_mode(), exact:
        for start in range(0, len(tensors), batch_size):
            targets = tensors.targets[start : start + batch_size]  # (B, ...)
            outputs = forward(tensors.inputs[start : start + batch_size]).float()  # (B, ...)
            for name, value in task.sums(outputs, targets).items():
                totals[name] = totals[name] + value if name in totals else value
    return task.metrics({name: value.item() for name, value in totals.items()})


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a network in eval mode inside, and back in the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
