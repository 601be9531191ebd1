"""How long a training lasts, in any unit, and how far along it is. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from depthbench.errors import TrialError
from depthbench.grammar import DURATIONS, TrainSettings


@dataclass(frozen=True, slots=True)
class Horizon:
    """State when a training ends.

    `num_examples` is set where the duration counts examples (epochs, examples, tokens): the last
    batch is cut so that exactly so many are seen. `num_steps` is None only for a duration in
    seconds.
    """

    unit: str
    amount: float
    epoch_examples: int
    batch_size: int
    num_examples: int | None
    num_steps: int | None
    example_tokens: int | None = None

    def progress(self, step: int, elapsed_seconds: float) -> float:
        """Return the share of the training that is done, from 0 to 1."""
        if self.num_steps is None:
            return min(elapsed_seconds / self.amount, 1.0)
        return step / self.num_steps if step < self.num_steps else 1.0

    def position(self, step: int, examples: int, elapsed_seconds: float) -> float:
        """Return how far along training is, in the duration's unit."""
        if self.unit == "epochs":
            return examples / self.epoch_examples
        if self.unit == "tokens":
            return examples * (self.example_tokens or 1)
        return {"steps": step, "examples": examples, "seconds": elapsed_seconds}[self.unit]

    def num_evaluations(
        self, step: int, examples: int, elapsed_seconds: float, evaluations: int | None
    ) -> int:
        """Return how many validations are due by now: one an epoch, or evenly spaced ones."""
        if evaluations is None:
            return examples // self.epoch_examples
        if self.num_steps is None:
            return int(self.progress(step, elapsed_seconds) * evaluations)
        return step * evaluations // max(self.num_steps, 1)  # whole numbers: no rounding

    def has_batch_of_one(self) -> bool:
        """Say whether some batch of this training holds a single example."""
        epoch_steps = math.ceil(self.epoch_examples / self.batch_size)
        rest = (self.num_examples or 0) % self.epoch_examples
        remainder = 1 % self.batch_size  # 0 where every batch is of one
        ends_epoch = self.num_steps is None or self.num_steps >= epoch_steps
        return (ends_epoch and self.epoch_examples % self.batch_size == remainder) or (
            rest > 0 and rest % self.batch_size == remainder
        )


def horizon_of(
    settings: TrainSettings, epoch_examples: int, example_tokens: int | None = None
) -> Horizon:
    """Resolve the one duration of a training against the size of its training set.

    Args:
        settings: the training settings, with exactly one duration.
        epoch_examples: examples in the training set.
        example_tokens: tokens of an example, None where examples are no text.

    Raises:
        TrialError: no duration or several, or tokens for a set of examples.
    """
    given = {unit: getattr(settings, unit) for unit in DURATIONS}
    given = {unit: amount for unit, amount in given.items() if amount is not None}
    if len(given) != 1:
        found = ", ".join(given) or "none"
        raise TrialError(f"train: exactly one duration of {', '.join(DURATIONS)}; found {found}")
    unit, amount = next(iter(given.items()))
    if unit == "tokens" and example_tokens is None:
        raise TrialError(
            "train: tokens is a duration of text; found a set of labelled examples; "
            "use steps, epochs, examples or seconds"
        )
    num_examples = _examples_of(unit, amount, epoch_examples, example_tokens or 1)
    num_steps = int(amount) if unit == "steps" else None
    if num_examples is not None:
        num_steps = _steps_of(num_examples, epoch_examples, settings.batch_size)
    sizes = (epoch_examples, settings.batch_size, num_examples, num_steps, example_tokens)
    return Horizon(unit, amount, *sizes)


def _examples_of(unit: str, amount: float, epoch_examples: int, example_tokens: int) -> int | None:
    if unit == "epochs":
        return max(1, round(amount * epoch_examples))
    if unit == "tokens":
        return max(1, round(amount / example_tokens))  # whole windows
    return int(amount) if unit == "examples" else None


def _steps_of(num_examples: int, epoch_examples: int, batch_size: int) -> int:
    num_epochs, rest = divmod(num_examples, epoch_examples)
    return num_epochs * math.ceil(epoch_examples / batch_size) + math.ceil(rest / batch_size)
