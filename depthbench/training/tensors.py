"""Put a data set on the device once: standardised float32 examples and their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

_CHUNK_EXAMPLES = 4096


class ImageSplit(Protocol):
    """Name what `prepare` reads of a split.

    Shapes:
        images: (N, C, H, W) uint8, or float32 as given.
        labels: (N,) int64.
    """

    @property
    def images(self) -> np.ndarray[Any, Any]:
        """Return the images."""

    @property
    def labels(self) -> np.ndarray[Any, Any]:
        """Return the labels."""


class ImageDataset(Protocol):
    """Name what `prepare` reads of a data set: its three splits and where they come from."""

    @property
    def digest(self) -> str:
        """Return the sha256 of what was read."""

    @property
    def is_official(self) -> bool:
        """Say whether the files have their official checksums."""

    @property
    def is_complete(self) -> bool:
        """Say whether the set has all its official examples."""

    @property
    def train(self) -> ImageSplit:
        """Return the examples that training sees."""

    @property
    def validation(self) -> ImageSplit:
        """Return the examples held out of training."""

    @property
    def test(self) -> ImageSplit:
        """Return the examples of the test set."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """Hold one split on the device.

    `evaluation_batch_size` is how many examples an evaluation takes at a time, where the task
    knows better than the evaluation's own constant.

    Shapes:
        inputs: (N, C, H, W) float32, standardised; or as the task has them.
        targets: (N,) int64; or as the task has them.
    """

    inputs: Tensor
    targets: Tensor
    evaluation_batch_size: int | None = None

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True)
class PreparedData:
    """Hold the three splits of a data set on the device, and how they were standardised.

    `digest`, `is_official` and `is_complete` are the data set's own words about itself.
    `evaluated_train` gives the training split as metrics are measured on it, where a task draws
    batches from another form of it; None where `train` is that. `columns` are values of a trial's
    row that the task knows of its data, and `example_tokens` the tokens of an example of text.
    """

    train: Tensors
    validation: Tensors
    test: Tensors
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    digest: str
    is_official: bool
    is_complete: bool
    evaluated_train: Callable[[], Tensors] | None = None
    columns: Mapping[str, int] = field(default_factory=dict)
    example_tokens: int | None = None


def prepare(dataset: ImageDataset, device: torch.device | str) -> PreparedData:
    """Move a data set to a device, standardised by the training images' mean and deviation.

    Bytes become [0, 1] first; floats are taken as given. Mean and standard deviation are one
    number a channel, computed in float64 from the training images alone, so nothing of the
    validation and test images enters the training. The caller keeps the result: it depends on the
    data set and the device only.

    Args:
        dataset: a data set with the splits `train`, `validation` and `test`.
        device: where the tensors go.

    Returns:
        The splits as tensors, with the mean and deviation a channel that were used.
    """
    mean, std = pixel_statistics(dataset.train.images)
    return PreparedData(
        train=_standardised(dataset.train, mean, std, device),
        validation=_standardised(dataset.validation, mean, std, device),
        test=_standardised(dataset.test, mean, std, device),
        pixel_mean=tuple(mean.tolist()),
        pixel_std=tuple(std.tolist()),
        digest=dataset.digest,
        is_official=dataset.is_official,
        is_complete=dataset.is_complete,
    )


def pixel_statistics(
    images: np.ndarray[Any, Any],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return mean and standard deviation a channel, in float64; a constant channel has 1.

    Shapes:
        images: (N, C, H, W).

    Returns:
        Two arrays of shape (C,), of bytes scaled to [0, 1].
    """
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    count = images.size // images.shape[1]
    chunks = [images[i : i + _CHUNK_EXAMPLES] for i in range(0, len(images), _CHUNK_EXAMPLES)]
    # Chunks bound the float64 copies; the second pass avoids the cancellation of E[x^2] - E[x]^2.
    mean = sum(chunk.sum(axis=(0, 2, 3), dtype=np.float64) for chunk in chunks) / count  # (C,)
    centre = mean[:, None, None]
    squares = sum(np.square(chunk - centre).sum(axis=(0, 2, 3)) for chunk in chunks)  # (C,)
    std = np.sqrt(squares / count)
    # Below float32's resolution a deviation is rounding, and dividing by it would be noise.
    is_constant = std <= np.finfo(np.float32).eps * np.abs(mean)
    return mean / scale, np.where(is_constant, 1.0, std / scale)


def _standardised(
    split: ImageSplit,
    mean: np.ndarray[Any, Any],
    std: np.ndarray[Any, Any],
    device: torch.device | str,
) -> Tensors:
    scale = 255.0 if split.images.dtype == np.uint8 else 1.0
    shift = torch.as_tensor(mean * scale, dtype=torch.float32, device=device)[:, None, None]
    spread = torch.as_tensor(std * scale, dtype=torch.float32, device=device)[:, None, None]
    # A copy always: the caller's array may be read-only, and must stay as it is.
    inputs = torch.tensor(split.images, device=device).to(torch.float32)  # (N, C, H, W)
    targets = torch.tensor(split.labels, dtype=torch.int64, device=device)  # (N,)
    return Tensors(inputs.sub_(shift).div_(spread), targets)
