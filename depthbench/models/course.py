"""Networks whose stream takes another course over depth than z <- z + s f(z).

`Network` is the plain one and stays as small as it is; what is here is built only where an option
asks for it: loops with shared weights, plain stacks, stochastic depth, averages over depth, norms
after sums, scaled skips. All of them work on the stages of a network, so they compose with every
family and every backbone whose stream keeps its shape; stochastic depth with any.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depthbench.models.network import Context, Entry, Network
from depthbench.models.sums import carry_of
from depthbench.spec import Variant


@dataclass(frozen=True, slots=True)
class Course:
    """Say what is other than plain; the defaults are.

    Args:
        carry: what the stream is multiplied by where updates are added.
        has_skip: whether updates are added to the stream, or replace it.
        loops: how often all stages are run.
        injects: whether z_0 is added to the stream at the start of each loop but the first.
        survival: probability that the last module is kept in a training step; that of module i of
            L is 1 - i / L (1 - survival).
        averages: whether depth averages follow stages.
        dilation, period: of the averages.
    """

    carry: float = 1.0
    has_skip: bool = True
    loops: int = 1
    injects: bool = False
    survival: float = 1.0
    averages: bool = False
    dilation: int = 1
    period: int = 1


def course_of(variant: Variant) -> Course:
    """Return the course that a variant's options ask for."""
    return Course(
        carry=carry_of(variant),
        has_skip=variant.skip != "none",
        loops=variant.loops or 1,
        injects=bool(variant.input_injection),
        survival=1.0 if variant.survival is None else variant.survival,
        averages=bool(variant.depth_average),
        dilation=variant.average_dilation or 1,
        period=variant.average_period or 1,
    )


class DepthAverage(nn.Module):
    """Average the states of all stages so far, by trained weights that start at the last alone.

    After stage i, every `period` stages, Y_i = sum_j a_ij X_j over the states j = i, i - dilation,
    i - 2 dilation, ... >= 0, where X_0 is the stream at the start and X_j what stage j makes of
    Y_(j-1). At first a_ii = 1 and all others are 0, so the network is the plain one.

    Shapes:
        (B, *stream) for each state -> (B, *stream)

    Source:
        "DenseFormer: Enhancing Information Flow in Transformers via Depth Weighted Averaging"
        (arXiv 2402.02622), section 3: after each block, dilation k, period p.
    """

    def __init__(self, num_steps: int, dilation: int, period: int) -> None:
        super().__init__()
        self.places = {
            step: range(step % dilation, step + 1, dilation)
            for step in range(period, num_steps + 1, period)
        }
        self.weights = nn.ParameterDict(
            {
                str(step): nn.Parameter(torch.eye(len(places))[-1].clone())
                for step, places in self.places.items()
            }
        )

    def forward(self, states: list[Tensor]) -> Tensor:
        """Return what follows the last of the states: their average, or where none is, itself."""
        step = len(states) - 1
        if step not in self.places:
            return states[-1]
        weights = self.weights[str(step)].unbind()
        first, *others = (states[place] for place in self.places[step])
        total = weights[0] * first  # (B, *stream)
        for weight, state in zip(weights[1:], others, strict=True):
            total = torch.addcmul(total, weight, state)
        return total


class CourseNetwork(Network):
    """Run the stages of a network on another course.

    Args:
        stem, blocks, head, stages, scale: as of `Network`.
        course: what is other than plain.
        norms: one a stage, of the stream after it; None: none.

    Shapes:
        (B, *input) -> (B, *output)

    Source:
        Loops: "Looped Transformers as Programmable Computers" (arXiv 2301.13196); z_0 is added at
        each, as in Trellis Networks (arXiv 1810.06682), which feed it to every layer. Stochastic
        depth: arXiv 1603.09382, section 3, a draw a module and step, linear decay; unlike there the
        update is not rectified after the sum. Plain stacks: VGG (arXiv 1409.1556), between whose
        poolings the stream keeps its shape.
    """

    def __init__(  # noqa: PLR0913 - two more than the plain network
        self,
        stem: nn.Module,
        blocks: Iterable[nn.Module],
        head: nn.Module,
        *,
        stages: tuple[int, ...],
        scale: float | str,
        course: Course,
        norms: Iterable[nn.Module] | None = None,
    ) -> None:
        super().__init__(stem, blocks, head, stages=stages, scale=scale)
        self.course = course
        self.norms = None if norms is None else nn.ModuleList(norms)
        self.average: DepthAverage | None = None
        if course.averages:
            num_steps = course.loops * len(stages)
            self.average = DepthAverage(num_steps, course.dilation, course.period)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for a batch of examples."""
        start, context = self.begin(x)  # (B, *stream)
        z, states = start, [start]
        for loop in range(self.course.loops):
            if loop and self.course.injects:
                z = z + start
            for stage in range(len(self.stages)):
                z = self.advance(z, stage, context)  # (B, *stream)
                if self.average is not None:
                    states.append(z)
                    z = self.average(states)
        return self.head(z)  # (B, *output)

    def advance(self, z: Tensor, stage: int, context: Context = ()) -> Tensor:
        """Return the stream after one stage."""
        start, total = self.starts[stage], None
        others = range(start, start + self.stages[stage])
        first = self.blocks[start]
        if isinstance(first, Entry):  # its projection is run in any case, for the stream's shape
            z, h = first.enter(z)  # (B, *stream)
            factor, others = self._factor(start), others[1:]
            total = self._add(z, factor * first.update(h), start) if factor else z
        elif self.course.has_skip:
            total = z if self.course.carry == 1.0 else self.course.carry * z
        for index in others:
            factor = self._factor(index)
            if factor:
                update = self.blocks[index](z, *context)  # (B, *stream)
                update = update if factor == 1.0 else factor * update
                total = update if total is None else self._add(total, update, index)
        assert total is not None
        return total if self.norms is None else self.norms[stage](total)

    def _factor(self, index: int) -> float:
        """Return what a module's update is multiplied by: 0 where it is left out of this step.

        In training that is drawn; in evaluation it is the probability that it is not.
        """
        survival = self.course.survival
        if survival == 1.0:
            return 1.0
        probability = 1.0 - (index + 1) / len(self.blocks) * (1.0 - survival)
        if not self.training:
            return probability
        # On the CPU whatever the device: the answer decides what is launched.
        return float(torch.rand((), device="cpu") < probability)
