"""The optimizers, as PyTorch has them, fused where it can."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from depthbench.grammar import TrainSettings, default_weight_decay
from depthbench.models.rates import Factors, Rates

# Where PyTorch has one kernel for the whole update; it is faster and computes the same.
_FUSED_DEVICES = ("cpu", "cuda")
# What a group's learning rate is, over that of the schedule.
_RATE = "rate"


def build_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """Build the optimizer of a training over the network's trainable weights.

    Weight decay applies to every trainable weight, biases and norms included, as PyTorch does by
    default; unset it is 0.01 for adamw and 0 otherwise, PyTorch's own defaults. The decay of
    `adam` is added to the gradient, that of `adamw` is decoupled. Weights of a network whose
    parametrisation gives them rates are in a group for each of these.
    """
    rates: Mapping[str, Rates] | None = getattr(model, "rates", None)
    if rates is None:
        return optimizer_of([weight_group(model.parameters(), settings)], settings)
    weights: dict[Factors, list[Tensor]] = defaultdict(list)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            weights[rates[name].of(settings.optimizer)].append(weight)
    groups = [_scaled_group(own, settings, factors) for factors, own in weights.items()]
    return optimizer_of(groups, settings)


def _scaled_group(
    weights: Iterable[Tensor], settings: TrainSettings, factors: Factors
) -> dict[str, Any]:
    """Return weights as a parameter group with what their factors make of the settings."""
    group = weight_group(weights, settings)
    group |= {_RATE: factors.rate, "lr": factors.rate * settings.lr}
    group["weight_decay"] *= factors.decay
    return group if settings.optimizer == "sgd" else group | {"eps": factors.eps * settings.eps}


def weight_group(weights: Iterable[Tensor], settings: TrainSettings) -> dict[str, Any]:
    """Return the trainable ones of weights as a parameter group, with their rate and decay."""
    decay = settings.weight_decay
    if decay is None:
        decay = default_weight_decay(settings.optimizer)
    trained = [weight for weight in weights if weight.requires_grad]
    return {"params": trained, "lr": settings.lr, "weight_decay": decay}


def optimizer_of(groups: Sequence[dict[str, Any]], settings: TrainSettings) -> Optimizer:
    """Build an optimizer over parameter groups that have their own rates and decays."""
    is_fused = all(_has_fused(group["params"]) for group in groups)
    if settings.optimizer == "sgd":
        sgd = SGD(
            groups,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov and settings.momentum > 0,  # PyTorch refuses it without
            fused=is_fused,
        )
        _start_momentum(sgd)
        return sgd
    adam = {"adamw": AdamW, "adam": Adam}[settings.optimizer]
    return adam(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=is_fused)


def _start_momentum(optimizer: SGD) -> None:
    """Give all weights a momentum of 0, with which the first step is the same as without one.

    The fused kernel refuses weights with a momentum beside weights without, as those of modules and
    experts would be that the first steps leave out.
    """
    for group in optimizer.param_groups:
        for weight in group["params"] if group["momentum"] else ():
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of the next step, for each group times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = group.get(_RATE, 1.0) * lr


def _has_fused(parameters: Iterable[Tensor]) -> bool:
    return all(
        weight.device.type in _FUSED_DEVICES and torch.is_floating_point(weight)
        for weight in parameters
    )
