"""Which weights a training ends with: those of its last step, or the best on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

import torch
from torch import Tensor, nn

from depthbench.training.curves import Evaluation


class Checkpoint:
    """Keep the evaluation that counts in the end, and for `best` a copy of the weights at it.

    The copy stays on the device. The best is the lowest validation loss; of equal ones the first,
    and a loss that is not a number only where there is no other.

    Args:
        which: `last` or `best`.
        tensors: all that training changes: weights and buffers.
    """

    def __init__(self, which: str, tensors: Sequence[Tensor]) -> None:
        self._is_best = which == "best"
        self._tensors = tensors
        self._kept: Evaluation | None = None
        self._copies: list[Tensor] = []

    def consider(self, evaluation: Evaluation) -> None:
        """Keep this evaluation, where it is the one that counts so far."""
        if self._is_best and self._kept is not None:
            best, loss = self._kept.validation["loss"], evaluation.validation["loss"]
            if not (loss < best or (isnan(best) and not isnan(loss))):
                return
        self._kept = evaluation
        if self._is_best:
            self._copies = [tensor.detach().clone() for tensor in self._tensors]

    def restore(self) -> Evaluation:
        """Give the network the weights and buffers that count; return their evaluation."""
        assert self._kept is not None, "nothing was evaluated"
        with torch.no_grad():
            for tensor, copy in zip(self._tensors, self._copies, strict=False):
                tensor.copy_(copy)
        return self._kept

    def state(self) -> dict[str, Any]:
        """Return what is kept, to be saved."""
        return {"kept": asdict(self._kept) if self._kept else None, "copies": self._copies}

    def load(self, state: dict[str, Any]) -> None:
        """Take what was kept, as `state` gave it."""
        self._kept = Evaluation(**state["kept"]) if state["kept"] else None
        self._copies = state["copies"]


def learned_tensors(model: nn.Module) -> list[Tensor]:
    """Return all of a network that training changes: its weights and buffers."""
    return [*model.parameters(), *model.buffers()]
