"""Call two runs' times different, or the same, or neither: the gate of `compare`.

A change is called only where it is both unlikely and large: its q value over all cells of the run
is below `ALPHA`, and it is above `MARGIN` and the cell's calibrated noise floor. Absolute times are
judged; the canary and the flags of samples are only told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, expm1, log, log1p, sqrt
from typing import TYPE_CHECKING, Literal

from depthbench.report.change_tests import ChangeTest, call_changes
from depthbench.report.comparison import Verdict
from depthbench.report.moderated import Spread, spreads
from depthbench.report.processes import CellTimes, cell_times
from depthbench.report.rows import Row
from depthbench.units import counted

if TYPE_CHECKING:
    from pandas import DataFrame

    from depthbench.calibration import NoiseFloor

CellVerdict = Verdict | Literal["unmatched"]

# Of all that is called in a run, the share that may be nothing. Among runs of the same code half of
# what is called is "better": so at most 2% of their pairs have any cell called worse.
ALPHA = 0.04
# No smaller change is called, however sure it is.
MARGIN = 0.05
# A canary that moved by more is told.
CANARY_MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class CellChange:
    """What became of one cell between two runs.

    `change_fraction` is candidate over baseline, minus 1: positive is slower. Seconds are the
    geometric means of the quiet times of processes. The interval has the `confidence` of the test
    that gave the verdict. Numbers of a cell not compared are None.
    """

    cell_id: str
    facts: Row
    verdict: CellVerdict
    reason: str
    baseline_seconds: float | None = None
    candidate_seconds: float | None = None
    change_fraction: float | None = None
    low_fraction: float | None = None
    high_fraction: float | None = None
    confidence: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    threshold_fraction: float | None = None
    floor_fraction: float | None = None
    num_baseline: int = 0
    num_candidate: int = 0
    notes: tuple[str, ...] = ()
    test: ChangeTest | None = None


def compare_timings(
    baseline: DataFrame,
    candidate: DataFrame,
    *,
    floors: Mapping[str, NoiseFloor] | None = None,
    alpha: float = ALPHA,
    margin: float = MARGIN,
) -> list[CellChange]:
    """Return for every cell of two tables of timings how it has changed.

    Args:
        baseline: timings of the run before.
        candidate: timings of the run after.
        floors: noise floor of each cell, by cell_id, as `noise_floors` gives them.
        alpha: a change needs a q value below.
        margin: a change must be larger, as a fraction.

    Returns:
        One a cell, in the order of the baseline, then those of the candidate alone.
    """
    return compare_cells(
        cell_times(baseline), cell_times(candidate), floors=floors, alpha=alpha, margin=margin
    )


def compare_cells(
    baseline: Mapping[str, CellTimes],
    candidate: Mapping[str, CellTimes],
    *,
    floors: Mapping[str, NoiseFloor] | None = None,
    alpha: float = ALPHA,
    margin: float = MARGIN,
) -> list[CellChange]:
    """Return the same for cells that have been read already."""
    found: dict[str, CellChange] = {}
    kinds: dict[bool, list[tuple[CellTimes, CellTimes]]] = {True: [], False: []}
    for cell_id in dict.fromkeys((*baseline, *candidate)):
        before, after = baseline.get(cell_id), candidate.get(cell_id)
        if before is None or after is None or not (before.is_usable and after.is_usable):
            found[cell_id] = _not_compared(cell_id, before, after)
        else:
            kinds[before.is_by_process and after.is_by_process].append((before, after))
    changes = [
        change for pairs in kinds.values() if pairs for change in _changes(pairs, floors or {})
    ]
    for change in _judged(changes, alpha, margin):
        found[change.cell_id] = change
    return [found[cell_id] for cell_id in dict.fromkeys((*baseline, *candidate))]


def compare_within(
    timings: DataFrame, references: Mapping[str, str], *, alpha: float = ALPHA, margin: float = 0.0
) -> list[CellChange]:
    """Return how cells of one run differ from others of the same run.

    Both were sampled in the same rounds of the same processes, so what a process or an hour does to
    all cells cancels: a change counts against how much it differs between processes.

    Args:
        timings: of one run.
        references: the cell_id of what each cell is compared with, by cell_id.
        alpha: a change needs a q value below.
        margin: a change must be larger, as a fraction.

    Returns:
        One a reference, those that can be compared first.

    Raises:
        KeyError: A cell_id that is not in the table.
    """
    cells = cell_times(timings)
    pairs = [(cells[reference], cells[cell_id]) for cell_id, reference in references.items()]
    usable = [pair for pair in pairs if all(cell.is_usable for cell in pair)]
    found = spreads([[_differences(*pair)] for pair in usable]) if usable else []
    changes = [
        _changed(pair, _differences(*pair), spread)
        for pair, spread in zip(usable, found, strict=True)
    ]
    others = [
        _not_compared(after.cell_id, before, after)
        for before, after in pairs
        if not (before.is_usable and after.is_usable)
    ]
    return [*_judged(changes, alpha, margin), *others]


def _differences(before: CellTimes, after: CellTimes) -> dict[int, float]:
    return {
        process: after.log_times[process] - before.log_times[process]
        for process in before.log_times
        if process in after.log_times
    }


def _changed(
    pair: tuple[CellTimes, CellTimes], differences: Mapping[int, float], spread: Spread
) -> CellChange:
    """Return a change within a run, by its paired differences, with its p value."""
    change = sum(differences.values()) / len(differences)
    error = sqrt(spread.variance / len(differences))
    numbers = len(differences), len(differences)
    return _cell_change(*pair, ChangeTest(change, error, spread.degrees), numbers)


def _cell_change(
    before: CellTimes, after: CellTimes, test: ChangeTest, numbers: tuple[int, int]
) -> CellChange:
    """Return a change as people are told of it; not judged yet."""
    return CellChange(
        cell_id=after.cell_id,
        facts=after.facts,
        verdict="unresolved",
        reason="",
        baseline_seconds=exp(_mean(before)),
        candidate_seconds=exp(_mean(after)),
        change_fraction=expm1(test.change),
        p_value=test.p_value,
        floor_fraction=test.floor.fraction if test.floor else None,
        num_baseline=numbers[0],
        num_candidate=numbers[1],
        notes=tuple(_notes(before, after)),
        test=test,
    )


def _not_compared(cell_id: str, before: CellTimes | None, after: CellTimes | None) -> CellChange:
    if before is None or after is None:
        cell, where = (before, "baseline") if before else (after, "candidate")
        assert cell is not None
        return CellChange(cell_id, cell.facts, "unmatched", f"only in the {where}")
    reasons = [
        f"{where}: {_why_unusable(cell)}"
        for where, cell in (("baseline", before), ("candidate", after))
        if not cell.is_usable
    ]
    return CellChange(cell_id, before.facts, "unresolved", "; ".join(reasons))


def _why_unusable(cell: CellTimes) -> str:
    if cell.status != "ok":
        return f"{cell.status} ({cell.error})" if cell.error else cell.status
    return "too few samples"


def _changes(
    pairs: Sequence[tuple[CellTimes, CellTimes]], floors: Mapping[str, NoiseFloor]
) -> list[CellChange]:
    """Return changes with their p values, before q values are known; alike cells share a spread."""
    found = spreads([(before.log_times, after.log_times) for before, after in pairs])
    return [
        _change(before, after, spread, floors.get(before.cell_id))
        for (before, after), spread in zip(pairs, found, strict=True)
    ]


def _change(
    before: CellTimes, after: CellTimes, spread: Spread, floor: NoiseFloor | None
) -> CellChange:
    """Return a change with its test.

    The spread of processes says what another set of processes would give now, the calibrated
    floor what another run would give on another day. A change must be unlikely under both.
    """
    numbers = len(before.log_times), len(after.log_times)
    error = sqrt(spread.variance * sum(1 / num for num in numbers))
    test = ChangeTest(_mean(after) - _mean(before), error, spread.degrees, floor)
    return _cell_change(before, after, test, numbers)


def _mean(cell: CellTimes) -> float:
    return sum(cell.log_times.values()) / len(cell.log_times)


def _notes(before: CellTimes, after: CellTimes) -> list[str]:
    notes = []
    for where, cell in (("baseline", before), ("candidate", after)):
        if not cell.is_by_process:
            notes.append(f"{where}: samples are not of several processes, so noise looks too small")
        if cell.num_unusable:
            num = counted(cell.num_unusable, "sample")
            notes.append(f"{where}: {num} left out, being no times")
        if cell.flags:
            notes.append(f"{where}: doubtful, {', '.join(cell.flags)}")
    if before.canary_seconds and after.canary_seconds:
        moved = after.canary_seconds / before.canary_seconds
        if abs(log(moved)) > log1p(CANARY_MARGIN):
            notes.append(f"the canary, fixed work, moved by {moved - 1:+.0%}: so did the machine")
    return notes


def _judged(changes: Sequence[CellChange], alpha: float, margin: float) -> list[CellChange]:
    """Return changes with q values over all of them, and with verdicts."""
    tests = [change.test for change in changes if change.test is not None]
    thresholds = [max(margin, test.floor.fraction if test.floor else 0.0) for test in tests]
    return [
        replace(
            change,
            verdict=called.verdict,
            reason=called.reason,
            low_fraction=expm1(called.low),
            high_fraction=expm1(called.high),
            confidence=called.confidence,
            q_value=called.q_value,
            threshold_fraction=threshold,
        )
        for change, threshold, called in zip(
            changes, thresholds, call_changes(tests, thresholds, alpha), strict=True
        )
    ]
