"""What the tasks on images ask of a network, from the shape of an image and the classes alone."""

from __future__ import annotations

from depthbench.errors import DataError
from depthbench.spec import Problem

Shape = tuple[int, int, int]


def image_problem(dataset: str, shape: Shape, num_classes: int, task: str) -> Problem:
    """Return what a network maps to what in a task on images.

    Args:
        dataset: its name, for errors.
        shape: (C, H, W) of an image.
        num_classes: number of classes.
        task: classify, denoise, super_resolution or prototype.

    Raises:
        DataError: The task is none of images, or the images cannot be halved.
    """
    if task == "classify":
        return Problem(input_shape=shape, output_shape=(num_classes,))
    if task in ("denoise", "prototype"):
        return Problem(input_shape=shape, output_shape=shape)
    if task == "super_resolution":
        return Problem(input_shape=_halved(dataset, shape), output_shape=shape)
    raise DataError(
        f"task {task}: not available for {dataset}, a set of images; "
        "allowed: classify, denoise, super_resolution, prototype"
    )


def _halved(dataset: str, shape: Shape) -> Shape:
    channels, height, width = shape
    if height % 2 or width % 2:
        raise DataError(
            f"task super_resolution: images of {dataset} have {height} x {width} pixels, and an "
            "odd side has no half; use images with even sides, or another task"
        )
    return channels, height // 2, width // 2
