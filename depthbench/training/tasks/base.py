"""What a task is: how examples become inputs and targets, the loss, and what is measured."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from depthbench.grammar import TrainSettings
from depthbench.spec import Problem
from depthbench.training.tensors import PreparedData

Sums = dict[str, Tensor]


def losses_one_by_one(
    task: Task, outputs: Tensor, targets: Tensor, settings: TrainSettings
) -> Tensor:
    """Return the loss of each member of a cohort by the task's own loss.

    Shapes:
        outputs: (M, B, *output); targets: (M, B, ...); returns (M,).
    """
    pairs = zip(outputs.unbind(0), targets.unbind(0), strict=True)
    return torch.stack([task.loss(*pair, settings) for pair in pairs])


class Task(Protocol):
    """What an entry of TASKS can do. Nothing here waits for the device but `metrics`.

    Attributes:
        is_random: whether `training_batch` draws random numbers.
    """

    is_random: bool

    def prepare(self, dataset: Any, device: torch.device) -> PreparedData:
        """Put a data set's splits on the device as inputs and targets."""

    def training_batch(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return a training batch as the network sees it this time; may draw random numbers.

        Random numbers come from PyTorch's global generators, which training has seeded.
        """

    def loss(self, outputs: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
        """Return the mean training loss of a batch, float32, shape ()."""

    def member_losses(self, outputs: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
        """Return the loss of each member of a cohort, (M,); outputs and targets have M first."""

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return what an evaluation adds up over batches, each float64 of shape ().

        `count` is among them: what the loss is a mean over, examples or tokens.
        """

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the metrics of a split from its sums: at least `loss`."""

    def synthetic_batch(
        self, problem: Problem, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return random inputs and targets of a problem's shapes, on the CPU, for timing."""
