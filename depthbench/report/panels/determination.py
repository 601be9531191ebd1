"""Loss by determination ratio: how many equations the training set gives for each weight.

Q = training examples x outputs / weights. Below 1 a network can fit its training set whatever the
set says; a layout that looks worse at every size may only be one that is told to overfit.

Source:
    "Make Deep Networks Shallow Again", arXiv 2309.08414, table 2 and its bins. There the mean is
    over runs; here it is over seeds and variants, with an interval where each has enough seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf, prod
from typing import Any

from depthbench.report.groups import DATA_COLUMNS, Entry
from depthbench.report.panels.evidence import Evidence, filled, titled
from depthbench.report.rows import Row, join
from depthbench.report.statistics import stratified_mean
from depthbench.report.tables import Heading
from depthbench.report.values import Panel
from depthbench.units import format_estimate

TITLE = "Determination: loss by training examples x outputs / weights"
BINS = ((0.0, 1.0), (1.0, 3.0), (3.0, 10.0), (10.0, inf))
_COUNTS = ("train_examples", "validation_examples")
_SAME_DATA = tuple(name for name in DATA_COLUMNS if name not in _COUNTS)
_METRICS = ("train_loss", "val_loss")
_HEADINGS = (
    Heading("family", "family"),
    Heading("bin", "ratio Q"),
    Heading("train_loss", "training loss", is_number=True),
    Heading("val_loss", "validation loss", is_number=True),
    Heading("num_variants", "variants", is_number=True),
    Heading("num_trials", "trials", is_number=True),
)


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return a panel for each data set and training whose variants fall into several bins."""
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, gathering in enumerate(evidence.gatherings):
        if gathering.entries:
            same = gathering.entries[0].key(_SAME_DATA)
            places[same, gathering.training].append(place)
    found = []
    for indices in places.values():
        gatherings = [evidence.gatherings[index] for index in indices]
        entries = {id(entry): entry for g in gatherings for entry in g.entries}
        rows = list(_rows(list(entries.values())))
        if len({row["bin"] for row in rows}) > 1:
            dataset = gatherings[0].dataset.partition(" (")[0]
            parts = [part for part in (dataset, gatherings[0].training) if part]
            where = ", ".join(parts) if len(places) > 1 else ""
            found.append(_panel(rows, where, indices[0] if len(indices) == 1 else None))
    return found


def draw(panel: Panel) -> Any:
    """Return training and validation loss by bin, a line for each family."""
    import altair as alt

    order = [_bin_name(low, high) for low, high in BINS]
    charts, data = [], alt.Data(values=list(panel.rows))
    for metric, title in zip(_METRICS, ("training loss", "validation loss"), strict=True):
        base = alt.Chart(data).encode(
            x=alt.X("bin:N", title="ratio Q", sort=order, axis=alt.Axis(labelAngle=0)),
            color=alt.Color("family:N", title=None),
        )
        rules = base.mark_rule().encode(
            y=alt.Y(f"{metric}_low:Q", title=title), y2=f"{metric}_high"
        )
        told = ["family:N", "bin:N", f"{metric}:Q", "num_variants:Q", "num_trials:Q"]
        known = base.encode(y=alt.Y(f"{metric}:Q", title=title), tooltip=told)
        bars = rules.transform_filter(f"isValid(datum.{metric}_low)")
        symbol = alt.Shape("family:N", title=None)
        dots = known.mark_point(filled=True, opacity=1).encode(shape=symbol)
        charts.append(bars + known.mark_line() + dots)
    return alt.concat(*charts, columns=2)


def ratio_of(entry: Entry) -> float | None:
    """Return the determination ratio of a variant; None where something of it is unknown."""
    settings = entry.settings
    examples, weights = settings["train_examples"], settings["total_params"]
    if not examples or not weights or not settings["output_shape"]:
        return None
    return float(examples * prod(settings["output_shape"]) / weights)


def _rows(entries: Sequence[Entry]) -> Iterator[Row]:
    """Yield a row for each family and bin that has variants with a loss."""
    found: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in entries:
        ratio = ratio_of(entry)
        is_whole = not entry.count("diverged") and entry.values("val_loss")
        if ratio is not None and is_whole:
            place = next(i for i, (low, high) in enumerate(BINS) if low <= ratio < high)
            found[entry.settings["family"], place].append(entry)
    for (family, place), members in sorted(found.items()):
        yield _row(family, place, members)


def _row(family: str, place: int, members: Sequence[Entry]) -> Row:
    low, high = BINS[place]
    ratios = [ratio_of(entry) for entry in members]
    row: Row = {
        "family": family,
        "bin": _bin_name(low, high),
        "bin_low": low,
        "bin_high": None if high == inf else high,
        "ratios": ratios,
        "num_variants": len(members),
        "num_trials": sum(len(entry.values("val_loss")) for entry in members),
    }
    for metric in _METRICS:
        strata = [list(found.values()) for entry in members if (found := entry.values(metric))]
        mean = stratified_mean(strata) if strata else None
        row[metric] = mean.value if mean else None
        row[f"{metric}_low"] = mean.low if mean else None
        row[f"{metric}_high"] = mean.high if mean else None
    return row


def _bin_name(low: float, high: float) -> str:
    return f"{low:g} or more" if high == inf else f"{low:g} to {high:g}"


def _panel(rows: Sequence[Row], where: str, group: int | None) -> Panel:
    headings, texts = filled(_HEADINGS, [_texts(row) for row in rows])
    return Panel(
        kind="determination",
        title=titled(TITLE, where),
        finding=_finding(rows),
        headings=headings,
        rows=tuple(rows),
        texts=texts,
        notes=(
            "Means over seeds and variants, each at its best learning rate; families need not have "
            "the same variants in a bin.",
        ),
        num_names=2,
        group=group,
    )


def _texts(row: Row) -> list[str]:
    losses = [
        format_estimate(row[metric], row[f"{metric}_low"], row[f"{metric}_high"])
        for metric in _METRICS
    ]
    return [
        row["family"],
        row["bin"],
        *losses,
        str(row["num_variants"]),
        str(row["num_trials"]),
    ]


def _finding(rows: Sequence[Row]) -> str:
    """Return in which bins which family has the lower mean validation loss."""
    by_bin: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        by_bin[row["bin_low"]].append(row)
    led: dict[str, list[str]] = defaultdict(list)
    for low in sorted(by_bin):
        if len(by_bin[low]) > 1:
            best = min(by_bin[low], key=lambda row: float(row["val_loss"]))
            led[best["family"]].append(best["bin"])
    if not led:
        return ""
    parts = [f"{family} at Q {join(bins)}" for family, bins in led.items()]
    return f"The lowest mean validation loss has {'; '.join(parts)}."
