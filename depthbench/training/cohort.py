"""The training loop of a cohort: trials that differ in seed and rates, trained as one network.

A member follows the training that `loop.train` would give it: its own first weights, order of
examples, random numbers, learning rate, weight decay, validations and end. Sums are taken in
another order, so the numbers agree to rounding, not bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from depthbench.grammar import TrainSettings
from depthbench.models.stacked import Convolution
from depthbench.training.arithmetic import exact_arithmetic, forked_random
from depthbench.training.augment import augmentation_of
from depthbench.training.batches import check_batches
from depthbench.training.checkpoints import Checkpoint
from depthbench.training.curves import Evaluation, RunningLoss
from depthbench.training.durations import horizon_of
from depthbench.training.evaluation import evaluate_members
from depthbench.training.loop import (
    STEPS_BETWEEN_CHECKS,
    OnProgress,
    TrainingResult,
    unheard,
    why_diverged,
)
from depthbench.training.members import Members, Streams, member_batches, together
from depthbench.training.schedules import LearningRate
from depthbench.training.stopwatch import Stopwatch
from depthbench.training.tasks import Task
from depthbench.training.tensors import PreparedData

# A crash costs a long cohort no more than this.
SECONDS_BETWEEN_SAVES = 300.0
# What is saved in another form is not read.
SAVED_FORMAT = 1


class Savepoint(Protocol):
    """Where a long training is saved, so that it can go on after a crash."""

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last, or None."""

    def save(self, state: dict[str, Any]) -> None:
        """Save a state in place of the last, wholly or not at all."""


@dataclass
class _Member:
    """What becomes of one member; `ended` is (step, examples, seconds) where it has diverged."""

    settings: TrainSettings
    rate: LearningRate
    checkpoint: Checkpoint
    evaluations: list[Evaluation] = field(default_factory=list)
    ended: tuple[int, int, float] | None = None


