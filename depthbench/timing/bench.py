"""A bench: cells made ready in one process, each of which can be sampled at any time."""

from __future__ import annotations

import gc
import math
from typing import Any, Protocol

import torch

from depthbench.environment import device_name
from depthbench.errors import DepthbenchError, TrialError
from depthbench.machine import available_memory_bytes, resident_memory_bytes
from depthbench.models import build as build_network
from depthbench.timing.canary import canary_call
from depthbench.timing.cells import Cell
from depthbench.timing.clocks import Clock, clock_of
from depthbench.timing.costs import call_flops, cost_columns, measured_peak
from depthbench.timing.device_state import Monitor
from depthbench.timing.energy import energy_columns
from depthbench.timing.measured import Ended, Ready, Sample
from depthbench.timing.memory import memory_columns
from depthbench.timing.nvml import open_gpu
from depthbench.timing.warmup import warm_up
from depthbench.timing.work import Builder, PreparedCell, UnsupportedError, prepare
from depthbench.training.failures import failure_columns
from depthbench.training.threads import cpu_threads

# Between two samples of a cell others ran. After so long a step of training is as fast as in a long
# series of its own; after a millisecond it was up to 30% slower (docs/log.md).
REWARM_SECONDS = 10e-3
CANARY_CALLS = 4
# A cell that is never steady is measured all the same, and flagged.
WARMUP_FRACTION = 0.1
# What a network, or a block of a user's, can raise when it is built or run.
_CELL_ERRORS = (
    *(RuntimeError, MemoryError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, AssertionError, ImportError, OSError),
)


class Bench(Protocol):
    """Cells in one process. Only one method of one bench runs at a time."""

    def prepare(self, cell: Cell, cell_budget_seconds: float) -> Ready | Ended:
        """Build a cell and warm it up."""

    def sample(self, cell_id: str, num_calls: int) -> Sample:
        """Time one block of calls of a cell."""

    def canary(self) -> float:
        """Return the seconds of the fixed work that is the same in every suite."""

    def passes(self, cell_id: str, median_seconds: float) -> dict[str, Any]:
        """Return the columns that are measured apart from time: memory, cost, energy."""

    def used_fraction(self) -> float:
        """Return how much of the memory that a bench may use is in use."""

    def drop(self, cell_id: str) -> None:
        """Forget a cell and free what it holds."""

    def close(self) -> None:
        """End the bench."""


class LocalBench:
    """A bench in this process.

    Args:
        device: where cells run.
        num_benches: how many of its kind share the memory.
        build: gives an initialised network.
        clock: what times a block (default: the device's own).
        monitor: what reads the device's state (default: the device's own).
        is_peak_measured: measure the device's peak FLOP/s where no data sheet is known.
        root_process_id: of the process that started this one, if it is one of several.
    """

    def __init__(  # noqa: PLR0913 - all but the first have defaults
        self,
        device: torch.device | str,
        num_benches: int = 1,
        *,
        build: Builder = build_network,
        clock: Clock | None = None,
        monitor: Monitor | None = None,
        is_peak_measured: bool = False,
        root_process_id: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.build = build
        self.device_name = device_name(str(self.device))
        self.clock = clock
        self.monitor = monitor or Monitor(self.device, root_process_id=root_process_id)
        self.is_peak_measured = is_peak_measured
        self.peaks: dict[str, float] = {}
        self.cells: dict[str, Cell] = {}
        self.prepared: dict[str, PreparedCell] = {}
        self.rewarm_calls: dict[str, int] = {}
        self.clocks: dict[str, Clock] = {}
        self.canary_call = canary_call(self.device)
        self.memory_bytes = _free_bytes(self.device) / num_benches

    def prepare(self, cell: Cell, cell_budget_seconds: float) -> Ready | Ended:
        """Build a cell and warm it up; what goes wrong is an ending, not an exception."""
        try:
            prepared = self.made(cell)
            with prepared.active():
                num_threads = torch.get_num_threads()
                budget = WARMUP_FRACTION * cell_budget_seconds
                clock = self._clock(cell.cache)
                warmed = warm_up(prepared.call, clock, budget, cell_budget_seconds)
        except UnsupportedError as error:
            return Ended("unsupported", str(error))
        except (*_CELL_ERRORS, DepthbenchError) as error:
            gc.collect()
            return Ended(**failure_columns(error))
        gc.collect()  # while it is off, around samples, nothing of the building is left to collect
        self.cells[cell.cell_id], self.prepared[cell.cell_id] = cell, prepared
        self.rewarm_calls[cell.cell_id] = round(REWARM_SECONDS / warmed.call_seconds)
        return Ready(warmed, num_threads, prepared.tokens_per_call, prepared.is_compiled)

    def made(self, cell: Cell) -> PreparedCell:
        """Build a cell."""
        return prepare(cell, self.device, self.build)

    def sample(self, cell_id: str, num_calls: int) -> Sample:
        """Time one block of calls, the cell's data brought back before."""
        prepared = self.prepared[cell_id]
        clock = self._clock(self.cells[cell_id].cache)
        with prepared.active():
            # Looking at the device takes long enough for threads to fall asleep: before warming.
            before = self.monitor.sample()
            if self.rewarm_calls[cell_id]:  # what takes long by itself need not be warm
                clock.time_calls(prepared.call, self.rewarm_calls[cell_id])
            reading = clock.time_calls(prepared.call, num_calls)
            after = self.monitor.sample()
        seconds = (reading.device_seconds / num_calls, reading.wall_seconds / num_calls)
        return Sample(*seconds, (before, after), reading.has_launch_gaps)

    def canary(self) -> float:
        """Return the seconds of one call of the canary."""
        with cpu_threads(1):
            self.canary_call()
            reading = self._clock("warm").time_calls(self.canary_call, CANARY_CALLS)
        return reading.device_seconds / CANARY_CALLS

    def passes(self, cell_id: str, median_seconds: float) -> dict[str, Any]:
        """Measure memory and energy, each in a pass of its own, and work out what time cost."""
        cell, prepared = self.cells[cell_id], self.prepared[cell_id]
        clock = self._clock("warm")
        if self.is_peak_measured and cell.precision not in self.peaks:
            self.peaks[cell.precision] = measured_peak(self.device, cell.precision, clock)
        return {
            **memory_columns(prepared, cell, self.device),
            **self._costs(cell, median_seconds),
            **energy_columns(prepared, self.device, clock, open_gpu(self.device)),
        }

    def _costs(self, cell: Cell, median_seconds: float) -> dict[str, Any]:
        try:
            return cost_columns(cell, median_seconds, self.device_name, self.peaks)
        except TrialError as error:  # beyond the peak: the time stands, and so does the doubt
            return {"call_flops": call_flops(cell), "error": str(error)}

    def _clock(self, cache: str) -> Clock:
        if self.clock is not None:
            return self.clock
        if cache not in self.clocks:
            self.clocks[cache] = clock_of(self.device, cache)
        return self.clocks[cache]

    def used_fraction(self) -> float:
        """Return how much of this bench's share of the memory its cells hold."""
        return _used_bytes(self.device) / self.memory_bytes

    def drop(self, cell_id: str) -> None:
        """Forget a cell and free what it holds."""
        self.cells.pop(cell_id, None)
        self.prepared.pop(cell_id, None)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Forget all cells."""
        for cell_id in list(self.prepared):
            self.drop(cell_id)


def _free_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(available_memory_bytes() or math.inf)


def _used_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.memory_reserved(device))
    return float(resident_memory_bytes() or 0)
