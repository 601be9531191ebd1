"""Examples that must be images, for the backbones that read nothing else."""

from __future__ import annotations

from depthbench.errors import SuiteError
from depthbench.spec import Problem, Variant


def image_shape(variant: Variant, problem: Problem) -> tuple[int, int, int]:
    """Return the channels, height and width of an example.

    Raises:
        SuiteError: The examples are no images.
    """
    shape = problem.input_shape
    if len(shape) != 3:
        raise SuiteError(
            f"backbone {variant.backbone}: examples of shape {shape} are no images (C, H, W); "
            "use backbone: mlp"
        )
    return shape
