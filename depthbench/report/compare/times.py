"""How the times of two runs differ: the gate's changes, and cells that no longer end well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from depthbench.report.compare.changes import Alone, Change, Ending, Side
from depthbench.report.compare.judge import Findings, Open
from depthbench.report.compare.names import cell_names
from depthbench.report.gate import CellChange, compare_cells
from depthbench.report.processes import CellTimes, cell_times
from depthbench.report.rows import records

if TYPE_CHECKING:
    from depthbench.calibration import NoiseFloor
    from depthbench.store import Run

# What is compared of a cell: the geometric mean of the quiet times of its processes.
METRIC = "quiet_seconds"
UNKNOWN = "unknown"

Cells = Mapping[str, CellTimes]


def compare_times(
    baseline: Run,
    candidate: Run,
    names: Mapping[str, str],
    floors: Mapping[str, NoiseFloor],
    threshold: float,
) -> Findings:
    """Return what became of every cell of two runs.

    Args:
        baseline: the run before.
        candidate: the run after.
        names: of variants, by variant_id.
        floors: noise floors by cell_id.
        threshold: a change must be larger, as a fraction.
    """
    before, after = cell_times(baseline.timings), cell_times(candidate.timings)
    variants = _variants(candidate) | _variants(baseline)
    cells = {
        identity: cell.facts | {"variant_id": variants.get(identity)}
        for identity, cell in ({**after, **before}).items()
    }
    whats = cell_names(cells)
    found = Findings()
    for change in compare_cells(before, after, floors=floors, margin=threshold):
        identity = change.cell_id
        name = names.get(str(variants.get(identity)), UNKNOWN)
        place = name, whats[identity]
        found.changes.append(_opened(change, place, before, after, threshold))
        if identity not in before or identity not in after:
            side: Side = "baseline" if identity in before else "candidate"
            found.alone.append(Alone("timing", side, identity, ", ".join(place)))
        elif before[identity].status != after[identity].status:
            found.endings.append(_ending(before[identity], after[identity], ", ".join(place)))
    return found


def _variants(run: Run) -> dict[str, str]:
    rows = records(run.timings, ("cell_id", "variant_id"))
    return {row["cell_id"]: row["variant_id"] for row in rows}


def _opened(
    change: CellChange, place: tuple[str, str], before: Cells, after: Cells, threshold: float
) -> Open:
    """Return a change of a cell to be judged with all others, or with the verdict that it has."""
    verdict = change.verdict
    is_of_both = change.cell_id in before and change.cell_id in after
    if is_of_both and before[change.cell_id].status != "ok":
        verdict = "unmatched"  # there was no time, so none is missing now
    opened = Change(
        kind="time",
        id=change.cell_id,
        name=place[0],
        what=place[1],
        metric=METRIC,
        facts=change.facts,
        verdict=verdict,
        reason=change.reason,
        baseline=change.baseline_seconds,
        candidate=change.candidate_seconds,
        change_fraction=change.change_fraction,
        p_value=change.p_value,
        floor_fraction=change.floor_fraction,
        num_baseline=change.num_baseline,
        num_candidate=change.num_candidate,
        notes=change.notes,
    )
    return Open(opened, change.test, max(threshold, change.floor_fraction or 0.0))


def _ending(before: CellTimes, after: CellTimes, name: str) -> Ending:
    error = after.error or before.error
    return Ending("timing", after.cell_id, name, before.status, after.status, error)
