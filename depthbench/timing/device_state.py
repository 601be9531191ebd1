"""The state of a device around each sample: its clock, its heat, and who else uses it.

A `Monitor` takes one `DeviceState` before a sample and one after; a row's columns and flags come
from all of its cell's. Nothing is dropped for them, and what is unknown raises no flag.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from depthbench.machine import read_text
from depthbench.timing.nvml import Gpu, open_gpu

# Others using more than this share of the CPUs we may run on make a sample doubtful.
FOREIGN_LOAD_FRACTION = 0.10
# The kernel counts CPU time in ticks of 10 ms: of less time than this nothing is said.
MIN_LOAD_SECONDS = 0.5
# The multiprocessors' clock over all samples, from lowest to highest, over its median.
CLOCK_RANGE_FRACTION = 0.05
# The first fields of a line of /proc/stat; interrupts are left out, since they may serve us.
_BUSY_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_COUNTED_FIELDS = ("user", "nice", "system", "steal")


@dataclass(frozen=True, slots=True)
class DeviceState:
    """Hold what is known of a device at one moment; None is unknown.

    `busy_cpu_seconds` and `own_cpu_seconds` count what all processes and what ours have used
    so far of the `num_cpus` CPUs that this process may run on: only differences say anything.
    """

    at_seconds: float
    sm_clock_hertz: float | None = None
    temperature_celsius: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    num_foreign_processes: int | None = None
    busy_cpu_seconds: float | None = None
    own_cpu_seconds: float | None = None
    num_cpus: int | None = None


class Monitor:
    """Sample the state of a device: of a GPU through NVML, of a CPU through /proc.

    Ours are this process with all its threads and the one that it was spawned by; on a GPU also
    whatever that one spawned, since workers that wait for their turn keep their memory there.

    Args:
        device: what is timed.
        gpu: answers for a GPU (default: NVML, where it is installed).
        read: returns a system file's text, None where there is none.
        now: returns host seconds.
        own_cpu_seconds: returns the CPU time of this process, all threads together.
        root_process_id: of the process whose children are ours (default: this one).
    """

    def __init__(
        self,
        device: torch.device,
        gpu: Gpu | None = None,
        read: Callable[[str], str | None] = read_text,
        now: Callable[[], float] = time.perf_counter,
        own_cpu_seconds: Callable[[], float] = time.process_time,
        root_process_id: int | None = None,
    ) -> None:
        self._device = device
        self._gpu = gpu or open_gpu(device)
        self._read = read
        self._now = now
        self._own_cpu_seconds = own_cpu_seconds
        self._root = root_process_id or os.getpid()
        self._is_own: dict[int, bool] = {self._root: True, os.getpid(): True}

    def sample(self) -> DeviceState:
        """Return the device's state now."""
        if self._gpu is not None:
            return self._gpu_state(self._gpu)
        if self._device.type == "cpu":
            return self._cpu_state()
        return DeviceState(self._now())

    def _gpu_state(self, gpu: Gpu) -> DeviceState:
        return DeviceState(
            self._now(),
            sm_clock_hertz=gpu.sm_clock_hertz(),
            temperature_celsius=gpu.temperature_celsius(),
            throttle_reasons=gpu.throttle_reasons(),
            num_foreign_processes=self._num_foreign(gpu.process_ids()),
        )

    def _num_foreign(self, process_ids: Sequence[int] | None) -> int | None:
        # A container numbers processes in its own way, the driver does not: where we ourselves are
        # not on the list, no number on it means anything to us.
        if process_ids is None or os.getpid() not in process_ids:
            return None
        return sum(not self._is_ours(process_id) for process_id in process_ids)

    def _is_ours(self, process_id: int) -> bool:
        if process_id not in self._is_own:
            stat = self._stat(process_id)
            parent = int(stat[1]) if stat else 0
            self._is_own[process_id] = parent > 1 and self._is_ours(parent)
        return self._is_own[process_id]

    def _cpu_state(self) -> DeviceState:
        busy = self._busy_seconds()
        own = None if busy is None else self._own_seconds()
        return DeviceState(
            self._now(), busy_cpu_seconds=busy, own_cpu_seconds=own, num_cpus=len(self._cpus)
        )

    @cached_property
    def _cpus(self) -> frozenset[int]:
        if hasattr(os, "sched_getaffinity"):
            return frozenset(os.sched_getaffinity(0))
        return frozenset(range(os.cpu_count() or 1))

    def _busy_seconds(self) -> float | None:
        """Return what the CPUs that we may run on have worked; stolen by a host counts."""
        ticks, num_found = 0, 0
        for line in (self._read("/proc/stat") or "").splitlines():
            name, *fields = line.split() or [""]
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in self._cpus:
                named = dict(zip(_BUSY_FIELDS, map(int, fields), strict=False))
                ticks += sum(named.get(field, 0) for field in _COUNTED_FIELDS)
                num_found += 1
        return ticks * _tick_seconds() if num_found == len(self._cpus) else None

    def _own_seconds(self) -> float:
        """Return what we have used: this process exactly, the one that spawned it in ticks."""
        stat = self._stat(self._root) if self._root != os.getpid() else None
        ticks = int(stat[11]) + int(stat[12]) if stat else 0
        return self._own_cpu_seconds() + ticks * _tick_seconds()

    def _stat(self, process_id: int) -> list[str] | None:
        """Return the fields of /proc/PID/stat from the state on, the third; None without one."""
        text = self._read(f"/proc/{process_id}/stat")
        return text.rpartition(")")[2].split() if text else None  # a name may hold anything


