"""Measure how often the intervals of a report hold what they should, under normal noise.

    python benchmarks/interval_coverage.py --repeats 2000

Prints, for each number of seeds, the share of nominal 95% intervals of a mean that hold it: the
plain percentile bootstrap's, and the report's, which is widened for few seeds; then the same for
the means of three strata of unlike spread; then how often one of 4 equal variants is named worse
than the best of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np

from depthbench.report.statistics import (
    CONFIDENCE,
    bootstrap_interval,
    paired_difference,
    stratified_mean,
)

Interval = Callable[[Sequence[np.ndarray]], tuple[float, float]]
NUM_VARIANTS = 4
NUM_PAIRS = 6


def percentile(strata: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the plain percentile bootstrap interval."""
    total = sum(len(stratum) for stratum in strata)

    def mean_of(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        return sum(sample.sum(axis=axis) for sample in drawn) / total

    return bootstrap_interval(strata, mean_of, CONFIDENCE)


def reported(strata: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the interval that reports and claims show."""
    found = stratified_mean(strata)
    assert found.low is not None and found.high is not None
    return found.low, found.high


def coverage(interval: Interval, num_seeds: int, spreads: Sequence[float], repeats: int) -> float:
    """Return the share of intervals that hold the true mean, 0."""
    generator = np.random.default_rng(0)
    num_hits = 0
    for _ in range(repeats):
        low, high = interval([generator.normal(0, s, num_seeds) for s in spreads])
        num_hits += low <= 0 <= high
    return num_hits / repeats


def false_winners(num_seeds: int, repeats: int) -> float:
    """Return how often the best of equal variants is separated from at least one of the others."""
    generator = np.random.default_rng(0)
    confidence = 1 - (1 - CONFIDENCE) / NUM_PAIRS
    num_false = 0
    for _ in range(repeats):
        losses = generator.normal(1.0, 0.02, (NUM_VARIANTS, num_seeds))
        best = int(losses.mean(axis=1).argmin())
        others = set(range(NUM_VARIANTS)) - {best}
        found = [
            paired_difference(
                dict(enumerate(losses[index])), dict(enumerate(losses[best])), confidence
            )
            for index in others
        ]
        num_false += any(pair and pair.low is not None and pair.low > 0 for pair in found)
    return num_false / repeats


def main() -> None:
    """Print the shares, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=2_000)
    repeats = parser.parse_args().repeats
    print("strata  seeds  percentile  reported")
    for spreads in ([1.0], [1.0, 3.0, 10.0]):
        for num_seeds in (3, 5, 10):
            shares = [coverage(f, num_seeds, spreads, repeats) for f in (percentile, reported)]
            print(f"{len(spreads):6}  {num_seeds:5}  {shares[0]:10.3f}  {shares[1]:8.3f}")
    for num_seeds in (3, 5, 10):
        share = false_winners(num_seeds, repeats)
        print(f"a false winner among {NUM_VARIANTS} equal variants, {num_seeds} seeds: {share:.3f}")


if __name__ == "__main__":
    main()
