"""Which weights a training ends with: those of its last step, or the best on validation."""

from __future__ import annotations

from itertools import chain
from math import isnan

import torch
from torch import Tensor, nn

from depthbench.training.curves import Evaluation


class Checkpoint:
    """Keep the evaluation that counts in the end, and for `best` a copy of the network at it.

    The copy stays on the device. The best is the lowest validation loss; of equal ones the first,
    and a loss that is not a number only where there is no other.

    Args:
        which: `last` or `best`.
    """

    def __init__(self, which: str) -> None:
        self._is_best = which == "best"
        self._kept: Evaluation | None = None
        self._copies: dict[str, Tensor] = {}

    def consider(self, evaluation: Evaluation, model: nn.Module) -> None:
        """Keep this evaluation, where it is the one that counts so far."""
        if self._is_best and self._kept is not None:
            best, loss = self._kept.validation["loss"], evaluation.validation["loss"]
            if not (loss < best or (isnan(best) and not isnan(loss))):
                return
        self._kept = evaluation
        if self._is_best:
            self._copies = {name: tensor.detach().clone() for name, tensor in _tensors(model)}

    def restore(self, model: nn.Module) -> Evaluation:
        """Give the network the weights and buffers that count; return their evaluation."""
        assert self._kept is not None, "nothing was evaluated"
        with torch.no_grad():
            for name, tensor in _tensors(model) if self._is_best else ():
                tensor.copy_(self._copies[name])
        return self._kept


def _tensors(model: nn.Module) -> chain[tuple[str, Tensor]]:
    return chain(model.named_parameters(), model.named_buffers())
