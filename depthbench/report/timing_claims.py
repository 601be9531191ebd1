"""Judge claims about times: pairs of cells, whose samples are drawn again instead of seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from depthbench.grammar import ClaimSettings
from depthbench.record import column_names
from depthbench.report.pairs import (
    Key,
    Side,
    back,
    compare,
    explain_no_pairs,
    mean_of,
    off_budget_notes,
    pair_keys,
    side_notes,
    side_of,
    under_each_budget,
)
from depthbench.report.processes import CELL_KEYS
from depthbench.report.rows import Row
from depthbench.report.statistics import (
    MIN_SEEDS,
    Estimate,
    bootstrap_interval,
    median_interval,
    stratified_mean,
)
from depthbench.report.verdicts import Bounds, Judgement, bounds_of, close_judgement

if TYPE_CHECKING:
    from depthbench.store import Run

NUM_RESAMPLES = 1_999

_PERCENTILES = {
    "p5_seconds": 5.0,
    "p25_seconds": 25.0,
    "median_seconds": 50.0,
    "p75_seconds": 75.0,
    "p95_seconds": 95.0,
}


def judge_timing(claim: ClaimSettings, run: Run, opened: Judgement) -> Judgement:
    """Judge a claim about a column of timings.parquet.

    Cells are paired by `paired_by` without the seed, and by every setting of a cell that neither
    side fixes. The interval resamples within each cell; a number that has no samples, such as
    memory, is resampled over the pairs.
    """
    sides = claim.of.keys() | claim.against.keys()
    asked = [key for key in claim.paired_by if key != "seed"]
    keys = tuple(dict.fromkeys(asked + [key for key in CELL_KEYS if key not in sides]))
    rows = _cells(run, claim, keys)
    if not rows:
        return replace(opened, reason="the run has no timings: none are done, or asked for")
    of, against = (side_of(rows, claim, side, keys) for side in ("of", "against"))
    pairs = pair_keys(of, against)
    opened = replace(opened, num_missing=of.missing.total() + against.missing.total())
    if not pairs:
        return replace(opened, reason=explain_no_pairs(claim, of, against, rows, keys))
    bounds = bounds_of(claim.expect)
    opened = replace(opened, num_pairs=len(pairs), num_strata=len(pairs))
    used = [row for key in pairs for side in (of, against) for row in side.rows[key]]
    lowest = min(row[claim.metric] for row in used)
    if bounds.is_ratio and lowest <= 0:
        reason = f"a ratio needs positive values; {claim.metric} is {lowest:g}"
        return replace(opened, reason=reason)
    estimate, problems = _estimate(claim, bounds, of, against, pairs)
    notes = problems + side_notes(of, against, len(pairs)) + off_budget_notes(of, against, pairs)
    num_doubtful = sum(bool(row["flags"]) for row in used)
    if num_doubtful:
        notes.append(f"{num_doubtful} of {len(used)} timings are flagged as doubtful")
    return close_judgement(opened, bounds, back(estimate, bounds), notes)


def _cells(run: Run, claim: ClaimSettings, keys: Sequence[str]) -> list[Row]:
    """Return the cells with the columns of their variant's first trial that timings lack."""
    named = (*keys, *claim.of, *claim.against, *claim.where)
    own = set(column_names("timings"))
    borrowed = ["budgets", *(name for name in named if name not in own)]
    base = ["trial_id", "status", "samples_seconds", "flags", "batch_size", claim.metric]
    by_trial = {row["trial_id"]: row for row in run.rows("trials", ["trial_id", *borrowed])}
    nothing = dict.fromkeys(borrowed)
    cells = run.rows("timings", [*base, *(name for name in named if name in own)])
    rows = [by_trial.get(cell["trial_id"], nothing) | _sane(cell) for cell in cells]
    if any(name.startswith("budget_") for name in named):
        return [share for row in rows for share in under_each_budget(row)]
    return rows


