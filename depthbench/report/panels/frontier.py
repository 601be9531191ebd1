"""Quality-cost frontiers: which variants no other one beats in both loss and cost, how surely."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from depthbench.report.answer import metric_name
from depthbench.report.contests import Contest
from depthbench.report.costs import Cost, costs_of, left_out, write_cost
from depthbench.report.draws import frontier_shares
from depthbench.report.panels.evidence import Evidence, titled
from depthbench.report.panels.labels import Side, place_names, text_beside
from depthbench.report.panels.scales import cost_scale, fractions, loss_fractions, loss_scale
from depthbench.report.panels.telling_apart import color_of, has_several, symbol_of
from depthbench.report.rows import Row, join
from depthbench.report.statistics import MIN_SEEDS
from depthbench.report.tables import Heading
from depthbench.report.values import Panel
from depthbench.units import counted, format_estimate

TITLE = "Frontiers: quality against cost"
# Of the draws: on a frontier, or off it, is told of variants with so many on it, or off it.
SURE = 0.99
_PROBABILITY = "_probability"
_MAX_NAMED = 4
_ENDS = ("low", "high")


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return the frontiers of each contest of two variants or more whose costs differ."""
    found = []
    for contest in evidence.contests:
        costs = costs_of(contest)
        if costs and contest.metric is not None:
            found.append(_panel(contest, contest.metric, costs))
    return found


def draw(panel: Panel) -> Any:
    """Return a chart for each cost: loss against it, the frontier, dots full that are likely on it.

    Where a family has several variants, those on the frontier are named.
    """
    import altair as alt

    ends = [
        (heading.key.removesuffix(_PROBABILITY), heading.title.replace("\n", " "))
        for heading in panel.headings
        if heading.key.endswith(_PROBABILITY)
    ]
    data = alt.Data(values=list(panel.rows))  # one for all charts, so that it is there once
    charts = [_against(panel.rows, data, key, title) for key, title in ends]
    return alt.concat(*charts, columns=2) if len(charts) > 1 else charts[0]


def _against(rows: Sequence[Row], data: Any, key: str, title: str) -> Any:
    """Return the chart of one cost."""
    import altair as alt

    costs = [row[key] for row in rows if row[key] is not None]
    losses, reach = [row["value"] for row in rows], [row[end] for row in rows for end in _ENDS]
    unit = "s" if key.endswith("_seconds") else "B" if key.endswith("_bytes") else ""
    known = (
        alt.Chart(data)
        .transform_filter(f"isValid(datum.{key})")
        .encode(
            x=cost_scale(alt.X, key, costs, title, unit),
            y=loss_scale("value", losses, reach, "loss"),
            tooltip=["variant:N", f"{key}:Q", "value:Q", f"{key}{_PROBABILITY}:Q"],
        )
    )
    bars = known.transform_filter("isValid(datum.low)").mark_rule(opacity=0.3, strokeWidth=1)
    low = loss_scale("low", losses, reach, "loss")
    layers = [bars.encode(y=low, y2="high:Q", color=color_of(rows))]
    there = [row for row in rows if row[key] is not None]
    names = [row["variant"] for row in _frontier(there, key)]
    on = known.transform_filter(alt.FieldOneOfPredicate(field="variant", oneOf=names))
    layers += [on.mark_line(style="faint", interpolate="step-after"), _dots(known, rows, key)]
    if has_several(rows):
        layers += _names(known, there, key, reach)
    return alt.layer(*layers)


