"""The optimizers, as PyTorch has them, fused where it can."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from depthbench.grammar import TrainSettings, default_weight_decay

# Where PyTorch has one kernel for the whole update; it is faster and computes the same.
_FUSED_DEVICES = ("cpu", "cuda")


def build_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """Build the optimizer of a training over the network's trainable weights.

    Weight decay applies to every trainable weight, biases and norms included, as PyTorch does by
    default; unset it is 0.01 for adamw and 0 otherwise, PyTorch's own defaults. The decay of
    `adam` is added to the gradient, that of `adamw` is decoupled.
    """
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    decay = settings.weight_decay
    if decay is None:
        decay = default_weight_decay(settings.optimizer)
    is_fused = _has_fused(parameters)
    if settings.optimizer == "sgd":
        return SGD(
            parameters,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov and settings.momentum > 0,  # PyTorch refuses it without
            weight_decay=decay,
            fused=is_fused,
        )
    adam = {"adamw": AdamW, "adam": Adam}[settings.optimizer]
    return adam(
        parameters,
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=decay,
        fused=is_fused,
    )


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def _has_fused(parameters: list[nn.Parameter]) -> bool:
    return all(
        weight.device.type in _FUSED_DEVICES and torch.is_floating_point(weight)
        for weight in parameters
    )
