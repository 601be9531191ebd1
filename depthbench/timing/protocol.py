"""The protocol: first call, warm-up until steady, samples until enough, memory in its own pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from depthbench.models import build
from depthbench.timing.cells import Cell
from depthbench.timing.clocks import Clock, clock_of
from depthbench.timing.stopping import MIN_SAMPLES, Limits, StopRule
from depthbench.timing.summary import COARSE_FRACTION, Timed, measured_columns
from depthbench.timing.work import Builder, Work, prepared_work
from depthbench.training.memory import is_out_of_memory

# By device; others are judged as a CPU is.
DEFAULT_TARGET_PRECISION = {"cpu": 0.01, "cuda": 0.005}
DEFAULT_TIME_BUDGET_SECONDS = 10.0

MIN_BLOCK_SECONDS = 5e-3
MIN_WARMUP_CALLS = 5
# Steady: so many blocks in a row none of which is faster than the best before by this fraction.
# A rule on the best block, since noise only ever adds and would keep any other rule waiting.
STEADY_BLOCKS = 3
STEADY_FRACTION = 0.02
# A cell that is never steady is measured all the same, and flagged.
WARMUP_BUDGET_FRACTION = 0.2


def measure(
    cell: Cell,
    device: torch.device | str,
    *,
    build: Builder = build,
    clock: Clock | None = None,
    target_precision: float | None = None,
    time_budget_seconds: float | None = None,
) -> dict[str, Any]:
    """Time one cell and return its measured columns of timings.parquet.

    A sample is the mean of a block of calls; a block is so long that the clock's step is under
    0.1% of it, and 5 ms at least. Sampling ends at the precision asked for, when the noise has
    stopped changing, or when the time is up; `stop_reason` says which. Running out of memory is
    a row with the status oom.

    Args:
        cell: what is timed.
        device: where.
        build: gives an initialised network of a variant for a problem.
        clock: what times a block (default: events on CUDA, the monotonic clock elsewhere).
        target_precision: half width of the median's 95% interval at which to stop, as a fraction
            of the median (default 0.01, on CUDA 0.005).
        time_budget_seconds: seconds for the cell, warm-up included (default 10).

    Raises:
        TrialError: a cell that cannot be timed.
    """
    device = torch.device(device)
    limits = _limits(device, target_precision, time_budget_seconds)
    try:
        with prepared_work(cell, device, build) as work:
            num_threads = torch.get_num_threads()
            timed = time_work(work, clock or clock_of(device), limits)
            peak_memory = peak_memory_bytes(work, device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return {"status": "oom", "error": str(error)}
    return {
        "status": "ok",
        "error": None,
        "num_threads": num_threads,
        "peak_memory_bytes": peak_memory,
        **measured_columns(timed, cell.batch_size),
    }


def time_work(work: Work, clock: Clock, limits: Limits) -> Timed:
    """Time a function by the protocol: first call, warm-up, samples.

    Args:
        work: called without arguments; does the same each time.
        clock: what times a block of calls.
        limits: when to stop.
    """
    start = clock.now()
    step_seconds = clock.step_seconds()
    block_seconds = _block_seconds(step_seconds, limits.time_budget_seconds)
    first_call_seconds = clock.time_calls(work, 1).wall_seconds
    warmup_deadline = start + WARMUP_BUDGET_FRACTION * limits.time_budget_seconds
    warmup = _warm_up(work, clock, block_seconds, warmup_deadline)
    num_calls = math.ceil(block_seconds / warmup.call_seconds)

    rule = StopRule(limits)
    sampled_seconds = 0.0
    stop_reason = None
    while stop_reason is None:
        block = clock.time_calls(work, num_calls).device_seconds
        rule.add(block / num_calls)
        sampled_seconds += block
        stop_reason = rule.reason(clock.now() - start, sampled_seconds)
    return Timed(
        samples=tuple(rule.samples),
        calls_per_sample=num_calls,
        first_call_seconds=first_call_seconds,
        num_warmup_calls=1 + warmup.num_calls,
        is_steady=warmup.is_steady,
        stop_reason=stop_reason,
        clock_step_seconds=step_seconds,
    )


def peak_memory_bytes(work: Work, device: torch.device, cuda: Any = torch.cuda) -> int | None:
    """Return the largest memory allocated during one call; None where it is not known.

    Args:
        work: called once.
        device: where it runs.
        cuda: torch.cuda, or a stand-in.
    """
    if device.type != "cuda":
        return None
    cuda.reset_peak_memory_stats(device)
    work()
    cuda.synchronize(device)
    return int(cuda.max_memory_allocated(device))


@dataclass(frozen=True, slots=True)
class _Warmup:
    call_seconds: float
    num_calls: int
    is_steady: bool


def _warm_up(work: Work, clock: Clock, block_seconds: float, deadline: float) -> _Warmup:
    """Call until blocks of full length bring no faster one any more, or until the deadline."""
    block_calls, num_calls, num_without_gain = 1, 0, 0
    best = math.inf
    while num_calls == 0 or clock.now() < deadline:
        block = clock.time_calls(work, block_calls).device_seconds
        num_calls += block_calls
        if block < block_seconds:  # too short to say much: a coarse clock may even read 0
            block_calls *= 2
            continue
        is_gain = block / block_calls < (1 - STEADY_FRACTION) * best
        best = min(best, block / block_calls)
        num_without_gain = 0 if is_gain else num_without_gain + 1
        if num_without_gain >= STEADY_BLOCKS and num_calls >= MIN_WARMUP_CALLS:
            return _Warmup(best, num_calls, is_steady=True)
    # Without one full block, the size the next would have had is the best guess.
    guess = best if best < math.inf else block_seconds / block_calls
    return _Warmup(guess, num_calls, is_steady=False)


def _block_seconds(clock_step_seconds: float, time_budget_seconds: float) -> float:
    longest = time_budget_seconds / (2 * MIN_SAMPLES)  # a coarse clock must leave some samples
    return min(max(MIN_BLOCK_SECONDS, clock_step_seconds / COARSE_FRACTION), longest)


def _limits(
    device: torch.device, target_precision: float | None, time_budget_seconds: float | None
) -> Limits:
    if target_precision is None:
        default = DEFAULT_TARGET_PRECISION["cpu"]
        target_precision = DEFAULT_TARGET_PRECISION.get(device.type, default)
    if time_budget_seconds is None:
        time_budget_seconds = DEFAULT_TIME_BUDGET_SECONDS
    return Limits(target_precision, time_budget_seconds)
