"""Learning curves: training and validation loss over steps, each variant at its best rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from depthbench.record import METRIC_BOUNDS
from depthbench.report.groups import Gathering
from depthbench.report.panels.evidence import Evidence, titled
from depthbench.report.panels.scales import loss_scale
from depthbench.report.panels.telling_apart import Lines, plots
from depthbench.report.rows import Row, join
from depthbench.report.statistics import CONFIDENCE, MIN_SEEDS
from depthbench.report.tables import Heading
from depthbench.report.values import Group, Panel
from depthbench.units import format_estimate

if TYPE_CHECKING:
    from pandas import DataFrame

TITLE = "Learning curves: loss over steps"
METRIC = "loss"
MAX_POINTS = 200  # of one series
MAX_VARIANTS = 20  # of one group, the best first: more lines cannot be told apart
# All points of a report: many series have fewer each, so that its page stays small.
_MAX_TOTAL = 20_000
_MIN_POINTS = 20
# Bands of more variants than this in one plot hide one another.
_MAX_BANDS = 4
# A validation loss so far above its lowest has begun to rise for good; so far below its value at
# nine tenths of the training, it still falls.
_RISEN = 0.05
_FALLING = 0.02
_SPLITS = {"train": "training", "val": "validation"}
_HEADINGS = (
    Heading("variant", "variant"),
    Heading("split", "split"),
    Heading("step", "step", is_number=True),
    Heading("value", METRIC, is_number=True),
)
# (trial, split) to steps and values.
_Points = dict[tuple[str, str], tuple[Any, Any]]


@dataclass(frozen=True)
class _Series:
    """The mean over seeds of one variant's curve on one split, with the ends of its interval."""

    facts: Row
    split: str
    num_seeds: int
    steps: Any
    mean: Any
    low: Any | None
    high: Any | None


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return the curves of each group that has any."""
    points = _points(evidence.run.curves)
    if not points:
        return []
    num_series = sum(min(MAX_VARIANTS, len(group.rows)) for group in evidence.groups) * len(_SPLITS)
    most = min(MAX_POINTS, max(_MIN_POINTS, _MAX_TOTAL // max(1, num_series)))
    found = []
    for place, (gathering, group) in enumerate(
        zip(evidence.gatherings, evidence.groups, strict=True)
    ):
        series = list(_series_of(gathering, group, points, most))
        if series:
            found.append(_panel(series, group, evidence.where(place), place))
    return found


def draw(panel: Panel) -> Any:
    """Return the curves, training dashed and validation solid, with the bands of their means."""
    import altair as alt

    rows = panel.rows
    losses, steps = [row["value"] for row in rows], [row["step"] for row in rows]

    def plot(rows: Sequence[Row], lines: Lines, title: str) -> Any:
        scale = alt.Scale(domain=[min(steps), max(steps)], nice=False)
        base = alt.Chart(alt.Data(values=list(rows))).encode(
            x=alt.X("step:Q", title="optimizer steps", scale=scale, axis=alt.Axis(tickCount=5)),
            y=loss_scale("value", losses, (), METRIC),
            detail=["variant:N", "split:N"],
        )
        dashes = alt.Scale(domain=list(_SPLITS.values()), range=[[4, 3], [1, 0]])
        line = lines.on(base.mark_line()).encode(
            strokeDash=alt.StrokeDash("split:N", title=None, scale=dashes),
            tooltip=["variant:N", "split:N", "step:Q", "value:Q", "low:Q", "high:Q"],
        )
        if len({row["variant"] for row in rows}) > _MAX_BANDS:
            return line.properties(title=title)
        band = base.mark_area(opacity=0.15).encode(
            y=loss_scale("low", losses, (), METRIC), y2="high:Q", color=lines.color()
        )
        is_told = f"isValid(datum.low) && datum.split == '{_SPLITS['val']}'"
        return (band.transform_filter(is_told) + line).properties(title=title)

    return plots(rows, plot)


def _points(curves: DataFrame) -> _Points:
    """Return the curves of all trials, each in the order of its steps."""
    import numpy as np

    if curves.empty:
        return {}
    chosen = curves[(curves["metric"] == METRIC) & curves["split"].isin(list(_SPLITS))]
    table = chosen[["trial_id", "split", "step", "value"]].dropna().sort_values("step")
    found: _Points = {}
    for (trial, split), part in table.groupby(["trial_id", "split"], sort=False):
        values = part["value"].to_numpy(dtype=float)
        is_finite = np.isfinite(values)
        steps, at = np.unique(part["step"].to_numpy(dtype=float)[is_finite], return_index=True)
        if steps.size:
            found[str(trial), str(split)] = steps, values[is_finite][at]
    return found


def _series_of(gathering: Gathering, group: Group, points: _Points, most: int) -> Iterator[_Series]:
    """Yield the curves of a group's variants, the best first."""
    entries = {entry.settings["variant_id"]: entry for entry in gathering.entries}
    for row in group.rows[:MAX_VARIANTS]:
        facts: Row = {"variant": row.full_name, "short": row.name, "family": row.family}
        facts |= {"depth": row.depth, "width": row.width, "extra": row.extra}
        trials = [t["trial_id"] for t in entries[row.variant_id].trials if t["status"] == "ok"]
        for split, name in _SPLITS.items():
            curves = [points[trial, split] for trial in trials if (trial, split) in points]
            if curves:
                yield _averaged(curves, facts, name, most)


