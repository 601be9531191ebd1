"""The learning rate over time, a function of how far along training is. No torch."""

from __future__ import annotations

import math

from depthbench.grammar import TrainSettings
from depthbench.training.durations import Horizon


def learning_rate_factor(
    settings: TrainSettings, step: int, progress: float, decay_start: float, position: float
) -> float:
    """Return what the peak learning rate is multiplied by in the step that comes next.

    Warm-up is linear in steps and reaches 1 with its last step. After it, linear and cosine go
    from 1 to 0 over the rest of the training: the first step after warm-up has factor 1, and 0 is
    reached where training ends. The step schedule counts its milestones from the start of
    training and multiplies by gamma from each milestone on.

    Args:
        settings: the schedule, warm-up, milestones and gamma.
        step: optimizer steps taken so far.
        progress: share of the training that is done, from 0 to 1.
        decay_start: the progress at which warm-up ended.
        position: how far along training is in the duration's unit, for milestones.
    """
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "step":
        return settings.gamma ** sum(milestone <= position for milestone in settings.milestones)
    remaining = (1.0 - progress) / (1.0 - decay_start) if decay_start < 1.0 else 0.0
    if settings.schedule == "linear":
        return remaining
    return 0.5 * (1.0 - math.cos(math.pi * remaining))


class LearningRate:
    """Follow the schedule through one training; remembers only where warm-up ended."""

    def __init__(self, settings: TrainSettings, horizon: Horizon) -> None:
        self._settings = settings
        self._horizon = horizon
        self._decay_start = 0.0

    def at(self, step: int, examples: int, elapsed_seconds: float) -> float:
        """Return the learning rate of the step that comes next; call it for every step."""
        progress = self._horizon.progress(step, elapsed_seconds)
        if step == self._settings.warmup_steps:
            # With a duration in seconds nobody knows before when the warm-up steps are through.
            self._decay_start = progress
        position = self._horizon.position(step, examples, elapsed_seconds)
        return self._settings.lr * learning_rate_factor(
            self._settings, step, progress, self._decay_start, position
        )
