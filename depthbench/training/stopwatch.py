"""Seconds of training, with validation left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Count seconds since it was made, but for pauses; waits for the device at each reading.

    Args:
        clock: returns seconds, as time.perf_counter does.
        device: what to wait for: a GPU runs behind the host.
    """

    def __init__(self, clock: Callable[[], float], device: torch.device) -> None:
        self._clock = clock
        self._device = device
        self._paused_seconds = 0.0
        self._start = self._now()

    def seconds(self) -> float:
        """Return the seconds counted so far."""
        return self._now() - self._start - self._paused_seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time spent inside."""
        before = self._now()
        try:
            yield
        finally:
            self._paused_seconds += self._now() - before

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._clock()
