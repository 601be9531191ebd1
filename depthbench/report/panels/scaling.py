"""Scaling: how the loss goes with the weights, and time with depth and width, where a power fits.

Source:
    The form loss = c N^-alpha is that of Kaplan et al. 2020, "Scaling Laws for Neural Language
    Models", section 1.2, without the irreducible loss of later work: a few sizes do not tell it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

from depthbench.report.answer import metric_name
from depthbench.report.contests import Contest, labels_of, seconds_of
from depthbench.report.costs import MAX_TIMED, left_out
from depthbench.report.depth_tax import MAX_RESIDUAL
from depthbench.report.panels.evidence import Evidence, filled, titled
from depthbench.report.panels.scales import cost_scale, loss_scale
from depthbench.report.power_laws import MIN_POINTS, MIN_SPAN, PowerLaw, fit_power_law
from depthbench.report.rows import Row
from depthbench.report.tables import Heading
from depthbench.report.values import Panel, VariantRow
from depthbench.units import format_estimate, format_fraction

TITLE = "Scaling: exponents of power laws"
_SIZES = ("weights", "depth", "width")
_SYMBOLS = {"weights": "weights", "depth": "L", "width": "d"}
_MAX_NAMED = 4
_HEADINGS = (
    Heading("of", "of"),
    Heading("kind", "variants"),
    Heading("num_points", "points", is_number=True),
    *(Heading(f"{size}_exponent", f"{_SYMBOLS[size]}^", is_number=True) for size in _SIZES),
    Heading("largest_residual_fraction", "off by", is_number=True),
)


@dataclass(frozen=True, slots=True)
class _Points:
    """What is fitted: values of one kind of variant at some sizes."""

    of: str
    kind: str
    family: str
    is_time: bool
    names: tuple[str, ...]
    sizes: tuple[tuple[float, ...], ...]
    observations: tuple[tuple[float, ...], ...]


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return the fits of each contest with variants of enough sizes."""
    found = []
    for contest in evidence.contests:
        rows = []
        for points in (*_losses(contest), *_times(contest.rows)):
            law = fit_power_law(points.sizes, points.observations)
            if law is not None:
                rows.append(_row(points, law))
        if rows:
            found.append(_panel(rows, contest))
    return found


def draw(panel: Panel) -> Any:
    """Return losses against weights, a line where a law is told; times against the told laws."""
    import altair as alt

    losses = [row for row in panel.rows if not row["is_time"]]
    times = [row for row in panel.rows if row["is_time"] and row["is_told"]]
    charts = [chart(rows) for chart, rows in ((_of_losses, losses), (_of_times, times)) if rows]
    if not charts:
        return None
    return alt.concat(*charts, columns=2) if len(charts) > 1 else charts[0]


def _of_losses(rows: Sequence[Row]) -> Any:
    """Return the points of each kind of variant; a line is drawn where the table has its law."""
    import altair as alt

    values = _all(rows, "values") + _all([row for row in rows if row["is_told"]], "fitted")
    base = _points_of(rows).encode(
        x=cost_scale(alt.X, "sizes", _all(rows, "sizes"), "weights"),
        y=loss_scale("values", values, (), "loss"),
    )
    line = base.transform_filter("datum.is_told").mark_line(opacity=0.7)
    fitted = line.encode(y=loss_scale("fitted", values, (), "loss"))
    return fitted + _dots(base)


def _of_times(rows: Sequence[Row]) -> Any:
    """Return measured times against what their laws say; the line is where both are the same."""
    import altair as alt

    values = _all(rows, "values") + _all(rows, "fitted")
    fitted = cost_scale(alt.X, "fitted", values, "time by the law", "s")
    measured = cost_scale(alt.Y, "values", values, "time", "s")
    same = alt.Chart(alt.Data(values=list(rows))).transform_flatten(["fitted"])
    line = same.mark_line(style="faint").encode(
        x=fitted, y=cost_scale(alt.Y, "fitted", values, "time", "s")
    )
    return line + _dots(_points_of(rows).encode(x=fitted, y=measured))


def _points_of(rows: Sequence[Row]) -> Any:
    import altair as alt

    return (
        alt.Chart(alt.Data(values=list(rows)))
        .transform_flatten(["sizes", "values", "fitted"])
        .encode(
            color=alt.Color("kind:N", title=None),
            detail=["of:N", "kind:N"],
            tooltip=["of:N", "kind:N", "sizes:Q", "values:Q", "fitted:Q"],
        )
    )


def _dots(base: Any) -> Any:
    import altair as alt

    return base.mark_point(filled=True, opacity=1).encode(shape=alt.Shape("kind:N", title=None))