def _frontier(rows: Sequence[Row], key: str) -> list[Row]:
    """Return the rows that no other one beats in the means of both, from the cheapest on."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: (row[key], row["value"])):
        if not found or row["value"] < found[-1]["value"]:
            found.append(row)
    return found


def _dots(known: Any, rows: Sequence[Row], key: str) -> Any:
    """Return the variants as dots, as full as it is likely that they are on the frontier."""
    import altair as alt

    full = alt.Scale(domain=[0, 1], range=[0.05, 1])
    share = f"{key}{_PROBABILITY}"
    dots = known.mark_point(filled=True, size=70, opacity=1, strokeWidth=1.5).encode(
        color=color_of(rows), stroke=color_of(rows, alt.Stroke), shape=symbol_of(rows)
    )
    if all(row[share] is None for row in rows):
        return dots
    return dots.encode(fillOpacity=alt.FillOpacity(f"{share}:Q", legend=None, scale=full))


def _names(known: Any, rows: Sequence[Row], key: str, reach: Sequence[Any]) -> list[Any]:
    """Return the names of what is on a frontier, where they find room."""
    import altair as alt

    x = fractions([row[key] for row in rows], is_log=True)
    y = loss_fractions([row["value"] for row in rows], reach)
    variants = [row["variant"] for row in rows]
    dots = {v: (left, 1 - up) for v, left, up in zip(variants, x, y, strict=True)}
    on = sorted(_frontier(rows, key), key=lambda row: -(row[f"{key}{_PROBABILITY}"] or 0))
    names = {row["variant"]: f"L {row['depth']}, d {row['width']}" for row in on}
    named = known.transform_calculate(name="'L ' + datum.depth + ', d ' + datum.width")
    by_side: dict[Side, list[str]] = defaultdict(list)
    for variant, side in place_names(dots, names).items():
        by_side[side].append(variant)
    return [
        named.transform_filter(alt.FieldOneOfPredicate(field="variant", oneOf=found))
        .mark_text(style=style, **text_beside(side))
        .encode(text="name:N")
        for style in ("halo", "text")
        for side, found in by_side.items()
    ]


def _panel(contest: Contest, metric: str, costs: Sequence[Cost]) -> Panel:
    shares = {cost.key: _shares(contest, cost) for cost in costs}
    places = sorted(
        range(len(contest.contenders)), key=lambda place: contest.contenders[place].estimate.value
    )
    rows = [_row(contest, costs, shares, place) for place in places]
    headings = [Heading("variant", "variant"), Heading("value", metric_name(metric), True)]
    headings += [Heading(f"{cost.key}{_PROBABILITY}", _heading(cost), True) for cost in costs]
    return Panel(
        kind="frontier",
        title=titled(TITLE, contest.where),
        finding=_finding(rows, costs),
        headings=tuple(headings),
        rows=tuple(rows),
        texts=tuple(_texts(row, costs) for row in rows),
        notes=(*_notes(rows, costs, contest.num_draws), *left_out(contest.rows)),
        group=contest.group,
    )


def _heading(cost: Cost) -> str:
    return cost.title.replace(" batch ", "\nbatch ")


def _shares(contest: Contest, cost: Cost) -> dict[int, float]:
    """Return the probability of being on a cost's frontier, by place; none with too few seeds."""
    places = list(cost.known)
    if not contest.has_seeds(places):
        return {}
    found = frontier_shares(cost.draws(places, contest.num_draws), contest.draws[places])
    return dict(zip(places, found, strict=True))


def _row(
    contest: Contest, costs: Sequence[Cost], shares: dict[str, dict[int, float]], place: int
) -> Row:
    contender = contest.contenders[place]
    estimate = contender.estimate
    row: Row = contender.facts | {
        "metric": contest.metric,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "num_seeds": len(contender.values),
    }
    for cost in costs:
        row[cost.key] = cost.value(place)
        row[f"{cost.key}{_PROBABILITY}"] = shares[cost.key].get(place)
    return row


def _texts(row: Row, costs: Sequence[Cost]) -> tuple[str, ...]:
    cells = []
    for cost in costs:
        share = row[f"{cost.key}{_PROBABILITY}"]
        text = write_cost(row[cost.key], cost.unit)
        cells.append(text if share is None else f"{text}, {share:.0%}")
    return (row["short"], format_estimate(row["value"], row["low"], row["high"]), *cells)


def _finding(rows: Sequence[Row], costs: Sequence[Cost]) -> str:
    """Return which variants are surely on all frontiers, and which are surely on none."""
    shares = {row["short"]: [row[f"{cost.key}{_PROBABILITY}"] for cost in costs] for row in rows}
    known = {
        name: [share for share in found if share is not None]
        for name, found in shares.items()
        if any(share is not None for share in found)
    }
    if not known:
        return ""
    num = "the frontier" if len(costs) == 1 else f"all {len(costs)} frontiers"
    on = [n for n, found in known.items() if len(found) == len(costs) and min(found) >= SURE]
    off = [name for name, found in known.items() if max(found) <= 1 - SURE]
    parts = [f"On {num}: {join(on, limit=_MAX_NAMED)}." if on else f"On {num}: none for sure."]
    if off:
        parts.append(f"Beaten in both loss and cost, everywhere: {join(off, limit=_MAX_NAMED)}.")
    return " ".join(parts)


def _notes(rows: Sequence[Row], costs: Sequence[Cost], num_draws: int) -> Iterator[str]:
    if any(row[f"{cost.key}{_PROBABILITY}"] is not None for row in rows for cost in costs):
        timed = ", and over processes of times" if any(c.unit == "seconds" for c in costs) else ""
        yield (
            f"Percentages: of {num_draws:,} bootstrap draws over seeds{timed}, those in which no "
            "other variant is both as cheap and as good; dots of the chart are as full. Its line "
            "joins what none beats in the means of both."
        )
    else:
        fewest = min(row["num_seeds"] for row in rows)
        yield f"{counted(fewest, 'seed')}: no probabilities; they take {MIN_SEEDS} or more."
