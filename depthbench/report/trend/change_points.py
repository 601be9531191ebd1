"""Where a series of nights moved to another level: places by ruptures, kept where a test bears it.

What is given is on a scale where noise has one size everywhere: the log of a time or a loss. A
night that stands alone is no level, so outliers are brought back to their neighbours first.

Source:
    Killick, Fearnhead and Eckley 2012, "Optimal detection of changepoints with a linear
    computational cost" (the search). That weak places are found first and then tested is of
    Fleming et al. 2023, "Hunter: using change point detection to hunt for performance regressions".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

# A level is so many nights, or it is an outlier; what is found is found on the third night.
LEAST_NIGHTS = 3
# What a place must save in squared deviations, in units of the noise's variance. This one and
# `WEAK_P` are lax: the verdict has tests of its own. benchmarks/trend_quality.py has what it costs.
PENALTY = 10.0
# A place that a test does not bear even with this p value is none.
WEAK_P = 0.01
# Outliers are brought back to so many standard deviations from the median of their neighbours.
NUM_DEVIATIONS = 4.0
_NUM_NEIGHBOURS = 5
# Nights before a change that it is compared with: older ones may have drifted away.
NUM_BASELINE = 60
# A loss that is the same to the bit every night has no noise to divide by.
LEAST_NOISE = 1e-4
# The median of the absolute value of a standard normal.
_NORMAL_MEDIAN = 0.6744897501960817


@dataclass(frozen=True, slots=True)
class Step:
    """A change of level: `place` is the first night of the new one, `shift` after minus before.

    Levels are means of nights without outliers. The p value is Student's for a place known before;
    this one was searched for, so it is too small: how often that errs is measured, not derived.
    """

    place: int
    before: float
    shift: float
    p_value: float


def steps_of(values: Sequence[float], least_shift: float) -> list[Step]:
    """Return the changes of level of a series, the oldest first.

    Args:
        values: one a night, without gaps; logs where noise is a share of the value.
        least_shift: smaller changes are none.
    """
    import numpy as np
    from ruptures import KernelCPD

    if len(values) < 2 * LEAST_NIGHTS:
        return []
    signal = np.asarray(values, dtype=float)
    noise = noise_of(signal)
    calm = without_outliers(signal, noise)
    # The linear kernel is squared deviations from the mean of a level, searched in C.
    search = KernelCPD(kernel="linear", min_size=LEAST_NIGHTS)
    search.fit((calm - np.median(calm)) / noise)
    places = search.predict(pen=PENALTY)[:-1]
    return _borne(calm, places, least_shift)


def noise_of(signal: Any) -> float:
    """Return the standard deviation of one night, from differences of nights next to each other.

    Levels and slow drift are no part of them, and the median takes no notice of outliers.
    """
    import numpy as np

    differences = np.diff(signal)
    # As scipy's median_abs_deviation with scale="normal", which takes ten times as long.
    spread = np.median(np.abs(differences - np.median(differences))) / _NORMAL_MEDIAN
    return max(LEAST_NOISE, float(spread) / 2**0.5)


def without_outliers(signal: Any, noise: float) -> Any:
    """Return a signal whose lone nights are brought back; levels of three nights stay as they are.

    At the ends the signal is mirrored, so that a last night that stands alone is in the minority.
    """
    import numpy as np
    from scipy.ndimage import median_filter

    middle = median_filter(signal, size=_NUM_NEIGHBOURS, mode="reflect")
    reach = NUM_DEVIATIONS * noise
    return np.clip(signal, middle - reach, middle + reach)


def _borne(calm: Any, places: Sequence[int], least_shift: float) -> list[Step]:
    """Return the places that a test bears; the weakest goes first, and its levels are joined."""
    places = list(places)
    while places:
        ends = [0, *places, len(calm)]
        levels = list(pairwise(ends))
        steps = [_step(calm, before, after) for before, after in pairwise(levels)]
        weak = [s for s in steps if s.p_value > WEAK_P or abs(s.shift) < least_shift]
        if not weak:
            return steps
        places.remove(max(weak, key=lambda step: (step.p_value, -abs(step.shift))).place)
    return []


def _step(calm: Any, before: tuple[int, int], after: tuple[int, int]) -> Step:
    """Return the step between two levels, given as their first nights and the nights after."""
    from scipy.stats import ttest_ind_from_stats

    first, place = max(before[0], before[1] - NUM_BASELINE), before[1]
    facts = [
        (float(part.mean()), max(LEAST_NOISE, float(part.std(ddof=1))), len(part))
        for part in (calm[first:place], calm[place : after[1]])
    ]
    p_value = float(ttest_ind_from_stats(*facts[0], *facts[1]).pvalue)
    return Step(place, facts[0][0], facts[1][0] - facts[0][0], p_value)
