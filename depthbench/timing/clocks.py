"""Clocks: device and wall seconds of a block of calls. What is read, when, and how finely."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from depthbench.errors import TrialError

# A clock's step must be under this fraction of a block.
COARSE_FRACTION = 1e-3
# CUDA events are documented as precise to about half a microsecond.
CUDA_EVENT_STEP_SECONDS = 0.5e-6
_NUM_STEPS = 10
_MAX_READINGS = 10_000_000

# A driver queues about a thousand launches; the next one waits for room, and the device for it. No
# launch takes the host under 2 microseconds, so this much launching stays within the queue.
MAX_QUEUED_LAUNCH_SECONDS = 2e-3
# With an eviction and two events each, so many calls of one kernel fit the queue as well.
MAX_QUEUED_CALLS = 250
# Beyond this a call launches more than the queue takes, or waits for the device by itself.
MAX_HOLD_SECONDS = 0.05
_HOLD_MARGIN = 1.2
_HOLD_SLACK_SECONDS = 1e-4
_EVICTION_LAUNCH_SECONDS = 2e-5
# Above the clock of any GPU: a device that is slower is held longer than asked, never shorter.
FASTEST_SM_HERTZ = 3e9

# Replacement in the L2 is not strictly by age, so the eviction writes more than it holds.
EVICTION_L2_SIZES = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold the time of a block of calls, in seconds.

    `device_seconds` is the device's own time, `wall_seconds` the host's from the first call until
    all work is finished; on a CPU they are the same. `has_launch_gaps` says that the device waited
    for the host within `device_seconds`, as where a call launches more than the driver queues.
    """

    device_seconds: float
    wall_seconds: float
    has_launch_gaps: bool = False


class Clock(Protocol):
    """Time blocks of calls; `now` is for budgets only, never for a sample."""

    def now(self) -> float:
        """Return host seconds from some fixed point."""

    def time_calls(self, call: Callable[[], object], num_calls: int) -> Reading:
        """Return the time that so many calls take together, all work finished."""

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

    def time_calls(self, call: Callable[[], object], num_calls: int) -> Reading:
        """Return the time that so many calls take together."""
        repeats = range(num_calls)
        start = self._now_ns()
        for _ in repeats:
            call()
        seconds = (self._now_ns() - start) * 1e-9
        return Reading(seconds, seconds)

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
    """Time with CUDA events, on the device's current stream, launches queued ahead of the device.

    A block is called twice. The first time runs as in use and gives the wall time. The second time
    a kernel that only spins holds the stream until the host has launched the calls, so that the
    time between the events is the device's alone; a long block is held in parts. Host time in which
    a call waits for the device by itself cannot be taken out: see `Reading.has_launch_gaps`.

    Source: holding the stream is what NVIDIA nvbench does (measure_cold_launch_timer_core.cuh). Its
    hold waits for the host, ours ends by itself: a call that waits for the device cannot hang.

    Args:
        device: the CUDA device.
        cuda: torch.cuda, or a stand-in with Event, synchronize, device and _sleep.
        now: returns host seconds.
        evict: empties the L2 cache before each call, outside the time; each call then has events
            of its own, and its wall time is that of a call awaited. None leaves the cache warm.
    """

    def __init__(
        self,
        device: torch.device,
        cuda: Any = torch.cuda,
        now: Callable[[], float] = time.perf_counter,
        evict: Callable[[], object] | None = None,
    ) -> None:
        self._device = device
        self._cuda = cuda
        self._now = now
        self._evict = evict

    def now(self) -> float:
        """Return host seconds from some fixed point."""
        return self._now()

    def time_calls(self, call: Callable[[], object], num_calls: int) -> Reading:
        """Return the time that so many calls take together; they are made twice."""
        run_free = self._run_warm if self._evict is None else self._run_cold
        with self._cuda.device(self._device):
            wall_seconds, launch_seconds = run_free(call, num_calls)
            device_seconds, has_launch_gaps = self._run_held(call, num_calls, launch_seconds)
        return Reading(device_seconds, wall_seconds, has_launch_gaps)

    def step_seconds(self) -> float:
        """Return the documented precision of an event."""
        return CUDA_EVENT_STEP_SECONDS

    def _run_warm(self, call: Callable[[], object], num_calls: int) -> tuple[float, float]:
        """Return the wall time of all calls, and what launching one takes the host."""
        self._cuda.synchronize(self._device)
        start = self._now()
        call()
        first = self._now() - start
        for _ in range(num_calls - 1):
            call()
        launched = self._now() - start
        self._cuda.synchronize(self._device)
        # A mean over many calls may hold waits for room in the queue, the first one a hiccup.
        return self._now() - start, min(first, launched / num_calls)

    def _run_cold(self, call: Callable[[], object], num_calls: int) -> tuple[float, float]:
        """Return the wall time of all calls, each awaited, and what launching one takes."""
        wall_seconds, launch_seconds = 0.0, math.inf
        for _ in range(num_calls):
            self._prepare_cache()
            self._cuda.synchronize(self._device)
            start = self._now()
            call()
            launch_seconds = min(launch_seconds, self._now() - start)
            self._cuda.synchronize(self._device)
            wall_seconds += self._now() - start
        return wall_seconds, launch_seconds + _EVICTION_LAUNCH_SECONDS

    def _run_held(
        self, call: Callable[[], object], num_calls: int, launch_seconds: float
    ) -> tuple[float, bool]:
        """Return the device's time for all calls, and whether it waited for the host in between."""
        device_seconds, has_launch_gaps = 0.0, False
        num_left = num_calls
        while num_left:
            num_queued = min(num_left, _num_queued_calls(launch_seconds))
            self._cuda.synchronize(self._device)
            self._hold(num_queued * launch_seconds)
            events = self._launch(call, num_queued)
            # Had the device passed the first event by now, it could have overtaken the host.
            has_launch_gaps |= events[0][0].query()
            self._cuda.synchronize(self._device)
            # Events give milliseconds.
            device_seconds += sum(start.elapsed_time(end) for start, end in events) * 1e-3
            num_left -= num_queued
        return device_seconds, has_launch_gaps

    def _hold(self, launch_seconds: float) -> None:
        hold_seconds = _HOLD_MARGIN * launch_seconds + _HOLD_SLACK_SECONDS
        self._cuda._sleep(int(min(hold_seconds, MAX_HOLD_SECONDS) * FASTEST_SM_HERTZ))

    def _launch(self, call: Callable[[], object], num_calls: int) -> list[tuple[Any, Any]]:
        """Launch calls between pairs of events: one pair for all, in the cold one for each."""
        num_pairs, calls_a_pair = (1, num_calls) if self._evict is None else (num_calls, 1)
        events = [(self._event(), self._event()) for _ in range(num_pairs)]
        for start, end in events:
            self._prepare_cache()
            start.record()
            for _ in range(calls_a_pair):
                call()
            end.record()
        return events

    def _event(self) -> Any:
        return self._cuda.Event(enable_timing=True)

    def _prepare_cache(self) -> None:
        if self._evict is not None:
            self._evict()


