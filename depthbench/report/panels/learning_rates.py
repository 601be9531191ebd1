"""Best learning rates: how flat the loss is around them, grid ends, and how they go with size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from statistics import fmean
from typing import Any

from depthbench.record import FAILURES
from depthbench.report.answer import metric_name
from depthbench.report.basin_shift import (
    AXES,
    MIN_RATES,
    BasinShift,
    shift_sentences,
    shift_text,
    shifts_of,
)
from depthbench.report.groups import Entry, Gathering
from depthbench.report.panels.evidence import Evidence, filled, titled
from depthbench.report.panels.scales import loss_scale, size_scale
from depthbench.report.panels.telling_apart import Lines, plots
from depthbench.report.rows import Row, join
from depthbench.report.tables import Heading
from depthbench.report.values import Group, Panel, VariantRow
from depthbench.units import counted, format_fraction, significant

TITLE = "Learning rates: the best of each variant"
METRIC = "val_loss"
# Rates at which the loss is so little above the best one's are as good.
FLAT = 0.05
_MAX_NAMED = 4
_MAX_SHIFTS = 6
_HEADINGS = (
    Heading("variant", "variant"),
    Heading("lr", "best lr", is_number=True),
    Heading("lrs", "of", is_number=True),
    Heading("value", "validation loss", is_number=True),
    Heading("lower_ratio", "one lower", is_number=True),
    Heading("higher_ratio", "one higher", is_number=True),
    Heading("flat", f"within {FLAT:.0%}"),
    Heading("edge", "grid end"),
    Heading("depth_shift", "shift\nover L", is_number=True),
    Heading("width_shift", "shift\nover d", is_number=True),
)


@dataclass(frozen=True, slots=True)
class _Rate:
    """What one learning rate gave: the mean loss over seeds, None where it gave none."""

    lr: float
    loss: float | None
    num_seeds: int
    trouble: str

    @property
    def is_sound(self) -> bool:
        return self.loss is not None and not self.trouble


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return a panel for each group with a variant that was trained at two rates or more."""
    found = []
    for place, (gathering, group) in enumerate(
        zip(evidence.gatherings, evidence.groups, strict=True)
    ):
        rows = list(_rows(gathering, group))
        if rows:
            found.append(_panel(_with_shifts(rows), evidence.where(place), place))
    return found


def draw(panel: Panel) -> Any:
    """Return the loss against the rate, a line a variant, with a dot at the best rate of each."""
    import altair as alt

    losses = [loss for row in panel.rows for loss in row["losses"]]
    rates = [rate for row in panel.rows for rate in row["lrs"]]

    def plot(rows: Sequence[Row], lines: Lines, title: str) -> Any:
        told = ["variant:N", "lrs:Q", "losses:Q", "lr:Q", "value:Q", "edge:N"]
        base = (
            alt.Chart(alt.Data(values=list(rows)))
            .transform_flatten(["lrs", "losses", "troubles"])
            .transform_filter("isValid(datum.losses) && datum.troubles == ''")
            .encode(
                x=size_scale(alt.X, "lrs", rates, "learning rate"),
                y=loss_scale("losses", losses, (), metric_name(METRIC)),
                detail="variant:N",
                tooltip=told,
            )
        )
        best = base.transform_filter("datum.lrs == datum.lr").encode(color=lines.color())
        dots = best.mark_point(filled=True, opacity=1)
        return (lines.on(base.mark_line(opacity=0.8)) + dots).properties(title=title)

    return plots(panel.rows, plot)


def _rows(gathering: Gathering, group: Group) -> Iterator[Row]:
    entries = {entry.settings["variant_id"]: entry for entry in gathering.entries}
    for row in group.rows:
        rates = _rates(entries[row.variant_id])
        best = next((rate for rate in rates if rate.lr == row.lr), None)
        if len(rates) > 1 and best is not None and best.loss is not None:
            yield _row(row, rates, best)


def _rates(entry: Entry) -> list[_Rate]:
    """Return what each rate gave, from the lowest rate on."""
    by_lr: dict[float, list[Row]] = defaultdict(list)
    for trial in entry.every_trial:
        by_lr[trial["lr"]].append(trial)
    return [_rate(lr, by_lr[lr]) for lr in sorted(by_lr)]


def _rate(lr: float, trials: Sequence[Row]) -> _Rate:
    losses = [t[METRIC] for t in trials if t["status"] == "ok" and t[METRIC] is not None]
    troubles = (
        ("diverged", ("diverged",)),
        ("failed", FAILURES),
        ("unsupported", ("unsupported",)),
    )
    named = [name for name, found in troubles if any(t["status"] in found for t in trials)]
    return _Rate(lr, fmean(losses) if losses else None, len(losses), named[0] if named else "")


def _row(row: VariantRow, rates: Sequence[_Rate], best: _Rate) -> Row:
    place = rates.index(best)
    lower = rates[place - 1] if place else None
    higher = rates[place + 1] if place + 1 < len(rates) else None
    flat = _flat(rates, place)
    edge = "the smallest" if lower is None else "the largest" if higher is None else ""
    return {
        "variant": row.full_name,
        "short": row.name,
        "family": row.family,
        "kind": f"{row.family}, {row.extra}" if row.extra else row.family,
        "backbone": row.backbone,
        "extra": row.extra,
        "depth": row.depth,
        "width": row.width,
        "lr": best.lr,
        "lrs": [rate.lr for rate in rates],
        "metric": METRIC,
        "losses": [rate.loss for rate in rates],
        "troubles": [rate.trouble for rate in rates],
        "value": best.loss,
        "num_seeds": best.num_seeds,
        "lower_ratio": _ratio(lower, best),
        "lower_trouble": lower.trouble if lower else "",
        "higher_ratio": _ratio(higher, best),
        "higher_trouble": higher.trouble if higher else "",
        "flat_low": flat[0].lr,
        "flat_high": flat[-1].lr,
        "edge": edge,
    }


