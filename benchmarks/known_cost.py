"""Time what costs a known time: the ratio of what the clock reads to what it must be.

    python benchmarks/known_cost.py [--device cuda] [--rounds 200]

On a CPU the known cost is a busy-wait by CLOCK_MONOTONIC_RAW, which no time server bends and which
depthbench does not read; on CUDA a kernel that spins for a number of the device's cycles, whose
length is found by the host's clock over a much longer spin. Targets: every ratio within 1%, and two
calls in a block within 2% of twice one. Where others use the CPUs, a wait that is interrupted takes
longer than it should, and the clock is right to say so: then the lowest of the rounds counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from depthbench.timing.clocks import Clock, clock_of
from depthbench.timing.device_state import Monitor, foreign_load_fraction

LENGTHS_SECONDS = (50e-6, 100e-6, 1e-3, 10e-3)
BLOCK_SECONDS = 2e-3  # shorter than a turn of the scheduler
LONG_SPIN_CYCLES = 400_000_000


def raw_ns() -> int:
    """Return nanoseconds of a clock that nothing adjusts."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def busy_wait(seconds: float) -> Callable[[], object]:
    """Return a function that keeps the host busy for so long."""
    wait_ns = round(seconds * 1e9)

    def wait() -> None:
        until = raw_ns() + wait_ns
        while raw_ns() < until:
            pass

    return wait


def device_spin(seconds: float) -> Callable[[], object]:
    """Return a function that queues a kernel which spins for so long."""
    torch.cuda._sleep(LONG_SPIN_CYCLES)  # the device's clock rises first
    torch.cuda.synchronize()
    start = time.perf_counter()
    torch.cuda._sleep(LONG_SPIN_CYCLES)
    torch.cuda.synchronize()
    cycles = int(LONG_SPIN_CYCLES / (time.perf_counter() - start) * seconds)
    return lambda: torch.cuda._sleep(cycles)


def call_seconds(clock: Clock, call: Callable[[], object], num_calls: int) -> float:
    """Return the device time of one call in a block, in seconds."""
    return clock.time_calls(call, num_calls).device_seconds / num_calls


def print_line(clock: Clock, seconds: float, call: Callable[[], object], rounds: int) -> None:
    """Time blocks of one, of two and of as many calls as fill a block, in turn, and compare."""
    num_calls = max(1, round(BLOCK_SECONDS / seconds))
    read: dict[int, list[float]] = {count: [] for count in sorted({1, 2, num_calls})}
    for _ in range(rounds):
        for count, values in read.items():
            values.append(call_seconds(clock, call, count))
    found = [value / seconds for value in read[num_calls]]
    medians, lowest = (choose(read[2]) / choose(read[1]) for choose in (statistics.median, min))
    print(
        f"{seconds * 1e6:8.0f} us  {statistics.median(found):.4f}  lowest {min(found):.4f}"
        f"   two calls over twice one: {medians:.4f}  lowest {lowest:.4f}"
    )


def main() -> None:
    """Print a line for each known length, and how much others used the CPUs meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    clock = clock_of(torch.device(options.device))
    known = busy_wait if options.device == "cpu" else device_spin
    monitor = Monitor(torch.device("cpu"))
    before = monitor.sample()
    print(f"{options.device}, {options.rounds} rounds: read / known, median")
    for seconds in LENGTHS_SECONDS:
        print_line(clock, seconds, known(seconds), options.rounds)
    load = foreign_load_fraction([before, monitor.sample()])
    print("others used " + ("an unknown share" if load is None else f"{load:.0%}") + " of the CPUs")


if __name__ == "__main__":
    main()
