"""Measure how often the intervals of a report hold what they should.

    python benchmarks/interval_coverage.py --repeats 2000
    python benchmarks/interval_coverage.py --repeats 2000 --noise exponential

Prints, for each number of seeds, the share of nominal 95% intervals of a mean that hold it: the
plain percentile bootstrap's, and the report's, which is widened for few seeds; the same for the
means of three strata of unlike spread; and for interquartile means. How often verdicts are wrong:
benchmarks/verdict_errors.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import trim_mean

from depthbench.report.statistics import (
    CONFIDENCE,
    bootstrap_interval,
    interquartile_mean,
    stratified_mean,
)

Noise = Callable[[np.random.Generator, int], np.ndarray]
NOISES: dict[str, Noise] = {
    "normal": lambda generator, size: generator.normal(size=size),
    "exponential": lambda generator, size: generator.exponential(size=size) - 1,
}
Interval = Callable[[Sequence[np.ndarray]], tuple[float, float]]


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


def coverage(
    interval: Interval,
    noise: Noise,
    num_seeds: int,
    spreads: Sequence[float],
    repeats: int,
    truth: float = 0.0,
) -> float:
    """Return the share of intervals that hold the truth."""
    generator = np.random.default_rng(0)
    num_hits = 0
    for _ in range(repeats):
        low, high = interval([s * noise(generator, num_seeds) for s in spreads])
        num_hits += low <= truth <= high
    return num_hits / repeats


def middle_percentile(strata: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the plain percentile bootstrap interval of an interquartile mean."""

    def middle_of(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        return trim_mean(np.concatenate(drawn, axis=axis), 0.25, axis=axis)

    return bootstrap_interval(strata, middle_of, CONFIDENCE)


def middle_reported(strata: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the interval of an interquartile mean that reports show."""
    found = interquartile_mean(strata)
    assert found.low is not None and found.high is not None
    return found.low, found.high


def true_middle(noise: str, num_seeds: int) -> float:
    """Return the expected interquartile mean of so many values.

    The i-th smallest of n exponential values is expected at 1/n + 1/(n - 1) + ... + 1/(n - i + 1).
    """
    if noise == "normal":
        return 0.0
    cut = num_seeds // 4
    kept = [
        sum(1 / k for k in range(num_seeds - place, num_seeds + 1))
        for place in range(cut, num_seeds - cut)
    ]
    return sum(kept) / len(kept) - 1


def main() -> None:
    """Print the shares, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=2_000)
    parser.add_argument("--noise", choices=NOISES, default="normal")
    given = parser.parse_args()
    repeats, noise = given.repeats, NOISES[given.noise]
    print("strata  seeds  percentile  reported")
    for spreads in ([1.0], [1.0, 3.0, 10.0]):
        for num_seeds in (3, 5, 10):
            plain, shown = (
                coverage(interval, noise, num_seeds, spreads, repeats)
                for interval in (percentile, reported)
            )
            print(f"{len(spreads):6}  {num_seeds:5}  {plain:10.3f}  {shown:8.3f}", flush=True)
    print("interquartile means")
    for num_seeds in (4, 5, 10):
        truth = true_middle(given.noise, num_seeds)
        plain, shown = (
            coverage(interval, noise, num_seeds, [1.0], repeats, truth)
            for interval in (middle_percentile, middle_reported)
        )
        print(f"{1:6}  {num_seeds:5}  {plain:10.3f}  {shown:8.3f}", flush=True)


if __name__ == "__main__":
    main()
