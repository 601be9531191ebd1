"""Summarise runs: the answer first, then what it rests on. Plain values; `render` prints them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from depthbench.report.claims import claims_of, judge
from depthbench.report.comparison import MARGIN
from depthbench.report.depth_tax import depth_tax
from depthbench.report.groups import Gathering, entries_of, gather
from depthbench.report.origin import origin_of, state_text
from depthbench.report.panels import panels_of
from depthbench.report.panels.evidence import Evidence
from depthbench.report.problems import problems_of
from depthbench.report.ranking import rank_groups
from depthbench.report.rows import Row
from depthbench.report.statistics import MIN_SEEDS
from depthbench.report.timing_index import TimingIndex
from depthbench.report.values import RunReport, Summary
from depthbench.units import counted

if TYPE_CHECKING:
    from depthbench.store import Run

_DATA_COLUMNS = ("dataset", "dataset_file", "data_digest")


def summarise(runs: Sequence[Run], *, margin: float = MARGIN) -> Summary:
    """Return what the runs say: an answer for each budget and data set, and what it rests on.

    Args:
        runs: each is judged by itself.
        margin: losses within this fraction of the best count as the same.

    Raises:
        ResultError: a run.json holds a claim that cannot be read, or the margin is no fraction.
    """
    reports = [_report(run, margin) for run in runs]
    differing = _differing_data(runs)
    if differing:
        reports = [
            replace(report, notes=(*report.notes, *_data_notes(run, differing)))
            for report, run in zip(reports, runs, strict=True)
        ]
    return Summary(tuple(reports))


def _differing_data(runs: Sequence[Run]) -> set[str]:
    """Return the names of data sets of which the runs read more than one content."""
    digests: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        for row in run.rows("trials", _DATA_COLUMNS):
            if row["data_digest"]:
                digests[_data_name(row)].add(row["data_digest"])
    return {name for name, found in digests.items() if len(found) > 1}


def _data_notes(run: Run, differing: set[str]) -> list[str]:
    """Return a line for each data set that is not the same in all that is shown here."""
    contents: dict[str, list[str]] = defaultdict(list)
    for row in run.rows("trials", _DATA_COLUMNS):
        name, digest = _data_name(row), row["data_digest"]
        if name in differing and digest and digest not in contents[name]:
            contents[name].append(digest)
    notes = []
    for name, digests in contents.items():
        where = "in the trials of this run" if len(digests) > 1 else "in all runs shown here"
        short = ", ".join(digest[:12] for digest in digests)
        notes.append(
            f"Data differ: {name} is not the same {where}, so compare none (sha256 {short})."
        )
    return notes


def _data_name(row: Row) -> str:
    return f"{row['dataset']} {row['dataset_file'] or ''}".strip()


def _report(run: Run, margin: float) -> RunReport:
    facts = run.run
    statuses = Counter(row["status"] for row in run.rows("trials", ["status"]))
    num_finished = sum(num for status, num in statuses.items() if status)
    num_trials = max(int(facts.get("num_trials") or 0), run.tables.num_rows("trials"))
    status = str(facts.get("status") or "unknown")
    gatherings = tuple(gather(entries_of(run.trials)))
    groups = rank_groups(gatherings, TimingIndex(run).timings_of, margin)
    tax, problems = depth_tax(run), tuple(problems_of(run))
    return RunReport(
        suite=str(facts.get("suite") or run.folder.parent.name),
        run=str(facts.get("run") or run.folder.name),
        folder=str(run.folder),
        question=facts.get("question"),
        status=status,
        is_complete=status == "finished" and num_finished >= num_trials,
        created_at=facts.get("created_at"),
        device=_device(run),
        num_trials=num_trials,
        num_finished=num_finished,
        groups=groups,
        claims=tuple(judge(claim, run) for claim in claims_of(run)),
        problems=problems,
        notes=(*_notes(run, status, num_finished, num_trials), *_seed_notes(gatherings)),
        depth_tax=tax,
        panels=panels_of(Evidence(run, gatherings, groups, tax, problems)),
        origin=origin_of(facts),
    )


def _device(run: Run) -> str | None:
    found = {row["device"] for row in run.rows("trials", ["device"]) if row["device"]}
    return ", ".join(sorted(found)) or run.run.get("device")


def _notes(run: Run, status: str, num_finished: int, num_trials: int) -> list[str]:
    notes = []
    if not num_finished:
        notes.append(f"No trial has finished yet: 0 of {num_trials:,}.")
    elif status != "finished" or num_finished < num_trials:
        notes.append(
            f"Incomplete: the run {state_text(status)}; {num_finished:,} of "
            f"{num_trials:,} trials are done. What stands here may change."
        )
    corrupt = getattr(run, "corrupt_parts", ())
    if corrupt:
        notes.append(f"{len(corrupt)} result files cannot be read, such as {corrupt[0].name}.")
    rows = run.rows("trials", ["dataset", "data_is_complete"])
    partial = sorted({row["dataset"] for row in rows if row["data_is_complete"] is False})
    if partial:
        notes.append(f"Incomplete data: {', '.join(partial)} lacks some official examples.")
    flags = [row["flags"] for row in run.rows("timings", ["flags"], ["flags"], bool)]
    if flags:
        why = ", ".join(sorted({flag for found in flags for flag in found}))
        num = run.tables.num_rows("timings")
        notes.append(f"{len(flags):,} of {num:,} timings are doubtful (?): {why}.")
    return notes


def _seed_notes(gatherings: Sequence[Gathering]) -> list[str]:
    """Return what to do where variants that are compared have all their seeds, but too few."""
    fewest = min(
        (
            len(entry.trials)
            for gathering in gatherings
            for entry in gathering.entries
            if len(gathering.entries) > 1 and entry.settings["is_selected"]
        ),
        default=MIN_SEEDS,
    )
    if fewest >= MIN_SEEDS:
        return []
    return [
        f"{counted(fewest, 'seed')} a variant {'is' if fewest == 1 else 'are'} too few for a "
        f"verdict; next: `seeds: {MIN_SEEDS}` or more in the suite, and run it again "
        f"(depthbench run SUITE --set seeds={MIN_SEEDS})."
    ]
