"""Phases: which work is one call. `PHASES` is the whole list of what can be timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from depthbench.models.decoding import decoder
from depthbench.models.experts import balance_of
from depthbench.timing.cells import Cell
from depthbench.timing.modes import Call, Run, repeatable_backward, runner
from depthbench.timing.precisions import INFERENCE_TYPES
from depthbench.training.arithmetic import forward_in
from depthbench.training.optimizers import build_optimizer
from depthbench.training.step import build_step
from depthbench.training.tasks import Task


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold what a call is made of: an initialised network and a batch, on the device."""

    cell: Cell
    network: nn.Module
    inputs: Tensor
    targets: Tensor
    task: Task


@dataclass(frozen=True, slots=True)
class Workload:
    """Hold one call and what it works on, for the passes that look at more than time.

    `record` makes one forward pass up to the loss, which it returns with the graph that gradients
    need; None where the phase has no gradients. `inputs` are the tensors that a call reads
    besides the network's own.
    """

    call: Call
    network: nn.Module
    inputs: tuple[Tensor, ...]
    record: Callable[[], Tensor] | None = None
    optimizer: Optimizer | None = None


def _inference(parts: Parts) -> Workload:
    """One forward pass in evaluation and inference mode; weights are of the cell's type."""
    dtype = INFERENCE_TYPES[parts.cell.precision]
    network = parts.network.eval().to(dtype)
    inputs = parts.inputs
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs  # tokens stay
    return Workload(partial(_run(parts, network), inputs), network, (inputs,))


def _decode(parts: Parts) -> Workload:
    """The logits after one more token, the cache filled with all of the context but that one."""
    network = parts.network.eval().to(INFERENCE_TYPES[parts.cell.precision])
    network = decoder(network, parts.inputs[:, :-1])
    token = parts.inputs[:, -1:].clone()  # (B, 1)
    return Workload(partial(_run(parts, network), token), network, (token,))


def _forward(parts: Parts) -> Workload:
    """One forward pass in training mode, with the graph that gradients would need."""
    run = _run(parts, parts.network.train())
    forward = forward_in(run, parts.cell.precision)
    return _trained(parts, partial(forward, parts.inputs), run)


def _backward(parts: Parts) -> Workload:
    """The gradients of the loss by all trained weights, of one graph, which is kept.

    The first call makes the graph, so that compiling is part of it. Nothing accumulates: the
    gradients are returned and dropped.
    """
    run = _run(parts, parts.network.train())
    record = partial(_loss, parts, run)
    weights = [weight for weight in parts.network.parameters() if weight.requires_grad]
    scaler = _scaler(parts)
    loss: Tensor | None = None

    def gradients(of: Tensor) -> object:
        return torch.autograd.grad(of, weights, retain_graph=True, allow_unused=True)

    def call() -> object:
        nonlocal loss
        if loss is not None:
            return gradients(loss)
        with repeatable_backward(parts.cell.mode):
            loss = record() if scaler is None else scaler.scale(record())
            return gradients(loss)

    return _trained(parts, call, run)


def _train_step(parts: Parts) -> Workload:
    """What the training loop does with a batch: gradients, the optimizer's step included."""
    cell = parts.cell
    run = _run(parts, parts.network.train())
    optimizer = build_optimizer(parts.network, cell.train)
    for group in optimizer.param_groups:  # Adam counts its steps on the device, where it can
        if cell.mode == "cuda_graph" and "capturable" in group:
            group["capturable"] = True
    balance, scaler = balance_of(parts.network), _scaler(parts)
    step = build_step(run, optimizer, cell.train, cell.precision, parts.task, scaler, balance)
    return _trained(parts, partial(step, parts.inputs, parts.targets), run, optimizer)


PHASES: dict[str, Callable[[Parts], Workload]] = {
    "inference": _inference,
    "forward": _forward,
    "backward": _backward,
    "train_step": _train_step,
    "decode": _decode,
}
# These run in inference mode.
INFERENCE_PHASES = ("inference", "decode")


def _run(parts: Parts, network: nn.Module) -> Run:
    return runner(network, parts.cell.mode, parts.inputs.device)


def _trained(parts: Parts, call: Call, run: Run, optimizer: Optimizer | None = None) -> Workload:
    record = partial(_loss, parts, run)
    return Workload(call, parts.network, (parts.inputs, parts.targets), record, optimizer)


def _loss(parts: Parts, run: Run) -> Tensor:
    """Return the loss as a training step has it, unscaled."""
    balance = balance_of(parts.network)
    if balance is not None:
        balance.begin()
    outputs = forward_in(run, parts.cell.precision)(parts.inputs).float()  # (B, *output)
    loss = parts.task.loss(outputs, parts.targets, parts.cell.train)
    return loss if balance is None else loss + balance.end()


def _scaler(parts: Parts) -> GradScaler | None:
    """Return what scales the loss in fp16, whose small gradients would vanish."""
    if parts.cell.precision != "fp16":
        return None
    return GradScaler(parts.inputs.device.type)
