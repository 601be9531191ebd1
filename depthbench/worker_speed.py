"""Measure how fast layouts of workers train, with real steps, in the workers themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import torch

from depthbench.executors.cores import own_cores
from depthbench.executors.handle import Worker
from depthbench.executors.sharing import SharedValue
from depthbench.spec import Trial
from depthbench.training.arithmetic import forked_random
from depthbench.training.threads import cpu_threads
from depthbench.trial import TrialContext, caught, threads_for, training_steps
from depthbench.worker_costs import Layout, Speed, guessed_speeds

# A layout that is not begun by then is not measured. Starting the workers takes as long again.
_LIMIT_SECONDS = 3.0
# A worker that is silent for so long is given up, and with it what is left to measure.
_PATIENCE_SECONDS = 30.0
_WARM_SECONDS = 0.1
_MEASURED_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class _Spell:
    """Ask a worker to take steps for a while: with which threads, where, and for how long."""

    num_threads: int
    cpus: list[int]
    seconds: float


class _Steps:
    """The work of a worker that is measured: it goes on with one training, spell after spell.

    Args:
        trial: what is trained; each worker trains it by itself.
        context: where.
    """

    def __init__(self, trial: Trial, context: TrialContext) -> None:
        self._trial, self._context = trial, context
        self._steps: Iterator[None] | None = None

    def __call__(self, spell: _Spell, tell: Any = None) -> float:
        """Return the steps a second of one spell; at least one step is taken."""
        if spell.cpus and hasattr(os, "sched_setaffinity"):
            with suppress(OSError):
                os.sched_setaffinity(0, spell.cpus)
        self._steps = self._steps or training_steps(self._trial, self._context)
        with cpu_threads(spell.num_threads), threads_for(self._trial):
            return self._speed(self._steps, spell.seconds)

    def _speed(self, steps: Iterator[None], seconds: float) -> float:
        began = time.perf_counter()
        for num_steps, _ in enumerate(steps, start=1):
            elapsed = time.perf_counter() - began
            if elapsed >= seconds:
                return num_steps / elapsed
        raise AssertionError("training steps do not end")


class _SilentError(Exception):
    """A worker ended or fell silent, so nothing can be measured with it."""


def speeds_here(trial: Trial, context: TrialContext, layouts: Sequence[Layout]) -> list[Speed]:
    """Return about how fast the first and the last layout are, by steps in this process alone.

    It takes a second, and starts nothing. What cannot be trained has no speed.

    Args:
        trial: what is trained.
        context: where.
        layouts: from the most workers to a single one with all threads.
    """
    steps = _Steps(trial, context)

    def alone(layout: Layout) -> float:
        steps(_Spell(layout.num_threads, [], _WARM_SECONDS))
        return steps(_Spell(layout.num_threads, [], _MEASURED_SECONDS))

    with forked_random(torch.device(context.device), trial.seed):  # what is random stays as it was
        found = caught(lambda: {"speeds": guessed_speeds(layouts, alone)})
    return list(found.get("speeds", []))


def measure_speeds(trial: Trial, context: TrialContext, layouts: Sequence[Layout]) -> list[Speed]:
    """Return the speeds of layouts, of as many as can be measured in a few seconds.

    The same processes serve all layouts: starting them takes longer than the measuring.

    Args:
        trial: what is trained.
        context: where.
        layouts: from the most workers to the fewest, so that the threads of a worker only grow:
            a thread stays on the CPUs it was started on.
    """
    speeds: list[Speed] = []
    with closing(SharedValue(_Steps(trial, context))) as work:
        workers = [Worker(work, 1) for _ in range(layouts[0].num_workers)]
        try:
            _answers(workers)
            _take_steps(workers, Layout(len(workers), 1), 0.0)  # the first loads half of PyTorch
            deadline = time.monotonic() + _LIMIT_SECONDS
            for layout in layouts:
                if time.monotonic() < deadline:
                    speeds.append(_speed_of(layout, workers[: layout.num_workers]))
        except _SilentError:
            pass  # what has been measured stands; the training will say what is wrong
        finally:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.close()
    return speeds


def _speed_of(layout: Layout, workers: Sequence[Worker]) -> Speed:
    # All are warm before any is measured, so that they are measured side by side.
    _take_steps(workers, layout, _WARM_SECONDS)
    found = _take_steps(workers, layout, _MEASURED_SECONDS)
    return Speed(layout.num_workers, layout.num_threads, sum(found))


def _take_steps(workers: Sequence[Worker], layout: Layout, seconds: float) -> list[float]:
    """Return the steps a second of each worker of a layout, in a spell of all of them."""
    cores = own_cores(layout.num_workers, layout.num_threads)
    for worker, cpus in zip(workers, cores, strict=True):
        worker.hand(0, _Spell(layout.num_threads, cpus, seconds))
    return _answers(workers)


def _answers(workers: Sequence[Worker]) -> list[Any]:
    """Return what each worker answers."""
    answers = []
    for worker in workers:
        if not wait([worker.connection], _PATIENCE_SECONDS):
            raise _SilentError
        kind, value = worker.hear()
        if kind not in ("ready", "result"):
            raise _SilentError
        answers.append(value)
    return answers
