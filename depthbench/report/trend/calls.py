"""Call the changes of a history: which series have moved to another level, and by how much.

A change is called where it is unlikely (its q value over all series of the suite is below `ALPHA`),
large (above the kind's margin) and lasting (nearly all nights since it began lie beyond half of
that). How often that errs, and what it finds, is measured by benchmarks/trend_quality.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, log1p
from typing import Any, Literal

from depthbench.report.trend.change_points import Step, steps_of
from depthbench.report.trend.history import Series, SeriesKind
from depthbench.report.trend.shared_level import level_series

Verdict = Literal["worse", "better", "steady", "too few nights"]

# Of what is called on a night, the share that may be nothing, if places were not searched for and
# nights not judged again and again. With 0.002 in place of 0.02 false alarms halve where cells are
# noisy (2%), and nothing is lost where they are quiet (1%).
ALPHA = 0.002
# Smaller changes are not called: fractions, of an exponent the difference. That of times is below
# the 5% which are to be found, since of steps of 5% half are measured as less than 5%.
MARGINS: dict[SeriesKind, float] = {"time": 0.03, "level": 0.03, "loss": 0.02, "exponent": 0.05}
# A history that is shorter tells nothing of its own noise.
LEAST_HISTORY = 8
# A change lasts where of the nights since it began this share (all of three or four) lies beyond
# this part of the margin, and of the last three nights at least two.
SHARE_BEYOND, PART_OF_MARGIN = 0.8, 0.5
NUM_LAST, NUM_BEYOND = 3, 2
# A loss of exactly 0 has no log.
_LEAST_VALUE = 1e-12


@dataclass(frozen=True, slots=True)
class Call:
    """What has become of a series by its last night.

    `steps` are all changes of level, the oldest first, with places among all nights; `step` is
    the last one where it is called. Shifts are logs, of exponents differences. `is_with_all` says
    that the cell has changed as all cells of its device together have.
    """

    series: Series
    verdict: Verdict
    step: Step | None = None
    p_value: float = 1.0
    q_value: float = 1.0
    is_with_all: bool = False
    steps: tuple[Step, ...] = ()


def calls_of(series: Sequence[Series]) -> list[Call]:
    """Return what has become of each series, and before them of what all times share."""
    every = [*level_series(series), *series]
    levels = {found.facts["device"]: found for found in every if found.kind == "level"}
    judged = _judged([_call(found, _level_of(found, levels)) for found in every])
    called = {call.series.facts["device"]: call for call in judged if call.series.kind == "level"}
    return [_with_all(call, called) for call in judged]


def _level_of(series: Series, levels: Mapping[Any, Series]) -> Series | None:
    return levels.get(series.facts["device"]) if series.kind == "time" else None


def margin_of(kind: SeriesKind) -> float:
    """Return the smallest shift that is called: a log, of exponents a difference."""
    return MARGINS[kind] if kind == "exponent" else log1p(MARGINS[kind])


def scaled(series: Series) -> Any:
    """Return a series on the scale on which it is judged, NaN where it has no value."""
    import numpy as np

    if series.kind == "exponent":
        return np.array(series.values, dtype=float)
    return np.array([_log(value) for value in series.values])


def _log(value: float | None) -> float:
    return float("nan") if value is None else log(max(value, _LEAST_VALUE))


def _call(series: Series, level: Series | None) -> Call:
    """Return a series with its p value; whether it is called is known when all of them are."""
    import numpy as np

    whole = scaled(series)
    if np.isfinite(whole).sum() < LEAST_HISTORY:
        return Call(series, "too few nights")
    signal = whole if level is None else whole - scaled(level)
    margin = margin_of(series.kind)
    steps = _steps(signal, margin)
    if not steps or not _lasts(signal, steps[-1], margin):
        return Call(series, "steady", steps=steps)
    first = steps[-2].place if len(steps) > 1 else 0
    if level is not None and not _moves(whole, steps[-1], first, margin):
        return Call(series, "steady", steps=steps)
    return Call(series, "steady", step=steps[-1], p_value=steps[-1].p_value, steps=steps)


def _steps(signal: Any, margin: float) -> tuple[Step, ...]:
    """Return the steps of a signal with gaps, their places among all nights."""
    import numpy as np

    (present,) = np.nonzero(np.isfinite(signal))
    found = steps_of(signal[present], margin)
    return tuple(replace(step, place=int(present[step.place])) for step in found)


def _lasts(signal: Any, step: Step, margin: float) -> bool:
    """Say whether the nights since a step lie beyond half the margin, the newest too."""
    import numpy as np

    since = signal[step.place :]
    beyond = (since[np.isfinite(since)] - step.before) * np.sign(
        step.shift
    ) > margin * PART_OF_MARGIN
    return bool(beyond.mean() >= SHARE_BEYOND and beyond[-NUM_LAST:].sum() >= NUM_BEYOND)


def _moves(whole: Any, step: Step, first: int, margin: float) -> bool:
    """Say whether a time itself moves as it does beside the level: at least by half the margin.

    Where most cells become slower, the level is theirs, and the others look faster beside it.
    """
    import numpy as np

    before, since = whole[first : step.place], whole[step.place :]
    if not np.isfinite(before).any() or not np.isfinite(since).any():
        return False
    shift = np.nanmedian(since) - np.nanmedian(before)
    return bool(shift * np.sign(step.shift) > margin * PART_OF_MARGIN)


def _judged(calls: Sequence[Call]) -> list[Call]:
    """Return calls with q values over all series, and with verdicts.

    Source:
        Benjamini and Hochberg 1995.
    """
    from scipy.stats import false_discovery_control

    if not calls:
        return []
    q_values = false_discovery_control([call.p_value for call in calls])
    return [
        _verdict(replace(call, q_value=float(q_value)))
        for call, q_value in zip(calls, q_values, strict=True)
    ]


def _verdict(call: Call) -> Call:
    if call.step is None or call.q_value >= ALPHA:
        return replace(call, step=None)
    return replace(call, verdict="worse" if call.step.shift > 0 else "better")


def _with_all(call: Call, called: Mapping[Any, Call]) -> Call:
    """Return a cell's call, marked where the level has been called and the cell moves with it."""
    level = called.get(call.series.facts["device"]) if call.series.kind == "time" else None
    if level is None or level.step is None or call.verdict != "steady":
        return call
    first = level.steps[-2].place if len(level.steps) > 1 else 0
    margin = margin_of("time")
    return replace(call, is_with_all=_moves(scaled(call.series), level.step, first, margin))
