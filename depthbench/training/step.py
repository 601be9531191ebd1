"""One optimizer step, as training takes it and as timing times it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.optim import Optimizer

from depthbench.grammar import TrainSettings
from depthbench.training.arithmetic import forward_in
from depthbench.training.tasks import Task


def build_step(
    model: nn.Module, optimizer: Optimizer, settings: TrainSettings, precision: str, task: Task
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that takes one step on a batch and returns its loss, detached.

    The loss is float32 whatever the precision. Nothing here waits for the device.

    Args:
        model: the network, in training mode.
        optimizer: over the network's trainable weights.
        settings: label smoothing and clipping.
        precision: fp32 or bf16.
        task: gives the loss.

    Shapes:
        The function takes a batch of inputs and targets as the task has them, and returns ().
    """
    forward = forward_in(model, precision)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    clip_norm = settings.clip_norm

    def take_step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        outputs = forward(inputs).float()  # (B, *output)
        loss = task.loss(outputs, targets, settings)
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(weights, clip_norm)
        optimizer.step()
        return loss.detach()

    return take_step
