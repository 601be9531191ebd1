"""Names by which people know the variants, cells and trials of two runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from depthbench.report.option_texts import NETWORK_COLUMNS, OPTION_COLUMNS, option_texts
from depthbench.report.rows import Row, distinguishing, records, settings_text

if TYPE_CHECKING:
    from pandas import DataFrame

_CELL_SETTINGS = (
    "dataset",
    "task",
    "optimizer",
    "precision",
    "mode",
    "num_threads",
    "cache",
    "device",
)
# Of a hash: enough to tell apart what nothing else does.
_SHORT_ID = 8


def variant_names(tables: Iterable[DataFrame]) -> dict[str, str]:
    """Return a name for each variant: deep (L 8, d 32), with the options that tell it from others.

    Args:
        tables: of trials and of timings; what an earlier one says of a variant counts.
    """
    rows: dict[str, Row] = {}
    for table in tables:
        for row in records(table, ("variant_id", *NETWORK_COLUMNS, *OPTION_COLUMNS)):
            rows.setdefault(row["variant_id"], row)
    texts = dict(zip(rows, option_texts(list(rows.values())), strict=True))
    return told_apart({identity: _name(row, texts[identity]) for identity, row in rows.items()})


def _name(row: Row, extra: str) -> str:
    place = f"L {row['depth']}, d {row['width']}{', ' + extra if extra else ''}"
    return f"{row['family'] or 'variant'} ({place})"


def cell_names(cells: Mapping[str, Row]) -> dict[str, str]:
    """Return what is timed in each cell: inference batch 1, with the settings that differ.

    Args:
        cells: by cell_id the settings of each, and its `variant_id`.
    """
    always = ("variant_id", "phase", "batch_size")
    shown = distinguishing(list(cells.values()), _CELL_SETTINGS, always=always)[len(always) :]
    names = {}
    for cell_id, row in cells.items():
        extra = settings_text(row, shown)
        names[cell_id] = f"{row['phase']} batch {row['batch_size']}{', ' + extra if extra else ''}"
    return names


def trial_name(variant: str, row: Row) -> str:
    """Return the name of a trial: deep (L 8, d 32), lr 0.003, seed 1."""
    extra = settings_text(row, ("lr", "seed"))
    return f"{variant}{', ' + extra if extra else ''}"


def told_apart(names: Mapping[str, str]) -> dict[str, str]:
    """Return names by id, those that are there twice with the beginning of their id."""
    counts = Counter(names.values())
    return {
        identity: f"{name} [{str(identity)[:_SHORT_ID]}]" if counts[name] > 1 else name
        for identity, name in names.items()
    }
