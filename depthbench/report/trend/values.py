"""The values that a trend is made of: series with what has become of them, by suite."""

from __future__ import annotations

from dataclasses import dataclass

from depthbench.report.rows import Row
from depthbench.report.trend.calls import Verdict
from depthbench.report.trend.history import SeriesKind
from depthbench.report.trend.nights import Night

ALARM = 3


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A change of level: the night it began, and by how much; exponents differ, others are ratios.

    `change` is a fraction, of exponents the difference of after and before.
    """

    since: str | None
    change: float


@dataclass(frozen=True, slots=True)
class SeriesTrend:
    """A series and what has become of it.

    `values` are one a judged night, in seconds, nats, or plain numbers; a level is a ratio to the
    ordinary night. `change` is the last one where `verdict` is worse or better, else None;
    `before` is the value before it. The change of a cell is beside what all cells share. `is_new`
    says that it has been called for `window` nights at most. `is_with_all` says that a cell is
    steady beside the others while all of them have moved, which is a series of its own. `changes`
    are all changes of level there have been.
    """

    key: str
    name: str
    kind: SeriesKind
    facts: Row
    verdict: Verdict
    is_new: bool
    is_with_all: bool
    latest: float | None
    before: float | None
    change: float | None
    since: str | None
    num_nights_since: int | None
    p_value: float
    q_value: float
    changes: tuple[LevelChange, ...]
    values: tuple[float | None, ...]

    @property
    def is_called(self) -> bool:
        """Say whether the series has changed by itself."""
        return self.verdict in ("worse", "better")

    @property
    def is_alarm(self) -> bool:
        """Say whether a change to the worse is new."""
        return self.verdict == "worse" and self.is_new


@dataclass(frozen=True, slots=True)
class SuiteTrend:
    """The history of one suite: the answer, its nights, and its series, the changed ones first.

    `nights` are those that are judged, the oldest first, as `SeriesTrend.values` are; `left_out`
    are the other runs with the reason.
    """

    suite: str
    answer: str
    num_nights: int
    least_nights: int
    window: int
    nights: tuple[Night, ...]
    left_out: tuple[Night, ...]
    series: tuple[SeriesTrend, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trend:
    """What `depthbench trend` has to say of one or more suites."""

    suites: tuple[SuiteTrend, ...]

    @property
    def exit_code(self) -> int:
        """Return 3 where something has got worse lately, else 0."""
        is_alarm = any(series.is_alarm for suite in self.suites for series in suite.series)
        return ALARM if is_alarm else 0
