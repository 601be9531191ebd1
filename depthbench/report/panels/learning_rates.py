"""Best learning rates against depth and width, how flat the loss is around them, and grid ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median_low
from typing import Any

from depthbench.record import FAILURES
from depthbench.report.groups import Entry, Gathering
from depthbench.report.panels.evidence import Evidence, color_of, filled, titled
from depthbench.report.rows import Row, join
from depthbench.report.tables import Heading
from depthbench.report.values import Group, Panel, VariantRow
from depthbench.units import format_fraction, significant

TITLE = "Learning rates: the best of each variant"
METRIC = "val_loss"
# Rates at which the loss is so little above the best one's are as good.
FLAT = 0.05
_MAX_NAMED = 4
_HEADINGS = (
    Heading("variant", "variant"),
    Heading("lr", "best lr", is_number=True),
    Heading("lrs", "of", is_number=True),
    Heading("value", "validation loss", is_number=True),
    Heading("lower_ratio", "one lower", is_number=True),
    Heading("higher_ratio", "one higher", is_number=True),
    Heading("flat", f"within {FLAT:.0%}"),
    Heading("edge", "grid end"),
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
            found.append(_panel(rows, evidence.where(place), place))
    return found


def draw(panel: Panel) -> Any:
    """Return the best rate against depth; a line spans the rates that are about as good."""
    import altair as alt

    base = alt.Chart(alt.Data(values=list(panel.rows))).encode(
        x=alt.X("depth:Q", title="depth L", scale=alt.Scale(type="log", base=2)),
        color=color_of(panel),
        tooltip=["variant:N", "lr:Q", "value:Q", "flat_low:Q", "flat_high:Q", "edge:N"],
    )
    scale = alt.Scale(type="log", nice=False, padding=10)
    rate = alt.Y("lr:Q", title="best learning rate", scale=scale)
    size = alt.Size("width:Q", title="width d", scale=alt.Scale(type="log", range=[30, 300]))
    spans = base.mark_rule(opacity=0.5).encode(
        y=alt.Y("flat_low:Q", title="best learning rate", scale=scale),
        y2="flat_high:Q",
    )
    return spans + base.mark_point(filled=True).encode(y=rate, size=size)


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
        "depth": row.depth,
        "width": row.width,
        "lr": best.lr,
        "lrs": [rate.lr for rate in rates],
        "metric": METRIC,
        "losses": [rate.loss for rate in rates],
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
        notes=(
            "One lower, one higher: the loss at the neighbouring rates against the best one's; "
            f"within {FLAT:.0%}: the rates around it that are about as good.",
        ),
        group=place,
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
    return " ".join([*_trends(rows), *parts])


def _trends(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how the best rate of a kind goes with the depth, where it only falls or only rises."""
    kinds: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        kinds[row["kind"]][row["depth"]].append(row["lr"])
    for kind, by_depth in kinds.items():
        depths = sorted(by_depth)
        rates = [median_low(by_depth[depth]) for depth in depths]
        verb = _direction(rates)
        if verb:
            yield (
                f"The best rate of {kind} {verb} with depth, from {rates[0]:g} at L {depths[0]} to "
                f"{rates[-1]:g} at L {depths[-1]}."
            )


def _direction(rates: Sequence[float]) -> str:
    if rates[0] == rates[-1]:
        return ""
    if list(rates) == sorted(rates):
        return "rises"
    return "falls" if list(rates) == sorted(rates, reverse=True) else ""
