"""When a cell has been measured enough: precise, no longer changing, or out of time. No torch."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depthbench.report.statistics import median_interval

MIN_SAMPLES = 8
CONFIDENCE = 0.95
# Noise that has stopped changing still averages out: before so much of its time a cell goes on.
STABLE_BUDGET_FRACTION = 0.5

_NOISE_WINDOW = 512
_NOISE_MIN_ENTRIES = 64
_NOISE_MIN_SAMPLES = 5
_NOISE_CHECK_EVERY = 16
_NOISE_CHANGE = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """State when to stop.

    Args:
        target_precision: half width of the median's 95% interval over the median, a fraction.
        time_budget_seconds: host seconds for the whole cell, warm-up included.
        min_sampling_seconds: seconds of samples without which neither precise nor stable is
            believed: a few quiet milliseconds say little about the next ones.
    """

    target_precision: float
    time_budget_seconds: float
    min_sampling_seconds: float = 0.1


class StopRule:
    """Collect samples and say when they are enough.

    Stops with "precision" when the interval of the median is as narrow as asked, with "stable"
    when the relative noise has itself stopped changing, so that more samples would tell little,
    and with "time_budget" when the time is used up, however few samples there are.

    Source: the stable rule is that of NVIDIA nvbench's stdrel criterion (standard deviation over
    mean at each of the last 512 samples; over 64 of them, checked every 16: stable where their
    variance is under (5% of their mean) squared).
    """

    def __init__(self, limits: Limits) -> None:
        self.samples: list[float] = []
        self._limits = limits
        self._noises: deque[float] = deque(maxlen=_NOISE_WINDOW)
        self._sum = self._sum_of_squares = 0.0
        self._next_check = 0

    def add(self, sample_seconds: float) -> None:
        """Add one sample."""
        self.samples.append(sample_seconds)
        # Deviations from the first sample: squares of the samples themselves would cancel.
        deviation = sample_seconds - self.samples[0]
        self._sum += deviation
        self._sum_of_squares += deviation * deviation
        if len(self.samples) >= _NOISE_MIN_SAMPLES:
            self._noises.append(self._relative_noise())

    def reason(self, elapsed_seconds: float, sampled_seconds: float) -> str | None:
        """Return why to stop now, or None to go on.

        Args:
            elapsed_seconds: host time since the cell was begun.
            sampled_seconds: the time of all samples' blocks together.
        """
        is_enough = (
            len(self.samples) >= MIN_SAMPLES
            and sampled_seconds >= self._limits.min_sampling_seconds
        )
        if is_enough and self._is_precise():
            return "precision"
        is_late = elapsed_seconds >= STABLE_BUDGET_FRACTION * self._limits.time_budget_seconds
        if is_enough and is_late and self._is_stable():
            return "stable"
        if elapsed_seconds >= self._limits.time_budget_seconds:
            return "time_budget"
        return None

    def _is_precise(self) -> bool:
        width = relative_half_width(self.samples)
        return width is not None and width <= self._limits.target_precision

    def _is_stable(self) -> bool:
        if len(self._noises) <= _NOISE_MIN_ENTRIES or len(self.samples) < self._next_check:
            return False
        self._next_check = len(self.samples) + _NOISE_CHECK_EVERY
        noises = np.array(self._noises)
        return bool(noises.var() <= (_NOISE_CHANGE * noises.mean()) ** 2)

    def _relative_noise(self) -> float:
        count = len(self.samples)
        mean_deviation = self._sum / count
        squares = max(self._sum_of_squares - count * mean_deviation**2, 0.0)
        mean = self.samples[0] + mean_deviation
        return math.sqrt(squares / (count - 1)) / mean if mean > 0 else 0.0


def relative_half_width(samples: Sequence[float]) -> float | None:
    """Return half the width of the median's 95% interval over the median; None with too few."""
    interval = median_interval(samples, CONFIDENCE)
    if interval is None:
        return None
    low, high = interval
    median = statistics.median(samples)
    return (high - low) / 2 / median if median > 0 else None
