"""Run trials to their rows. The one place where a failure becomes a row."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch

from depthbench.cohorts import Cohort, Stacking
from depthbench.data import load
from depthbench.environment import device_name
from depthbench.errors import DataError, ResultError
from depthbench.executors import Lost, Tell
from depthbench.folder import make_folder, write_atomically
from depthbench.grammar import DatasetSettings, TaskSettings
from depthbench.models import build_model
from depthbench.models.execution import choose_execution
from depthbench.models.experts import balance_of
from depthbench.spec import Trial
from depthbench.stacking import as_loop, choose_stacking, members_in_memory, why_alone
from depthbench.training import (
    OnProgress,
    PreparedData,
    TrainingResult,
    evaluate,
    failure_columns,
    train,
)
from depthbench.training.augment import augmentation_of
from depthbench.training.batches import batches
from depthbench.training.cohort import CohortTraining
from depthbench.training.memory_format import in_training_format
from depthbench.training.optimizers import build_optimizer
from depthbench.training.step import build_step
from depthbench.training.tasks import Task, task_of
from depthbench.training.threads import cpu_threads, training_threads
from depthbench.workload import workload_of

Row = dict[str, Any]
# What makes two trials learn from the same tensors.
DataKey = tuple[DatasetSettings, TaskSettings]
# They belong together: a task may know the data that it prepared.
LearnedData = tuple[Task, PreparedData]


@dataclass(frozen=True)
class TrialContext:
    """What a worker needs besides the trial; picklable.

    `executions` maps the `execution_key` of each trial with `execution: auto` to what was measured
    faster. `data` has what has been loaded so far, on the device.
    """

    suite: str
    run: str
    weights_folder: Path
    device: str
    data_dir: Path | None
    executions: dict[str, str]
    data: dict[DataKey, LearnedData] = field(default_factory=dict)

    def learned_data(self, key: DataKey) -> LearnedData:
        """Return a task and its data as tensors on the device, loaded where they are not yet.

        Raises:
            DataError: the data is missing, incomplete or corrupt.
        """
        if key not in self.data:
            dataset, settings = key
            task = task_of(settings)
            tensors = task.prepare(load(dataset, self.data_dir), torch.device(self.device))
            self.data[key] = task, tensors
        return self.data[key]


@dataclass(frozen=True)
class TrialResult:
    """The row of a trial and the points of its curves."""

    row: Row
    curves: list[Row]


def run_cohort(cohort: Cohort, tell: Tell, *, context: TrialContext) -> list[TrialResult]:
    """Build, train and validate trials together; what goes wrong is in the rows' status and error.

    The trained weights stay in the run's folder for the test pass. Seconds of a member are its
    share of the cohort's.

    Args:
        cohort: the trials, often one.
        tell: takes how far the training is: the share that is done, and the last validation loss.
        context: where they run.
    """
    started = time.perf_counter()
    curves: list[list[Row]] = [[] for _ in cohort.trials]

    def work() -> Row:
        networks, data, results = _trained(cohort, context, lambda *told: tell(told))
        for index, (network, result) in enumerate(zip(networks, results, strict=True)):
            trial_id = cohort.trials[index].trial_id
            curves[index] += [{"trial_id": trial_id, **point} for point in result.curve]
            rows[index] |= _data_columns(data) | _ended_columns(result)
            if result.status == "ok":
                _save_weights(network, weights_path(context.weights_folder, trial_id))
        return {}

    with threads_for(cohort.trials[0], len(cohort.trials)):
        rows = [_opening_row(trial, context, cohort) for trial in cohort.trials]
        failure = caught(work)
    seconds = (time.perf_counter() - started) / len(rows)
    return [
        TrialResult(row | failure | {"trial_seconds": seconds}, points)
        for row, points in zip(rows, curves, strict=True)
    ]


def _trained(
    cohort: Cohort, context: TrialContext, on_progress: OnProgress
) -> tuple[list[torch.nn.Module], PreparedData, list[TrainingResult]]:
    """Return the trained networks of a cohort, what they learned from, and how it went."""
    first = cohort.trials[0]
    task, data = context.learned_data(data_key(first))
    if cohort.stacking is None:
        model = _model(first, context)
        result = train(model, data, first.train, first.seed, task=task, on_progress=on_progress)
        return [model], data, [result]
    networks = [build_model(as_loop(trial)).to(context.device) for trial in cohort.trials]
    training = CohortTraining(
        networks,
        data,
        [trial.train for trial in cohort.trials],
        [trial.seed for trial in cohort.trials],
        task=task,
        convolution=cohort.stacking,
        savepoint=SavedCohort(savepoint_path(context.weights_folder, cohort)),
    )
    return networks, data, training.run(on_progress)


def lost_trial(trial: Trial, context: TrialContext, lost: Lost) -> TrialResult:
    """Return the result of a trial whose worker did not come back with one."""
    row = _opening_row(trial, context, Cohort((trial,)))
    return TrialResult(row | {"status": lost.status, "error": lost.error}, [])


def threads_for(trial: Trial, num_members: int = 1) -> AbstractContextManager[None]:
    """Return the context in which trials train: one CPU thread where their steps are small."""
    examples = num_members * trial.train.batch_size
    return cpu_threads(training_threads(trial.cost.forward_flops, examples))


def training_steps(trial: Trial, context: TrialContext) -> Iterator[None]:
    """Take a real training step of a trial each time the next is asked for, without end."""
    task, data = context.learned_data(data_key(trial))
    model = _model(trial, context).train()
    optimizer = build_optimizer(model, trial.train)
    take_step = build_step(
        model, optimizer, trial.train, trial.train.precision, task, balance=balance_of(model)
    )
    augment = augmentation_of(trial.train.augment, tuple(data.train.inputs.shape[1:]))
    for inputs, targets in batches(data.train, trial.train.batch_size, trial.seed):
        take_step(*task.training_batch(augment(inputs), targets))
        yield


def read_test_set(trial: Trial, context: TrialContext) -> Row | None:
    """Return the test metrics of a trained trial, or how it failed; None without its weights."""
    weights = _weights(trial, context)
    if weights is None:
        return None

    def work() -> Row:
        task, data = context.learned_data(data_key(trial))
        model = _model(trial, context)
        model.load_state_dict(weights)
        with threads_for(trial):
            metrics = evaluate(model, data.test, precision=trial.train.precision, task=task)
        return {f"test_{name}": value for name, value in metrics.items()}

    return caught(work)


def _weights(trial: Trial, context: TrialContext) -> dict[str, Any] | None:
    """Return a trial's weights, None where they are not there or not whole."""
    path = weights_path(context.weights_folder, trial.trial_id)

    def work() -> Row:
        return {"weights": torch.load(path, map_location="cpu", weights_only=True)}

    return caught(work).get("weights") if path.exists() else None


