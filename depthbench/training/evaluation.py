"""Loss and accuracy over a whole split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from depthbench.training.arithmetic import exact_arithmetic, forward_in
from depthbench.training.tensors import Tensors

# Constant, so that a number does not depend on the batch size a trial trains with.
EVALUATION_BATCH_SIZE = 512


def evaluate(
    model: nn.Module,
    tensors: Tensors,
    batch_size: int = EVALUATION_BATCH_SIZE,
    precision: str = "fp32",
) -> dict[str, float]:
    """Return the mean loss (nats) and the accuracy (fraction) over all examples of a split.

    The means are over examples, whatever the batches, without label smoothing. The network runs
    in eval mode; losses are float32, their sum is float64.

    Args:
        model: the network, on the device of the tensors; its mode is restored.
        tensors: the split.
        batch_size: examples a forward pass.
        precision: fp32 or bf16, of the forward pass.
    """
    device = tensors.inputs.device
    forward = forward_in(model, precision)
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    num_right = torch.zeros((), dtype=torch.int64, device=device)
    exact = exact_arithmetic(device, is_deterministic=True)
    with eval_mode(model), torch.inference_mode(), exact:
        for start in range(0, len(tensors), batch_size):
            targets = tensors.targets[start : start + batch_size]  # (B,)
            logits = forward(tensors.inputs[start : start + batch_size]).float()  # (B, K)
            losses = F.cross_entropy(logits, targets, reduction="none")  # (B,)
            loss_sum += losses.double().sum()
            num_right += (logits.argmax(dim=1) == targets).sum()
    return {
        "loss": loss_sum.item() / len(tensors),
        "accuracy": num_right.item() / len(tensors),
    }


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a network in eval mode inside, and back in the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
