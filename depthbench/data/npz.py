"""A user's own arrays, in one .npz file."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from depthbench.data.archive import read_arrays
from depthbench.data.base import (
    Dataset,
    DatasetStatus,
    Split,
    cut,
    default_validation,
    digest_of_array,
    digest_of_parts,
    fixed_order,
    split_sizes,
)
from depthbench.data.npz_layout import NAMES, Layout, Part, read_layout
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings


class NpzSet:
    """Read one .npz file of images or feature vectors with labels.

    Arrays are named x_train, y_train, x_test, y_test, or train_images, train_labels, test_images,
    test_labels; validation (x_val, y_val, or val_images, val_labels) is cut from training where it
    is not there.
    """

    name = "npz"
    licence = "your own"

    def shapes(self, settings: DatasetSettings) -> tuple[tuple[int, int, int], int]:
        """Return (C, H, W) and the number of classes; reads headers, at most labels, no images.

        Raises:
            DataError: The file is missing, broken or not laid out as it should be.
        """
        path = _path(settings)
        layout = read_layout(path)
        _sizes(settings, layout)
        num_classes = settings.num_classes or layout.num_classes
        if num_classes:
            return layout.image_shape, num_classes
        names = [part.labels for part in layout.parts.values()]
        arrays = read_arrays(path, layout.headers, names)
        labels = {split: _labels(path, part, arrays) for split, part in layout.parts.items()}
        return layout.image_shape, _num_classes(path, settings, layout, labels)

    def sizes(self, settings: DatasetSettings) -> tuple[int, int, int]:
        """Return the sizes of the splits; reads headers alone."""
        layout = read_layout(_path(settings))
        return (*_sizes(settings, layout), layout.parts["test"].num_examples)

    def load(self, settings: DatasetSettings, data_dir: Path | None) -> Dataset:
        """Read the file. Integer images stay uint8; others become float32, their values as given.

        Raises:
            DataError: The file is missing, broken, not laid out as it should be, holds NaN or
                infinities, or labels outside the classes.
        """
        path = _path(settings)
        layout = read_layout(path)
        sizes = _sizes(settings, layout)
        names = [name for part in layout.parts.values() for name in (part.images, part.labels)]
        arrays = read_arrays(path, layout.headers, names)
        labels = {split: _labels(path, part, arrays) for split, part in layout.parts.items()}
        num_classes = _num_classes(path, settings, layout, labels)
        splits = {
            split: Split(_images(path, part, arrays.pop(part.images)), labels[split])
            for split, part in layout.parts.items()
        }
        digest = digest_of_parts(_digests(splits))
        test = splits.pop("test")
        train, validation = _cut(splits, sizes)
        return Dataset(
            self.name, train, validation, test, num_classes, digest, False, is_complete=True
        )

    def survey(self, data_dir: Path | None) -> DatasetStatus:
        """Say how to use a file of one's own; there is nothing to look for."""
        return DatasetStatus(
            name=self.name,
            path=None,
            is_present=False,
            is_complete=False,
            is_official=False,
            num_train_examples=None,
            num_test_examples=None,
            licence=self.licence,
            note="your own arrays: dataset: {name: npz, path: FILE.npz}, holding "
            + ", ".join(name for pair in NAMES[0].values() for name in pair),
        )


def _path(settings: DatasetSettings) -> Path:
    if settings.path is None:
        raise DataError("npz: which file? write dataset: {name: npz, path: FILE.npz}")
    return Path(settings.path).expanduser()


def _sizes(settings: DatasetSettings, layout: Layout) -> tuple[int, int]:
    """Return the numbers of training and validation examples."""
    num_train = layout.parts["train"].num_examples
    if "validation" not in layout.parts:
        return split_sizes(settings, num_train, default_validation(num_train))
    wanted = (settings.train_examples, settings.validation_examples)
    present = (num_train, layout.parts["validation"].num_examples)
    for key, number, limit in zip(("train", "validation"), wanted, present, strict=True):
        if number is not None and number > limit:
            raise DataError(f"npz: {key}_examples is {number:,}, but the file has {limit:,}")
    return wanted[0] or present[0], wanted[1] or present[1]


