"""What the arrays of a .npz file are, judged by their names and headers alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from depthbench.data.archive import ArrayHeader, read_headers
from depthbench.errors import DataError

# The two ways to name arrays: images and labels of each split. Validation may be left out.
NAMES: tuple[dict[str, tuple[str, str]], ...] = (
    {
        "train": ("x_train", "y_train"),
        "validation": ("x_val", "y_val"),
        "test": ("x_test", "y_test"),
    },
    {
        "train": ("train_images", "train_labels"),
        "validation": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
)
CLASS_NAMES = "class_names"
CHANNELS = (1, 3, 4)
FLOAT_BYTES = (2, 4, 8)


@dataclass(frozen=True, slots=True)
class Part:
    """Name the two arrays of a split and say how they are laid out.

    Shapes:
        image_shape: (C, H, W); a vector of F features is (1, 1, F).
    """

    images: str
    labels: str
    image_shape: tuple[int, int, int]
    num_examples: int
    is_channels_last: bool
    is_float: bool
    one_hot_width: int | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Hold the parts by split; `num_classes` is None where only the labels can tell."""

    headers: dict[str, ArrayHeader]
    parts: dict[str, Part]
    num_classes: int | None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of every split."""
        return self.parts["train"].image_shape


def read_layout(path: Path) -> Layout:
    """Return what a .npz file holds, from headers alone.

    Raises:
        DataError: The file is broken, arrays are missing, or do not fit each other.
    """
    headers = read_headers(path)
    names = _names(path, headers)
    parts = {split: _part(path, headers, *pair) for split, pair in names.items()}
    first = parts["train"]
    for part in parts.values():
        if (part.image_shape, part.is_float) != (first.image_shape, first.is_float):
            raise DataError(
                f"{path}: {part.images} is {_described(headers[part.images])} but {first.images} "
                f"is {_described(headers[first.images])}; save both with one dtype and image shape"
            )
    return Layout(headers, parts, _header_classes(path, headers, parts))


def _names(path: Path, headers: dict[str, ArrayHeader]) -> dict[str, tuple[str, str]]:
    """Return the names of the arrays there are, by split, in the one convention that they use."""
    used = [names for names in NAMES if any(name in headers for name in _flat(names))]
    if len(used) != 1:
        found = ", ".join(sorted(headers)[:12]) or "no arrays"
        known = "; or ".join(", ".join(_flat(names)) for names in NAMES)
        raise DataError(
            f"{path}: holds {found}; arrays must be named {known} (validation may be left out): "
            "numpy.savez(path, x_train=x, y_train=y, x_test=u, y_test=v)"
        )
    present = {
        split: pair
        for split, pair in used[0].items()
        if split != "validation" or any(name in headers for name in pair)
    }
    missing = [name for name in _flat(present) if name not in headers]
    if missing:
        raise DataError(
            f"{path}: {', '.join(missing)} missing; it holds {', '.join(sorted(headers)[:12])}"
        )
    return present


def _flat(names: dict[str, tuple[str, str]]) -> Iterator[str]:
    return (name for pair in names.values() for name in pair)


def _part(path: Path, headers: dict[str, ArrayHeader], images: str, labels: str) -> Part:
    of_images, of_labels = headers[images], headers[labels]
    for name, header in ((images, of_images), (labels, of_labels)):
        if not header.shape or min(header.shape) < 1:
            raise DataError(f"{path}: {name} has shape {header.shape}: there is nothing in it")
    if of_images.shape[0] != of_labels.shape[0]:
        raise DataError(
            f"{path}: {images} has {of_images.shape[0]:,} examples but {labels} has "
            f"{of_labels.shape[0]:,}; each needs one label"
        )
    image_shape, is_channels_last = _image_shape(path, images, of_images.shape)
    return Part(
        images=images,
        labels=labels,
        image_shape=image_shape,
        num_examples=of_images.shape[0],
        is_channels_last=is_channels_last,
        is_float=_is_float(path, images, of_images),
        one_hot_width=_one_hot_width(path, labels, of_labels),
    )


def _image_shape(
    path: Path, name: str, shape: tuple[int, ...]
) -> tuple[tuple[int, int, int], bool]:
    """Return (C, H, W), and whether the channels come last in the file."""
    if len(shape) == 2:
        return (1, 1, shape[1]), False
    if len(shape) == 3:
        return (1, shape[1], shape[2]), False
    if len(shape) != 4 or (shape[1] in CHANNELS) == (shape[3] in CHANNELS):
        raise DataError(
            f"{path}: {name} has shape {shape}, from which the channels cannot be told; use "
            "(N, C, H, W) with C 1, 3 or 4 and a W that is none of these, "
            "(N, H, W) without channels, or (N, F) for vectors of features"
        )
    if shape[1] in CHANNELS:
        return (shape[1], shape[2], shape[3]), False
    return (shape[3], shape[1], shape[2]), True


def _is_float(path: Path, name: str, header: ArrayHeader) -> bool:
    dtype = header.dtype
    is_float = dtype.kind == "f" and dtype.itemsize in FLOAT_BYTES
    if dtype != "uint8" and not is_float:
        raise DataError(
            f"{path}: {name} is {dtype}; save uint8 (0 to 255), float16, float32 or float64"
        )
    return is_float


def _one_hot_width(path: Path, name: str, header: ArrayHeader) -> int | None:
    """Return K of one-hot labels (N, K), or None of class numbers (N,) or (N, 1)."""
    is_one_hot = len(header.shape) == 2 and header.shape[1] > 1
    if len(header.shape) > 2 or header.dtype.kind not in ("iufb" if is_one_hot else "iu"):
        raise DataError(
            f"{path}: {name} is {_described(header)}; "
            "save class numbers, integers of shape (N,) that count from 0"
        )
    return header.shape[1] if is_one_hot else None


def _header_classes(
    path: Path, headers: dict[str, ArrayHeader], parts: dict[str, Part]
) -> int | None:
    if CLASS_NAMES in headers:
        shape = headers[CLASS_NAMES].shape
        if len(shape) != 1 or shape[0] < 2:
            raise DataError(
                f"{path}: {CLASS_NAMES} has shape {shape}; it must list two classes or more"
            )
        return shape[0]
    widths = {part.one_hot_width for part in parts.values()} - {None}
    if len(widths) > 1:
        raise DataError(f"{path}: one-hot labels have {sorted(map(str, widths))} classes")
    return widths.pop() if widths else None


def _described(header: ArrayHeader) -> str:
    return f"{header.dtype} {header.shape}"
