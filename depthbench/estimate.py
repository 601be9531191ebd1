"""Predict what a suite costs before anyone waits: a few real steps of each shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from depthbench.cohorts import Cohort
from depthbench.errors import SuiteError
from depthbench.estimate_table import format_bytes
from depthbench.executors.cores import num_shared_cpus
from depthbench.likely_cohorts import likely_cohorts
from depthbench.request import resolve_device
from depthbench.selection import selection_key
from depthbench.shape_costs import Measure, ShapeCosts
from depthbench.spec import Trial
from depthbench.step_times import Spent, StepTimes, example_bytes, measure_cohort
from depthbench.suite import Suite
from depthbench.timing.bench import WARMUP_FRACTION
from depthbench.timing.cells import cells_of
from depthbench.timing.session import NUM_PROCESSES
from depthbench.timing_stage import limits_of
from depthbench.training.failures import is_out_of_memory
from depthbench.training.threads import cpu_threads
from depthbench.trial import TrialContext, data_key, execution_key
from depthbench.worker_costs import START_SECONDS, Layout, Speed, guessed_speeds
from depthbench.workers import Asked, choose_workers
from depthbench.workload import Load, examples_of, workload_of

# More shapes are not measured: the others are taken from their neighbours.
MAX_SHAPES = 60
# What a trial takes beside its network: opening its row, its weights and its part on the disk.
TRIAL_SECONDS = 0.02
# What timing processes take to start, and a cell beside its samples and warm-ups: being built in
# each process, and its passes for memory and energy.
TIMING_START_SECONDS = 6.0
CELL_SECONDS = 0.6
# Steps that choosing between two executions takes, of both together.
_EXECUTION_STEPS = 24


@dataclass(frozen=True, slots=True)
class StageCost:
    """Say what a stage costs; `is_most` says that it may well end sooner."""

    stage: str
    cpu_seconds: float
    wall_seconds: float
    is_most: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predict a run: its stages, its memory, and what the prediction stands on.

    `peak_memory_bytes` is of the largest trial, or of the largest that train as one, besides the
    data; None where the machine does not tell. Each worker has its own. `data_bytes` is of all
    data sets, prepared. `guesses` say which sizes were not known. `num_stacked` trials train
    together with others, in `num_cohorts` cohorts.
    """

    device: str
    num_workers: int
    num_threads: int
    num_shapes: int
    num_measured_shapes: int
    stages: tuple[StageCost, ...]
    peak_memory_bytes: int | None
    peak_memory_of: str
    data_bytes: int
    guesses: tuple[str, ...]
    num_stacked: int
    num_cohorts: int

    @property
    def total(self) -> StageCost:
        """Return all stages, one after another."""
        cpu = sum(stage.cpu_seconds for stage in self.stages)
        wall = sum(stage.wall_seconds for stage in self.stages)
        return StageCost("total", cpu, wall, any(stage.is_most for stage in self.stages))

    def describe(self) -> dict[str, Any]:
        """Return the estimate as plain values."""
        total = self.total
        return asdict(self) | {
            "stages": [asdict(stage) for stage in self.stages],
            "guesses": list(self.guesses),
            "cpu_seconds": total.cpu_seconds,
            "wall_seconds": total.wall_seconds,
        }