def _cut(splits: dict[str, Split], sizes: tuple[int, int]) -> tuple[Split, Split]:
    if "validation" not in splits:
        return cut(splits["train"], sizes, fixed_order(len(splits["train"])))
    pairs = zip((splits["train"], splits["validation"]), sizes, strict=True)
    train, validation = (split.take(fixed_order(len(split))[:number]) for split, number in pairs)
    return train, validation


def _digests(splits: dict[str, Split]) -> dict[str, str]:
    return {
        f"{name} {kind}": digest_of_array(getattr(split, kind))
        for name, split in splits.items()
        for kind in ("images", "labels")
    }


def _images(path: Path, part: Part, array: np.ndarray) -> np.ndarray:
    """Return images as (N, C, H, W), uint8 or finite float32."""
    if part.is_channels_last:
        array = array.transpose(0, 3, 1, 2)  # (N, C, H, W)
    images = array.reshape(len(array), *part.image_shape)
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    # A NaN or an infinity shows in the extremes; asking each value would cost a copy.
    with np.errstate(over="ignore", invalid="ignore"):
        images = np.ascontiguousarray(images, dtype=np.float32)
        is_finite = np.isfinite(images.min()) and np.isfinite(images.max())
    if not is_finite:
        row = int(np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))[0])
        raise DataError(
            f"{path}: {part.images} holds NaN, an infinity or a value beyond float32, first at "
            f"row {row:,}; leave such examples out or mend them"
        )
    return images


def _labels(path: Path, part: Part, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return labels as (N,) int64."""
    array = arrays[part.labels]
    if part.one_hot_width:
        is_one = array == 1
        is_one_hot = (is_one.sum(axis=1) == 1) & ((array != 0).sum(axis=1) == 1)
        if not is_one_hot.all():
            row = int(is_one_hot.argmin())
            raise DataError(
                f"{path}: {part.labels} has shape {array.shape}, so it must be one-hot, but row "
                f"{row:,} is not one 1 among 0s; save class numbers of shape (N,)"
            )
        return is_one.argmax(axis=1).astype(np.int64)
    flat = array.reshape(-1)
    if flat.min() < 0 or flat.max() > np.iinfo(np.int64).max:
        raise DataError(
            f"{path}: {part.labels} ranges from {flat.min()} to {flat.max()}; classes count from 0"
        )
    return flat.astype(np.int64)


def _num_classes(
    path: Path, settings: DatasetSettings, layout: Layout, labels: dict[str, np.ndarray]
) -> int:
    """Return the number of classes, given or found, that all labels must be below."""
    found = 1 + max(int(values.max()) for values in labels.values())
    num_classes = settings.num_classes or layout.num_classes or found
    for split, values in labels.items():
        if values.max() >= num_classes:
            raise DataError(
                f"{path}: {layout.parts[split].labels} has label {values.max()} at row "
                f"{int(values.argmax()):,}, but there are {num_classes} classes, from 0 to "
                f"{num_classes - 1}; set num_classes, or number the labels from 0"
            )
    if num_classes < 2:
        raise DataError(f"{path}: all labels are 0; at least two classes are needed")
    if settings.num_classes is None:
        _check_classes(path, layout, labels)
    return num_classes


def _check_classes(path: Path, layout: Layout, labels: dict[str, np.ndarray]) -> None:
    """Refuse a class that no training example shows; `num_classes` says that this is meant."""
    trained = set(np.unique(labels["train"]).tolist())
    found = sorted({int(label) for values in labels.values() for label in np.unique(values)})
    wanted = range(found[-1] + 1) if layout.num_classes is None else found
    # A label may be huge, so no more of the gap below it is looked at than is shown.
    missing = list(islice((label for label in wanted if label not in trained), 9))
    if not missing:
        return
    name = layout.parts["train"].labels
    shown = ", ".join(str(label) for label in missing[:8]) + (", ..." if missing[8:] else "")
    raise DataError(
        f"{path}: {name} has no example of class {shown}: its labels go from {min(trained)} to "
        f"{max(trained)}, {len(trained)} classes; number the labels from 0 without a gap, or say "
        f"that it is meant with num_classes: {layout.num_classes or 1 + found[-1]}"
    )


NPZ = NpzSet()