class CohortTraining:
    """Train the networks of a cohort in place.

    Args:
        networks: one a member, initialised, on the device of the data.
        data: the splits; the test split is not read.
        settings: of each member; they differ in learning rate and weight decay alone.
        seeds: of each member.
        task: what is learned.
        convolution: how convolutions run.
        clock: returns seconds.
        savepoint: where a long training is saved.
    """

    def __init__(  # noqa: PLR0913 - what a training needs
        self,
        networks: Sequence[nn.Module],
        data: PreparedData,
        settings: Sequence[TrainSettings],
        seeds: Sequence[int],
        *,
        task: Task,
        convolution: Convolution = "loop",
        clock: Callable[[], float] = time.perf_counter,
        savepoint: Savepoint | None = None,
    ) -> None:
        self.networks, self.data, self.seeds, self.task = networks, data, seeds, task
        self.settings, self.savepoint, self.clock = settings[0], savepoint, clock
        self.device = data.train.inputs.device
        self.horizon = horizon_of(self.settings, len(data.train), data.example_tokens)
        check_batches(networks[0], self.horizon)
        self.stack = Members(networks, settings, task, convolution)
        self.losses = RunningLoss(self.device, len(networks))
        self.members = [
            _Member(
                own,
                LearningRate(own, self.horizon),
                Checkpoint(own.checkpoint, self.stack.member_state(index)),
            )
            for index, own in enumerate(settings)
        ]
        self.step = self.examples = self.num_due = 0
        self.seconds_before = 0.0

    def run(self, on_progress: OnProgress = unheard) -> list[TrainingResult]:
        """Train until the end, and return how it went for each member.

        `train_seconds` of a member is its share of the cohort's, up to its end.

        Args:
            on_progress: hears, at each step, the share that is done and the first member's last
                validation loss.
        """
        with (
            forked_random(self.device, 0),
            exact_arithmetic(self.device, is_deterministic=True),
        ):
            streams = Streams(self.seeds, self.device)
            self._load(streams)
            self.stack.network.train()
            watch = Stopwatch(self.clock, self.device)
            self._steps(streams, watch, on_progress)
            seconds = self.seconds_before + watch.seconds()
            self._notice_divergence(seconds)
            if any(self._is_due(member) for member in self.members):
                self._observe()
            results = self._results(seconds)
        for index, network in enumerate(self.networks):
            self.stack.write(index, network)
        return results

    def _steps(self, streams: Streams, watch: Stopwatch, on_progress: OnProgress) -> None:
        augment = augmentation_of(self.settings.augment, tuple(self.data.train.inputs.shape[1:]))

        def seen(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            return self.task.training_batch(augment(inputs), targets)

        see = streams.each if self.settings.augment != "none" or self.task.is_random else together
        batches = member_batches(
            *(self.data.train, self.settings.batch_size, self.seeds, self.horizon.num_examples),
            start=self.step,
        )
        saved = self.clock()
        for inputs, targets in batches:
            if self.horizon.progress(self.step, 0.0) >= 1.0:
                break
            rates = [member.rate.at(self.step, self.examples, 0.0) for member in self.members]
            batch = see(seen, inputs, targets)
            self.losses.add(self.stack.step(*batch, rates), inputs.shape[1])
            self.step += 1
            self.examples += inputs.shape[1]
            on_progress(self.horizon.progress(self.step, 0.0), self._last_loss())
            due = self.horizon.num_evaluations(
                self.step, self.examples, 0.0, self.settings.evaluations
            )
            if due > self.num_due or self.step % STEPS_BETWEEN_CHECKS == 0:
                self._notice_divergence(self.seconds_before + watch.seconds())
            if all(member.ended for member in self.members):
                break
            if due > self.num_due:
                self.num_due = due
                with watch.paused():
                    self._observe()
            if self.savepoint and self.clock() - saved >= SECONDS_BETWEEN_SAVES:
                with watch.paused():
                    self._save(streams, self.seconds_before + watch.seconds())
                saved = self.clock()

    def _is_due(self, member: _Member) -> bool:
        """Say whether a member has taken steps since its last validation."""
        last = member.evaluations[-1].step if member.evaluations else -1
        return member.ended is None and last < self.step

    def _last_loss(self) -> float | None:
        evaluations = self.members[0].evaluations
        return evaluations[-1].validation.get("loss") if evaluations else None

    def _notice_divergence(self, seconds: float) -> None:
        for member, is_finite in zip(self.members, self.losses.are_finite(), strict=True):
            if member.ended is None and not is_finite:
                member.ended = self.step, self.examples, seconds

    def _observe(self) -> None:
        progress = self.horizon.progress(self.step, 0.0)
        epoch = self.examples / len(self.data.train)
        means = self.losses.take_means()
        found = evaluate_members(self.stack, self.data.validation, self.task)
        for member, mean, validation in zip(self.members, means, found, strict=True):
            if member.ended is None:
                evaluation = Evaluation(self.step, epoch, progress, mean, validation)
                member.evaluations.append(evaluation)
                member.checkpoint.consider(evaluation)

    def _results(self, seconds: float) -> list[TrainingResult]:
        final = [None if m.ended else m.checkpoint.restore() for m in self.members]
        evaluated = self.data.evaluated_train
        examples = self.data.train if evaluated is None else evaluated()
        training = evaluate_members(self.stack, examples, self.task)
        return [
            self._result(member, evaluation, metrics, seconds)
            for member, evaluation, metrics in zip(self.members, final, training, strict=True)
        ]

    def _result(
        self,
        member: _Member,
        final: Evaluation | None,
        training: dict[str, float],
        seconds: float,
    ) -> TrainingResult:
        metrics: dict[str, float] = {}
        if final is not None:
            metrics = {f"train_{name}": value for name, value in training.items()}
            metrics |= {f"val_{name}": value for name, value in final.validation.items()}
        step, examples, own_seconds = member.ended or (self.step, self.examples, seconds)
        error = why_diverged(metrics, member.settings, step)
        return TrainingResult(
            status="ok" if error is None else "diverged",
            error=error,
            steps_taken=step,
            examples_seen=examples,
            train_seconds=own_seconds / len(self.members),
            curve=[row for evaluation in member.evaluations for row in evaluation.rows()],
            metrics=metrics if error is None else {},
        )

    def _save(self, streams: Streams, seconds: float) -> None:
        assert self.savepoint is not None
        self.savepoint.save(
            {
                "format": SAVED_FORMAT,
                "place": (self.step, self.examples, self.num_due, seconds),
                "tensors": [self.stack.member_state(i) for i in range(len(self.members))],
                "optimizer": self.stack.optimizer.state_dict(),
                "streams": streams.states,
                "losses": self.losses.state(),
                "members": [
                    ([asdict(e) for e in m.evaluations], m.ended, m.checkpoint.state())
                    for m in self.members
                ],
            }
        )

    def _load(self, streams: Streams) -> None:
        state = self.savepoint.load() if self.savepoint else None
        if state is None or state.get("format") != SAVED_FORMAT:
            return
        self.step, self.examples, self.num_due, self.seconds_before = state["place"]
        for index, tensors in enumerate(state["tensors"]):
            for tensor, value in zip(self.stack.member_state(index), tensors, strict=True):
                tensor.copy_(value)
        self.stack.optimizer.load_state_dict(state["optimizer"])
        streams.states = state["streams"]
        self.losses.load(state["losses"])
        for member, saved in zip(self.members, state["members"], strict=True):
            evaluations, member.ended, checkpoint = saved
            member.evaluations = [Evaluation(**values) for values in evaluations]
            member.checkpoint.load(checkpoint)
            if self.step > self.settings.warmup_steps:  # where the decay began
                member.rate.at(self.settings.warmup_steps, 0, 0.0)
