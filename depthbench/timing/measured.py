"""What a bench says of a cell, and what is known of one while it is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from depthbench.timing.cells import Cell
from depthbench.timing.device_state import DeviceState
from depthbench.timing.stopping import StopRule
from depthbench.timing.warmup import Warmed


@dataclass(frozen=True, slots=True)
class Ready:
    """Say that a cell can be sampled, and what warming it up found."""

    warmed: Warmed
    num_threads: int
    tokens_per_call: int | None
    is_compiled: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """Say that a cell cannot be measured: its status and why."""

    status: str
    error: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold one sample: seconds of one call, a block's mean, and the device's state around it."""

    device_seconds: float
    wall_seconds: float
    states: tuple[DeviceState, ...]
    has_launch_gaps: bool = False


@dataclass
class MeasuredCell:
    """Hold what is known of one cell while it is measured; samples are in order, none dropped."""

    cell: Cell
    rule: StopRule
    readies: list[Ready] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    spent_seconds: float = 0.0

    @property
    def calls_per_sample(self) -> int:
        """Return the calls of a block: those the first process found, the same in all."""
        return self.readies[0].warmed.calls_per_sample

    def add(self, sample: Sample, round_number: int, process: int, spent_seconds: float) -> None:
        """Add a sample, which took so much host time with all that belongs to it."""
        self.samples.append(sample)
        self.rounds.append(round_number)
        self.processes.append(process)
        self.rule.add(sample.device_seconds)
        self.spent_seconds += spent_seconds

    def stop_reason(self) -> str | None:
        """Return why the cell is measured enough, or None."""
        sampled = sum(sample.device_seconds for sample in self.samples) * self.calls_per_sample
        return self.rule.reason(self.spent_seconds, sampled)
