"""What has changed over the nights of a suite, and whether to raise an alarm.

An alarm is raised for a change to the worse while it is new: not yet called so many nights ago.
After that it is listed as known, since an alarm that never ends is soon switched off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import expm1
from pathlib import Path
from statistics import median

from depthbench.errors import NothingToCompareError
from depthbench.report.trend.calls import LEAST_HISTORY, Call, calls_of
from depthbench.report.trend.change_points import LEAST_NIGHTS, Step
from depthbench.report.trend.exponents import exponent_series
from depthbench.report.trend.history import Series, SeriesKind, series_of
from depthbench.report.trend.nights import Night, SuiteNights, nights_below
from depthbench.report.trend.text import answer_of, notes_of
from depthbench.report.trend.values import LevelChange, SeriesTrend, SuiteTrend, Trend

# Nights for which a change to the worse is an alarm: of a nightly job, a week.
WINDOW = 7


def trend(root: Path, suite: str | None = None, window: int = WINDOW) -> Trend:
    """Return what has changed over the runs below a folder.

    Args:
        root: a folder of results, or of one suite's.
        suite: the suite (default: each that has runs there).
        window: nights for which a change to the worse is an alarm.

    Raises:
        ResultError: there is no such folder.
        NothingToCompareError: it holds no run of the suite, or none that measured anything.
    """
    found = tuple(_suite_trend(nights, window) for nights in nights_below(root, suite))
    if not any(told.series for told in found):
        notes = [note for told in found for note in told.notes]
        raise NothingToCompareError(
            f"{root}: no run there has a time or a loss to follow. "
            + (" ".join(notes) or "`depthbench run SUITE` makes one")
        )
    return Trend(found)


def _suite_trend(nights: SuiteNights, window: int) -> SuiteTrend:
    measured = series_of(nights.judged)
    times = [found for found in measured if found.kind == "time"]
    every = (*measured, *exponent_series(times))
    series = told(every, [found.night for found in nights.judged], window)
    suite = SuiteTrend(
        suite=nights.suite,
        answer="",
        num_nights=len(nights.judged),
        least_nights=LEAST_HISTORY,
        window=window,
        nights=tuple(found.night for found in nights.judged),
        left_out=nights.left_out,
        series=tuple(sorted(series, key=_place)),
        notes=(),
    )
    return replace(suite, answer=answer_of(suite), notes=tuple(notes_of(suite)))


def told(series: Sequence[Series], nights: Sequence[Night], window: int) -> list[SeriesTrend]:
    """Return series with what has become of them by the last night, and whether that is new."""
    earlier = {call.series.key: call for call in calls_of(_until(series, len(nights) - window))}
    return [_told(call, nights, earlier) for call in calls_of(series)]


def _until(series: Sequence[Series], num_nights: int) -> list[Series]:
    return [replace(found, values=found.values[: max(0, num_nights)]) for found in series]


def _place(found: SeriesTrend) -> tuple[bool, bool, bool, bool]:
    """Return what sorts alarms first, then what else is called, new before known."""
    is_steady = not found.is_called
    return is_steady, not found.is_with_all, not found.is_new, found.verdict != "worse"


def _told(call: Call, nights: Sequence[Night], earlier: Mapping[str, Call]) -> SeriesTrend:
    series, step = call.series, call.step
    return SeriesTrend(
        key=series.key,
        name=series.name,
        kind=series.kind,
        facts=series.facts,
        verdict=call.verdict,
        is_new=step is not None and not _is_known(call, step, earlier),
        is_with_all=call.is_with_all,
        latest=series.values[-1] if series.values else None,
        before=None if step is None else _before(series, call),
        change=None if step is None else _change(series.kind, step.shift),
        since=None if step is None else nights[step.place].created_at,
        num_nights_since=None if step is None else _num_since(series, step),
        p_value=call.p_value,
        q_value=call.q_value,
        changes=tuple(
            LevelChange(nights[found.place].created_at, _change(series.kind, found.shift))
            for found in call.steps
        ),
        values=series.values,
    )


def _is_known(call: Call, step: Step, earlier: Mapping[str, Call]) -> bool:
    """Say whether the change had been called before the window, at about the same night.

    What most cells do is theirs as long as they are few of the nights, and then their level's: so a
    level is known where a cell had been called, and the other way round.
    """
    kinds = ("time", "level") if call.series.kind == "level" else ("level",)
    alike = [
        other
        for key, other in earlier.items()
        if key == call.series.key
        or (call.series.kind in ("time", "level") and other.series.kind in kinds)
    ]
    return any(
        other.step is not None
        and other.verdict == call.verdict
        and abs(other.step.place - step.place) <= LEAST_NIGHTS
        for other in alike
    )


def _change(kind: SeriesKind, shift: float) -> float:
    return shift if kind == "exponent" else expm1(shift)


def _before(series: Series, call: Call) -> float | None:
    """Return the median of the level before the last change, as it was measured."""
    assert call.step is not None
    first = call.steps[-2].place if len(call.steps) > 1 else 0
    known = [value for value in series.values[first : call.step.place] if value is not None]
    return median(known) if known else None


def _num_since(series: Series, step: Step) -> int:
    return sum(value is not None for value in series.values[step.place :])