def _averaged(curves: Sequence[tuple[Any, Any]], facts: Row, split: str, most: int) -> _Series:
    """Average over seeds at the steps that all of them have passed, between points on a line."""
    import numpy as np

    first = max(steps[0] for steps, _ in curves)
    last = min(steps[-1] for steps, _ in curves)
    steps = np.unique(np.concatenate([steps for steps, _ in curves]))
    steps = steps[(steps >= first) & (steps <= last)]
    if steps.size > most:
        steps = steps[np.unique(np.linspace(0, steps.size - 1, most).round().astype(int))]
    values = np.stack([np.interp(steps, *curve) for curve in curves])  # (seed, step)
    low, high = _band(values)
    return _Series(facts, split, len(curves), steps, values.mean(axis=0), low, high)


def _band(values: Any) -> tuple[Any | None, Any | None]:
    """Return Student's interval of the mean at each step; none for too few seeds."""
    import numpy as np
    from scipy.stats import sem, t

    num = len(values)
    if num < MIN_SEEDS:
        return None, None
    half = t.ppf((1 + CONFIDENCE) / 2, num - 1) * sem(values, axis=0)
    mean = values.mean(axis=0)
    return np.clip(mean - half, METRIC_BOUNDS[METRIC][0], None), mean + half


def _panel(series: Sequence[_Series], group: Group, where: str, place: int) -> Panel:
    rows = [row for found in series for row in _rows(found)]
    notes = [
        f"Means over seeds, each variant at its best learning rate. Bands: {CONFIDENCE:.0%}, of "
        f"the validation loss, where a plot has {_MAX_BANDS} variants or fewer."
    ]
    if len(group.rows) > MAX_VARIANTS:
        notes.append(f"The first {MAX_VARIANTS} of {len(group.rows)} variants, by rank.")
    if any(found.low is None for found in series):
        notes.append(f"No band: fewer than {MIN_SEEDS} seeds.")
    return Panel(
        kind="curves",
        title=titled(TITLE, where),
        finding=_finding(series),
        headings=_HEADINGS,
        rows=tuple(rows),
        texts=tuple(_texts(row) for row in rows),
        notes=tuple(notes),
        num_names=2,
        group=place,
        num_shown=0,
    )


def _rows(series: _Series) -> Iterator[Row]:
    for index, step in enumerate(series.steps):
        yield series.facts | {
            "split": series.split,
            "metric": METRIC,
            "step": int(step),
            "value": float(series.mean[index]),
            "low": None if series.low is None else float(series.low[index]),
            "high": None if series.high is None else float(series.high[index]),
            "num_seeds": series.num_seeds,
        }


def _texts(row: Row) -> tuple[str, ...]:
    value = format_estimate(row["value"], row["low"], row["high"])
    return row["short"], row["split"], f"{row['step']:,}", value


def _finding(series: Sequence[_Series]) -> str:
    """Return whose validation loss rose again, and whose still fell, at the end."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in series:
        if one.split == _SPLITS["val"]:
            found[_end_of(one)].append(one.facts["short"])
    parts = [
        f"The validation loss {words}: {join(found[end], limit=4)}."
        for end, words in (
            ("risen", "rises again before the end"),
            ("falling", "still falls at the end, so longer training may change the ranking"),
        )
        if found[end]
    ]
    return " ".join(parts)


def _end_of(series: _Series) -> str:
    """Return risen, falling or flat."""
    import numpy as np

    mean, steps = series.mean, series.steps
    if mean[-1] > (1 + _RISEN) * mean.min():
        return "risen"
    before = float(np.interp(steps[0] + 0.9 * (steps[-1] - steps[0]), steps, mean))
    return "falling" if mean[-1] < (1 - _FALLING) * before else "flat"
