"""Flip and shift training images at random, a batch at a time, on their own device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from depthbench.errors import TrialError

# Pixels that a crop may shift by, as is usual for CIFAR (Wide Residual Networks, section 3).
CROP_PIXELS = 4
FLIP_PROBABILITY = 0.5
IMAGE_RANK = 3

Augmentation = Callable[[Tensor], Tensor]


def augmentation_of(name: str, input_shape: tuple[int, ...]) -> Augmentation:
    """Return what a setting does to a batch of training images; with none the batch stays as is.

    Random numbers come from PyTorch's global generator of the images' device, which training has
    seeded, so the same seed gives the same batches.

    Args:
        name: none, flip or flip_crop.
        input_shape: of one example.

    Shapes:
        The function takes (B, C, H, W) and returns the same.

    Raises:
        TrialError: Inputs that are no images, or images too small to be shifted.
    """
    if name == "none":
        return _unchanged
    if len(input_shape) != IMAGE_RANK:
        raise TrialError(f"train: augment: {name} applies to images; for other data set it to none")
    if name == "flip_crop" and min(input_shape[1:]) <= CROP_PIXELS:
        raise TrialError(
            f"train: augment: flip_crop shifts by up to {CROP_PIXELS} pixels, too many for images "
            f"of {input_shape[1]} x {input_shape[2]}; use flip or none"
        )
    return {"flip": flip, "flip_crop": flip_crop}[name]


def _unchanged(images: Tensor) -> Tensor:
    return images


def flip(images: Tensor) -> Tensor:
    """Return the images, each mirrored left to right with probability 1/2.

    Shapes:
        images: (B, C, H, W), and so the result, a copy.
    """
    columns = torch.arange(images.shape[3], device=images.device).expand(len(images), -1)  # (B, W)
    columns = torch.where(_flips(images), columns.flip(-1), columns)
    return images.gather(3, columns[:, None, None, :].expand(images.shape))


def flip_crop(images: Tensor) -> Tensor:
    """Return the images mirrored as `flip` does and shifted by up to 4 pixels each way.

    A shifted image is a crop of its own size from the image padded by reflection, as though 4
    pixels were added at every side; all shifts are equally likely.

    Shapes:
        images: (B, C, H, W), and so the result, a copy.
    """
    height, width = images.shape[2:]
    is_flipped = _flips(images)
    rows = _reflected(_shifts(images, height), height)  # (B, H)
    columns = _reflected(_shifts(images, width), width)  # (B, W)
    columns = torch.where(is_flipped, columns.flip(-1), columns)
    # Rows, then columns: two gathers of one axis each are several times faster than indexing both.
    shifted = images.gather(2, rows[:, None, :, None].expand(images.shape))
    return shifted.gather(3, columns[:, None, None, :].expand(images.shape))


def _flips(images: Tensor) -> Tensor:
    return torch.rand(len(images), 1, device=images.device) < FLIP_PROBABILITY  # (B, 1)


def _shifts(images: Tensor, side: int) -> Tensor:
    """Return for each image the positions along one side that its crop takes, some outside."""
    span = 2 * CROP_PIXELS + 1
    offsets = torch.randint(span, (len(images), 1), device=images.device) - CROP_PIXELS  # (B, 1)
    return offsets + torch.arange(side, device=images.device)  # (B, side)


def _reflected(positions: Tensor, side: int) -> Tensor:
    """Return positions with those outside mirrored at the edge pixel, which is not repeated."""
    return (side - 1) - ((side - 1) - positions.abs()).abs()