def _all(rows: Sequence[Row], name: str) -> list[float]:
    return [value for row in rows for value in row[name]]


def _losses(contest: Contest) -> Iterator[_Points]:
    """Yield the losses of each kind of variant by its weights."""
    kinds: dict[str, list[Any]] = defaultdict(list)
    for contender in contest.contenders:
        if contender.row.total_params and min(contender.values) > 0:
            kinds[_kind(contender.row)].append(contender)
    for kind, members in kinds.items():
        members = sorted(members, key=lambda contender: int(contender.row.total_params))
        yield _Points(
            of=metric_name(contest.metric or ""),
            kind=kind,
            family=members[0].row.family,
            is_time=False,
            names=("weights",),
            sizes=tuple((float(member.row.total_params),) for member in members),
            observations=tuple(member.values for member in members),
        )


def _times(rows: Sequence[VariantRow]) -> Iterator[_Points]:
    """Yield the times of each kind of variant and cell by what varies of depth and width."""
    found: dict[tuple[str, str], list[tuple[VariantRow, tuple[float, ...]]]] = defaultdict(list)
    labels = labels_of(rows)[:MAX_TIMED]
    for row in rows:
        for label, seconds in seconds_of(row, labels).items():
            found[label, _kind(row)].append((row, seconds))
    for (label, kind), members in found.items():
        by_name = {name: [getattr(row, name) for row, _ in members] for name in _SIZES[1:]}
        names = tuple(name for name, sizes in by_name.items() if len(set(sizes)) > 1)
        if names:
            yield _Points(
                of=f"time of {label}",
                kind=kind,
                family=members[0][0].family,
                is_time=True,
                names=names,
                sizes=tuple(zip(*(by_name[name] for name in names), strict=True)),
                observations=tuple(seconds for _, seconds in members),
            )


def _kind(row: VariantRow) -> str:
    return f"{row.family}, {row.extra}" if row.extra else row.family


def _row(points: _Points, law: PowerLaw) -> Row:
    row: Row = {
        "of": points.of,
        "kind": points.kind,
        "family": points.family,
        "is_time": points.is_time,
        "num_points": len(points.sizes),
        "is_told": law.is_told,
        "largest_residual_fraction": law.largest_residual_fraction,
        "coefficient": law.coefficient if law.is_told else None,
        "sizes": [size[0] for size in points.sizes],
        "values": [geometric_mean(found) for found in points.observations],
        "fitted": list(law.fitted),
    }
    exponents = dict(zip(points.names, law.exponents, strict=True)) if law.is_told else {}
    for size in _SIZES:
        found = exponents.get(size)
        row[f"{size}_exponent"] = found.value if found else None
        row[f"{size}_exponent_low"] = found.low if found else None
        row[f"{size}_exponent_high"] = found.high if found else None
    return row


def _panel(rows: Sequence[Row], contest: Contest) -> Panel:
    headings, texts = filled(_HEADINGS, [_texts(row) for row in rows])
    limit = format_fraction(MAX_RESIDUAL)
    return Panel(
        kind="scaling",
        title=titled(TITLE, contest.where),
        finding=_finding(rows),
        headings=headings,
        rows=tuple(rows),
        texts=texts,
        notes=(
            f"Fitted where {MIN_POINTS} sizes or more span a factor of {MIN_SPAN:g}; an exponent "
            f"is told where no point lies more than {limit} off. Losses have no irreducible part.",
            *left_out(contest.rows),
        ),
        num_names=2,
        group=contest.group,
    )


def _texts(row: Row) -> list[str]:
    exponents = [format_estimate(*_exponent(row, size)) for size in _SIZES]
    off = format_fraction(row["largest_residual_fraction"])
    doubt = "" if row["is_told"] else "no power law, "
    return [row["of"], row["kind"], str(row["num_points"]), *exponents, doubt + off]


def _exponent(row: Row, size: str) -> tuple[float | None, float | None, float | None]:
    start = f"{size}_exponent"
    return row[start], row[f"{start}_low"], row[f"{start}_high"]


def _finding(rows: Sequence[Row]) -> str:
    """Return the laws of losses, or, where there are none, of times."""
    told = [row for row in rows if row["is_told"]]
    chosen = [row for row in told if not row["is_time"]] or told
    laws = []
    for row in chosen[:_MAX_NAMED]:
        powers = " ".join(
            f"{_SYMBOLS[size]}^{row[f'{size}_exponent']:.2f}"
            for size in _SIZES
            if row[f"{size}_exponent"] is not None
        )
        laws.append(f"{row['of']} ({row['kind']}) goes as {powers}")
    text = "; ".join(laws)
    return f"{text[0].upper()}{text[1:]}." if text else ""
