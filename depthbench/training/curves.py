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
    """Add up losses on the device, and read the sum only when asked: a read waits for it.

    Args:
        device: where the losses are.
        num_members: of a cohort, whose losses are vectors; None for a training of its own.
    """

    def __init__(self, device: torch.device, num_members: int | None = None) -> None:
        shape = () if num_members is None else (num_members,)
        self._sum = torch.zeros(shape, dtype=torch.float64, device=device)
        self._num_examples = 0

    def add(self, mean_loss: Tensor, num_examples: int) -> None:
        """Add the mean loss of a batch, weighted by its examples."""
        self._sum.add_(mean_loss, alpha=num_examples)
        self._num_examples += num_examples

    def is_finite(self) -> bool:
        """Say whether every loss added so far was finite."""
        return math.isfinite(self._sum.item())

    def are_finite(self) -> list[bool]:
        """Say of each member whether every loss added so far was finite."""
        return list(torch.isfinite(self._sum).tolist())

    def take_mean(self) -> float | None:
        """Return the mean over all examples added, None without any, and start anew."""
        return self.take_means()[0]

    def take_means(self) -> list[float | None]:
        """Return the mean of each member, or the one there is, and start anew."""
        sums = self._sum.view(-1).tolist()
        means = [total / self._num_examples if self._num_examples else None for total in sums]
        self._sum.zero_()
        self._num_examples = 0
        return means

    def state(self) -> tuple[Tensor, int]:
        """Return what has been added, to be saved."""
        return self._sum, self._num_examples

    def load(self, state: tuple[Tensor, int]) -> None:
        """Take what had been added, as `state` gave it."""
        self._sum.copy_(state[0])
        self._num_examples = state[1]
