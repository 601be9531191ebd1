"""From samples to the measured columns of timings.parquet, flags included. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from depthbench.report.statistics import median_interval
from depthbench.timing.stopping import CONFIDENCE, MIN_SAMPLES

# An interval wider than this fraction of the median, end to end, is flagged.
NOISY_FRACTION = 0.05
# The clock's step must be under this fraction of a block.
COARSE_FRACTION = 1e-3


@dataclass(frozen=True, slots=True)
class Timed:
    """Hold what was measured of one cell; each sample is the mean of its calls, in seconds.

    `num_warmup_calls` counts all calls before the first sample, the very first one included.
    """

    samples: tuple[float, ...]
    calls_per_sample: int
    first_call_seconds: float
    num_warmup_calls: int
    is_steady: bool
    stop_reason: str
    clock_step_seconds: float


def measured_columns(timed: Timed, batch_size: int) -> dict[str, Any]:
    """Return the measured columns of one cell; no sample is dropped.

    The interval is the distribution-free 95% one of the median, null where there are too few
    samples for it.

    Args:
        timed: the samples and how they were taken.
        batch_size: examples a call.
    """
    samples = np.array(timed.samples)
    median = float(np.median(samples))
    low, high = median_interval(timed.samples, CONFIDENCE) or (None, None)
    p5, p25, p75, p95 = (float(value) for value in np.percentile(samples, (5, 25, 75, 95)))
    return {
        "median_seconds": median,
        "mean_seconds": float(samples.mean()),
        "ci_low_seconds": low,
        "ci_high_seconds": high,
        "p5_seconds": p5,
        "p25_seconds": p25,
        "p75_seconds": p75,
        "p95_seconds": p95,
        "mad_seconds": float(np.median(np.abs(samples - median))),
        "examples_per_second": batch_size / median if median > 0 else None,
        "samples_seconds": list(timed.samples),
        "num_samples": len(timed.samples),
        "calls_per_sample": timed.calls_per_sample,
        "num_warmup_calls": timed.num_warmup_calls,
        "first_call_seconds": timed.first_call_seconds,
        "stop_reason": timed.stop_reason,
        "flags": _flags(timed, median, low, high),
    }


def _flags(timed: Timed, median: float, low: float | None, high: float | None) -> list[str]:
    width = 0.0 if low is None or high is None else high - low
    doubts = {
        "few_samples": len(timed.samples) < MIN_SAMPLES,
        "noisy": width > NOISY_FRACTION * median,
        "not_steady": not timed.is_steady,
        "clock_coarse": timed.clock_step_seconds
        > COARSE_FRACTION * median * timed.calls_per_sample,
    }
    return [flag for flag, is_raised in doubts.items() if is_raised]
