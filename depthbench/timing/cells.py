"""What is timed: one cell a variant, data set, phase, batch size, precision and mode. No torch."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from depthbench.grammar import TaskSettings, TimingSettings, TrainSettings
from depthbench.spec import Problem, Trial, Variant, variant_id

# The training settings that change the work of a step; rates, decay and schedules do not.
_STEP_SETTINGS = ("optimizer", "momentum", "nesterov", "clip_norm", "label_smoothing")
_DEFAULTS = {"precision": "fp32", "mode": "eager", "threads": None, "cache": "warm"}


@dataclass(frozen=True, slots=True)
class Cell:
    """Name one thing that is timed; `cell_id` is 16 hex digits, equal on every machine.

    Seeds and learning rates are no part of it: they do not change time. `threads` is None for
    PyTorch's own number of CPU threads.
    """

    cell_id: str
    variant: Variant
    problem: Problem
    dataset: str
    task: TaskSettings
    train: TrainSettings
    phase: str
    batch_size: int
    precision: str = "fp32"
    mode: str = "eager"
    threads: int | None = None
    cache: str = "warm"

    def columns(self) -> dict[str, Any]:
        """Return the cell's own columns of timings.parquet; only a train_step has an optimizer."""
        return {
            "cell_id": self.cell_id,
            "dataset": self.dataset,
            "task": self.task.name,
            "optimizer": self.train.optimizer if self.phase == "train_step" else None,
            "phase": self.phase,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "mode": self.mode,
            "cache": self.cache,
        }

    def identity(self) -> dict[str, Any]:
        """Return what makes this cell another one than its neighbours; no setting at its default.

        A setting that a later version adds leaves the ids of old cells as they are.
        """
        options = self.task.model_dump(exclude={"name"}, exclude_defaults=True, mode="json")
        identity: dict[str, Any] = {
            "variant": variant_id(self.variant),
            "problem": [self.problem.input_shape, self.problem.output_shape],
            "dataset": self.dataset,
            "task": {self.task.name: options} if options else self.task.name,
            "phase": self.phase,
            "batch_size": self.batch_size,
        }
        if self.phase == "train_step":
            included = set(_STEP_SETTINGS)
            identity["train"] = self.train.model_dump(include=included, exclude_defaults=True)
        for name, default in _DEFAULTS.items():
            if getattr(self, name) != default:
                identity[name] = getattr(self, name)
        return identity


def cells_of(trials: Sequence[Trial], timing: TimingSettings) -> Iterator[tuple[Cell, Trial]]:
    """Yield each cell of a suite once, with the first trial that has it, in plan order.

    Args:
        trials: the suite's trials, in order.
        timing: which phases, batch sizes, precisions, modes, threads and caches.
    """
    axes = tuple(
        itertools.product(  # in the order of Cell's fields
            timing.phases,
            timing.batch_sizes,
            timing.precisions,
            timing.modes,
            timing.threads or (None,),
            timing.cache,
        )
    )
    seen_works: set[tuple[Any, ...]] = set()
    seen_cells: set[str] = set()
    for trial in trials:
        steps = tuple(getattr(trial.train, name) for name in _STEP_SETTINGS)
        work = (trial.variant_id, trial.problem, trial.dataset, trial.task_settings, steps)
        if work in seen_works:  # another seed or learning rate: not worth a hash for each cell
            continue
        seen_works.add(work)
        for axis in axes:
            cell = _cell(trial, axis)
            if cell.cell_id not in seen_cells:
                seen_cells.add(cell.cell_id)
                yield cell, trial


def _cell(trial: Trial, axis: tuple[Any, ...]) -> Cell:
    settings = (trial.variant, trial.problem, trial.dataset, trial.task_settings, trial.train)
    cell = Cell("", *settings, *axis)
    canonical = json.dumps(cell.identity(), sort_keys=True, separators=(",", ":"))
    return replace(cell, cell_id=hashlib.sha256(canonical.encode()).hexdigest()[:16])
