"""One file of CIFAR-10 or CIFAR-100, a python pickle or the binary form, read and checked.

Source: formats as stated on https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depthbench.data.base import Split
from depthbench.data.pickles import PickledArray, read_pickle
from depthbench.errors import DataError

SIDE = 32
CHANNELS = 3
PIXELS = CHANNELS * SIDE * SIDE
GZIP_MAGIC = b"\x1f\x8b"
READ_AGAIN = "delete the file and get it again"
# The largest official file, CIFAR-100's training pickle, has 155 MB.
MAX_FILE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class BatchFile:
    """Name a file, its official number of examples, its part and its checksum.

    `checksum` is "md5:..." or "sha256:...", of the file without gzip.
    """

    name: str
    num_official: int
    is_test: bool
    checksum: str


@dataclass(frozen=True, slots=True)
class Labelling:
    """State where a data set's labels are.

    `key` is that of the pickles. In the binary form an example starts with `label_bytes` bytes, of
    which the last is its label.
    """

    num_classes: int
    key: str
    label_bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold the examples of one file; `is_official` says that it has its published checksum."""

    examples: Split
    is_official: bool


def file_bytes(path: Path) -> bytes:
    """Return the contents of a file, without gzip where it has any.

    Raises:
        DataError: The file is unreadable, truncated, corrupt or larger than any official one.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        if content[:2] == GZIP_MAGIC:
            with gzip.open(path) as unpacked:
                content = unpacked.read(MAX_FILE_BYTES + 1)
    except EOFError as error:
        raise DataError(f"{path}: truncated: its gzip stream ends early; {READ_AGAIN}") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: corrupt gzip ({error}); {READ_AGAIN}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(content) > MAX_FILE_BYTES:
        raise DataError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes; {READ_AGAIN}")
    return content


def read_batch(content: bytes, source: str, file: BatchFile, labelling: Labelling) -> Batch:
    """Return the examples of one file, checked; a name in .bin says that it is the binary form.

    Args:
        content: The file's bytes, without gzip.
        source: Where they come from, for messages.
        file: What the file should be.
        labelling: Where its labels are.

    Raises:
        DataError: The file is truncated, corrupt or not what it should be.
    """
    if not content:
        raise DataError(f"{source}: empty; {READ_AGAIN}")
    read = _read_binary if file.name.endswith(".bin") else _read_pickled
    pixels, labels = read(content, source, labelling)
    if len(pixels) != len(labels):
        raise DataError(
            f"{source}: {len(labels):,} labels for {len(pixels):,} images; {READ_AGAIN}"
        )
    if not 1 <= len(labels) <= file.num_official:
        raise DataError(
            f"{source}: {len(labels):,} images where 1 to {file.num_official:,} are expected; "
            "for data of your own use dataset: {name: npz, path: FILE}"
        )
    _check_range(labels, source, labelling.num_classes)
    images = pixels.reshape(-1, CHANNELS, SIDE, SIDE)  # (N, 3, 32, 32)
    algorithm, official = file.checksum.split(":")
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    return Batch(Split(images, labels.astype(np.int64)), found == official)


def _read_binary(
    content: bytes, source: str, labelling: Labelling
) -> tuple[np.ndarray, np.ndarray]:
    example_bytes = labelling.label_bytes + PIXELS
    if len(content) % example_bytes:
        raise DataError(
            f"{source}: {len(content):,} bytes, which is no multiple of the {example_bytes:,} of "
            f"an example: truncated, or of another data set; {READ_AGAIN}"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, example_bytes)
    return rows[:, labelling.label_bytes :], rows[:, labelling.label_bytes - 1]


def _read_pickled(
    content: bytes, source: str, labelling: Labelling
) -> tuple[np.ndarray, np.ndarray]:
    entries = read_pickle(content, source)
    if not isinstance(entries, dict):
        raise DataError(f"{source}: a pickle of a {type(entries).__name__}, not of a batch")
    by_name = {_text(key): value for key, value in entries.items()}
    for key in ("data", labelling.key):
        if key not in by_name:
            found = ", ".join(sorted(str(name)[:40] for name in by_name)) or "nothing"
            raise DataError(f"{source}: has no {key!r} but {found}; it is of another data set")
    return _pixels(by_name["data"], source), _labels(by_name[labelling.key], source)


def _pixels(pickled: Any, source: str) -> np.ndarray:
    if not isinstance(pickled, PickledArray):
        raise DataError(f"{source}: its data is a {type(pickled).__name__}, not an array")
    pixels = pickled.values(source)
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise DataError(
            f"{source}: its data is {pixels.dtype} {pixels.shape} where uint8 (N, {PIXELS}) is "
            f"expected; {READ_AGAIN}"
        )
    return pixels


def _labels(found: Any, source: str) -> np.ndarray:
    if isinstance(found, PickledArray):
        labels = found.values(source)
        if labels.ndim == 1 and labels.dtype.kind in "iu":
            return labels
    elif isinstance(found, list) and all(type(label) is int for label in found):
        # Python's integers have no bound; numpy's would overflow.
        return np.array([min(max(label, -1), 1 << 30) for label in found], dtype=np.int64)
    raise DataError(f"{source}: its labels are no list of integers; {READ_AGAIN}")


def _check_range(labels: np.ndarray, source: str, num_classes: int) -> None:
    is_outside = (labels < 0) | (labels >= num_classes)
    if is_outside.any():
        row = int(is_outside.argmax())
        raise DataError(
            f"{source}: the label at row {row:,} is outside 0 to {num_classes - 1}; {READ_AGAIN}"
        )


def _text(key: Any) -> Any:
    return key.decode("latin-1") if isinstance(key, bytes) else key
