"""Judge variants against the best of their group: better, worse, same or unresolved.

Which variant is the best is known only afterwards, and a run may hold many groups. So q values
count all that could have been called in the run, and an interval is that of the test behind its
verdict: it leaves out equality where a variant is called worse or better, lies within the margin
where it is called the same, and holds equality else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from depthbench.errors import ResultError
from depthbench.report.paired_tests import (
    Pair,
    as_good_probability,
    difference_probabilities,
    paired,
    sameness_probabilities,
    student_intervals,
)

Verdict = Literal["better", "worse", "same", "unresolved"]

# Of all that a run calls different, and of all that it calls the same, the share that may be wrong.
ALPHA = 0.05
# Values whose ratio is within 1 / (1 + MARGIN) and 1 + MARGIN are the same.
MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant's values against those of its group's best, paired by seed.

    `value` is variant / best where `is_ratio`, else variant - best; its interval is Student's, at
    the `confidence` of the test that gave the verdict. `p_value` is of the paired t test of these
    two alone; `q_value` counts that the best was picked afterwards, and all comparisons of the run.
    `p_same` and `q_same` are those of equivalence within `margin`, a fraction; None for a
    difference. With too few common seeds there is no test, no interval and no verdict.
    """

    is_ratio: bool
    value: float
    num_seeds: int
    margin: float
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    p_same: float | None = None
    q_same: float | None = None
    verdict: Verdict | None = None

    @property
    def is_separated(self) -> bool:
        """Say whether the two are called different."""
        return self.verdict in ("better", "worse")


def check_margin(margin: float) -> None:
    """Refuse a margin that is no fraction.

    Raises:
        ResultError: it is not above 0 and below 1.
    """
    if not 0 < margin < 1:
        raise ResultError(
            f"--margin {margin:g}: a margin is a fraction above 0 and below 1; next: "
            f"--margin {MARGIN:g} calls losses within {MARGIN:.0%} of the best the same"
        )


def compare_groups(
    groups: Sequence[Sequence[Mapping[int, float]]],
    margin: float = MARGIN,
    *,
    is_lower_better: bool = True,
) -> list[list[Comparison | None]]:
    """Compare the variants of each group with its first one, over all groups of a run at once.

    Two hypotheses are tested of every variant. That it is as good as every other of its group: by
    the one-sided p value against the first, times the number of the others, which holds whichever
    of them was picked as the first. And that it differs from the first by the margin or more: by
    two one-sided tests, which a first that was picked for its low mean only makes harder to pass.
    Each of the two has q values over the run, the first no smaller ones than over its group alone.

    Args:
        groups: of each group its variants' values by seed, the best one first; or of two variants
            of which none was picked, in any order.
        margin: what counts as the same, as a fraction.
        is_lower_better: which of two values is the better one.

    Returns:
        Of each group one a variant after the first; None where the two have no seed in common.

    Raises:
        ResultError: the margin is no fraction.

    Source:
        Benjamini and Hochberg 1995 for q values; Benjamini and Yekutieli 2005 for intervals at
        the level of what was called.
    """
    check_margin(margin)
    pairs = [[paired(values, group[0], len(group) - 1) for values in group[1:]] for group in groups]
    tested = [[pair for pair in found if pair and pair.is_testable] for found in pairs]
    judged = iter(_judged([found for found in tested if found], margin, is_lower_better))
    return [
        [next(judged) if pair and pair.is_testable else _untested(pair, margin) for pair in found]
        for found in pairs
    ]


def _untested(pair: Pair | None, margin: float) -> Comparison | None:
    return _measured(pair, margin) if pair else None


def _measured(pair: Pair, margin: float) -> Comparison:
    value = pair.told(pair.mean)
    return Comparison(pair.is_ratio, value, len(pair.differences), margin)


def _judged(
    groups: Sequence[Sequence[Pair]], margin: float, is_lower_better: bool
) -> list[Comparison]:
    pairs = [pair for group in groups for pair in group]
    ratios = [pair for pair in pairs if pair.is_ratio]
    p_same = sameness_probabilities(ratios, margin)
    called_same, same_level = discoveries(p_same)
    same = iter(zip(p_same, called_same, strict=True))
    found, confidences = [], []
    for pair, (p_value, q_value, level) in zip(pairs, _tests(groups), strict=True):
        p, q = next(same) if pair.is_ratio else (None, None)
        verdict = _verdict(pair, q_value, q, is_lower_better)
        one_sided = same_level if verdict == "same" else level / pair.num_rivals
        confidences.append(1 - 2 * one_sided)
        found.append(
            replace(
                _measured(pair, margin),
                p_value=p_value,
                q_value=q_value,
                p_same=p,
                q_same=q,
                verdict=verdict,
                confidence=confidences[-1],
            )
        )
    return [
        replace(comparison, low=low, high=high)
        for comparison, (low, high) in zip(
            found, student_intervals(pairs, confidences), strict=True
        )
    ]


def _verdict(pair: Pair, q_value: float, q_same: float | None, is_lower_better: bool) -> Verdict:
    """Return the verdict: what is surely within the margin is the same, even if it differs."""
    if q_same is not None and q_same < ALPHA:
        return "same"
    if q_value < ALPHA:
        return "worse" if (pair.mean > 0) == is_lower_better else "better"
    return "unresolved"


def _tests(groups: Sequence[Sequence[Pair]]) -> Iterator[tuple[float, float, float]]:
    """Yield each pair's p value, its q value, and the level at which it would be called.

    The q value is the larger one of those over the run and over the group: sure findings elsewhere
    do not make a group's own any surer.
    """
    tested = iter(difference_probabilities([pair for group in groups for pair in group]))
    p_values = [list(islice(tested, len(group))) for group in groups]
    # The first of a group is a variant, too, that could have been called worse.
    as_good = [
        [*(as_good_probability(p, group[0].num_rivals) for p in found), 1.0]
        for group, found in zip(groups, p_values, strict=True)
    ]
    over_run, run_level = discoveries([p for found in as_good for p in found])
    start = 0
    for found, chosen in zip(p_values, as_good, strict=True):
        over_group, level = discoveries(chosen)
        for place, p_value in enumerate(found):
            q_value = max(over_group[place], over_run[start + place])
            yield p_value, q_value, min(level, run_level)
        start += len(chosen)


def discoveries(p_values: Sequence[float], alpha: float = ALPHA) -> tuple[list[float], float]:
    """Return q values, and the level below which p values were called, or one would have been.

    A p value is below that level exactly where its q value is below `alpha`.
    """
    from scipy.stats import false_discovery_control

    if not p_values:
        return [], alpha
    q_values = [float(q_value) for q_value in false_discovery_control(p_values)]
    num_called = max(1, sum(q_value < alpha for q_value in q_values))
    return q_values, alpha * num_called / len(q_values)
