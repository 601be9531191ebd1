"""How large what a network computes is on its way, and how much of it training has changed.

Source:
    The coordinate check of "Tensor Programs V" (arXiv 2203.03466), appendix D.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from depthbench.grammar import TrainSettings
from depthbench.models.course import CourseNetwork
from depthbench.models.experts import balance_of
from depthbench.models.network import Context, Network
from depthbench.training.arithmetic import exact_arithmetic, forked_random, forward_in
from depthbench.training.augment import augmentation_of
from depthbench.training.batches import batches, stream_seed
from depthbench.training.evaluation import EVALUATION_BATCH_SIZE, eval_mode
from depthbench.training.optimizers import build_optimizer
from depthbench.training.step import build_step
from depthbench.training.tasks import Task
from depthbench.training.tensors import PreparedData


class Coordinates(NamedTuple):
    """Hold what a network computed for a batch.

    Shapes:
        streams: (B, *stream) after each stage and the depth average behind it, in the order in
            which they were run.
        updates: (B, *stream) of each module, in that order.
        outputs: (B, *output).
    """

    streams: list[Tensor]
    updates: list[Tensor]
    outputs: Tensor


@dataclass(frozen=True, slots=True)
class Sizes:
    """State root mean squares over examples and features after so many steps.

    `changes` are of the differences from what the same network computed at the start.
    """

    step: int
    streams: tuple[float, ...]
    updates: tuple[float, ...]
    logits: float
    stream_changes: tuple[float, ...]
    update_changes: tuple[float, ...]
    logits_change: float


def coordinates(network: Network, inputs: Tensor, precision: str = "fp32") -> Coordinates:
    """Return what a network computes for a batch on its way, in eval mode and without gradients.

    Updates are those of the modules before the network's scale, and without the scale that a
    module multiplies its branches by.
    """
    streams: list[Tensor] = []
    updates: list[Tensor] = []
    run = network.advance

    def advance(z: Tensor, stage: int, context: Context = ()) -> Tensor:
        streams.append(run(z, stage, context))
        return streams[-1]

    def keep(module: nn.Module, inputs: Any, update: Tensor) -> None:
        scale = getattr(module, "scale", 1.0)
        updates.append(update / scale if isinstance(scale, float) else update)

    def average(module: nn.Module, inputs: Any, averaged: Tensor) -> None:
        streams[-1] = averaged

    hooks = [block.register_forward_hook(keep) for block in network.blocks]
    if isinstance(network, CourseNetwork) and network.average is not None:
        hooks.append(network.average.register_forward_hook(average))
    try:
        network.advance = advance  # type: ignore[method-assign]
        with eval_mode(network), torch.no_grad():
            outputs = forward_in(network, precision)(inputs).float()
    finally:
        del network.advance
        for hook in hooks:
            hook.remove()
    return Coordinates(streams, updates, outputs)


def first_steps(
    network: Network,
    data: PreparedData,
    settings: TrainSettings,
    seed: int,
    task: Task,
    num_steps: int,
) -> Iterator[Sizes]:
    """Train a network for a few steps at the peak learning rate; yield its sizes before each.

    The last are those after the last step. Sizes are of the same validation examples each time, as
    many as a batch has.

    Args:
        network: initialised, on the device of the data; it is trained.
        data: the splits; the test split is not read.
        settings: the optimisation; its schedule is not followed.
        seed: of the order of the examples.
        task: what is learned.
        num_steps: how many.
    """
    device, probe = data.train.inputs.device, _probe(data, settings)
    optimizer = build_optimizer(network, settings)
    augment = augmentation_of(settings.augment, tuple(data.train.inputs.shape[1:]))
    balance = balance_of(network)
    precision = settings.precision
    take_step = build_step(network, optimizer, settings, precision, task, balance=balance)
    with (
        forked_random(device, stream_seed(seed, "noise")),
        exact_arithmetic(device, is_deterministic=True),
    ):
        network.train()
        start = coordinates(network, probe, precision)
        yield _sizes(0, start, start)
        order = batches(data.train, settings.batch_size, seed)
        for step, (inputs, targets) in enumerate(islice(order, num_steps), 1):
            take_step(*task.training_batch(augment(inputs), targets))
            yield _sizes(step, coordinates(network, probe, precision), start)


def _probe(data: PreparedData, settings: TrainSettings) -> Tensor:
    most = data.validation.evaluation_batch_size or EVALUATION_BATCH_SIZE
    return data.validation.inputs[: min(settings.batch_size, most)]


def _sizes(step: int, now: Coordinates, start: Coordinates) -> Sizes:
    return Sizes(
        step=step,
        streams=tuple(map(_size, now.streams)),
        updates=tuple(map(_size, now.updates)),
        logits=_size(now.outputs),
        stream_changes=_changes(now.streams, start.streams),
        update_changes=_changes(now.updates, start.updates),
        logits_change=_size(now.outputs - start.outputs),
    )


def _changes(now: list[Tensor], start: list[Tensor]) -> tuple[float, ...]:
    return tuple(_size(new - old) for new, old in zip(now, start, strict=True))


def _size(tensor: Tensor) -> float:
    return float(tensor.double().square().mean().sqrt())
