"""Clocks: seconds of a block of calls, on a device. What is read, when, and how finely."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

# CUDA events are documented as precise to about half a microsecond.
CUDA_EVENT_STEP_SECONDS = 0.5e-6
_NUM_STEPS = 10
_MAX_READINGS = 10_000_000


class Clock(Protocol):
    """Time blocks of calls; `now` is for budgets only, never for a sample."""

    def now(self) -> float:
        """Return host seconds from some fixed point."""

    def time_calls(self, call: Callable[[], object], num_calls: int) -> float:
        """Return the seconds that so many calls take together, all work finished."""

    def step_seconds(self) -> float:
        """Return the finest difference this clock can tell."""


class CpuClock:
    """Time with the host's monotonic clock; for devices that finish a call before it returns.

    Args:
        now_ns: returns nanoseconds, as time.perf_counter_ns does.
    """

    def __init__(self, now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now_ns = now_ns

    def now(self) -> float:
        """Return host seconds from some fixed point."""
        return self._now_ns() * 1e-9

    def time_calls(self, call: Callable[[], object], num_calls: int) -> float:
        """Return the seconds that so many calls take together."""
        repeats = range(num_calls)
        start = self._now_ns()
        for _ in repeats:
            call()
        return (self._now_ns() - start) * 1e-9

    def step_seconds(self) -> float:
        """Return the smallest difference seen between two readings, reading included."""
        steps: list[int] = []
        before = self._now_ns()
        for _ in range(_MAX_READINGS):  # a coarse clock gives the same reading many times
            after = self._now_ns()
            if after > before:
                steps.append(after - before)
            before = after
            if len(steps) == _NUM_STEPS:
                break
        return min(steps) * 1e-9 if steps else math.inf


class CudaClock:
    """Time with CUDA events around the block, on the device's current stream.

    Work queued before is drained first. What the device waits for within the block, the host's
    launching included, is part of the time.

    Args:
        device: the CUDA device.
        cuda: torch.cuda, or a stand-in with Event, synchronize and device.
        now: returns host seconds.
    """

    def __init__(
        self,
        device: torch.device,
        cuda: Any = torch.cuda,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._device = device
        self._cuda = cuda
        self._now = now

    def now(self) -> float:
        """Return host seconds from some fixed point."""
        return self._now()

    def time_calls(self, call: Callable[[], object], num_calls: int) -> float:
        """Return the seconds between two events around so many calls."""
        with self._cuda.device(self._device):
            start = self._cuda.Event(enable_timing=True)
            end = self._cuda.Event(enable_timing=True)
            self._cuda.synchronize(self._device)
            start.record()
            for _ in range(num_calls):
                call()
            end.record()
            end.synchronize()
            return start.elapsed_time(end) * 1e-3  # events give milliseconds

    def step_seconds(self) -> float:
        """Return the documented precision of an event."""
        return CUDA_EVENT_STEP_SECONDS


def clock_of(device: torch.device) -> Clock:
    """Return the clock for a device: events on CUDA, the host's monotonic clock elsewhere."""
    return CudaClock(device) if device.type == "cuda" else CpuClock()
