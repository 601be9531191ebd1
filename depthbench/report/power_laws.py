"""Power laws: value = c x size^exponent, for one size or several, told only where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import fmean
from typing import Any

from depthbench.report.depth_tax import MAX_RESIDUAL
from depthbench.report.statistics import MIN_SEEDS, Estimate, sum_of_means

MIN_POINTS = 4
# A size must vary by so much for an exponent to mean anything.
MIN_SPAN = 4.0
# Sizes that go together more closely, such as depth and matched width, cannot be told apart.
MAX_CORRELATION = 0.95


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """A fit: `exponents` are those of the sizes in their order, with intervals over observations.

    `fitted` are its values at the points; `largest_residual_fraction` says how far a point lies
    off at most, and `is_told` whether that is little enough to speak of a power law at all.
    """

    coefficient: float
    exponents: tuple[Estimate, ...]
    fitted: tuple[float, ...]
    largest_residual_fraction: float

    @property
    def is_told(self) -> bool:
        """Say whether no point lies more than 10% off."""
        return self.largest_residual_fraction <= MAX_RESIDUAL


def fit_power_law(
    sizes: Sequence[Sequence[float]], observations: Sequence[Sequence[float]]
) -> PowerLaw | None:
    """Fit logs of values to logs of sizes by least squares.

    Exponents are weighted sums of the points' mean logs, and have such a sum's Student interval
    over the observations of each point, where all have enough.

    Args:
        sizes: of each point; all positive.
        observations: of each point, such as a loss a seed or a time a process; all positive.

    Returns:
        None where the points are too few, a size spans too little, or two go together.
    """
    import numpy as np

    if len(set(map(tuple, sizes))) < MIN_POINTS:
        return None
    logs = np.log(np.asarray(sizes, dtype=float))  # (point, size)
    if not _is_spread(logs):
        return None
    design = np.column_stack([np.ones(len(logs)), logs])
    weights = np.linalg.pinv(design)  # (1 + size, point)
    samples = [[log(value) for value in found] for found in observations]
    means = np.array([fmean(sample) for sample in samples])
    solution = weights @ means
    fitted = np.exp(design @ solution)
    return PowerLaw(
        coefficient=exp(solution[0]),
        exponents=tuple(_exponent(samples, row.tolist()) for row in weights[1:]),
        fitted=tuple(float(value) for value in fitted),
        largest_residual_fraction=float(np.max(np.abs(fitted / np.exp(means) - 1))),
    )


def _exponent(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> Estimate:
    found = sum_of_means(samples, weights)
    if min(len(sample) for sample in samples) < MIN_SEEDS:
        return replace(found, low=None, high=None)
    return found


def _is_spread(logs: Any) -> bool:
    """Say whether every size spans enough, and no two of them go together."""
    import numpy as np

    if np.ptp(logs, axis=0).min() < log(MIN_SPAN) * (1 - 1e-9):
        return False
    if logs.shape[1] < 2:
        return True
    correlations = np.corrcoef(logs, rowvar=False) - np.eye(logs.shape[1])
    return bool(np.abs(correlations).max() <= MAX_CORRELATION)
