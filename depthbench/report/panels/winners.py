"""The winner map: who wins under which budget, how surely, and where the winner flips.

At the suite's own budgets those compete that are on budget. Under another cost (time, memory,
weights that no budget holds) a level is what can be afforded, and all that cost no more compete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from depthbench.report.answer import metric_name
from depthbench.report.contests import Contest
from depthbench.report.costs import left_out
from depthbench.report.draws import least_shares
from depthbench.report.levels import Level, levels_of
from depthbench.report.panels.evidence import Evidence, filled, titled
from depthbench.report.panels.telling_apart import has_several
from depthbench.report.rows import Row
from depthbench.report.statistics import MIN_SEEDS
from depthbench.report.tables import Heading
from depthbench.report.values import Panel
from depthbench.units import significant

TITLE = "Winner map: who wins under which budget"
# A winner is clear where its kind wins in so many of the draws; of two equal ones one is in 2% of
# cases.
CLEAR = 0.99
_MAX_PHRASES = 4
# How much of its colour a cell has that wins never, and always: text on it must be readable.
TINTS = (0.08, 0.42)
# Pixels of a cell of the map, with the winner's shape in it and without.
_CELL_WIDTH, _CELL_HEIGHT, _LOW_CELL_HEIGHT = 84, 40, 30
# On a phone a budget's name stands above its cells, which have the whole width.
_NARROW = {
    "letters": 60,
    "columns": 2,
    "step": 62,
    "config": {
        "scale": {"rectBandPaddingInner": 0.4},
        "axisYBand": {"labelAlign": "left", "labelPadding": -1, "labelOffset": -26, "ticks": False},
    },
}
_HEADINGS = (
    Heading("basis", "budget"),
    Heading("level", "level", is_number=True),
    Heading("variant", "winner"),
    Heading("value", "", is_number=True),
    Heading("probability", "wins in", is_number=True),
    Heading("label_probability", "its kind in", is_number=True),
)


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return a map for each contest in which two variants or more compete under some budget."""
    found = []
    for contest in evidence.contests:
        bases = levels_of(contest, evidence.groups)
        if any(len(level.places) > 1 for levels in bases for level in levels):
            found.append(_panel(contest, bases))
    return found


def draw(panel: Panel) -> Any:
    """Return a chart of the winner at each level of each budget, fainter where it is unsure."""
    import altair as alt

    base = alt.Chart(alt.Data(values=list(panel.rows))).encode(
        x=alt.X(
            "place:O",
            title="budget, from the smallest on",
            axis=alt.Axis(labels=False, ticks=False),
            scale=alt.Scale(paddingInner=0),
        ),
        y=alt.Y("basis:N", title=None, sort=None),
        tooltip=[
            alt.Tooltip("basis:N"),
            alt.Tooltip("level_text:N", title="level"),
            alt.Tooltip("variant:N", title="winner"),
            alt.Tooltip("value:Q"),
            alt.Tooltip("certainty:N"),
            alt.Tooltip("label_probability:Q", title="its kind wins in", format=".0%"),
        ],
    )
    sure = alt.Opacity(
        "label_probability:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=list(TINTS))
    )
    kind = "family" if len({row["family"] for row in panel.rows}) > 1 else "label"
    cells = base.mark_rect().encode(color=alt.Color(f"{kind}:N", title=None), opacity=sure)
    has_names = has_several(panel.rows)
    levels = base.mark_text(dy=-7 if has_names else 0).encode(text="level_text:N")
    names = base.mark_text(dy=8, fontSize=11).transform_calculate(
        name="'L ' + datum.depth + ' d ' + datum.width"
    )
    layers = [cells, levels, *([names.encode(text="name:N")] if has_names else [])]
    width = _CELL_WIDTH * max(row["place"] for row in panel.rows)
    height = alt.Step(_CELL_HEIGHT if has_names else _LOW_CELL_HEIGHT)
    return alt.layer(*layers).properties(width=width, height=height, usermeta={"narrow": _NARROW})


def _panel(contest: Contest, bases: Sequence[Sequence[Level]]) -> Panel:
    rows = _rows(contest, bases)
    headings, texts = filled(_titled_headings(contest), [_texts(row) for row in rows])
    return Panel(
        kind="winners",
        title=titled(TITLE, contest.where),
        finding=_finding(rows),
        headings=headings,
        rows=tuple(rows),
        texts=texts,
        notes=(*_notes(rows, contest.num_draws), *left_out(contest.rows)),
        num_names=2,
        group=contest.group,
    )


def _titled_headings(contest: Contest) -> list[Heading]:
    name = metric_name(contest.metric or "")
    return [Heading(h.key, h.title or name, h.is_number) for h in _HEADINGS]


def _rows(contest: Contest, bases: Sequence[Sequence[Level]]) -> list[Row]:
    rows: list[Row] = []
    for levels in bases:
        last_clear = None
        for place, level in enumerate(levels, start=1):
            row = {"basis": level.basis, "place": place} | _row(contest, level)
            is_clear = row["certainty"] == "clear"
            row["has_flipped"] = is_clear and last_clear not in (None, row["label"])
            last_clear = row["label"] if is_clear else last_clear
            rows.append(row)
    return rows