def _sane(cell: Row) -> Row:
    """Return a cell without samples that are no times: files that others wrote hold anything."""
    samples = cell["samples_seconds"] or ()
    return cell | {"samples_seconds": [v for v in samples if v and 0 < v < inf]}


def _estimate(
    claim: ClaimSettings, bounds: Bounds, of: Side, against: Side, pairs: Sequence[Key]
) -> tuple[Estimate, list[str]]:
    """Return the mean over pairs, and why it has no interval where it has none."""
    statistic = _sample_statistic(claim.metric)
    cells = [
        (index, side, row)
        for index, key in enumerate(pairs)
        for side, rows in enumerate((of.rows[key], against.rows[key]))
        for row in rows
    ]
    if statistic is None or not all(row["samples_seconds"] for _, _, row in cells):
        return _estimate_over_pairs(claim.metric, claim.confidence, bounds, of, against, pairs)

    def over_pairs(*samples: Any, axis: int = -1) -> Any:
        sums: dict[tuple[int, int], Any] = {}
        counts: dict[tuple[int, int], int] = {}
        for (index, side, row), drawn in zip(cells, samples, strict=True):
            value = statistic(drawn, row["batch_size"], axis)
            sums[index, side] = sums.get((index, side), 0.0) + value
            counts[index, side] = counts.get((index, side), 0) + 1
        sides = [[sums[i, s] / counts[i, s] for i in range(len(pairs))] for s in (0, 1)]
        return _mean_comparison(*sides, is_ratio=bounds.is_ratio)

    samples = [row["samples_seconds"] for _, _, row in cells]
    return _resampled(samples, over_pairs, claim.confidence, len(pairs))


def _estimate_over_pairs(
    metric: str, confidence: float, bounds: Bounds, of: Side, against: Side, pairs: Sequence[Key]
) -> tuple[Estimate, list[str]]:
    values = [
        compare(
            *(mean_of(side.rows[key], metric) for side in (of, against)), is_ratio=bounds.is_ratio
        )
        for key in pairs
    ]
    estimate = stratified_mean([values], confidence)
    few = f"{metric} is one number a cell, and an interval needs {MIN_SEEDS} pairs"
    return estimate, [few] if estimate.low is None else []


def _resampled(
    samples: Sequence[Sequence[float]],
    over_pairs: Callable[..., Any],
    confidence: float,
    num_pairs: int,
) -> tuple[Estimate, list[str]]:
    import numpy as np

    arrays = [np.sort(np.asarray(sample, dtype=float)) for sample in samples]
    value = float(over_pairs(*arrays))
    if any(median_interval(sample, confidence) is None for sample in samples):
        fewest = min(len(array) for array in arrays)
        few = f"a cell has only {fewest} samples, too few at {confidence:.0%}"
        return Estimate(value, None, None, num_pairs), [few]
    low, high = bootstrap_interval(arrays, over_pairs, confidence, NUM_RESAMPLES)
    return Estimate(value, low, high, num_pairs), []


def _mean_comparison(of: Sequence[Any], against: Sequence[Any], *, is_ratio: bool) -> Any:
    import numpy as np

    if is_ratio:
        parts = [np.log(a) - np.log(b) for a, b in zip(of, against, strict=True)]
    else:
        parts = [a - b for a, b in zip(of, against, strict=True)]
    return sum(parts) / len(parts)


def _sample_statistic(metric: str) -> Callable[[Any, int, int], Any] | None:
    """Return how a metric follows from a cell's samples, or None where it does not."""
    import numpy as np

    if metric == "mean_seconds":
        return lambda samples, batch_size, axis: samples.mean(axis=axis)
    if metric == "examples_per_second":
        return lambda samples, batch_size, axis: batch_size / np.median(samples, axis=axis)
    if metric == "median_seconds":
        return lambda samples, batch_size, axis: np.median(samples, axis=axis)
    if metric in _PERCENTILES:
        share = _PERCENTILES[metric]
        return lambda samples, batch_size, axis: np.percentile(samples, share, axis=axis)
    return None
