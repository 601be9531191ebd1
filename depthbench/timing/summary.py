"""From samples to the measured columns of timings.parquet, flags included."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from depthbench.report.statistics import median_interval
from depthbench.timing.clocks import COARSE_FRACTION
from depthbench.timing.device_state import state_columns, state_flags
from depthbench.timing.measured import MeasuredCell
from depthbench.timing.stopping import CONFIDENCE, MIN_SAMPLES

# An interval wider than this fraction of the median, end to end, is flagged.
NOISY_FRACTION = 0.05
# Processes whose medians lie further apart than this fraction of the median are flagged.
UNLIKE_PROCESSES_FRACTION = 0.10

Columns = dict[str, Any]


def measured_columns(
    measured: MeasuredCell,
    stop_reason: str,
    *,
    reference: MeasuredCell | None = None,
    eager: MeasuredCell | None = None,
) -> Columns:
    """Return the measured columns of one cell; no sample is dropped.

    The interval is the distribution-free 95% one of the median, null where there are too few
    samples for it.

    Args:
        measured: the cell's samples and how they were taken.
        stop_reason: why there are no more.
        reference: the reference variant's cell that was sampled in the same rounds, if any.
        eager: the same cell in mode eager, if there is one.
    """
    seconds = [sample.device_seconds for sample in measured.samples]
    walls = [sample.wall_seconds for sample in measured.samples]
    median = statistics.median(seconds)
    first = measured.readies[0]
    tokens = first.tokens_per_call
    states = [state for sample in measured.samples for state in sample.states]
    low, high = median_interval(seconds, CONFIDENCE) or (None, None)
    return {
        **_distribution(seconds, median),
        "ci_low_seconds": low,
        "ci_high_seconds": high,
        "wall_median_seconds": statistics.median(walls),
        "examples_per_second": measured.cell.batch_size / median if median > 0 else None,
        "tokens_per_second": tokens / median if tokens and median > 0 else None,
        "samples_seconds": seconds,
        "wall_samples_seconds": walls if walls != seconds else None,
        "samples_round": list(measured.rounds),
        "samples_process": list(measured.processes),
        "num_samples": len(seconds),
        "num_processes": len(set(measured.processes)),
        "num_threads": first.num_threads,
        "calls_per_sample": measured.calls_per_sample,
        "num_warmup_calls": sum(ready.warmed.num_calls for ready in measured.readies),
        "first_call_seconds": first.warmed.first_call_seconds,
        **_compile_columns(measured, median, eager),
        "stop_reason": stop_reason,
        **_ratio_columns(measured, reference),
        **state_columns(states),
        "flags": [*_flags(measured, seconds, median, low, high), *state_flags(states)],
    }


def _distribution(seconds: Sequence[float], median: float) -> Columns:
    values = np.array(seconds)
    ranks = (1, 5, 25, 75, 95, 99)
    percentiles = np.percentile(values, ranks)
    return {
        "median_seconds": median,
        "mean_seconds": float(values.mean()),
        "mad_seconds": float(np.median(np.abs(values - median))),
    } | {f"p{rank}_seconds": float(value) for rank, value in zip(ranks, percentiles, strict=True)}


def _compile_columns(measured: MeasuredCell, median: float, eager: MeasuredCell | None) -> Columns:
    """Return what compiling cost, and after how many calls it has paid against mode eager."""
    if not measured.readies[0].is_compiled:
        return {"compile_seconds": None, "break_even_calls": None}
    compile_seconds = max(0.0, measured.readies[0].warmed.first_call_seconds - median)
    gain = 0.0
    if eager is not None and eager.samples:
        gain = statistics.median(sample.device_seconds for sample in eager.samples) - median
    return {
        "compile_seconds": compile_seconds,
        "break_even_calls": compile_seconds / gain if gain > 0 else None,
    }


def _ratio_columns(measured: MeasuredCell, reference: MeasuredCell | None) -> Columns:
    """Return the paired ratio: each sample over the reference's of the same round."""
    names = ("ratio_to_reference", "ratio_ci_low", "ratio_ci_high", "reference_cell_id")
    if reference is None:
        return dict.fromkeys(names)
    theirs = {
        number: sample.device_seconds
        for number, sample in zip(reference.rounds, reference.samples, strict=True)
    }
    ratios = [
        sample.device_seconds / theirs[number]
        for number, sample in zip(measured.rounds, measured.samples, strict=True)
        if theirs.get(number)
    ]
    if not ratios:
        return dict.fromkeys(names)
    interval = median_interval(ratios, CONFIDENCE) or (None, None)
    values = (statistics.median(ratios), *interval, reference.cell.cell_id)
    return dict(zip(names, values, strict=True))


def _flags(
    measured: MeasuredCell,
    seconds: Sequence[float],
    median: float,
    low: float | None,
    high: float | None,
) -> list[str]:
    width = 0.0 if low is None or high is None else high - low
    step = max(ready.warmed.clock_step_seconds for ready in measured.readies)
    doubts = {
        "few_samples": len(seconds) < MIN_SAMPLES,
        "noisy": width > NOISY_FRACTION * median,
        "unlike_processes": _process_range(measured) > UNLIKE_PROCESSES_FRACTION * median,
        "not_steady": not all(ready.warmed.is_steady for ready in measured.readies),
        # The device may have waited for the host within what should be its own time.
        "launch_gaps": any(sample.has_launch_gaps for sample in measured.samples),
        "clock_coarse": step > COARSE_FRACTION * median * measured.calls_per_sample,
    }
    return [flag for flag, is_raised in doubts.items() if is_raised]


def _process_range(measured: MeasuredCell) -> float:
    """Return how far apart the medians of the processes lie, in seconds."""
    by_process: dict[int, list[float]] = {}
    for process, sample in zip(measured.processes, measured.samples, strict=True):
        by_process.setdefault(process, []).append(sample.device_seconds)
    medians = [statistics.median(samples) for samples in by_process.values()]
    return max(medians) - min(medians)