def _num_queued_calls(launch_seconds: float) -> int:
    if launch_seconds * MAX_QUEUED_CALLS <= MAX_QUEUED_LAUNCH_SECONDS:
        return MAX_QUEUED_CALLS
    return max(1, int(MAX_QUEUED_LAUNCH_SECONDS / launch_seconds))


def l2_eviction(
    device: torch.device, cuda: Any = torch.cuda, empty: Callable[..., Any] = torch.empty
) -> Callable[[], object]:
    """Return a function that overwrites the L2 cache of a device, queued on its stream.

    Args:
        device: the CUDA device.
        cuda: torch.cuda, or a stand-in with get_device_properties.
        empty: torch.empty, or a stand-in.

    Raises:
        TrialError: the size of the cache is unknown, so that a cold one cannot be promised.
    """
    l2_bytes = getattr(cuda.get_device_properties(device), "L2_cache_size", 0)
    if not l2_bytes:
        raise TrialError(f"timing: cache 'cold': the size of the L2 cache of {device} is unknown")
    with torch.inference_mode(False):  # else only inference could write to it later
        buffer = empty(EVICTION_L2_SIZES * l2_bytes, dtype=torch.uint8, device=device)
    return lambda: buffer.zero_()


def clock_of(device: torch.device, cache: str = "warm") -> Clock:
    """Return the clock for a device: events on CUDA, the host's monotonic clock elsewhere.

    Args:
        device: what is timed.
        cache: warm, or cold: the L2 cache is emptied before each call.

    Raises:
        TrialError: a cold cache on a device where it cannot be had.
    """
    if device.type == "cuda":
        return CudaClock(device, evict=l2_eviction(device) if cache == "cold" else None)
    if cache != "warm":
        raise TrialError(f"timing: cache {cache!r} cannot be timed on {device.type}; use warm")
    return CpuClock()
