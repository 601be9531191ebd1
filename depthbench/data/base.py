"""What every data set is made of: splits, how they are cut, and the digest of what was read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings

# The order of every pool, whatever the trial's seed. Changing it changes every split ever cut.
SPLIT_SEED = 1_729
# One example in this many is held out for validation where a suite does not say how many.
VALIDATION_SHARE = 6


@dataclass(frozen=True, slots=True)
class Split:
    """Hold examples and their labels, in a fixed order.

    Shapes:
        images: (N, C, H, W), uint8, or float32 (in [0, 1], or as given in a user's own file).
        labels: (N,), int64.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Split:
        """Return a copy of the given rows, in that order."""
        return Split(self.images.take(rows, axis=0), self.labels.take(rows))


@dataclass(frozen=True, slots=True)
class Dataset:
    """Hold a data set cut into its three splits.

    `digest` is the sha256 of everything that was read, whatever the sizes of the splits.
    `is_official` says that every file has its published checksum, `is_complete` that no official
    example is missing.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    digest: str
    is_official: bool
    is_complete: bool


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """Say whether a data set is on this machine; None where that is not known.

    `num_train_examples` counts what is there for training and validation together. `note` says what
    is missing or wrong, and how to mend it. `is_corrupt` says that files are here which cannot be
    what their names say.
    """

    name: str
    path: Path | None
    is_present: bool
    is_complete: bool
    is_official: bool
    num_train_examples: int | None
    num_test_examples: int | None
    licence: str
    note: str
    is_corrupt: bool = False


class DatasetReader(Protocol):
    """What an entry of DATASETS can do."""

    @property
    def name(self) -> str:
        """Return the data set's name in a suite."""

    def shapes(self, settings: DatasetSettings) -> tuple[tuple[int, int, int], int]:
        """Return (C, H, W) of an image and the number of classes, without reading images."""

    def sizes(self, settings: DatasetSettings) -> tuple[int, int, int]:
        """Return the sizes of the train, validation and test splits, without reading images."""

    def load(self, settings: DatasetSettings, data_dir: Path | None) -> Dataset:
        """Read the data set and cut its splits."""

    def survey(self, data_dir: Path | None) -> DatasetStatus:
        """Look for the data set without downloading it."""


def fixed_order(num_examples: int) -> np.ndarray:
    """Return the one order in which a pool of this many examples is used.

    NumPy freezes the stream of its legacy RandomState, so the order is the same in every version.
    """
    return np.random.RandomState(SPLIT_SEED).permutation(num_examples)


def default_validation(num_pool: int) -> int:
    """Return how many examples of a pool are held out where a suite does not say."""
    return max(1, num_pool // VALIDATION_SHARE)


def split_sizes(settings: DatasetSettings, num_pool: int, num_held_out: int) -> tuple[int, int]:
    """Return the numbers of training and validation examples to cut from a pool.

    Args:
        settings: What the suite asks for.
        num_pool: How many examples there are for both.
        num_held_out: How many are validation where the suite does not say.

    Raises:
        DataError: There are not enough examples.
    """
    num_validation = settings.validation_examples or num_held_out
    num_left = num_pool - num_validation
    num_train = settings.train_examples or max(num_left, 1)
    if num_train > num_left:
        raise DataError(
            f"{settings.name}: {num_train:,} training and {num_validation:,} validation examples "
            f"are more than the {num_pool:,} there are; "
            f"train_examples and validation_examples together may be at most {num_pool:,}"
        )
    return num_train, num_validation


def cut(pool: Split, sizes: tuple[int, int], order: np.ndarray) -> tuple[Split, Split]:
    """Return the training and validation examples of a pool.

    Validation comes first in the order, so its examples do not depend on how many training sees,
    and a smaller training set is the beginning of a larger one.
    """
    num_train, num_validation = sizes
    train = order[num_validation : num_validation + num_train]
    return pool.take(train), pool.take(order[:num_validation])


def digest_of_array(array: np.ndarray) -> str:
    """Return the sha256 of an array's type, shape and values, in hex, equal on every machine."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.str}{little.shape}".encode())
    digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def digest_of_parts(parts: Mapping[str, str]) -> str:
    """Return the sha256, in hex, of named parts that are each given by their own sha256."""
    text = "".join(f"{name} {parts[name]}\n" for name in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()
