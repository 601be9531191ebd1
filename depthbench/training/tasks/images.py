"""Tasks from images to images: denoise, super_resolution, prototype; MSE and PSNR.

Images are in [0, 1], not standardised, and so are the targets. The training split holds the clean
images, which `training_batch` degrades anew each time, so that whatever augments a batch before
does it to input and target alike. All other splits are degraded once, with noise of a fixed seed.

Source: "Rethinking the Shape Convention of an MLP" (arXiv 2510.01796) and its official code
(mtkresearch/Hourglass_LM). What differs: there the noise of an evaluation is drawn anew each time,
and PSNR is a mean over batches of 128; here noise is fixed, and PSNR is that of the whole split.
"""

from __future__ import annotations

from functools import partial
from math import inf, log10, nan
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from depthbench.errors import DataError
from depthbench.grammar import TaskSettings, TrainSettings
from depthbench.spec import Problem
from depthbench.training.tasks.base import Sums, losses_one_by_one
from depthbench.training.tensors import ImageSplit, PreparedData, Tensors

# Seeds of the noise that evaluations see, whatever the trial's seed. Changing one changes results.
TRAIN_NOISE_SEED = 2_510_017_960
VALIDATION_NOISE_SEED = 2_510_017_961
TEST_NOISE_SEED = 2_510_017_962
# Images degraded at once: bounds memory, and changes no number.
_CHUNK_EXAMPLES = 4096


