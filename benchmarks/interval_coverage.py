"""Measure how often the intervals of a report hold what they should.

    python benchmarks/interval_coverage.py --repeats 2000
    python benchmarks/interval_coverage.py --repeats 2000 --noise exponential

Prints, for each number of seeds, the share of nominal 95% intervals of a mean that hold it: the
plain percentile bootstrap's, and the report's, which is widened for few seeds; then the same for
the means of three strata of unlike spread; then how often one of 4 equal variants is named worse
than the best of them, by Student's paired interval, which the report uses there, and by the
widened bootstrap.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np

from depthbench.report.statistics import (
    CONFIDENCE,
    Estimate,
    bootstrap_interval,
    paired_difference,
    stratified_mean,
)

Noise = Callable[[np.random.Generator, int], np.ndarray]
NOISES: dict[str, Noise] = {
    "normal": lambda generator, size: generator.normal(size=size),
    "exponential": lambda generator, size: generator.exponential(size=size) - 1,
}
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


def coverage(
    interval: Interval, noise: Noise, num_seeds: int, spreads: Sequence[float], repeats: int
) -> float:
    """Return the share of intervals that hold the true mean, 0."""
    generator = np.random.default_rng(0)
    num_hits = 0
    for _ in range(repeats):
        low, high = interval([s * noise(generator, num_seeds) for s in spreads])
        num_hits += low <= 0 <= high
    return num_hits / repeats


def student(first: np.ndarray, second: np.ndarray, confidence: float) -> Estimate | None:
    """Return the paired difference as `against best` shows it."""
    return paired_difference(dict(enumerate(first)), dict(enumerate(second)), confidence)


def widened(first: np.ndarray, second: np.ndarray, confidence: float) -> Estimate | None:
    """Return the paired difference with the interval of a claim."""
    return stratified_mean([first - second], confidence)


def false_winners(compare: Callable[..., Estimate | None], num_seeds: int, repeats: int) -> float:
    """Return how often the best of equal variants is separated from at least one of the others."""
    generator = np.random.default_rng(0)
    confidence = 1 - (1 - CONFIDENCE) / NUM_PAIRS
    num_false = 0
    for _ in range(repeats):
        losses = generator.normal(1.0, 0.02, (NUM_VARIANTS, num_seeds))
        best = int(losses.mean(axis=1).argmin())
        others = set(range(NUM_VARIANTS)) - {best}
        found = [compare(losses[index], losses[best], confidence) for index in others]
        num_false += any(pair and pair.low is not None and pair.low > 0 for pair in found)
    return num_false / repeats


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
    if given.noise != "normal":
        return
    print(f"a false winner among {NUM_VARIANTS} equal variants")
    for num_seeds in (3, 5, 10):
        shares = [false_winners(f, num_seeds, repeats) for f in (student, widened)]
        print(f"{num_seeds} seeds: Student {shares[0]:.3f}, bootstrap {shares[1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
