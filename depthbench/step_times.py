"""Measure what training a trial costs, from a few real steps on random data of its shapes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import torch

from depthbench.cohorts import Cohort
from depthbench.grammar import DURATIONS, TrainSettings
from depthbench.models import build_model
from depthbench.models.execution import choose_execution
from depthbench.spec import Trial
from depthbench.stacking import as_loop
from depthbench.synthetic import synthetic_dataset
from depthbench.timing.memory import resident_growth_bytes
from depthbench.timing.work import storage_bytes
from depthbench.training import PreparedData, evaluate, train
from depthbench.training.cohort import CohortTraining
from depthbench.training.evaluation import (
    EVALUATION_BATCH_SIZE,
    evaluate_members,
    evaluation_batch_size,
    members_batch_size,
)
from depthbench.training.memory_format import in_training_format
from depthbench.training.tasks import Task, task_of
from depthbench.training.tensors import Tensors
from depthbench.trial import threads_for

# The first steps make the optimizer's state and fill caches: they say nothing of the others.
WARMUP_STEPS = 3
MIN_STEPS = 3
MAX_STEPS = 200
BUDGET_SECONDS = 0.4
# Epochs of random data go round in so many batches.
_NUM_BATCHES = 4
_ENDLESS = 10**9
# Random data teach nothing, and a training that diverges would end too early.
_HARMLESS_LR = 1e-6


@dataclass(frozen=True, slots=True)
class Spent:
    """Hold seconds on the clock, and seconds of CPU over all threads."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        """Return both together."""
        return Spent(self.wall_seconds + other.wall_seconds, self.cpu_seconds + other.cpu_seconds)

    def __mul__(self, factor: float) -> Spent:
        """Return so many times as much."""
        return Spent(self.wall_seconds * factor, self.cpu_seconds * factor)


@dataclass(frozen=True, slots=True)
class StepTimes:
    """State what the trials of a cohort cost together, trained as a run trains them.

    An evaluation costs `evaluation_batch` for each of its batches of `evaluation_batch_size`, and
    `evaluation_example` for each example. `peak_bytes` is of all that training holds at once
    besides the data: weights, gradients, the optimizer's state, activations; None if unknown.
    """

    build: Spent
    step: Spent
    evaluation_batch: Spent
    evaluation_example: Spent
    evaluation_batch_size: int
    peak_bytes: int | None

    def evaluation(self, num_examples: int) -> Spent:
        """Return what evaluating so many examples costs."""
        num_batches = -(-num_examples // self.evaluation_batch_size)
        return self.evaluation_batch * num_batches + self.evaluation_example * num_examples

    def scaled(self, factor: float) -> StepTimes:
        """Return the same of a network that takes so many times as long."""
        return StepTimes(
            self.build * factor,
            self.step * factor,
            self.evaluation_batch * factor,
            self.evaluation_example * factor,
            self.evaluation_batch_size,
            None if self.peak_bytes is None else round(self.peak_bytes * factor),
        )


def measure_cohort(cohort: Cohort, device: str) -> StepTimes:
    """Return what a cohort costs, by training it for a few steps on random data.

    Args:
        cohort: what is trained; only its shapes and settings matter.
        device: where, such as "cpu".
    """
    first, num_members = cohort.trials[0], len(cohort.trials)
    target, task = torch.device(device), task_of(first.task_settings)
    data = synthetic_data(first, task, target)
    found: list[StepTimes] = []

    def work() -> None:
        if cohort.stacking is None:
            found.append(_measured(first, task, data))
        else:
            found.append(_measured_together(cohort, task, data))

    with threads_for(first, num_members):
        first = _executed(first, target)
        grown = _grown_bytes(work, target)
        if not found:  # nothing tells the memory of this machine's processes
            work()
    least = _least_bytes(first) * num_members
    return replace(found[0], peak_bytes=None if grown is None else max(grown, least))


def _executed(trial: Trial, device: torch.device) -> Trial:
    """Return a trial with the execution that a run would choose for it."""
    if trial.variant.execution != "auto":
        return trial
    execution = choose_execution(trial.variant, trial.problem, trial.train.batch_size, device)
    return replace(trial, variant=replace(trial.variant, execution=execution))


def synthetic_data(trial: Trial, task: Task, device: torch.device) -> PreparedData:
    """Return random data of a trial's shapes: a few batches, and one of an evaluation."""
    num_train = max(_NUM_BATCHES * trial.train.batch_size, EVALUATION_BATCH_SIZE // 8)
    num_train -= num_train % trial.train.batch_size
    return task.prepare(synthetic_dataset(trial, (num_train, EVALUATION_BATCH_SIZE, 1)), device)


def example_bytes(trial: Trial) -> tuple[int, int, int]:
    """Return the bytes that one example takes, prepared, in each split."""
    task = task_of(trial.task_settings)
    data = task.prepare(synthetic_dataset(trial, (10, 10, 10)), torch.device("cpu"))
    sizes = [
        storage_bytes([split.inputs, split.targets]) // len(split)
        for split in (data.train, data.validation, data.test)
    ]
    return sizes[0], sizes[1], sizes[2]


def _measured(trial: Trial, task: Task, data: PreparedData) -> StepTimes:
    """Return what a trial costs that trains alone."""
    device = data.train.inputs.device
    clock = _StepClock(device)
    began = clock.read()
    model = in_training_format(build_model(trial).to(device), device)
    build = clock.since(began)
    with suppress(_EnoughError):
        train(model, data, _endless(trial), trial.seed, task=task, on_progress=clock)
    size = evaluation_batch_size(model, data.validation)

    def evaluated(part: Tensors) -> None:
        evaluate(model, part, size, trial.train.precision, task)

    likely = clock.step().wall_seconds / trial.train.batch_size / 3
    batch, example = _evaluation(evaluated, data.validation, size, likely, clock)
    return StepTimes(build, clock.step(), batch, example, size, None)


def _measured_together(cohort: Cohort, task: Task, data: PreparedData) -> StepTimes:
    """Return what the trials of a cohort cost that train as one stacked network."""
    trials, device = cohort.trials, data.train.inputs.device
    clock = _StepClock(device)
    began = clock.read()
    networks = [build_model(as_loop(trial)).to(device) for trial in trials]
    settings, seeds = [_endless(t) for t in trials], [t.seed for t in trials]
    training = CohortTraining(
        networks, data, settings, seeds, task=task, convolution=cohort.stacking or "loop"
    )
    build = clock.since(began)
    with suppress(_EnoughError):
        training.run(clock)
    size = members_batch_size(data.validation, len(trials))

    def evaluated(part: Tensors) -> None:
        evaluate_members(training.stack, part, task)

    likely = clock.step().wall_seconds / trials[0].train.batch_size / 3
    batch, example = _evaluation(evaluated, data.validation, size, likely, clock)
    return StepTimes(build, clock.step(), batch, example, size, None)


def _endless(trial: Trial) -> TrainSettings:
    """Return settings with which training does not end by itself, and learns nothing."""
    durations: dict[str, float | None] = dict.fromkeys(DURATIONS)
    harmless = {"steps": _ENDLESS, "evaluations": 1, "milestones": (), "lr": _HARMLESS_LR}
    return trial.train.model_copy(update=durations | harmless)


class _EnoughError(Exception):
    """End a training of which enough has been seen."""


class _StepClock:
    """Hear of each step of a training, and end it once enough have been timed."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: list[tuple[float, float]] = []

    def __call__(self, share: float, loss: float | None) -> None:
        self.marks.append(self.read())
        num_timed = len(self.marks) - WARMUP_STEPS
        if num_timed < MIN_STEPS:
            return
        spent = self.marks[-1][0] - self.marks[WARMUP_STEPS - 1][0]
        if spent >= BUDGET_SECONDS or num_timed >= MAX_STEPS:
            raise _EnoughError

    def read(self) -> tuple[float, float]:
        """Return wall and CPU seconds, once the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter(), time.process_time()

    def since(self, began: tuple[float, float]) -> Spent:
        """Return what was spent since."""
        now = self.read()
        return Spent(now[0] - began[0], now[1] - began[1])

    def step(self) -> Spent:
        """Return what a step took: the wall time of the one in the middle, the mean CPU time.

        What disturbs a step takes wall time that says nothing of the others; its CPU time is its
        own, and has tails that a run will have, too.
        """
        marks = self.marks[WARMUP_STEPS - 1 :]
        wall = median(late[0] - early[0] for early, late in pairwise(marks))
        return Spent(wall, (marks[-1][1] - marks[0][1]) / (len(marks) - 1))


def _evaluation(
    evaluated: Callable[[Tensors], None],
    split: Tensors,
    size: int,
    likely: float,
    clock: _StepClock,
) -> tuple[Spent, Spent]:
    """Return what an evaluation costs a batch of so many examples, and an example.

    A network whose evaluation would take long, `likely` seconds an example, is evaluated on fewer.
    """
    large = max(2, min(size, len(split), int(BUDGET_SECONDS / max(likely, 1e-9))))
    small = max(1, large // 8)

    def spent(count: int) -> Spent:
        part = Tensors(split.inputs[:count], split.targets[:count])
        times = []
        for _ in range(4):
            began = clock.read()
            evaluated(part)
            times.append(clock.since(began))
        return Spent(
            median(time.wall_seconds for time in times[1:]),
            median(time.cpu_seconds for time in times[1:]),
        )

    of_large, of_small = spent(large), spent(small)
    wall = _line((small, of_small.wall_seconds), (large, of_large.wall_seconds))
    cpu = _line((small, of_small.cpu_seconds), (large, of_large.cpu_seconds))
    return Spent(wall[0], cpu[0]), Spent(wall[1], cpu[1])


def _line(small: tuple[int, float], large: tuple[int, float]) -> tuple[float, float]:
    """Return what a batch costs and what an example does, neither below 0, exact for the large."""
    each = max(0.0, (large[1] - small[1]) / (large[0] - small[0]))
    each = min(each, large[1] / large[0])  # caches hold a small batch, and flatter it
    return large[1] - each * large[0], each


def _grown_bytes(work: Callable[[], None], device: torch.device) -> int | None:
    if device.type != "cuda":
        return resident_growth_bytes(work)
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before


def _least_bytes(trial: Trial) -> int:
    """Return the bytes of weights and gradients, which any training has."""
    return 4 * (trial.cost.total_params + trial.cost.trainable_params)
