"""How much work a trial is, in steps and examples, known before any data is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from depthbench.data import sizes_of
from depthbench.data.text_files import find_text
from depthbench.errors import DataError
from depthbench.grammar import TEXT_SETS, DatasetSettings
from depthbench.spec import Trial, context_of, vocabulary_of
from depthbench.training.durations import Horizon, horizon_of

# Where nothing but reading a text could tell: the size of a story of TinyStories and of a token,
# and how many stories there are where the file is not here.
GUESSED_STORY_BYTES = 900
GUESSED_TOKEN_BYTES = 4
GUESSED_STORIES = 2_000_000
# What a step of one module costs beyond its arithmetic, and arithmetic: the order of magnitude on
# a CPU core. They only say how shapes compare before any of them has been measured.
_ROUGH_STEP_SECONDS = 3e-4
_ROUGH_MODULE_SECONDS = 1e-4
_ROUGH_FLOPS_PER_SECOND = 3e10
# What a network takes before the test set is read with it: it is built, and its weights are loaded.
_ROUGH_BUILD_SECONDS = 3e-3


@dataclass(frozen=True, slots=True)
class Examples:
    """State how many examples each split has; `guess` says what of it is not known, else ""."""

    train: int
    validation: int
    test: int
    guess: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """State what training a trial takes.

    `num_steps` is None for a duration in seconds, which then is `train_seconds`. The validation
    split is evaluated `num_validations` times, the training and the test split once.
    """

    num_steps: int | None
    train_seconds: float | None
    num_validations: int
    examples: Examples


def examples_of(dataset: DatasetSettings) -> Examples:
    """Return the sizes of a data set's splits, by its settings and published sizes.

    An example of text is a window of tokens.
    """
    if dataset.name in TEXT_SETS:
        return _windows(dataset)
    train, validation, test = sizes_of(dataset)
    guess = "taken to be complete" if dataset.allow_partial else ""
    return Examples(train, validation, test, guess)


def _windows(dataset: DatasetSettings) -> Examples:
    token_bytes = 1 if vocabulary_of(dataset) == "bytes" else GUESSED_TOKEN_BYTES
    in_story = GUESSED_STORY_BYTES / token_bytes / context_of(dataset)
    num_stories = _num_stories(dataset)
    held_out = max(1, num_stories // 10)
    train = dataset.train_examples or max(1, num_stories - 2 * held_out)
    sizes = (train, dataset.validation_examples or held_out, held_out)
    guess = f"{GUESSED_STORY_BYTES} bytes a story and {num_stories:,} stories"
    train, validation, test = (max(1, round(size * in_story)) for size in sizes)
    return Examples(train, validation, test, guess)


def _num_stories(dataset: DatasetSettings) -> int:
    """Return about how many stories a text has: by the size of its file, where that is here."""
    try:
        num_bytes = find_text(dataset.name, dataset, None, "").stat().st_size
    except (DataError, OSError):
        return GUESSED_STORIES
    return max(1, num_bytes // GUESSED_STORY_BYTES)


@dataclass(frozen=True)
class Load:
    """Hold what a run still has to do: trials to train, and trained ones to be tested."""

    train: Sequence[Trial]
    test: Sequence[Trial] = ()

    @property
    def trials(self) -> list[Trial]:
        """Return all of them."""
        return [*self.train, *self.test]

    def rough_seconds(self) -> list[float]:
        """Return how long each may take on a CPU core, good for comparing shapes alone."""
        return [*map(rough_seconds, self.train), *map(rough_test_seconds, self.test)]


@lru_cache(maxsize=256)
def _examples(dataset: DatasetSettings) -> Examples:
    return examples_of(dataset)


def workload_of(trial: Trial) -> Workload:
    """Return the steps and evaluations of a trial."""
    examples = _examples(trial.dataset_settings)
    context = context_of(trial.dataset_settings) if trial.dataset in TEXT_SETS else None
    horizon = horizon_of(trial.train, examples.train, context)
    if horizon.num_steps is None:
        due = trial.train.evaluations or 1
        return Workload(None, horizon.amount, max(1, due), examples)
    due = _num_due(horizon, horizon.num_steps, trial.train.evaluations)
    before = _num_due(horizon, max(0, horizon.num_steps - 1), trial.train.evaluations)
    # After the last step there is a validation, due or not; several due at one step are one.
    num_validations = due if due > before else due + 1
    most = max(1, horizon.num_steps)
    return Workload(horizon.num_steps, None, min(num_validations, most), examples)


def _num_due(horizon: Horizon, step: int, evaluations: int | None) -> int:
    if horizon.num_examples is not None and step == horizon.num_steps:
        num_examples = horizon.num_examples
    else:
        epochs, rest = divmod(step, ceil(horizon.epoch_examples / horizon.batch_size))
        num_examples = epochs * horizon.epoch_examples + rest * horizon.batch_size
    return horizon.num_evaluations(step, num_examples, 0.0, evaluations)


def rough_step_seconds(depth: int, forward_flops: int, batch_size: int) -> float:
    """Return how long a step may take on a CPU core, good for comparing shapes alone."""
    arithmetic = 3 * forward_flops * batch_size / _ROUGH_FLOPS_PER_SECOND
    return _ROUGH_STEP_SECONDS + depth * _ROUGH_MODULE_SECONDS + arithmetic


def rough_seconds(trial: Trial) -> float:
    """Return how long a trial may take on a CPU core, good for comparing shapes alone."""
    work = workload_of(trial)
    if work.num_steps is None:
        return work.train_seconds or 0.0
    evaluated = work.num_validations * work.examples.validation + work.examples.train
    return work.num_steps * rough_step_of(trial) + _rough_evaluation(trial, evaluated)


def rough_test_seconds(trial: Trial) -> float:
    """Return how long reading the test set may take on a CPU core, good for comparing shapes."""
    return _ROUGH_BUILD_SECONDS + _rough_evaluation(trial, workload_of(trial).examples.test)


def rough_step_of(trial: Trial) -> float:
    """Return how long a step of a trial may take on a CPU core, good for comparing shapes alone."""
    return rough_step_seconds(trial.depth, trial.cost.forward_flops, trial.train.batch_size)


def _rough_evaluation(trial: Trial, num_examples: int) -> float:
    return num_examples * rough_step_of(trial) / trial.train.batch_size / 3
