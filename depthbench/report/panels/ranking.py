"""The panel of a ranking: who leads at a glance, and from whom the seeds do not tell it apart.

Its numbers are those of the group's own table, so that texts leave the panel out.
"""

from __future__ import annotations

from typing import Any

from depthbench.report.answer import budget_text, metric_name
from depthbench.report.columns import TOO_FEW_SEEDS
from depthbench.report.panels.evidence import Evidence
from depthbench.report.rows import Row
from depthbench.report.tables import Heading
from depthbench.report.values import Group, Panel, VariantRow
from depthbench.units import format_estimate

# A chart of more dots than this is read by nobody; the table has them all.
MAX_DRAWN = 40
# How full a dot is.
_FILLED = {"worse": 0.25, "not ranked": 0.0}


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return a panel for each group in which two variants or more have the metric that ranks."""
    panels = [_panel(group, index) for index, group in enumerate(evidence.groups)]
    return [panel for panel in panels if panel is not None and len(panel.rows) > 1]


def draw(panel: Panel) -> Any:
    """Return a chart of the metric, a line a variant, best first, with its interval."""
    import altair as alt

    rows = list(panel.rows[:MAX_DRAWN])
    title = next(heading.title for heading in panel.headings if heading.key == "mean")
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("variant:N", title=None, scale=alt.Scale(domain=[r["variant"] for r in rows])),
        tooltip=[
            alt.Tooltip("full_name:N", title="variant"),
            alt.Tooltip("mean_text:N", title=title),
            alt.Tooltip("standing:N", title="against the best"),
            alt.Tooltip("num_seeds:Q", title="seeds"),
        ],
    )
    ends = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False)),
        x2="high:Q",
        stroke=alt.Stroke("family:N", legend=None),
    )
    dots = base.mark_point(size=110, strokeWidth=2, opacity=1).encode(
        x=alt.X("mean:Q", title=title, scale=alt.Scale(zero=False)),
        fill=alt.Fill("family:N", legend=None),
        stroke=alt.Stroke("family:N", legend=None),
        fillOpacity=alt.FillOpacity("filled:Q", legend=None, scale=None),
    )
    return ends.transform_filter("isValid(datum.low)") + dots


def _panel(group: Group, index: int) -> Panel | None:
    if group.metric is None:
        return None
    name = metric_name(group.metric)
    rows = [_row(row, group.metric) for row in group.rows if group.metric in row.metrics]
    headings = (
        Heading("variant", "variant"),
        Heading("rank", "#", is_number=True),
        Heading("mean", name, is_number=True),
        Heading("num_seeds", "seeds", is_number=True),
        Heading("standing", "against the best"),
    )
    texts = [
        (r["variant"], str(r["rank"] or "-"), r["mean_text"], str(r["num_seeds"]), r["standing"])
        for r in rows
    ]
    return Panel(
        kind="ranking",
        title=_title(group, name),
        finding="",  # the group's answer says it
        headings=headings,
        rows=tuple(rows),
        texts=tuple(texts),
        notes=tuple(_notes(rows)),
        group=index,
        is_of_group_table=True,
    )


def _title(group: Group, name: str) -> str:
    at = f" at equal {budget_text(group.budget)}" if group.budget else ""
    return f"{name.capitalize()} on {group.dataset}{at}"


def _row(row: VariantRow, metric: str) -> Row:
    found = row.metrics[metric]
    return {
        "variant": row.name,
        "full_name": row.full_name,
        "family": row.family,
        "rank": row.rank,
        "mean": found.value,
        "low": found.low,
        "high": found.high,
        "mean_text": format_estimate(found.value, found.low, found.high),
        "num_seeds": found.num,
        "standing": _standing(row),
        "filled": _FILLED.get(_standing(row), 1.0),
    }


def _standing(row: VariantRow) -> str:
    """Return how a variant stands against the best one, in words."""
    if row.rank is None:
        return "not ranked"
    if row.rank == 1:
        return "best"
    found = row.against_best
    return found.verdict if found and found.verdict else TOO_FEW_SEEDS


def _notes(rows: list[Row]) -> list[str]:
    notes = ["Filled dots: the best, and all that is not shown to be worse; pale: worse."]
    if any(row["low"] is not None for row in rows):
        notes.append("Lines are 95% intervals of the mean over seeds.")
    if any(row["rank"] is None for row in rows):
        notes.append("Empty dots are not ranked; the table says why.")
    if len(rows) > MAX_DRAWN:
        notes.append(f"The chart has the first {MAX_DRAWN} of {len(rows):,} variants.")
    return notes
