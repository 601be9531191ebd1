"""One optimizer step, as training takes it and as timing times it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from depthbench.grammar import TrainSettings
from depthbench.models.experts import Balance
from depthbench.training.arithmetic import forward_in
from depthbench.training.tasks import Task


def build_step(  # noqa: PLR0913 - the last two are for a few
    model: Callable[[Tensor], Tensor],
    optimizer: Optimizer,
    settings: TrainSettings,
    precision: str,
    task: Task,
    scaler: GradScaler | None = None,
    balance: Balance | None = None,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that takes one step on a batch and returns its loss, detached.

    The loss is float32 whatever the precision. Nothing here waits for the device.

    Args:
        model: the network, in training mode, or what runs it.
        optimizer: over the network's trainable weights.
        settings: label smoothing and clipping.
        precision: fp32, tf32, bf16 or fp16.
        task: gives the loss.
        scaler: scales the loss, so that fp16's gradients do not vanish; None: no scaling.
        balance: gives what mixtures of experts add to the loss that is minimised; what is returned
            is the task's alone. None: there are none.

    Shapes:
        The function takes a batch of inputs and targets as the task has them, and returns ().
    """
    forward = forward_in(model, precision)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    clip_norm = settings.clip_norm

    def take_step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        if balance is not None:
            balance.begin()
        outputs = forward(inputs).float()  # (B, *output)
        loss = task.loss(outputs, targets, settings)
        minimised = loss if balance is None else loss + balance.end()
        (minimised if scaler is None else scaler.scale(minimised)).backward()
        if clip_norm is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(weights, clip_norm)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        return loss.detach()

    return take_step
