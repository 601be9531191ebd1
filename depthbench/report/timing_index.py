"""The timed cells of a run, found by the entries that they are of.

Cells may be a million, so they are taken from the table a column at a time, and what many of them
share is looked at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from depthbench.report.groups import SHAPE_COLUMNS, Entry
from depthbench.report.processes import process_times
from depthbench.report.rows import Key, Row, distinguishing, settings_text
from depthbench.report.values import Timing

if TYPE_CHECKING:
    from depthbench.run_tables import Columns
    from depthbench.store import Run

# What the name of a cell says of it.
_WAY_COLUMNS = ("precision", "mode", "num_threads", "cache")
_LABEL_COLUMNS = ("phase", "batch_size", *_WAY_COLUMNS)
_VARIANT_COLUMNS = ("variant_id", "dataset", "task")
# Cells of which these are equal are all of an entry, or all not.
_ORIGIN_COLUMNS = (*_VARIANT_COLUMNS, "trial_id", "optimizer", "phase")
_VALUE_COLUMNS = (
    *("status", "error", "flags"),
    *("median_seconds", "ci_low_seconds", "ci_high_seconds", "num_samples"),
)
# Samples are most of a table: of a run with more cells than this a cell's time is its median alone.
MAX_SAMPLED = 100_000
_SAMPLED_COLUMNS = ("samples_seconds", "samples_process")
_MEMORY_COLUMNS = ("peak_memory_bytes", "saved_activation_bytes")
# What the work of a cell follows from besides its variant; each noise has cells of its own.
_WORK_COLUMNS = (*SHAPE_COLUMNS, "noise")
# The training settings that change the work of a step.
_STEP_COLUMNS = ("optimizer", "momentum", "nesterov", "clip_norm", "label_smoothing")

_FIELDS = tuple(field.name for field in fields(Timing))
_by_phase_and_batch = attrgetter("phase", "batch_size")


class TimingIndex:
    """All timed cells of a run."""

    def __init__(self, run: Run) -> None:
        settings = ("trial_id", *_WORK_COLUMNS, *_STEP_COLUMNS)
        self._trials = {row["trial_id"]: row for row in run.rows("trials", settings)}
        self._cells: dict[Key, dict[Key, list[Timing]]] = defaultdict(dict)
        by_origin: dict[Key, list[Timing]] = defaultdict(list)
        for columns, timings in _timings(run):
            origins = zip(*(columns[name] for name in _ORIGIN_COLUMNS), strict=True)
            for origin, timing in zip(origins, timings, strict=True):
                by_origin[origin].append(timing)
        num = len(_VARIANT_COLUMNS)
        for origin, found in by_origin.items():
            self._cells[origin[:num]][origin[num:]] = found

    def timings_of(self, entry: Entry) -> tuple[Timing, ...]:
        """Return the cells of an entry by phase and batch size, alike ones in the table's order."""
        origins = self._cells.get(entry.key(_VARIANT_COLUMNS), {})
        fitting = [
            timing
            for (trial_id, optimizer, phase), found in origins.items()
            if _is_of(self._trials.get(trial_id), optimizer, phase, entry.settings)
            for timing in found
        ]
        return tuple(sorted(fitting, key=_by_phase_and_batch))


def _is_of(trial: Row | None, optimizer: str | None, phase: str, settings: Row) -> bool:
    """Say whether a cell's time is that of an entry: only a step depends on the optimizer.

    Args:
        trial: the settings of the trial that the cell was timed for; None where it is not there.
        optimizer: of the cell.
        phase: of the cell.
        settings: of the entry.
    """
    if trial is None:
        return optimizer in (None, settings["optimizer"])
    wanted = (*_WORK_COLUMNS, *(_STEP_COLUMNS if phase == "train_step" else ()))
    return all(trial[name] == settings[name] for name in wanted)


def _timings(run: Run) -> Iterator[tuple[Columns, list[Timing]]]:
    """Yield batches of cells in the table's order, with the columns that they were made from."""
    is_sampled = run.tables.num_rows("timings") <= MAX_SAMPLED
    more = (*_SAMPLED_COLUMNS, *_MEMORY_COLUMNS) if is_sampled else ()
    labels = _Labels(run)
    for columns in run.columns(
        "timings", (*_ORIGIN_COLUMNS, *_LABEL_COLUMNS, *_VALUE_COLUMNS, *more)
    ):
        num = len(columns["status"])
        made: Columns = {
            "label": labels.of(columns),
            "flags": [tuple(flags) if flags else () for flags in columns["flags"]],
            "process_seconds": _quiet_times(columns) if is_sampled else [()] * num,
        }
        nothing = dict.fromkeys(_MEMORY_COLUMNS, [None] * num)
        values = nothing | columns | made
        yield columns, list(map(Timing, *(values[name] for name in _FIELDS)))


class _Labels:
    """The names of cells: phase and batch size, and of the rest what tells ways apart."""

    def __init__(self, run: Run) -> None:
        ways: dict[Key, None] = {}
        for columns in run.columns("timings", _WAY_COLUMNS):
            ways |= dict.fromkeys(zip(*columns.values(), strict=True))
        rows = [dict(zip(_WAY_COLUMNS, way, strict=True)) for way in ways]
        shown = distinguishing(rows, _WAY_COLUMNS)
        self._extras = {way: settings_text(row, shown) for way, row in zip(ways, rows, strict=True)}
        self._known: dict[Key, str] = {}

    def of(self, columns: Columns) -> list[str]:
        """Return the name of each cell; equal ones are one object."""
        keys = zip(*(columns[name] for name in _LABEL_COLUMNS), strict=True)
        return [self._known.get(key) or self._new(*key) for key in keys]

    def _new(self, phase: str, batch_size: int, *way: Any) -> str:
        extra = self._extras[way]
        label = f"{phase} batch {batch_size}{', ' + extra if extra else ''}"
        self._known[phase, batch_size, *way] = label
        return label


def _quiet_times(columns: Columns) -> list[tuple[float, ...]]:
    """Return the quiet times of each cell's processes, nothing where it did not end well."""
    rows = zip(*(columns[name] for name in ("status", *_SAMPLED_COLUMNS)), strict=True)
    return [
        tuple(process_times(samples, processes)[0].values()) if status == "ok" else ()
        for status, samples, processes in rows
    ]
