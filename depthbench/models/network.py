"""The one network class: a stem, residual modules in stages, a head."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Run stages of residual modules: z <- z + s (f_i(z) + f_i+1(z) + ...), a sum a stage.

    A stage of one module is a step of a deep network; one stage of all modules is the parallel
    layout. The weights have the same names, shapes and initial draws whatever the stages are, so
    a `state_dict` moves freely between layouts of the same modules.

    Args:
        stem: maps examples to the stream z.
        blocks: the modules f_1 .. f_L.
        head: maps the stream to the outputs.
        stages: how many modules run side by side in each stage; they sum to L.
        scale: s, a number, or "learned": one weight a module, starting at 1.

    Shapes:
        (B, *input) -> (B, *output); every f_i maps (B, *stream) -> (B, *stream)
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Iterable[nn.Module],
        head: nn.Module,
        *,
        stages: tuple[int, ...],
        scale: float | str,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head
        self.stages = stages
        self.starts = (0, *accumulate(stages))[:-1]
        is_learned = isinstance(scale, str)
        self.scale = 1.0 if isinstance(scale, str) else scale
        self.scales = nn.Parameter(torch.ones(sum(stages))) if is_learned else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for a batch of examples."""
        z = self.stem(x)  # (B, *stream)
        for stage in range(len(self.stages)):
            z = self.advance(z, stage)  # (B, *stream)
        return self.head(z)  # (B, *output)

    def advance(self, z: Tensor, stage: int) -> Tensor:
        """Return the stream after one stage: z plus the scaled updates of its modules."""
        start, total = self.starts[stage], z
        for index in range(start, start + self.stages[stage]):
            update = self.blocks[index](z)  # (B, *stream)
            if self.scales is None:
                total = torch.add(total, update, alpha=self.scale)
            else:
                total = total + self.scales[index] * update
        return total
