"""The canary: fixed work timed once a round, the same in every suite. If it moves, all moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

# Some hundred microseconds on one CPU core, and enough to keep a GPU busy past its launch.
_SIZE = {"cpu": 256, "cuda": 4096}
# A canary whose 90% range is wider than this fraction of its median says the machine moved.
DRIFT_FRACTION = 0.10


def canary_call(device: torch.device) -> Callable[[], object]:
    """Return the canary: a product of two square float32 matrices."""
    size = _SIZE.get(device.type, _SIZE["cpu"])
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator).to(device) for _ in range(2))
    return partial(torch.mm, left, right, out=torch.empty(size, size, device=device))


def canary_columns(seconds: Sequence[float]) -> dict[str, Any]:
    """Return the columns about the canary; null without rounds."""
    if not seconds:
        return {"canary_median_seconds": None, "canary_spread_fraction": None}
    low, median, high = (float(value) for value in np.percentile(seconds, (5, 50, 95)))
    spread = (high - low) / median if median > 0 else None
    return {"canary_median_seconds": median, "canary_spread_fraction": spread}


def canary_flags(columns: dict[str, Any]) -> list[str]:
    """Return the flag that the canary moved, if it did."""
    spread = columns["canary_spread_fraction"]
    return ["canary_moved"] if spread is not None and spread > DRIFT_FRACTION else []
