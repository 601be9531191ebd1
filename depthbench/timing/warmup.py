"""Warm up: call until blocks bring no faster one any more; find how many calls make a block."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from depthbench.timing.clocks import COARSE_FRACTION, Clock
from depthbench.timing.stopping import MIN_SAMPLES

# Long blocks would hide in their means what single calls now and then take longer.
MIN_BLOCK_SECONDS = 4e-3
MIN_WARMUP_CALLS = 5
# Steady: so many blocks in a row none of which is faster than the best before by this fraction.
# A rule on the best block, since noise only ever adds and would keep any other rule waiting.
STEADY_BLOCKS = 3
STEADY_FRACTION = 0.02


@dataclass(frozen=True, slots=True)
class Warmed:
    """Say what warming up found; `num_calls` counts the very first call too."""

    first_call_seconds: float
    call_seconds: float
    calls_per_sample: int
    num_calls: int
    is_steady: bool
    clock_step_seconds: float


def warm_up(
    call: Callable[[], object], clock: Clock, budget_seconds: float, cell_budget_seconds: float
) -> Warmed:
    """Call a function until it is steady, or until the budget is spent.

    Args:
        call: called without arguments; does the same each time.
        clock: what times a block of calls.
        budget_seconds: host seconds for the warm-up; the first call comes on top.
        cell_budget_seconds: host seconds for all samples, which a block is to be a small part of.
    """
    step_seconds = clock.step_seconds()
    block_seconds = _block_seconds(step_seconds, cell_budget_seconds)
    first_call_seconds = clock.time_calls(call, 1).wall_seconds
    deadline = clock.now() + budget_seconds
    block_calls, num_calls, num_without_gain = 1, 0, 0
    best, is_steady = math.inf, False
    while not is_steady and (num_calls == 0 or clock.now() < deadline):
        block = clock.time_calls(call, block_calls).device_seconds
        num_calls += block_calls
        if block < block_seconds:  # too short to say much: a coarse clock may even read 0
            block_calls *= 2
            continue
        is_gain = block / block_calls < (1 - STEADY_FRACTION) * best
        best = min(best, block / block_calls)
        num_without_gain = 0 if is_gain else num_without_gain + 1
        is_steady = num_without_gain >= STEADY_BLOCKS and num_calls >= MIN_WARMUP_CALLS
    # Without one full block, the size the next would have had is the best guess.
    call_seconds = best if best < math.inf else block_seconds / block_calls
    return Warmed(
        first_call_seconds=first_call_seconds,
        call_seconds=call_seconds,
        calls_per_sample=max(1, math.ceil(block_seconds / call_seconds)),
        num_calls=1 + num_calls,
        is_steady=is_steady,
        clock_step_seconds=step_seconds,
    )


def _block_seconds(clock_step_seconds: float, cell_budget_seconds: float) -> float:
    longest = cell_budget_seconds / (2 * MIN_SAMPLES)  # a coarse clock must leave some samples
    return min(max(MIN_BLOCK_SECONDS, clock_step_seconds / COARSE_FRACTION), longest)
