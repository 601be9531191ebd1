"""Measure, on simulated histories, how often `trend` errs and how soon it finds a 5% slowdown.

    python benchmarks/trend_quality.py
    python benchmarks/trend_quality.py --histories 100 --noise 0.005,0.05 0.01,0

A history is 60 nights of 12 cells. A night's log time of a cell is the sum of

- its own noise, Student's t with 4 degrees of freedom, of standard deviation `own`;
- what all cells of the night share, the same distribution, of standard deviation `day`;
- drift: a random walk of 0.05% a night of its own, and one of 0.1% that all cells share;
- disturbances: a night in 100 is 10% to 30% slower in everything, a cell in 200 by itself.

Without a change, each of the last 10 nights is judged as if it were the newest. False alarms are
series called worse on any of them; nights with any alarm are told beside it. Then one cell is 5%
slower from night 51 on, and the third, fifth and tenth night after that are judged: found within 5
means on the third or on the fifth. Intervals are Clopper and Pearson's, 95%; series of a history
share its days, so that of false alarms is narrower than it ought to be.

The constants of report/trend/calls.py and change_points.py were chosen with `--seed 1000`, but
the limit of q was lowered after a first look at the default seed, of which docs/log.md has figures.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import binomtest

from depthbench.report.trend.calls import calls_of
from depthbench.report.trend.history import Series

NUM_CELLS = 12
NUM_NIGHTS = 60
NUM_JUDGED = 10
SLOWER = 1.05
FOUND_WITHIN = (3, 5, 10)
DEGREES = 4
LEVEL = "level of cpu"
NOISES = ("0.01,0.01", "0.01,0.03", "0.015,0.02", "0.02,0.02", "0.03,0.02")


def history(generator: np.random.Generator, own: float, day: float) -> np.ndarray:
    """Return log times of the cells of a history: (cells, nights)."""
    shape = (NUM_CELLS, NUM_NIGHTS)

    def heavy(sd: float, size: tuple[int, ...]) -> np.ndarray:
        return sd * generator.standard_t(DEGREES, size) / np.sqrt(DEGREES / (DEGREES - 2))

    logs = heavy(own, shape) + heavy(day, (NUM_NIGHTS,))
    logs += np.cumsum(generator.normal(0, 0.0005, shape), axis=1)
    logs += np.cumsum(generator.normal(0, 0.001, NUM_NIGHTS))
    logs += disturbed(generator, 1 / 100, (NUM_NIGHTS,)) + disturbed(generator, 1 / 200, shape)
    return logs + np.log(generator.uniform(1e-4, 1e-2, (NUM_CELLS, 1)))


def disturbed(generator: np.random.Generator, share: float, size: tuple[int, ...]) -> np.ndarray:
    """Return what single nights are slower by: nothing in most of them."""
    return np.log1p(generator.uniform(0.1, 0.3, size)) * (generator.random(size) < share)


def worse(logs: np.ndarray) -> set[str]:
    """Return the keys of the series that are called worse on the last night."""
    series = [
        Series(str(index), f"cell {index}", "time", {"device": "cpu"}, tuple(row))
        for index, row in enumerate(np.exp(logs).tolist())
    ]
    return {call.series.key for call in calls_of(series) if call.verdict == "worse"}


def false_alarms(logs: np.ndarray) -> tuple[int, bool, int]:
    """Return how many cells were called worse on any night, whether the level was, on how many."""
    nights = [worse(logs[:, : NUM_NIGHTS - back]) for back in range(NUM_JUDGED)]
    called = set().union(*nights)
    return len(called - {LEVEL}), LEVEL in called, sum(bool(night) for night in nights)


def nights_to_find(logs: np.ndarray) -> int | None:
    """Return within how many nights a slowdown of the first cell is found; None: not in time."""
    first = NUM_NIGHTS - NUM_JUDGED
    slowed = logs.copy()
    slowed[0, first:] += np.log(SLOWER)
    for num in FOUND_WITHIN:
        if "0" in worse(slowed[:, : first + num]):
            return num
    return None


def rate(num: int, total: int) -> str:
    """Return a share in percent with its interval."""
    interval = binomtest(num, total).proportion_ci(method="exact")
    return f"{100 * num / total:.2f} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def study(own: float, day: float, num: int, seed: int) -> list[str]:
    """Return the figures of a noise: false alarms of cells, levels, nights; found within nights."""
    generator = np.random.default_rng([seed, round(1e4 * own), round(1e4 * day)])
    alarms = [false_alarms(history(generator, own, day)) for _ in range(num)]
    cells, levels, nights = (sum(found) for found in zip(*alarms, strict=True))
    found = [nights_to_find(history(generator, own, day)) for _ in range(num)]
    return [
        rate(cells + levels, num * (NUM_CELLS + 1)),
        rate(levels, num),
        rate(nights, num * NUM_JUDGED),
        *(rate(sum(n is not None and n <= within for n in found), num) for within in FOUND_WITHIN),
    ]


def main() -> None:
    """Print a line for each noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", nargs="+", default=NOISES, metavar="OWN,DAY")
    parser.add_argument("--histories", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = [f"found within {within}, %" for within in FOUND_WITHIN]
    titles = ["own sd", "day sd", "n", "series with a false alarm, %", "levels with one, %"]
    titles += ["nights with any, %", *names]
    print(f"| {' | '.join(titles)} |")
    print("| --: | --: | --: " + "| --- " * (len(titles) - 3) + "|")
    for own, day in (map(float, noise.split(",")) for noise in options.noise):
        cells = study(own, day, options.histories, options.seed)
        head = [f"{own:.1%}", f"{day:.1%}", str(options.histories)]
        print(f"| {' | '.join([*head, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
