"""Random data of a trial's shapes, as a data set has them: to measure without reading any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depthbench.data import Dataset, Split
from depthbench.spec import Trial, context_of

# Of data whose classes a task does not tell.
_NUM_CLASSES = 10
_SEED = 0


@dataclass(frozen=True, slots=True)
class SyntheticText:
    """Hold random tokens with what a task reads of a text; no story ends within."""

    tokens: np.ndarray
    num_stories: int = 1


@dataclass(frozen=True, slots=True)
class SyntheticTextDataset:
    """Hold three splits of random tokens with what a task reads of a set of text."""

    name: str
    train: SyntheticText
    validation: SyntheticText
    test: SyntheticText
    context: int
    end_of_text: int
    is_document_masked: bool
    token_bytes: np.ndarray
    num_duplicates: int = 0
    digest: str = ""
    is_official: bool = False
    is_complete: bool = False


def synthetic_dataset(trial: Trial, sizes: tuple[int, int, int]) -> Dataset | SyntheticTextDataset:
    """Return a data set with the shapes of a trial's own, and random content.

    Args:
        trial: whose data set and task it is made for.
        sizes: examples, or windows of text, for training, validation and test.
    """
    random = np.random.default_rng(_SEED)
    if trial.problem.vocabulary is not None:
        return _text(trial, trial.problem.vocabulary, sizes, random)
    # Images are degraded by the task itself, so the data have the shape of what comes out of it.
    output = trial.problem.output_shape
    shape = output if len(output) > 1 else trial.problem.input_shape
    num_classes = output[0] if len(output) == 1 else _NUM_CLASSES
    train, validation, test = (
        Split(
            random.random((size, *shape), dtype=np.float32),
            np.arange(size, dtype=np.int64) % num_classes,
        )
        for size in sizes
    )
    return Dataset(trial.dataset, train, validation, test, num_classes, "", False, False)


def _text(
    trial: Trial, vocabulary: int, sizes: tuple[int, int, int], random: np.random.Generator
) -> SyntheticTextDataset:
    context = context_of(trial.dataset_settings)
    train, validation, test = (
        SyntheticText(random.integers(1, vocabulary, size * context + 1, dtype=np.int64))
        for size in sizes
    )
    return SyntheticTextDataset(
        trial.dataset,
        train,
        validation,
        test,
        context=context,
        end_of_text=0,
        is_document_masked=trial.dataset_settings.document_mask,
        token_bytes=np.ones(vocabulary, dtype=np.int64),
    )
