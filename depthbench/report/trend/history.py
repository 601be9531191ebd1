"""The history of a suite as series: times of cells, losses of variants, exponents, night by night.

A larger value of a series is worse, whatever its kind. A night without a value is a gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import exp
from statistics import fmean
from typing import Literal

from depthbench.report.groups import DATA_COLUMNS, TRAIN_COLUMNS, Entry, names_of
from depthbench.report.processes import CELL_KEYS, CellTimes
from depthbench.report.ranking import ranking_metric
from depthbench.report.rows import Key, Row, distinguishing, key_of, settings_text
from depthbench.report.trend.nights import Measured

# A time, the log of what all times of a night share, a loss, or an exponent of depth or width.
SeriesKind = Literal["time", "level", "loss", "exponent"]

_NETWORK = ("family", "depth", "width")
_CALL = ("phase", "batch_size")
_LOSS_KEY = ("variant_id", *DATA_COLUMNS, *TRAIN_COLUMNS, "data_digest")


@dataclass(frozen=True, slots=True)
class Series:
    """A number a night, the oldest first: seconds, nats or an exponent; None where there is none.

    `key` is the same from day to day; `facts` say what is measured.
    """

    key: str
    name: str
    kind: SeriesKind
    facts: Row
    values: tuple[float | None, ...]


def series_of(nights: Sequence[Measured]) -> tuple[Series, ...]:
    """Return the series of nights that are judged together: times, then losses."""
    return (*_times(nights), *_losses(nights))


def _times(nights: Sequence[Measured]) -> list[Series]:
    """Return a series for each cell that was ever timed: the quiet time, the mean of processes."""
    cells = {cell_id: cell for night in nights for cell_id, cell in night.cells.items()}
    variants = {key: value for night in nights for key, value in night.variant_ids.items()}
    names = _cell_names(cells, variants, _extras(nights))
    return [
        Series(
            key=cell_id,
            name=names[cell_id],
            kind="time",
            facts=dict(cell.facts),
            values=tuple(_seconds(night.cells.get(cell_id)) for night in nights),
        )
        for cell_id, cell in cells.items()
    ]


def _seconds(cell: CellTimes | None) -> float | None:
    if cell is None or cell.status != "ok" or not cell.log_times:
        return None
    return exp(fmean(cell.log_times.values()))


def _extras(nights: Sequence[Measured]) -> dict[str, str]:
    """Return the settings that tell variants apart, by variant_id, as of the newest night."""
    entries = next((night.entries for night in reversed(nights) if night.entries), ())
    return {
        entry.settings["variant_id"]: extra
        for entry, (_, extra) in zip(entries, names_of(entries), strict=True)
    }


def _cell_names(
    cells: Mapping[str, CellTimes], variants: Mapping[str, str], extras: Mapping[str, str]
) -> dict[str, str]:
    """Return names that tell cells apart: deep (L 8, d 32) inference batch 1."""
    facts = [cell.facts for cell in cells.values()]
    rest = [name for name in distinguishing(facts, CELL_KEYS, always=_CALL) if name not in _CALL]
    names = {}
    for cell_id, cell in cells.items():
        row = cell.facts
        call = f"{row['phase']} batch {row['batch_size']}"
        network = _network(row, extras.get(variants.get(cell_id) or "", ""))
        names[cell_id] = ", ".join(filter(None, (f"{network} {call}", settings_text(row, rest))))
    return _unlike(names)


def _network(row: Row, extra: str) -> str:
    return f"{row['family']} (L {row['depth']}, d {row['width']}{', ' + extra if extra else ''})"


def _unlike(names: dict[str, str]) -> dict[str, str]:
    """Return names with the beginning of the key where two are the same."""
    known = list(names.values())
    return {
        key: name if known.count(name) == 1 else f"{name}, {key[:8]}" for key, name in names.items()
    }


def _losses(nights: Sequence[Measured]) -> list[Series]:
    """Return a series for each variant, data and training: the mean over seeds of what ranks."""
    metric = next((m for night in reversed(nights) if (m := ranking_metric(night.entries))), None)
    if metric is None:
        return []
    entries: dict[Key, Entry] = {}
    values: dict[Key, dict[int, float]] = defaultdict(dict)
    for index, night in enumerate(nights):
        for entry in night.entries:
            key = key_of(entry.settings, _LOSS_KEY)
            entries[key] = entry
            found = entry.values(metric)
            if found and len(found) == len(entry.trials):
                values[key][index] = fmean(found.values())
    named = zip(entries.items(), _loss_names(list(entries.values())), strict=True)
    found_series = [
        Series(
            key=sha256(repr(key).encode()).hexdigest()[:16],
            name=f"{metric.replace('_', ' ')} of {name}",
            kind="loss",
            facts={name: entry.settings[name] for name in (*_NETWORK, "dataset", "task")},
            values=tuple(values[key].get(index) for index in range(len(nights))),
        )
        for (key, entry), name in named
    ]
    names = _unlike({series.key: series.name for series in found_series})
    return [replace(series, name=names[series.key]) for series in found_series]


def _loss_names(entries: Sequence[Entry]) -> list[str]:
    """Return what tells variants apart, and their data where these differ."""
    rows = [entry.settings for entry in entries]
    shown = [*distinguishing(rows, DATA_COLUMNS), *distinguishing(rows, ("data_digest",))]
    names = []
    for row, (_, extra) in zip(rows, names_of(entries), strict=True):
        data = settings_text(row | {"data_digest": (row["data_digest"] or "")[:8] or None}, shown)
        names.append(", ".join(filter(None, (_network(row, extra), data))))
    return names