def _tick_seconds() -> float:
    return 1 / os.sysconf("SC_CLK_TCK")


def state_columns(states: Sequence[DeviceState]) -> dict[str, Any]:
    """Return the columns sm_clock_hertz and temperature_celsius, None where unknown.

    Args:
        states: of all samples of a cell: before the first, after it, before the second, ...
    """
    temperatures = [s.temperature_celsius for s in states if s.temperature_celsius is not None]
    clocks = _clocks(states)
    return {
        "sm_clock_hertz": statistics.median(clocks) if clocks else None,
        "temperature_celsius": max(temperatures, default=None),
    }


def state_flags(states: Sequence[DeviceState]) -> list[str]:
    """Return what makes the samples between these states doubtful.

    throttled: the GPU's clock was held down by power or heat. foreign_load: other processes, or the
    host of a virtual machine, used the CPUs. foreign_gpu_process: another process computes on the
    GPU. clock_moved: the GPU's clock was not the same for all samples.

    Args:
        states: of all samples of a cell: before the first, after it, before the second, ...
    """
    clocks = _clocks(states)
    clock_range = max(clocks) - min(clocks) if clocks else 0.0
    load = foreign_load_fraction(states)
    doubts = {
        "throttled": any(state.throttle_reasons for state in states),
        "foreign_load": load is not None and load > FOREIGN_LOAD_FRACTION,
        "foreign_gpu_process": any(state.num_foreign_processes for state in states),
        "clock_moved": bool(clocks)
        and clock_range > CLOCK_RANGE_FRACTION * statistics.median(clocks),
    }
    return [flag for flag, is_raised in doubts.items() if is_raised]


def foreign_load_fraction(states: Sequence[DeviceState]) -> float | None:
    """Return the share of our CPUs that others used during the samples; None where unknown.

    What happens between samples does not count, and the samples of a cell count together, since
    the kernel's ticks are too coarse for one.

    Args:
        states: of all samples of a cell: before the first, after it, before the second, ...
    """
    foreign = available = sampled = 0.0
    for before, after in zip(states[::2], states[1::2], strict=False):
        busy = _growth(before.busy_cpu_seconds, after.busy_cpu_seconds)
        own = _growth(before.own_cpu_seconds, after.own_cpu_seconds)
        if busy is None or own is None or not after.num_cpus:
            return None
        seconds = after.at_seconds - before.at_seconds
        foreign += busy - own  # a single difference is below 0 as often as above
        available += seconds * after.num_cpus
        sampled += seconds
    return max(0.0, foreign / available) if sampled >= MIN_LOAD_SECONDS else None


def _growth(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _clocks(states: Sequence[DeviceState]) -> list[float]:
    """Return the clocks read after each sample; before one the device may have idled."""
    return [s.sm_clock_hertz for s in states[1::2] if s.sm_clock_hertz is not None]
