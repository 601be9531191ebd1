"""Summarise runs: the answer first, then what it rests on. Plain values; `render` prints them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from depthbench.record import column_names
from depthbench.report.claims import claims_of, judge
from depthbench.report.depth_tax import depth_tax
from depthbench.report.groups import SHAPE_COLUMNS, Entry, Gathering, entries_of, gather
from depthbench.report.origin import origin_of
from depthbench.report.panels import panels_of
from depthbench.report.panels.evidence import Evidence
from depthbench.report.ranking import rank
from depthbench.report.rows import Row, distinguishing, records, settings_text
from depthbench.report.statistics import MIN_SEEDS
from depthbench.report.values import Problem, RunReport, Summary, Timing
from depthbench.units import counted

if TYPE_CHECKING:
    from depthbench.store import Run

_CELL_COLUMNS = ("precision", "mode", "num_threads", "cache")
# What the work of a cell follows from besides its variant; each noise has cells of its own.
_WORK_COLUMNS = (*SHAPE_COLUMNS, "noise")
# The training settings that change the work of a step.
_STEP_COLUMNS = ("optimizer", "momentum", "nesterov", "clip_norm", "label_smoothing")
_DATA_COLUMNS = ("dataset", "dataset_file", "data_digest")
_MAX_REASON = 300


def summarise(runs: Sequence[Run]) -> Summary:
    """Return what the runs say: an answer for each budget and data set, and what it rests on.

    Raises:
        ResultError: a run.json holds a claim that cannot be read.
    """
    reports = [_report(run) for run in runs]
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
        for row in records(run.trials, _DATA_COLUMNS):
            if row["data_digest"]:
                digests[_data_name(row)].add(row["data_digest"])
    return {name for name, found in digests.items() if len(found) > 1}


def _data_notes(run: Run, differing: set[str]) -> list[str]:
    """Return a line for each data set that is not the same in all that is shown here."""
    contents: dict[str, list[str]] = defaultdict(list)
    for row in records(run.trials, _DATA_COLUMNS):
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


def _report(run: Run) -> RunReport:
    facts = run.run
    timings_of = _timing_index(run)
    statuses = Counter(row["status"] for row in records(run.trials, ["status"]))
    num_finished = sum(num for status, num in statuses.items() if status)
    num_trials = max(int(facts.get("num_trials") or 0), len(run.trials))
    status = str(facts.get("status") or "unknown")
    gatherings = tuple(gather(entries_of(run.trials)))
    groups = tuple(rank(gathering, timings_of) for gathering in gatherings)
    tax = depth_tax(run)
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
        problems=tuple(_problems(run)),
        notes=(*_notes(run, status, num_finished, num_trials), *_seed_notes(gatherings)),
        depth_tax=tax,
        panels=panels_of(Evidence(run, gatherings, groups, tax)),
        origin=origin_of(facts),
    )


def _device(run: Run) -> str | None:
    found = {row["device"] for row in records(run.trials, ["device"]) if row["device"]}
    return ", ".join(sorted(found)) or run.run.get("device")


def _notes(run: Run, status: str, num_finished: int, num_trials: int) -> list[str]:
    notes = []
    if not num_finished:
        notes.append(f"No trial has finished yet: 0 of {num_trials:,}.")
    elif status != "finished" or num_finished < num_trials:
        state = {"running": "is still running, or was killed", "finished": "is done in part"}
        notes.append(
            f"Incomplete: the run {state.get(status, f'is {status}')}; {num_finished:,} of "
            f"{num_trials:,} trials are done. What stands here may change."
        )
    corrupt = getattr(run, "corrupt_parts", ())
    if corrupt:
        notes.append(f"{len(corrupt)} result files cannot be read, such as {corrupt[0].name}.")
    rows = records(run.trials, ["dataset", "data_is_complete", "data_is_official"])
    partial = sorted({row["dataset"] for row in rows if row["data_is_complete"] is False})
    if partial:
        notes.append(f"Incomplete data: {', '.join(partial)} lacks some official examples.")
    flags = [row["flags"] for row in records(run.timings, ["flags"]) if row["flags"]]
    if flags:
        why = ", ".join(sorted({flag for found in flags for flag in found}))
        notes.append(f"{len(flags)} of {len(run.timings)} timings are doubtful (?): {why}.")
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


def _problems(run: Run) -> list[Problem]:
    """Return what did not end well, alike ones counted together, with an example's reason."""
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in records(run.trials, ["family", "depth", "width", "status", "error"]):
        if row["status"] not in ("ok", None):
            found[f"trial {_network(row)}", row["status"], _reason(row)] += 1
    columns = ["family", "depth", "width", "phase", "batch_size", "status", "error"]
    for row in records(run.timings, columns):
        if row["status"] not in ("ok", None):
            what = f"timing {_network(row)}, {row['phase']} batch {row['batch_size']}"
            found[what, row["status"], _reason(row)] += 1
    return [Problem(what, status, num, reason) for (what, status, reason), num in found.items()]


def _network(row: Row) -> str:
    return f"{row['family']} (L {row['depth']}, d {row['width']})"


def _reason(row: Row) -> str:
    text = " ".join(str(row["error"] or "").split())
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 3] + "..."


def _timing_index(run: Run) -> Callable[[Entry], tuple[Timing, ...]]:
    """Return a function from an entry to its timed cells, in the table's order of settings."""
    cells = records(run.timings, column_names("timings"))
    names = ("trial_id", *_WORK_COLUMNS, *_STEP_COLUMNS)
    trials = {trial["trial_id"]: trial for trial in records(run.trials, names)}
    shown = distinguishing(cells, _CELL_COLUMNS)
    by_variant: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for cell in cells:
        by_variant[cell["variant_id"], cell["dataset"], cell["task"]].append(cell)

    def timings_of(entry: Entry) -> tuple[Timing, ...]:
        settings = entry.settings
        own = by_variant[settings["variant_id"], settings["dataset"], settings["task"]]
        fitting = [cell for cell in own if _is_of(cell, trials.get(cell["trial_id"]), settings)]
        ordered = sorted(fitting, key=lambda cell: (cell["phase"], cell["batch_size"]))
        return tuple(_timing(cell, shown) for cell in ordered)

    return timings_of


def _is_of(cell: Row, trial: Row | None, settings: Row) -> bool:
    """Say whether a cell's time is that of an entry: only a step depends on the optimizer."""
    if trial is None:
        return cell["optimizer"] in (None, settings["optimizer"])
    wanted = (*_WORK_COLUMNS, *(_STEP_COLUMNS if cell["phase"] == "train_step" else ()))
    return all(trial[name] == settings[name] for name in wanted)


def _timing(cell: Row, shown: Sequence[str]) -> Timing:
    extra = settings_text(cell, shown)
    label = f"{cell['phase']} batch {cell['batch_size']}{', ' + extra if extra else ''}"
    copied = ("phase", "batch_size", "precision", "mode", "num_threads", "cache", "status")
    measured = ("error", "median_seconds", "ci_low_seconds", "ci_high_seconds", "num_samples")
    return Timing(
        label=label,
        **{name: cell[name] for name in (*copied, *measured)},
        flags=tuple(cell["flags"] or ()),
    )