def faster_execution(trial: Trial, context: TrialContext) -> str:
    """Return loop or fused, whichever trains this trial faster here; loop if neither can be."""
    device = torch.device(context.device)

    def work() -> Row:
        with threads_for(trial):
            return {
                "execution": choose_execution(
                    trial.variant, trial.problem, trial.train.batch_size, device
                )
            }

    return str(caught(work).get("execution", "loop"))


def best_stacking(
    trials: Sequence[Trial], *, context: TrialContext, max_members: int, num_workers: int = 1
) -> tuple[Stacking | None, int]:
    """Return how trials of one shape are stacked here, and how many of them at most.

    Where each had better train alone the answer is None; what cannot be measured trains alone, too,
    and says why when it is trained.
    """
    device, first = torch.device(context.device), trials[0]

    def work() -> Row:
        num_steps = (workload_of(first).num_steps or 0) * len(trials)
        if why_alone(first) is not None:
            return {}
        most = min(max_members, members_in_memory(first, device, num_workers))
        alone = executed(first, context)
        stacking = choose_stacking(
            trials, most, num_steps, device, num_workers=num_workers, alone=alone
        )
        return {"stacking": stacking, "most": most}

    found = caught(work)
    return cast("Stacking | None", found.get("stacking")), found.get("most", 1)


