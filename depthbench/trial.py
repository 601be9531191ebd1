"""Run one trial to its row. The one place where a failure becomes a row."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from depthbench.data import load
from depthbench.environment import device_name
from depthbench.errors import DataError, ResultError
from depthbench.executors import Lost, Tell
from depthbench.folder import make_folder, write_atomically
from depthbench.grammar import DatasetSettings, TaskSettings
from depthbench.models import build_model
from depthbench.models.execution import choose_execution
from depthbench.spec import Trial
from depthbench.training import (
    OnProgress,
    PreparedData,
    evaluate,
    failure_columns,
    train,
    unheard,
)
from depthbench.training.tasks import Task, task_of
from depthbench.training.threads import cpu_threads, training_threads

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


def run_trials(group: Sequence[Trial], tell: Tell, *, context: TrialContext) -> list[TrialResult]:
    """Run trials that are trained together and return their results in their order.

    Args:
        group: the trials.
        tell: takes how far the training is: the share that is done, and the last validation loss.
        context: where they run.
    """
    return [run_trial(trial, context, lambda *told: tell(told)) for trial in group]


def lost_trial(trial: Trial, context: TrialContext, lost: Lost) -> TrialResult:
    """Return the result of a trial whose worker did not come back with one."""
    row = _opening_row(trial, context) | {"status": lost.status, "error": lost.error}
    return TrialResult(row, [])


def run_trial(
    trial: Trial, context: TrialContext, on_progress: OnProgress = unheard
) -> TrialResult:
    """Build, train and validate one trial; whatever goes wrong is in the row's status and error.

    The trained weights stay in the run's folder for the test pass.

    Args:
        trial: what to train.
        context: where it runs.
        on_progress: hears, at each step, how far the training is.
    """
    started = time.perf_counter()
    curves: list[Row] = []

    def work() -> Row:
        task, data = context.learned_data(data_key(trial))
        row.update(_data_columns(data))
        model = _model(trial, context)
        result = train(model, data, trial.train, trial.seed, task=task, on_progress=on_progress)
        curves.extend({"trial_id": trial.trial_id, **point} for point in result.curve)
        if result.status == "ok":
            _save_weights(model, weights_path(context.weights_folder, trial.trial_id))
        return {
            "status": result.status,
            "error": result.error,
            "steps_taken": result.steps_taken,
            "examples_seen": result.examples_seen,
            "train_seconds": result.train_seconds,
            **result.metrics,
        }

    with threads_for(trial):
        row = _opening_row(trial, context)
        row |= _caught(work)
    row["trial_seconds"] = time.perf_counter() - started
    return TrialResult(row, curves)


def threads_for(trial: Trial) -> AbstractContextManager[None]:
    """Return the context in which a trial trains: one CPU thread where its steps are small."""
    return cpu_threads(training_threads(trial.cost.forward_flops, trial.train.batch_size))


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

    return _caught(work)


def _weights(trial: Trial, context: TrialContext) -> dict[str, Any] | None:
    """Return a trial's weights, None where they are not there or not whole."""
    path = weights_path(context.weights_folder, trial.trial_id)

    def work() -> Row:
        return {"weights": torch.load(path, map_location="cpu", weights_only=True)}

    return _caught(work).get("weights") if path.exists() else None


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

    return str(_caught(work).get("execution", "loop"))


def execution_key(trial: Trial) -> str:
    """Return what a measured execution holds for: a variant, its data, its batch size."""
    return f"{trial.variant_id} {trial.dataset} {trial.train.batch_size}"


def weights_path(folder: Path, trial_id: str) -> Path:
    """Return where the trained weights of a trial wait for the test pass."""
    return folder / f"{trial_id}.pt"


def data_key(trial: Trial) -> DataKey:
    """Return what a trial learns from."""
    return trial.dataset_settings, trial.task_settings


def _model(trial: Trial, context: TrialContext) -> torch.nn.Module:
    execution = context.executions.get(execution_key(trial))
    if execution is not None:
        trial = replace(trial, variant=replace(trial.variant, execution=execution))
    return build_model(trial).to(context.device)


def _opening_row(trial: Trial, context: TrialContext) -> Row:
    execution = trial.variant.execution
    return trial.describe() | {
        "suite": context.suite,
        "run": context.run,
        "execution_used": context.executions.get(execution_key(trial), execution),
        "device": device_name(context.device),
        "num_threads": torch.get_num_threads(),
        "started_at": _now(),
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


def _caught(work: Callable[[], Row]) -> Row:
    """Return the work's row, or the row of how it failed."""
    try:
        return work()
    except (DataError, ResultError):
        # No trial can run without its data or where its weights cannot be written: the user must
        # know before the next one.
        raise
    except Exception as error:  # noqa: BLE001 - a failed trial is a row, never a lost run
        return dict(failure_columns(error))


def _save_weights(model: torch.nn.Module, path: Path) -> None:
    make_folder(path.parent)
    content = io.BytesIO()
    torch.save(model.state_dict(), content)
    write_atomically(path, content.getbuffer())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