def _row(contest: Contest, level: Level) -> Row:
    contenders = [contest.contenders[place] for place in level.places]
    order = sorted(range(len(contenders)), key=lambda index: contenders[index].estimate.value)
    best = contenders[order[0]]
    return {
        "is_equal": level.is_equal,
        "level": level.value,
        "level_text": level.text,
        "unit": level.unit,
        **best.facts,
        "label": best.label,
        "metric": contest.metric,
        "value": best.estimate.value,
        "low": best.estimate.low,
        "high": best.estimate.high,
        "num_seeds": len(best.values),
        "num_candidates": len(contenders),
        "runner_up": contenders[order[1]].name if len(order) > 1 else None,
        **_sureness(contest, level, order[0]),
    }


def _sureness(contest: Contest, level: Level, best: int) -> Row:
    """Return how often a variant, by its place in the level, wins; and how often its kind does.

    Where there is but one kind, its win says nothing.
    """
    unknown = {"probability": None, "label_probability": None}
    if len(level.places) == 1:
        return unknown | {"certainty": "alone"}
    if not contest.has_seeds(level.places):
        return unknown | {"certainty": "too few seeds"}
    shares = least_shares(contest.draws[list(level.places)])
    labels = [contest.contenders[place].label for place in level.places]
    if len(set(labels)) == 1:
        return unknown | {"probability": shares[best], "certainty": "alone"}
    of_kind = [share for share, label in zip(shares, labels, strict=True) if label == labels[best]]
    kind = min(1.0, sum(of_kind))
    return {
        "probability": shares[best],
        "label_probability": kind,
        "certainty": "clear" if kind >= CLEAR else "unresolved",
    }


def _texts(row: Row) -> list[str]:
    is_alone, of_kind = row["num_candidates"] == 1, row["label_probability"]
    return [
        row["basis"],
        row["level_text"] if row["is_equal"] else f"up to {row['level_text']}",
        row["short"],
        significant(row["value"]),
        "alone" if is_alone else _share(row["probability"]),
        "-" if is_alone or of_kind == row["probability"] else _share(of_kind, "alone"),
    ]


def _share(share: float | None, missing: str = "-") -> str:
    if share is None:
        return missing
    return f"{'' if share >= CLEAR else '~ '}{share:.0%}"


def _finding(rows: Sequence[Row]) -> str:
    judged = [row for row in rows if row["certainty"] != "alone"]
    clear = [row for row in judged if row["certainty"] == "clear"]
    if not judged:
        return "Under each of these budgets there is but one kind, so none wins over another."
    if all(row["certainty"] == "too few seeds" for row in judged):
        return f"No winner can be told: that takes {MIN_SEEDS} seeds of each variant or more."
    if not clear:
        return "No winner is clear under any of these budgets."
    kinds = list(dict.fromkeys(row["label"] for row in clear))
    if len(kinds) == 1:
        return (
            f"{kinds[0]} wins wherever a winner is clear: under {len(clear)} of {len(judged)} "
            "budgets."
        )
    phrases = [_runs(list(found)) for _, found in groupby(clear, lambda row: str(row["basis"]))]
    more = len(phrases) - _MAX_PHRASES
    tail = f"; and {more} more" if more > 0 else ""
    return f"The winner flips: {'; '.join(phrases[:_MAX_PHRASES])}{tail}."


def _runs(rows: Sequence[Row]) -> str:
    """Return who wins along one budget: at equal total_params deep up to 20,000, wide above."""
    runs = [(kind, list(found)) for kind, found in groupby(rows, lambda row: row["label"])]
    start = f"{'at' if rows[0]['is_equal'] else 'by'} {_named_basis(rows[0])}"
    if len(runs) == 1:
        return f"{start} {runs[0][0]}"
    parts = [f"{kind} up to {found[-1]['level_text']}" for kind, found in runs[:-1]]
    return f"{start} {', '.join(parts)}, {runs[-1][0]} above"


def _named_basis(row: Row) -> str:
    return f"time of {row['basis']}" if row["unit"] == "seconds" else str(row["basis"])


def _notes(rows: Sequence[Row], num_draws: int) -> Iterator[str]:
    if any(row["probability"] is not None for row in rows):
        yield (
            f"Wins in: the share of {num_draws:,} bootstrap draws over seeds in which its mean is "
            f"the lowest; ~ below {CLEAR:.0%}. It is of one budget: verdicts, whose q counts all "
            "comparisons of the run, ask for more."
        )
    if any(row["label_probability"] not in (None, row["probability"]) for row in rows):
        yield "Its kind in: the same of all variants of its family, or of its depth."
    if any(not row["is_equal"] for row in rows):
        yield "Up to: among those that cost no more; a time is the quiet time, over processes."
