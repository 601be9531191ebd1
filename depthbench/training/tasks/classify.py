"""Classification: standardised images to logits, cross-entropy and accuracy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from depthbench.grammar import TaskSettings, TrainSettings
from depthbench.spec import Problem
from depthbench.training.tasks.base import Sums
from depthbench.training.tensors import PreparedData, prepare


class Classify:
    """Learn labels by cross-entropy.

    Shapes:
        inputs (B, C, H, W), standardised; targets (B,) int64; outputs (B, K) logits.
    """

    is_random = False

    def __init__(self, settings: TaskSettings | None = None) -> None:
        self.settings = settings

    def prepare(self, dataset: Any, device: torch.device) -> PreparedData:
        """Put a data set's splits on the device, standardised."""
        return prepare(dataset, device)

    def training_batch(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch as it is."""
        return inputs, targets

    def loss(self, outputs: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
        """Return the mean cross-entropy in nats, with label smoothing where there is any."""
        return F.cross_entropy(outputs, targets, label_smoothing=settings.label_smoothing)

    def member_losses(self, outputs: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
        """Return the mean cross-entropy of each member of a cohort, all in one."""
        losses = F.cross_entropy(
            outputs.flatten(0, 1),
            targets.flatten(),
            reduction="none",
            label_smoothing=settings.label_smoothing,
        )  # (M B,)
        return losses.view(targets.shape).mean(1)  # (M,)

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sum of cross-entropies, the number right, and the number of examples."""
        losses = F.cross_entropy(outputs, targets, reduction="none")  # (B,)
        return {
            "loss": losses.double().sum(),
            "right": (outputs.argmax(dim=1) == targets).double().sum(),
            "count": torch.tensor(float(len(targets)), dtype=torch.float64),
        }

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the mean loss in nats and the accuracy as a fraction."""
        return {
            "loss": sums["loss"] / sums["count"],
            "accuracy": sums["right"] / sums["count"],
        }

    def synthetic_batch(
        self, problem: Problem, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return standard normal images and random labels."""
        inputs = torch.randn(batch_size, *problem.input_shape, generator=generator)
        targets = torch.randint(problem.output_shape[0], (batch_size,), generator=generator)
        return inputs, targets
