"""What is seen of a training while it runs: its loss between validations, and its curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Evaluation:
    """State how a training stands at one point.

    `progress` is the share of the training that is done. `train_loss` is the mean over the
    examples seen since the point before, in training mode and with label smoothing where there is
    any; None where none were seen. `validation` has loss and accuracy.
    """

    step: int
    epoch: float
    progress: float
    train_loss: float | None
    validation: dict[str, float]

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of curves.parquet, without the trial they belong to."""
        values = [("val", metric, value) for metric, value in self.validation.items()]
        if self.train_loss is not None:
            values.insert(0, ("train", "loss", self.train_loss))
        return [
            {
                "step": self.step,
                "epoch": self.epoch,
                "split": split,
                "metric": metric,
                "value": value,
            }
            for split, metric, value in values
        ]


class RunningLoss:
    """Add up losses on the device, and read the sum only when asked: a read waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self._num_examples = 0

    def add(self, mean_loss: Tensor, num_examples: int) -> None:
        """Add the mean loss of a batch, weighted by its examples."""
        self._sum.add_(mean_loss, alpha=num_examples)
        self._num_examples += num_examples

    def is_finite(self) -> bool:
        """Say whether every loss added so far was finite."""
        return math.isfinite(self._sum.item())

    def take_mean(self) -> float | None:
        """Return the mean over all examples added, None without any, and start anew."""
        mean = self._sum.item() / self._num_examples if self._num_examples else None
        self._sum.zero_()
        self._num_examples = 0
        return mean
