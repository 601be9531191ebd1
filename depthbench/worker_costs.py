"""What layouts of workers would take for the work of a run: when starting them pays. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# From starting workers to their first steps, PyTorch loaded: on 2 cores 4 to 5 s.
START_SECONDS = 5.0
# Workers that share caches and memory take steps at such a rate of what one alone does.
_BESIDE_OTHERS = 0.8
# What workers take may be predicted too low by so much, and they are still no slower.
_DOUBT = 1.1


@dataclass(frozen=True, slots=True)
class Layout:
    """State a number of workers, and the CPU threads of each."""

    num_workers: int
    num_threads: int


@dataclass(frozen=True, slots=True)
class Speed:
    """State how many training steps a second all workers of a layout take together."""

    num_workers: int
    num_threads: int
    steps_per_second: float


def seconds_of(item_steps: Sequence[float], speed: Speed) -> float:
    """Return the seconds that workers take for items, beside their start.

    Args:
        item_steps: how many steps each item is worth; each worker takes the next when it is free.
        speed: of the workers together.
    """
    busy_until = [0.0] * speed.num_workers
    for steps in item_steps:
        heapq.heapreplace(busy_until, busy_until[0] + steps)
    return max(busy_until) * speed.num_workers / speed.steps_per_second


def do_pay(item_steps: Sequence[float], speeds: Sequence[Speed]) -> bool:
    """Say whether some layout of several workers, once started, is faster than one process.

    Args:
        item_steps: how many steps each item is worth.
        speeds: of layouts; the one with a single worker is as fast as this process. Without it
            nothing speaks against workers.
    """
    here = [seconds_of(item_steps, speed) for speed in speeds if speed.num_workers == 1]
    there = [seconds_of(item_steps, speed) for speed in speeds if speed.num_workers > 1]
    if not (here and there):
        return bool(there)
    return START_SECONDS + _DOUBT * min(there) < here[0]


def guessed_speeds(layouts: Sequence[Layout], alone: Callable[[Layout], float]) -> list[Speed]:
    """Return about how fast the first and the last layout are.

    Args:
        layouts: from the most workers to a single one with all threads.
        alone: returns the steps a second of one worker of a layout, with the others idle.
    """
    found = []
    for layout in (layouts[0], layouts[-1]):
        rate = _BESIDE_OTHERS if layout.num_workers > 1 else 1.0
        together = alone(layout) * layout.num_workers * rate
        found.append(Speed(layout.num_workers, layout.num_threads, together))
    return found
