"""What qualifies a comparison: what was not compared, and how far what was can be trusted."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from depthbench.report.compare.answer import difference_text
from depthbench.report.compare.changes import DATA_DIGEST, RunComparison
from depthbench.report.origin import state_text
from depthbench.report.rows import join, records
from depthbench.store import is_being_written
from depthbench.units import counted

if TYPE_CHECKING:
    from depthbench.store import Run

_MAX_NAMED = 3
_MAX_REMARKS = 5


def notes_of(baseline: Run, candidate: Run, comparison: RunComparison) -> Iterator[str]:
    """Yield a sentence for each thing that a reader must know."""
    if comparison.is_refused:
        yield f"To compare all the same: {_command(comparison)}"
    yield from _difference_notes(comparison)
    for side, run in (("baseline", baseline), ("candidate", candidate)):
        yield from _run_notes(side, run)
    yield from _pair_notes(baseline, candidate, comparison)
    if comparison.is_refused:
        return
    yield from _alone_notes(comparison)
    yield from _ending_notes(baseline, candidate, comparison)
    yield from _remarks(comparison)
    if comparison.floors:
        yield comparison.floors


def _command(comparison: RunComparison) -> str:
    """Return the command that compares although environments differ."""
    folders = (comparison.baseline.folder, comparison.candidate.folder)
    keys = dict.fromkeys(difference.key for difference in comparison.differences)
    options = [part for key in keys for part in ("--allow", key)]
    return shlex.join(["depthbench", "compare", *folders, *options])


def _difference_notes(comparison: RunComparison) -> Iterator[str]:
    allowed = [
        f"{found.key} ({difference_text(found.baseline)}, {difference_text(found.candidate)})"
        for found in comparison.differences
        if found.is_allowed
    ]
    if allowed:
        yield f"Allowed to differ: {join(allowed)}. Noise floors know nothing of that."
    if comparison.is_refused:
        return
    for found in comparison.differences:
        if not found.is_allowed:
            yield (
                f"Not comparable: the data are {found.baseline} in the baseline and "
                f"{found.candidate} in the candidate, so the quality of trials on them is not "
                f"compared. To compare it all the same: --allow {DATA_DIGEST}"
            )


def _run_notes(side: str, run: Run) -> Iterator[str]:
    """Yield what is not whole in one of the runs."""
    status = str(run.run.get("status") or "unknown")
    if status != "finished":
        how = state_text(status)
        if status == "running":
            is_alive = is_being_written(run.folder)
            how = "is still being written" if is_alive else "was killed before its end"
        done = counted(len(run.trials), "trial")
        yield f"The {side} {how}: {done} and {counted(len(run.timings), 'timing')} are there."
    if run.corrupt_parts:
        num = counted(len(run.corrupt_parts), "result file")
        yield f"The {side} has {num} that cannot be read, such as {run.corrupt_parts[0].name}."
    if not isinstance(run.run.get("environment"), dict):
        yield f"The {side} does not say on which machine it was made, so that is not compared."


def _pair_notes(baseline: Run, candidate: Run, comparison: RunComparison) -> Iterator[str]:
    """Yield what tells the two runs apart as wholes."""
    before, after = comparison.baseline, comparison.candidate
    if baseline.folder.absolute() == candidate.folder.absolute():
        yield "The baseline and the candidate are the same run."
    if before.suite != after.suite:
        yield f"The suites differ: {before.suite} and {after.suite}; what both have is compared."
    elif baseline.run.get("suite_hash") != candidate.run.get("suite_hash"):
        yield "The suite has changed between the runs; what both have is compared."
    versions = [run.run.get("depthbench") for run in (baseline, candidate)]
    if None not in versions and versions[0] != versions[1]:
        yield f"Made by depthbench {versions[0]} and {versions[1]}: CHANGELOG.md says what moved."


def _alone_notes(comparison: RunComparison) -> Iterator[str]:
    for side in ("baseline", "candidate"):
        parts = []
        for kind in ("trial", "timing"):
            names = [a.name for a in comparison.alone if (a.side, a.kind) == (side, kind)]
            if names:
                parts.append(f"{counted(len(names), kind)} ({join(names, limit=_MAX_NAMED)})")
        if parts:
            yield f"Only in the {side}: {join(parts)}."


def _ending_notes(baseline: Run, candidate: Run, comparison: RunComparison) -> Iterator[str]:
    names = [f"{e.name} (was {e.baseline_status})" for e in comparison.endings if e.is_recovered]
    if names:
        are = "is" if len(names) == 1 else "are"
        yield f"{len(names):,} that did not end well {are} ok now: {join(names, limit=_MAX_NAMED)}."
    for table, key, what in (("trials", "trial_id", "trial"), ("timings", "cell_id", "timing")):
        before, after = (_not_ok(run, table, key) for run in (baseline, candidate))
        num = len(before & after)
        if num:
            yield f"{counted(num, what)} did not end well in either run."


def _not_ok(run: Run, table: str, key: str) -> set[str]:
    rows = records(getattr(run, table), (key, "status"))
    return {row[key] for row in rows if row["status"] not in ("ok", None)}


def _remarks(comparison: RunComparison) -> Iterator[str]:
    """Yield the remarks on single changes, the most frequent first, alike ones together."""
    remarks = Counter(note for change in comparison.changes for note in change.notes)
    for note, num in remarks.most_common(_MAX_REMARKS):
        yield f"{num:,} of {len(comparison.changes):,} compared: {note}."
    if len(remarks) > _MAX_REMARKS:
        more = counted(len(remarks) - _MAX_REMARKS, "more remark")
        yield f"{more} of this kind: --format json."