def _ratio(rate: _Rate | None, best: _Rate) -> float | None:
    if rate is None or rate.loss is None or not best.loss or best.loss <= 0:
        return None
    return rate.loss / best.loss


def _flat(rates: Sequence[_Rate], place: int) -> Sequence[_Rate]:
    """Return the rates around the best one at which the loss is about as good."""
    best = rates[place]

    def is_flat(rate: _Rate) -> bool:
        ratio = _ratio(rate, best)
        return rate.is_sound and ratio is not None and ratio <= 1 + FLAT

    first = last = place
    while first > 0 and is_flat(rates[first - 1]):
        first -= 1
    while last + 1 < len(rates) and is_flat(rates[last + 1]):
        last += 1
    return rates[first : last + 1]


def _panel(rows: Sequence[Row], where: str, place: int) -> Panel:
    headings, texts = filled(_HEADINGS, [_texts(row) for row in rows])
    return Panel(
        kind="learning_rates",
        title=titled(TITLE, where),
        finding=_finding(rows),
        headings=headings,
        rows=tuple(rows),
        texts=texts,
        notes=tuple(_notes(rows)),
        group=place,
    )


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "One lower, one higher: the loss at the neighbouring rates against the best one's; "
        f"within {FLAT:.0%}: the rates around it that are about as good."
    )
    if any(row[f"{axis}_shift"] is not None for row in rows for axis in AXES):
        rates = sorted({rate for row in rows for rate in row["lrs"]})
        step = max(log2(high / low) for low, high in pairwise(rates))
        yield (
            "Shift: log2 of the best rate over that of the shallowest (narrowest) variant of its "
            f"kind at the same width (depth), to about a step of the grid, {step:.1f}. About 0 "
            "where a parametrisation carries one rate over to any size (arXiv 2203.03466, "
            "2505.01618)."
        )


def _texts(row: Row) -> list[str]:
    is_single = row["flat_low"] == row["flat_high"]
    return [
        row["short"],
        f"{row['lr']:g}",
        str(len(row["lrs"])),
        significant(row["value"]),
        _neighbour(row["lower_ratio"], row["lower_trouble"]),
        _neighbour(row["higher_ratio"], row["higher_trouble"]),
        "itself alone" if is_single else f"{row['flat_low']:g} to {row['flat_high']:g}",
        row["edge"].removeprefix("the ") or "-",
        *(shift_text(row[f"{axis}_shift"], row[f"{axis}_shift_doubt"]) for axis in AXES),
    ]


def _neighbour(ratio: float | None, trouble: str) -> str:
    if trouble:
        return trouble
    return "-" if ratio is None else format_fraction(ratio - 1, is_signed=True)


def _finding(rows: Sequence[Row]) -> str:
    parts = []
    for edge, other in (("the largest", "larger"), ("the smallest", "smaller")):
        names = [row["short"] for row in rows if row["edge"] == edge]
        if names:
            verb = "is" if len(names) == 1 else "are"
            parts.append(
                f"The best of {join(names, limit=_MAX_NAMED)} {verb} {edge} given: try {other}."
            )
    return " ".join([*_shift_sentences(rows), *parts])


def _shift_sentences(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how far the best rates of each kind move over depth and width, if that is known."""
    kinds = _kinds(rows)
    found = [text for kind, row in kinds.items() for text in shift_sentences(shifts_of(row), kind)]
    yield from found[:_MAX_SHIFTS]
    if len(found) > _MAX_SHIFTS:
        num_more = counted(len(found) - _MAX_SHIFTS, "more kind")
        yield f"The table has the shifts of {num_more}."
    shifts = [shift for row in kinds.values() for shift in shifts_of(row)]
    if shifts and not found:
        most = max(shift.num_rates for shift in shifts)
        yield (
            f"{counted(most, 'rate')} in common {'is' if most == 1 else 'are'} too few to tell how "
            f"far the best one shifts with size; that takes {MIN_RATES}."
        )


def _with_shifts(rows: Sequence[Row]) -> list[Row]:
    """Return rows with how far their best rates lie from those of the smallest ones beside them."""
    found = {
        (shift.variant, shift.axis): shift
        for row in _kinds(rows).values()
        for shift in shifts_of(row)
    }
    wanted = [[(axis, found.get((row["variant"], axis))) for axis in AXES] for row in rows]
    return [
        row | {key: value for axis, shift in each for key, value in _shift_of(axis, shift).items()}
        for row, each in zip(rows, wanted, strict=True)
    ]


def _shift_of(axis: str, shift: BasinShift | None) -> Row:
    return {
        f"{axis}_shift": shift.value if shift else None,
        f"{axis}_shift_doubt": shift.doubt if shift else None,
        f"{axis}_shift_num_rates": shift.num_rates if shift else None,
    }


def _kinds(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the variants of each kind: of one family and options, the backbone among these."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    return kinds