class ImageTask:
    """Learn images from images by their mean squared error; a subclass says what is degraded.

    Shapes:
        inputs (B, C, H', W') and targets (B, C, H, W) in [0, 1]; outputs (B, C, H, W), unbounded
        but for `output: sigmoid`.
    """

    is_random = False

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings

    def prepare(self, dataset: Any, device: torch.device) -> PreparedData:
        """Put a data set's splits on the device, in [0, 1].

        Raises:
            DataError: images with values outside [0, 1], or too few of them.
        """
        clean, labels = {}, {}
        for name in _SEEDS:
            split = getattr(dataset, name)
            clean[name] = unit_images(split, dataset.name, device)
            labels[name] = torch.tensor(split.labels, dtype=torch.int64, device=device)  # (N,)
        num_channels = clean["train"].shape[1]
        return PreparedData(
            train=self._training(dataset, clean["train"], labels["train"]),
            validation=self._evaluated("validation", clean["validation"], labels["validation"]),
            test=self._evaluated("test", clean["test"], labels["test"]),
            pixel_mean=(0.0,) * num_channels,
            pixel_std=(1.0,) * num_channels,
            digest=dataset.digest,
            is_official=dataset.is_official,
            is_complete=dataset.is_complete,
            evaluated_train=partial(self._evaluated, "train", clean["train"], labels["train"]),
        )

    def training_batch(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch degraded: clean images become inputs, and stay targets."""
        return self.degraded(inputs), inputs

    def degraded(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return what the network sees of clean images.

        Args:
            images: (B, C, H, W).
            generator: of random numbers, on the CPU; None for PyTorch's global one.
        """
        raise NotImplementedError

    def loss(self, outputs: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
        """Return the mean squared error of the batch's pixels."""
        return F.mse_loss(outputs, targets)

    def member_losses(self, outputs: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
        """Return the loss of each member of a cohort."""
        return losses_one_by_one(self, outputs, targets, settings)

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sum of the examples' mean squared errors, and their number."""
        errors = (outputs - targets).square().double().flatten(1).mean(1)  # (B,)
        return {
            "loss": errors.sum(),
            "count": torch.tensor(float(len(targets)), dtype=torch.float64),
        }

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the mean squared error, and the PSNR in dB that this one number means."""
        mse = sums["loss"] / sums["count"]
        # Without any error the ratio is infinite, which is no number to record: left out.
        return {"loss": mse} | ({"psnr_db": psnr_db(mse)} if mse != 0 else {})

    def synthetic_batch(
        self, problem: Problem, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return images uniform in [0, 1] as inputs and targets."""
        inputs = torch.rand(batch_size, *problem.input_shape, generator=generator)
        targets = torch.rand(batch_size, *problem.output_shape, generator=generator)
        return inputs, targets

    def _training(self, dataset: Any, images: Tensor, labels: Tensor) -> Tensors:
        """Return the training split, from which batches are drawn."""
        return Tensors(images, images)

    def _evaluated(self, name: str, images: Tensor, labels: Tensor) -> Tensors:
        """Return a split as it is evaluated: degraded once, the same in every call."""
        generator = torch.Generator().manual_seed(_SEEDS[name])
        chunks = images.split(_CHUNK_EXAMPLES)
        inputs = torch.cat([self.degraded(chunk, generator) for chunk in chunks])
        return Tensors(inputs, images)


class Denoise(ImageTask):
    """Take Gaussian noise off images: x + N(0, noise^2), clamped to [0, 1], back to x.

    Training draws its noise anew for each batch; evaluations see that of a fixed seed.
    """

    is_random = True

    def degraded(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the images with noise, clamped to [0, 1]."""
        if generator is None:
            noise = torch.randn_like(images)
        else:
            # On the CPU, so that all devices see the same noise.
            noise = torch.randn(images.shape, generator=generator).to(images.device)
        return noise.mul_(self.settings.noise).add_(images).clamp_(0.0, 1.0)


class SuperResolution(ImageTask):
    """Double the height and width of images that were halved by bicubic interpolation.

    As published: pixel corners not aligned, no antialiasing, and no clamping, so that inputs may
    leave [0, 1] a little at edges.

    Shapes:
        inputs (B, C, H / 2, W / 2), targets and outputs (B, C, H, W)
    """

    def degraded(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the images at half their height and width."""
        size = (images.shape[2] // 2, images.shape[3] // 2)
        return F.interpolate(
            images, size=size, mode="bicubic", align_corners=False, antialias=False
        )


class Prototype(ImageTask):
    """Map each image to the prototype of its class: generative classification.

    The prototype is the first training image of the class, for all splits. `prepare` keeps them,
    so the same instance must train and evaluate. `accuracy` is the share of outputs that are
    nearest, in squared error, to the prototype of their own class.

    Shapes:
        inputs (B, C, H, W); targets (B,) labels until `training_batch` makes them images, which
        the loss compares; outputs (B, C, H, W).
    """

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        self.prototypes: Tensor | None = None  # (K, C, H, W)

    def training_batch(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images as they are, and the prototypes of their labels."""
        return inputs, self._known()[targets]

    def degraded(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the images as they are."""
        return images

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return the sum of squared errors, the number nearest to their own, and of examples."""
        prototypes = self._known()  # (K, C, H, W)
        # Differences, not |y|^2 - 2 y.p + |p|^2, whose cancellation could change the nearest.
        distances = torch.stack(
            [(outputs - prototype).square().flatten(1).mean(1) for prototype in prototypes], dim=1
        )  # (B, K)
        right = (distances.argmin(dim=1) == targets).double().sum()
        return super().sums(outputs, prototypes[targets]) | {"right": right}

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the mean squared error, the PSNR in dB and the accuracy as a fraction."""
        return super().metrics(sums) | {"accuracy": sums["right"] / sums["count"]}

    def _training(self, dataset: Any, images: Tensor, labels: Tensor) -> Tensors:
        self.prototypes = images[first_of_each_class(dataset)]  # (K, C, H, W)
        return Tensors(images, labels)

    def _evaluated(self, name: str, images: Tensor, labels: Tensor) -> Tensors:
        return Tensors(images, labels)

    def _known(self) -> Tensor:
        assert self.prototypes is not None, "prepare a data set first"
        return self.prototypes


_SEEDS = {
    "train": TRAIN_NOISE_SEED,
    "validation": VALIDATION_NOISE_SEED,
    "test": TEST_NOISE_SEED,
}


def psnr_db(mse: float) -> float:
    """Return the peak signal-to-noise ratio in dB of a mean squared error, for a peak of 1."""
    if mse == 0:
        return inf
    return -10.0 * log10(mse) if mse > 0 else nan


def unit_images(split: ImageSplit, name: str, device: torch.device) -> Tensor:
    """Return a split's images on the device in [0, 1]: bytes over 255, floats as given.

    Shapes:
        returns (N, C, H, W) float32.

    Raises:
        DataError: floats outside [0, 1], for which PSNR has no peak of 1.
    """
    images = split.images
    if images.dtype == np.uint8:
        return torch.tensor(images, device=device).to(torch.float32).div_(255.0)
    low, high = float(images.min()), float(images.max())
    if low < 0.0 or high > 1.0:
        raise DataError(
            f"dataset {name}: its images go from {low:g} to {high:g}, and image tasks need "
            "them in [0, 1]; scale the arrays, or give them as uint8"
        )
    return torch.tensor(images, device=device, dtype=torch.float32)


def first_of_each_class(dataset: Any) -> list[int]:
    """Return the row of the first training image of each class.

    Raises:
        DataError: a class without any training image.
    """
    classes, rows = np.unique(dataset.train.labels, return_index=True)
    missing = sorted(set(range(dataset.num_classes)) - set(classes.tolist()))
    if missing:
        raise DataError(
            f"dataset {dataset.name}: no training image of class {missing[0]} among "
            f"{len(dataset.train.labels):,}, so it has no prototype; raise train_examples"
        )
    return [int(row) for row in rows]
