"""The one network class: a stem, residual modules in stages, a head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

import torch
from torch import Tensor, nn

from depthbench.models.rates import Rates

Context = tuple[Tensor, ...]


class Entry(nn.Module):
    """A module that changes the shape of the stream, as the first of a stage may.

    Shapes:
        (B, *stream) -> (B, *new stream)
    """

    def enter(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stream in its new shape, P(z), and what the module's update is made of, h."""
        raise NotImplementedError

    def update(self, h: Tensor) -> Tensor:
        """Return the update of the stream, f(z), in the shape of P(z)."""
        raise NotImplementedError

    def forward(self, z: Tensor) -> Tensor:
        """Return the stream after the module, at residual scale 1."""
        stream, h = self.enter(z)
        return stream + self.update(h)


class Network(nn.Module):
    """Run stages of residual modules: z <- z + s (f_i(z) + f_i+1(z) + ...), a sum a stage.

    Where the first module of a stage changes the shape of the stream, by a projection P of its
    own, the stage is z <- P(z) + s (f_i(z) + f_i+1(P(z)) + ...).

    A stage of one module is a step of a deep network; one stage of all modules is the parallel
    layout. The weights have the same names, shapes and initial draws whatever the stages are, so
    a `state_dict` moves freely between layouts of the same modules.

    Args:
        stem: maps examples to the stream z, or to a tuple of it and what every module reads
            beside it: its context, such as a mask.
        blocks: the modules f_1 .. f_L.
        head: maps the stream to the outputs.
        stages: how many modules run side by side in each stage; they sum to L.
        scale: s, a number, or one trained weight a module: "learned" starts at 1, "rezero" at 0.

    Shapes:
        (B, *input) -> (B, *output); f_i maps (B, *stream) -> (B, *stream)
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
        start = 0.0 if scale == "rezero" else 1.0
        self.scales = nn.Parameter(torch.full((sum(stages),), start)) if is_learned else None
        # Of each weight by name, where a parametrisation has them differ.
        self.rates: Mapping[str, Rates] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for a batch of examples."""
        z, context = self.begin(x)  # (B, *stream)
        for stage in range(len(self.stages)):
            z = self.advance(z, stage, context)  # (B, *stream)
        return self.head(z)  # (B, *output)

    def begin(self, x: Tensor) -> tuple[Tensor, Context]:
        """Return the stream at the start, and its context."""
        begun = self.stem(x)
        return (begun[0], begun[1:]) if isinstance(begun, tuple) else (begun, ())

    def advance(self, z: Tensor, stage: int, context: Context = ()) -> Tensor:
        """Return the stream after one stage: z plus the scaled updates of its modules."""
        start, first = self.starts[stage], self.blocks[self.starts[stage]]
        if isinstance(first, Entry):
            z, h = first.enter(z)  # (B, *stream)
            update = first.update(h)  # (B, *stream)
        else:
            update = first(z, *context)  # (B, *stream)
        total = self._add(z, update, start)
        for index in range(start + 1, start + self.stages[stage]):
            total = self._add(total, self.blocks[index](z, *context), index)
        return total

    def _add(self, total: Tensor, update: Tensor, index: int) -> Tensor:
        if self.scales is None:
            return torch.add(total, update, alpha=self.scale)
        return total + self.scales[index] * update
