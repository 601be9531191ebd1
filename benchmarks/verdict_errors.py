"""Measure how often the verdicts of a report are wrong, on suites whose truth is known.

    python benchmarks/verdict_errors.py --repeats 2000
    python benchmarks/verdict_errors.py --repeats 2000 --noise skewed

A suite has groups of variants; every loss is its variant's, times what its seed does to all, times
noise of its own. Prints for each kind of suite the share of suites in which an equal variant is
called worse, or a different one the same; of all that is so called, the share that is wrong; the
share of truly worse and truly same variants that are found; and of the intervals of each verdict
the share that miss the true ratio. In brackets: the share's 95% interval (Wilson).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, log1p

import numpy as np
from scipy.stats import binomtest

from depthbench.report.comparison import MARGIN, Comparison, compare_groups

Noise = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
NOISES: dict[str, Noise] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "skewed": lambda generator, shape: generator.exponential(size=shape) - 1,
}
SEED_SPREAD = 0.1
# Two ratios are one where they differ by less than rounding does.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Suite:
    """A kind of suite: its groups' true losses, and the spread of noise, as fractions of a loss."""

    name: str
    groups: tuple[tuple[float, ...], ...]
    spread: float


HEADINGS = (
    "suite",
    "seeds",
    "suites with a false worse",
    "with a false same",
    "false of all worse",
    "worse that are found",
    "equal called same",
    "intervals that miss",
)
EQUAL_4 = (1.0,) * 4
SUITES = (
    Suite("2 equal", ((1.0, 1.0),), 0.05),
    Suite("4 equal", (EQUAL_4,), 0.05),
    Suite("10 equal", ((1.0,) * 10,), 0.05),
    Suite("5 groups of 4 equal", (EQUAL_4,) * 5, 0.05),
    Suite("2 equal, 2 far worse", ((1.0, 1.0, 3.0, 3.0),), 0.05),
    Suite("3 equal, 1 far worse", ((1.0, 1.0, 1.0, 3.0),), 0.05),
    Suite("6 equal, 4 far worse", ((1.0,) * 6 + (3.0,) * 4,), 0.05),
    Suite("4 equal, and 4 groups far apart", (EQUAL_4, *((1.0, 3.0, 4.0, 5.0),) * 4), 0.05),
    Suite("2 at the margin", ((1.0, 1 + MARGIN),), 0.01),
    Suite("4, 3 at the margin", ((1.0, *(1 + MARGIN,) * 3),), 0.01),
    Suite("4 equal, quiet", (EQUAL_4,), 0.01),
    Suite("4, 1 worse by 10%", ((1.0, 1.0, 1.0, 1.1),), 0.02),
    Suite("4, 3 worse by 10%", ((1.0, 1.1, 1.1, 1.1),), 0.02),
)


def drawn(
    generator: np.random.Generator,
    group: Sequence[float],
    suite: Suite,
    num_seeds: int,
    noise: Noise,
) -> tuple[list[dict[int, float]], list[float]]:
    """Return a group's losses by seed and its true losses, best mean first."""
    shared = SEED_SPREAD * generator.normal(size=num_seeds)
    own = suite.spread * noise(generator, (len(group), num_seeds))
    losses = np.exp(np.log(group)[:, None] + shared + own)
    order = np.argsort(losses.mean(axis=1))
    return [dict(enumerate(losses[place])) for place in order], [group[place] for place in order]


@dataclass
class Tally:
    """Counts of suites and of verdicts."""

    suites: Counter[str]
    verdicts: Counter[str]

    def add(self, pairs: Sequence[tuple[Comparison, float]]) -> None:
        """Count the verdicts of a suite: each comparison with the true logarithm of its ratio."""
        seen = set()
        for found, truth in pairs:
            assert found.low is not None and found.high is not None
            verdict = str(found.verdict)
            self.verdicts[verdict] += 1
            kind = "equal" if abs(truth) < ROUNDING else "worse" if truth > 0 else "better"
            self.verdicts[f"{kind}, called {verdict}"] += 1
            self.verdicts[f"truly {kind}"] += 1
            if verdict == "same" and abs(truth) > log1p(MARGIN) - ROUNDING:
                self.verdicts["false same"] += 1
                seen.add("false same")
            if verdict == "worse" and kind != "worse":
                self.verdicts["false worse"] += 1
                seen.add("false worse")
            if not log(found.low) <= truth <= log(found.high):
                self.verdicts[f"missed by {verdict}"] += 1
                self.verdicts["missed"] += 1
        self.suites.update(seen)


def simulate(suite: Suite, num_seeds: int, noise: Noise, repeats: int) -> Tally:
    """Return what became of so many suites of a kind."""
    generator = np.random.default_rng(0)
    tally = Tally(Counter(), Counter())
    for _ in range(repeats):
        groups = [drawn(generator, group, suite, num_seeds, noise) for group in suite.groups]
        compared = compare_groups([losses for losses, _ in groups])
        tally.add(
            [
                (found, log(true / truths[0]))
                for (_, truths), comparisons in zip(groups, compared, strict=True)
                for found, true in zip(comparisons, truths[1:], strict=True)
                if found is not None
            ]
        )
    return tally


def share(num: int, total: int) -> str:
    """Return a share with its interval, in percent; a dash of nothing."""
    if not total:
        return "-"
    low, high = binomtest(num, total).proportion_ci(method="wilson")
    return f"{100 * num / total:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    """Print a line for each kind of suite and number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--noise", choices=NOISES, default="normal")
    given = parser.parse_args()
    print(f"percent, of {given.repeats} suites each, {given.noise} noise")
    print(f"| {' | '.join(HEADINGS)} |")
    print("| --- " + "| --: " * (len(HEADINGS) - 1) + "|")
    for suite in SUITES:
        for num_seeds in given.seeds:
            tally = simulate(suite, num_seeds, NOISES[given.noise], given.repeats)
            suites, verdicts = tally.suites, tally.verdicts
            num_pairs = sum(verdicts[name] for name in ("better", "worse", "same", "unresolved"))
            cells = [
                share(suites["false worse"], given.repeats),
                share(suites["false same"], given.repeats),
                share(verdicts["false worse"], verdicts["worse"]),
                share(verdicts["worse, called worse"], verdicts["truly worse"]),
                share(verdicts["equal, called same"], verdicts["truly equal"]),
                share(verdicts["missed"], num_pairs),
            ]
            print(f"| {suite.name} | {num_seeds} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
