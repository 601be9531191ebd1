"""The canary: fixed work timed once a round, the same in every suite. If it moves, all moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

# Some hundred microseconds on one CPU core, and enough to keep a GPU busy past its launch.
_SIZE = {"cpu": 256, "cuda": 4096}
# Medians of the canary over quarters of a session further apart than this say the machine moved.
DRIFT_FRACTION = 0.10
_NUM_QUARTERS = 4


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


def canary_flags(seconds: Sequence[float]) -> list[str]:
    """Return the flag that the machine moved: not that single rounds were disturbed.

    What disturbs rounds now and then is in the samples and in their intervals; a machine that is
    slower for a part of a session is slower for all cells of those rounds.
    """
    if len(seconds) < 2 * _NUM_QUARTERS:
        return []
    medians = [float(np.median(part)) for part in np.array_split(seconds, _NUM_QUARTERS)]
    is_moved = max(medians) > (1 + DRIFT_FRACTION) * min(medians)
    return ["canary_moved"] if is_moved else []
