"""The 1,797 handwritten digits that scikit-learn ships: 8 x 8 pixels of 17 grey values."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depthbench.data.base import (
    Dataset,
    DatasetStatus,
    Split,
    cut,
    digest_of_array,
    digest_of_parts,
    fixed_order,
    split_sizes,
)
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings

SIDE = 8
NUM_CLASSES = 10
NUM_EXAMPLES = 1_797
NUM_TEST = 397
NUM_VALIDATION = 300
NUM_POOL = NUM_EXAMPLES - NUM_TEST
MAX_VALUE = 16
OFFICIAL_DIGEST = "de64aad26ddc5f72013b2d50d835296c24697a9cde831be2b26e08ed3c5b3221"


class DigitsSet:
    """Read scikit-learn's digits.

    There is no official split, so this one is: of the fixed order the first 397 are the test set,
    the next ones validation (300 unless the suite says otherwise), then training.

    Source: UCI "Optical Recognition of Handwritten Digits" (Alpaydin, Kaynak), its test part.
    """

    name = "digits"
    licence = "CC BY 4.0"

    def shapes(self, settings: DatasetSettings) -> tuple[tuple[int, int, int], int]:
        """Return (C, H, W) and the number of classes; refuse splits larger than the set."""
        split_sizes(settings, NUM_POOL, NUM_VALIDATION)
        return (1, SIDE, SIDE), NUM_CLASSES

    def sizes(self, settings: DatasetSettings) -> tuple[int, int, int]:
        """Return the sizes of the splits that are cut from the complete set."""
        return (*split_sizes(settings, NUM_POOL, NUM_VALIDATION), NUM_TEST)

    def load(self, settings: DatasetSettings, data_dir: Path | None) -> Dataset:
        """Read the digits, scaled from 0..16 to [0, 1]; they are part of scikit-learn.

        Raises:
            DataError: The splits are larger than the set, or scikit-learn's file has other content.
        """
        everything, digest = _read()
        order = fixed_order(len(everything))
        sizes = split_sizes(settings, NUM_POOL, NUM_VALIDATION)
        train, validation = cut(everything, sizes, order[NUM_TEST:])
        return Dataset(
            name=self.name,
            train=train,
            validation=validation,
            test=everything.take(order[:NUM_TEST]),
            num_classes=NUM_CLASSES,
            digest=digest,
            is_official=digest == OFFICIAL_DIGEST,
            is_complete=True,
        )

    def survey(self, data_dir: Path | None) -> DatasetStatus:
        """Say where scikit-learn keeps the digits, and whether they are as published."""
        import sklearn

        try:
            is_sound, is_official = True, _read()[1] == OFFICIAL_DIGEST
            note = "" if is_official else "differs from the digits that scikit-learn publishes"
        except DataError as error:
            is_sound, is_official, note = False, False, str(error)
        return DatasetStatus(
            name=self.name,
            path=Path(sklearn.__file__).parent / "datasets" / "data",
            is_present=True,
            is_complete=is_sound,
            is_official=is_official,
            num_train_examples=NUM_POOL if is_sound else None,
            num_test_examples=NUM_TEST if is_sound else None,
            licence=self.licence,
            note=note,
            is_corrupt=not is_sound,
        )


def _read() -> tuple[Split, str]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)  # (1797, 8, 8)
    labels = bunch.target.astype(np.int64)
    if images.shape != (NUM_EXAMPLES, SIDE, SIDE):
        raise DataError(
            f"digits: scikit-learn has {images.shape} where {(NUM_EXAMPLES, SIDE, SIDE)} is "
            "expected; install it again with `pip install --force-reinstall scikit-learn`"
        )
    digest = digest_of_parts({"images": digest_of_array(images), "labels": digest_of_array(labels)})
    scaled = images[:, None].astype(np.float32) / np.float32(MAX_VALUE)  # (1797, 1, 8, 8)
    return Split(scaled, labels), digest


DIGITS = DigitsSet()
