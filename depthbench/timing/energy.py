"""The energy of a call, from the GPU's own counter, in a pass of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from depthbench.timing.clocks import Clock
from depthbench.timing.nvml import Gpu

# Each end of the window is off by a step of the counter at most, 5% of the shortest window.
MIN_STEPS = 20
MIN_WINDOW_SECONDS = 0.5
MAX_WINDOW_SECONDS = 10.0
_MIN_BLOCK_SECONDS = 2e-3
_NUM_STEPS_MEASURED = 3
_MAX_STEP_SEARCH_SECONDS = 2.0


class Prepared(Protocol):
    """What is called, and the state of the process that its calls need."""

    @property
    def call(self) -> Callable[[], object]:
        """Do the cell's work once."""

    @property
    def active(self) -> Callable[[], AbstractContextManager[None]]:
        """Give the state of the process that calls need."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What stood when the counter had just moved."""

    at_seconds: float
    energy_joules: float
    num_calls: int


def energy_columns(
    prepared: Prepared,
    device: torch.device,
    clock: Clock,
    gpu: Gpu | None,
    cuda: Any = torch.cuda,
) -> dict[str, Any]:
    """Return energy_joules, of one call, and energy_window_seconds, what it was measured over.

    Calls follow one another as in use, so that what the GPU spends waiting for the host counts.
    The counter moves in steps: the window runs from one of its moves to another, and spans at least
    20 of them. Both are None without a counter, or where its steps are too long for that.

    Args:
        prepared: the cell's work.
        device: the GPU.
        clock: gives host seconds.
        gpu: answers for the GPU; None where nothing is known of it, as on a CPU.
        cuda: torch.cuda, or a stand-in with synchronize.
    """
    step_seconds = None if gpu is None else counter_step_seconds(gpu, clock.now)
    if gpu is None or step_seconds is None:
        return {"energy_joules": None, "energy_window_seconds": None}

    def run(num_calls: int) -> None:
        for _ in range(num_calls):
            prepared.call()
        cuda.synchronize(device)

    with prepared.active():
        marks = _window(run, gpu, clock, max(MIN_WINDOW_SECONDS, MIN_STEPS * step_seconds))
    if marks is None:
        return {"energy_joules": None, "energy_window_seconds": None}
    first, last = marks
    num_calls = last.num_calls - first.num_calls
    return {
        "energy_joules": (last.energy_joules - first.energy_joules) / num_calls,
        "energy_window_seconds": last.at_seconds - first.at_seconds,
    }


def counter_step_seconds(gpu: Gpu, now: Callable[[], float]) -> float | None:
    """Return the longest of a few steps of the energy counter, in seconds; None without one.

    Args:
        gpu: answers for the GPU.
        now: returns host seconds.
    """
    moves: list[float] = []
    start, before = now(), gpu.energy_joules()
    while before is not None and now() - start < _MAX_STEP_SEARCH_SECONDS:
        energy = gpu.energy_joules()
        if energy != before:
            moves.append(now())
            before = energy
        if len(moves) > _NUM_STEPS_MEASURED:
            return max(after - earlier for earlier, after in itertools.pairwise(moves))
    return None


def _window(
    run: Callable[[int], None], gpu: Gpu, clock: Clock, wanted_seconds: float
) -> tuple[_Mark, _Mark] | None:
    """Run blocks of calls until two moves of the counter are so far apart; None if they never are.

    Both marks are set at the end of a block, within which the counter moved.
    """
    if wanted_seconds > MAX_WINDOW_SECONDS:
        return None
    block_calls = _block_calls(run, clock)
    num_calls = 0
    first: _Mark | None = None
    start, before = clock.now(), gpu.energy_joules()
    while clock.now() - start < wanted_seconds + MAX_WINDOW_SECONDS:
        run(block_calls)
        num_calls += block_calls
        energy = gpu.energy_joules()
        if energy is None or before is None or energy < before:  # the driver was loaded anew
            return None
        if energy == before:
            continue
        before = energy
        mark = _Mark(clock.now(), energy, num_calls)
        first = first or mark
        if mark.at_seconds - first.at_seconds >= wanted_seconds:
            return first, mark
    return None


def _block_calls(run: Callable[[int], None], clock: Clock) -> int:
    """Return how many calls take a block's time; that many have then warmed the device up."""
    num_calls = 1
    while True:
        start = clock.now()
        run(num_calls)
        if clock.now() - start >= _MIN_BLOCK_SECONDS:
            return num_calls
        num_calls *= 2
