"""The one training loop: every trial, of every family, is trained by `train`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from depthbench.grammar import TrainSettings
from depthbench.models.experts import balance_of
from depthbench.training.arithmetic import exact_arithmetic, forked_random
from depthbench.training.augment import augmentation_of
from depthbench.training.batches import batches, check_batches, stream_seed
from depthbench.training.checkpoints import Checkpoint, learned_tensors
from depthbench.training.curves import Evaluation, RunningLoss
from depthbench.training.durations import horizon_of
from depthbench.training.evaluation import evaluate
from depthbench.training.optimizers import build_optimizer, set_learning_rate
from depthbench.training.schedules import LearningRate
from depthbench.training.step import build_step
from depthbench.training.stopwatch import Stopwatch
from depthbench.training.tasks import Task
from depthbench.training.tasks.classify import Classify
from depthbench.training.tensors import PreparedData

# Reading a loss waits for the device, so one that is not finite is looked for this often.
STEPS_BETWEEN_CHECKS = 50

OnProgress = Callable[[float, float | None], None]


def unheard(share: float, loss: float | None) -> None:
    """Tell nobody how far a training is."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """State what a training came to.

    `train_seconds` leaves validation out. `curve` has rows of curves.parquet without the trial.
    `metrics` has the task's train and val metrics over the whole splits at the end, by the names
    of their columns in trials.parquet; it is empty where training diverged.
    """

    status: Literal["ok", "diverged"]
    error: str | None
    steps_taken: int
    examples_seen: int
    train_seconds: float
    curve: list[dict[str, Any]]
    metrics: dict[str, float]


def train(  # noqa: PLR0913 - the last ones are for those who watch
    model: nn.Module,
    data: PreparedData,
    settings: TrainSettings,
    seed: int,
    *,
    task: Task | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    on_progress: OnProgress = unheard,
) -> TrainingResult:
    """Train a network in place and say how it went.

    The same call gives bitwise the same numbers on one machine (a duration in seconds aside). The
    order of the examples depends on the seed alone, so all variants of a seed see the same
    batches. Random numbers of the network itself (dropout and the like) come from a stream of
    their own; PyTorch's global ones are left as they were.

    Args:
        model: the network, initialised, on the device of the data.
        data: the splits; the test split is not read.
        settings: the optimisation, with exactly one duration.
        seed: the trial's seed.
        task: what is learned (default: classify).
        clock: returns seconds, for `train_seconds` and for a duration in seconds.
        on_evaluation: called at each validation; its time is not counted.
        on_progress: called at each step with what is known without waiting for the device: the
            share of the training that is done, and the last validation loss, if any.

    Returns:
        The result; `diverged` when a loss was not finite, with the step it was noticed at.

    Raises:
        TrialError: settings that this network cannot be trained with on this data.
    """
    task = task or Classify()
    device = data.train.inputs.device
    horizon = horizon_of(settings, len(data.train), data.example_tokens)
    check_batches(model, horizon)
    optimizer = build_optimizer(model, settings)
    learning_rate = LearningRate(settings, horizon)
    augment = augmentation_of(settings.augment, tuple(data.train.inputs.shape[1:]))
    take_step = build_step(
        model, optimizer, settings, settings.precision, task, balance=balance_of(model)
    )
    losses = RunningLoss(device)
    checkpoint = Checkpoint(settings.checkpoint, learned_tensors(model))
    evaluations: list[Evaluation] = []
    step = examples = num_due = 0
    elapsed, has_diverged = 0.0, False

    def observe() -> None:
        progress, epoch = horizon.progress(step, elapsed), examples / len(data.train)
        validation = evaluate(model, data.validation, precision=settings.precision, task=task)
        evaluations.append(Evaluation(step, epoch, progress, losses.take_mean(), validation))
        checkpoint.consider(evaluations[-1])
        if on_evaluation is not None:
            on_evaluation(evaluations[-1])

    with (
        forked_random(device, stream_seed(seed, "noise")),
        exact_arithmetic(device, is_deterministic=True),
    ):
        model.train()
        watch = Stopwatch(clock, device)
        for inputs, targets in batches(data.train, settings.batch_size, seed, horizon.num_examples):
            # Reading the watch waits for the device: without that a GPU would be given too much.
            elapsed = watch.seconds() if horizon.unit == "seconds" else 0.0
            if horizon.progress(step, elapsed) >= 1.0:
                break
            set_learning_rate(optimizer, learning_rate.at(step, examples, elapsed))
            losses.add(take_step(*task.training_batch(augment(inputs), targets)), len(targets))
            step += 1
            examples += len(targets)
            on_progress(horizon.progress(step, elapsed), _last_loss(evaluations))
            due = horizon.num_evaluations(step, examples, elapsed, settings.evaluations)
            if due > num_due or step % STEPS_BETWEEN_CHECKS == 0:
                has_diverged = not losses.is_finite()
            if has_diverged:
                break
            if due > num_due:
                num_due = due
                with watch.paused():
                    observe()
        train_seconds = watch.seconds()
        has_diverged = has_diverged or not losses.is_finite()
        if not has_diverged and (not evaluations or evaluations[-1].step < step):
            observe()
        metrics: dict[str, float] = {}
        if not has_diverged:
            final = checkpoint.restore()
            metrics = _final_metrics(model, data, settings, task, final)

    error = why_diverged(metrics, settings, step)
    return TrainingResult(
        status="ok" if error is None else "diverged",
        error=error,
        steps_taken=step,
        examples_seen=examples,
        train_seconds=train_seconds,
        curve=[row for evaluation in evaluations for row in evaluation.rows()],
        metrics=metrics if error is None else {},
    )


def _last_loss(evaluations: Sequence[Evaluation]) -> float | None:
    return evaluations[-1].validation.get("loss") if evaluations else None


def _final_metrics(
    model: nn.Module,
    data: PreparedData,
    settings: TrainSettings,
    task: Task,
    final: Evaluation,
) -> dict[str, float]:
    examples = data.train if data.evaluated_train is None else data.evaluated_train()
    training = evaluate(model, examples, precision=settings.precision, task=task)
    named = {f"train_{metric}": value for metric, value in training.items()}
    return named | {f"val_{metric}": value for metric, value in final.validation.items()}


def why_diverged(metrics: dict[str, float], settings: TrainSettings, step: int) -> str | None:
    """Return why a training that ended with these metrics has diverged, None where it has not."""
    if metrics and all(math.isfinite(value) for value in metrics.values()):
        return None
    what = "final loss is" if metrics else "training loss was"
    return (
        f"the {what} not finite, noticed at step {step}; "
        f"a smaller lr than {settings.lr:g}, warmup_steps or clip_norm may help"
    )