def estimate(  # noqa: PLR0913 - the last ones have defaults
    suite: Suite,
    trials: Sequence[Trial],
    device: str,
    *,
    every_trial: Sequence[Trial] | None = None,
    cohorts: Sequence[Cohort] | None = None,
    num_workers: int | None = None,
    measure: Measure = measure_cohort,
    max_shapes: int = MAX_SHAPES,
) -> Estimate:
    """Predict hours and memory of a run; reads no data.

    Args:
        suite: whose timing section says what is timed.
        trials: what is run, at least one.
        device: cpu, cuda, cuda:1, or auto: a GPU where there is one.
        every_trial: of the suite, where `trials` are some (default: the same).
        cohorts: the trials as they train together (default: as a run will most likely plan).
        num_workers: how many cohorts train at a time (default: as many as a run will most likely
            choose).
        measure: returns what a cohort costs.
        max_shapes: how many shapes are measured at most.

    Raises:
        SuiteError: there is no such device.
        DataError: a user's own file is not as it should be.
    """
    device = resolve_device(device)
    num_workers = num_workers or _likely_workers(trials, device, measure)
    # Workers share the CPUs out.
    with cpu_threads(max(1, num_shared_cpus() // num_workers) if num_workers > 1 else None):
        return _estimate(
            *(suite, trials, device, every_trial or trials, cohorts, num_workers),
            *(measure, max_shapes),
        )


class _Guess:
    """Guess the speeds of layouts from a few steps on random data, as a run does on its own.

    Args:
        measure: returns what a cohort costs.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure = measure

    def known(self, trial: Trial, layouts: Sequence[Layout]) -> list[Speed]:
        """Return nothing: no folder of results is looked at."""
        return []

    def here(self, trial: Trial, context: TrialContext, layouts: Sequence[Layout]) -> list[Speed]:
        """Return about how fast the first and the last layout are."""

        def alone(layout: Layout) -> float:
            with cpu_threads(layout.num_threads):
                step = self._measure(Cohort((trial,)), context.device).step
                return 1 / max(step.wall_seconds, 1e-12)

        return guessed_speeds(layouts, alone)

    def measured(
        self, trial: Trial, context: TrialContext, layouts: Sequence[Layout]
    ) -> list[Speed]:
        """Return nothing: no worker is started for an estimate."""
        return []


def _likely_workers(trials: Sequence[Trial], device: str, measure: Measure) -> int:
    """Return how many workers a run will most likely choose."""
    context = TrialContext("", "", Path(), device, None, {})
    return choose_workers(Asked(), Load(trials), context, _Guess(measure)).num_workers


def _estimate(  # noqa: PLR0913 - the same, all known
    suite: Suite,
    trials: Sequence[Trial],
    device: str,
    every_trial: Sequence[Trial],
    cohorts: Sequence[Cohort] | None,
    num_workers: int,
    measure: Measure,
    max_shapes: int,
) -> Estimate:
    if cohorts is None and suite.cohort == "auto":
        cohorts = likely_cohorts(trials, device, num_workers)
    cohorts = cohorts or [Cohort((trial,)) for trial in trials]
    costs = ShapeCosts(cohorts, device, _naming_what_does_not_fit(measure), max_shapes)
    stages = [
        _training(cohorts, costs, num_workers),
        _testing(cohorts, every_trial, costs, num_workers),
    ]
    if suite.timing is not None:
        stages.append(_timing(suite, trials, device))
    largest = costs.largest()
    return Estimate(
        device=device,
        num_workers=num_workers,
        num_threads=torch.get_num_threads(),
        num_shapes=len(costs.shapes),
        num_measured_shapes=len(costs.measured),
        stages=tuple(stages),
        peak_memory_bytes=costs.of(largest).peak_bytes,
        peak_memory_of=_label(largest),
        data_bytes=_data_bytes(trials),
        guesses=_guesses(trials),
        num_stacked=sum(len(cohort.trials) for cohort in cohorts if cohort.stacking),
        num_cohorts=sum(1 for cohort in cohorts if cohort.stacking),
    )


def _training(cohorts: Sequence[Cohort], costs: ShapeCosts, num_workers: int) -> StageCost:
    total, longest = Spent(), 0.0
    chosen: dict[str, Spent] = {}
    for cohort in cohorts:
        times, first = costs.of(cohort), cohort.trials[0]
        cost = _cohort_cost(cohort, times)
        total, longest = total + cost, max(longest, cost.wall_seconds)
        if first.variant.execution == "auto":
            chosen[execution_key(first)] = times.step * (_EXECUTION_STEPS / len(cohort.trials))
    choosing = sum(chosen.values(), Spent())
    start = START_SECONDS if num_workers > 1 else 0.0
    wall = max(total.wall_seconds / num_workers, longest) + choosing.wall_seconds + start
    cpu = total.cpu_seconds + choosing.cpu_seconds + start * num_workers
    return StageCost("train", cpu, wall)


def _cohort_cost(cohort: Cohort, times: StepTimes) -> Spent:
    """Return what training a cohort costs, its evaluations included."""
    work = workload_of(cohort.trials[0])
    if work.num_steps is None:
        seconds = work.train_seconds or 0.0  # such a trial trains alone
        busy = times.step.cpu_seconds / max(times.step.wall_seconds, 1e-12)
        training = Spent(seconds, seconds * busy)
    else:
        training = times.step * work.num_steps
    validation = times.evaluation(work.examples.validation) * work.num_validations
    overhead = Spent(TRIAL_SECONDS, TRIAL_SECONDS) * len(cohort.trials)
    final = times.evaluation(work.examples.train)
    return times.build + training + validation + final + overhead


def _testing(
    cohorts: Sequence[Cohort], every_trial: Sequence[Trial], costs: ShapeCosts, num_workers: int
) -> StageCost:
    """Return what the test pass costs: the seeds of each variant at one learning rate.

    Each trial is read by itself, which is taken to cost its share of what its cohort's evaluation
    would. A variant of which some trials are not run is not tested yet.
    """
    chosen = {trial.trial_id: cohort for cohort in cohorts for trial in cohort.trials}
    rates: dict[Any, set[float]] = defaultdict(set)
    variants: dict[Any, list[Trial]] = defaultdict(list)
    for trial in every_trial:
        key = selection_key(trial)
        rates[key].add(trial.lr)
        variants[key].append(trial)
    total, longest = Spent(), 0.0
    for key, members in variants.items():
        if any(trial.trial_id not in chosen for trial in members):
            continue
        cohort = chosen[members[0].trial_id]
        times, num_test = costs.of(cohort), workload_of(members[0]).examples.test
        share = (times.build + times.evaluation(num_test)) * (1 / len(cohort.trials))
        one = share + Spent(TRIAL_SECONDS, TRIAL_SECONDS)
        total = total + one * (len(members) / len(rates[key]))
        longest = max(longest, one.wall_seconds)
    return StageCost("test", total.cpu_seconds, max(total.wall_seconds / num_workers, longest))


def _timing(suite: Suite, trials: Sequence[Trial], device: str) -> StageCost:
    """Return what timing costs at most: cells end as soon as they are precise enough."""
    assert suite.timing is not None
    samples = limits_of(suite.timing, device).time_budget_seconds
    budget = samples * (1 + NUM_PROCESSES * WARMUP_FRACTION)
    threads = [
        cell.threads or torch.get_num_threads() for cell, _ in cells_of(trials, suite.timing)
    ]
    wall = len(threads) * (budget + CELL_SECONDS) + TIMING_START_SECONDS
    cpu = sum(threads) * budget + len(threads) * CELL_SECONDS
    cpu += NUM_PROCESSES * TIMING_START_SECONDS
    return StageCost("time", cpu, wall, is_most=True)


def _data_bytes(trials: Sequence[Trial]) -> int:
    total = 0
    for trial in {data_key(trial): trial for trial in trials}.values():
        sizes = examples_of(trial.dataset_settings)
        counts = (sizes.train, sizes.validation, sizes.test)
        total += sum(n * each for n, each in zip(counts, example_bytes(trial), strict=True))
    return total


def _guesses(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Return, for each data set whose sizes are not known, what they were taken to be."""
    found = []
    for dataset in {trial.dataset_settings: None for trial in trials}:
        if guess := examples_of(dataset).guess:
            found.append(f"{dataset.name}: {guess}")
    return tuple(found)


def _naming_what_does_not_fit(measure: Measure) -> Measure:
    """Return a measure that names the variant where memory does not suffice."""

    def measured(cohort: Cohort, device: str) -> StepTimes:
        try:
            return measure(cohort, device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            num_bytes = sum(4 * trial.cost.total_params for trial in cohort.trials)
            raise SuiteError(
                f"--estimate: {_label(cohort)} does not fit in the memory of {device}: its weights "
                f"alone take {format_bytes(num_bytes)}. A run would give it rows with status oom; "
                "make it smaller, or leave it out with --only"
            ) from error

    return measured


def _label(cohort: Cohort) -> str:
    first, num = cohort.trials[0], len(cohort.trials)
    together = f", {num} trials as one" if num > 1 else ""
    return f"{first.family} L{first.depth} d{first.width}{together}"
