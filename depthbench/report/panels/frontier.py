"""Quality-cost frontiers: which variants no other one beats in both loss and cost, how surely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from depthbench.report.answer import metric_name
from depthbench.report.contests import Contest
from depthbench.report.costs import Cost, costs_of, left_out, write_cost
from depthbench.report.draws import frontier_shares
from depthbench.report.panels.evidence import Evidence, color_of, titled
from depthbench.report.rows import Row, join
from depthbench.report.statistics import MIN_SEEDS
from depthbench.report.tables import Heading
from depthbench.report.values import Panel
from depthbench.units import counted, format_estimate

TITLE = "Frontiers: quality against cost"
# Of the draws: on a frontier, or off it, is told of variants with so many on it, or off it.
SURE = 0.95
_PROBABILITY = "_probability"
_MAX_NAMED = 4


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return the frontiers of each contest of two variants or more whose costs differ."""
    found = []
    for contest in evidence.contests:
        costs = costs_of(contest)
        if costs and contest.metric is not None:
            found.append(_panel(contest, contest.metric, costs))
    return found


def draw(panel: Panel) -> Any:
    """Return a chart for each cost: loss against it, points faint that are likely beaten."""
    import altair as alt

    ends = [
        (heading.key.removesuffix(_PROBABILITY), heading.title.replace("\n", " "))
        for heading in panel.headings
        if heading.key.endswith(_PROBABILITY)
    ]
    rows, color = alt.Data(values=list(panel.rows)), color_of(panel)
    return alt.concat(*(_against(rows, key, title, color) for key, title in ends), columns=2)


def _against(rows: Any, key: str, title: str, color: Any) -> Any:
    import altair as alt

    share = f"{key}{_PROBABILITY}"
    unit = " (seconds)" if "_seconds" in key else " (bytes)" if key.endswith("_bytes") else ""
    # Loss is not on a log scale, since it may be 0.
    quality = alt.Y("value:Q", title="loss", scale=alt.Scale(zero=False))
    cost = alt.X(
        f"{key}:Q",
        title=f"{title}{unit}",
        scale=alt.Scale(type="log", nice=False, padding=15),
        axis=alt.Axis(format="~s", tickCount=5),
    )
    told = ["variant:N", f"{key}:Q", "value:Q", f"{share}:Q"]
    known = alt.Chart(rows).transform_filter(f"isValid(datum.{key})").encode(x=cost, tooltip=told)
    rules = known.mark_rule(opacity=0.4).encode(alt.Y("low:Q", title="loss"), y2="high:Q")
    faint = alt.Scale(domain=[0, 1], range=[0.15, 1])
    points = known.mark_point(filled=True, size=70).encode(
        y=quality, opacity=alt.Opacity(f"{share}:Q", legend=None, scale=faint)
    )
    bars = rules.transform_filter("isValid(datum.low)")
    return bars.encode(color=color) + points.encode(color=color)


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
            "other variant is both as cheap and as good."
        )
    else:
        fewest = min(row["num_seeds"] for row in rows)
        yield f"{counted(fewest, 'seed')}: no probabilities; they take {MIN_SEEDS} or more."