def execution_key(trial: Trial) -> str:
    """Return what a measured execution holds for: a variant, its data, its batch size."""
    return f"{trial.variant_id} {trial.dataset} {trial.train.batch_size}"


def weights_path(folder: Path, trial_id: str) -> Path:
    """Return where the trained weights of a trial wait for the test pass."""
    return folder / f"{trial_id}.pt"


def savepoint_path(folder: Path, cohort: Cohort) -> Path:
    """Return where a cohort that trains for long is saved."""
    return folder / f"cohort-{cohort.cohort_id}.pt"


def data_key(trial: Trial) -> DataKey:
    """Return what a trial learns from."""
    return trial.dataset_settings, trial.task_settings


def executed(trial: Trial, context: TrialContext) -> Trial:
    """Return a trial with the execution that was measured faster where the suite names none."""
    execution = context.executions.get(execution_key(trial))
    if execution is None:
        return trial
    return replace(trial, variant=replace(trial.variant, execution=execution))


def _model(trial: Trial, context: TrialContext) -> torch.nn.Module:
    device = torch.device(context.device)
    return in_training_format(build_model(executed(trial, context)).to(device), device)


def _opening_row(trial: Trial, context: TrialContext, cohort: Cohort) -> Row:
    execution = context.executions.get(execution_key(trial), trial.variant.execution)
    is_stacked = cohort.stacking is not None and execution is not None
    return trial.describe() | {
        "suite": context.suite,
        "run": context.run,
        "execution_used": "loop" if is_stacked else execution,
        "cohort_id": cohort.cohort_id,
        "cohort_size": len(cohort.trials),
        "device": device_name(context.device),
        "num_threads": torch.get_num_threads(),
        "started_at": _now(),
    }


def _ended_columns(result: TrainingResult) -> Row:
    return {
        "status": result.status,
        "error": result.error,
        "steps_taken": result.steps_taken,
        "examples_seen": result.examples_seen,
        "train_seconds": result.train_seconds,
        **result.metrics,
    }


def _data_columns(data: PreparedData) -> Row:
    return {
        "train_examples": len(data.train.targets),
        "validation_examples": len(data.validation.targets),
        "test_examples": len(data.test.targets),
        "data_digest": data.digest,
        "data_is_official": data.is_official,
        "data_is_complete": data.is_complete,
        **data.columns,
    }


def caught(work: Callable[[], Row]) -> Row:
    """Return the work's row, or the row of how it failed."""
    try:
        return work()
    except (DataError, ResultError):
        # No trial can run without its data or where its weights cannot be written: the user must
        # know before the next one.
        raise
    except Exception as error:  # noqa: BLE001 - a failed trial is a row, never a lost run
        return dict(failure_columns(error))


class SavedCohort:
    """Keep the state of a cohort that trains for long in a file, so that it can go on.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last, or None where there is nothing that can be read."""
        found: dict[str, Any] = {}

        def work() -> Row:
            found.update(torch.load(self.path, map_location="cpu", weights_only=True))
            return {}

        return found if self.path.exists() and not caught(work) else None

    def save(self, state: dict[str, Any]) -> None:
        """Save a state in place of the last."""
        _save(state, self.path)


def _save_weights(model: torch.nn.Module, path: Path) -> None:
    _save(model.state_dict(), path)


def _save(value: Any, path: Path) -> None:
    make_folder(path.parent)
    content = io.BytesIO()
    torch.save(value, content)
    write_atomically(path, content.getbuffer())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
