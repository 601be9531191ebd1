"""How the quality of two runs differs: a metric of the same trials, paired by seed.

A variant is compared at the learning rate that the baseline chose for it. Trials of the same code,
machine and seed are equal to the last bit, and then there is nothing to test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from depthbench.report.answer import metric_name
from depthbench.report.compare.changes import Alone, Change, Ending, Side
from depthbench.report.compare.judge import Findings, Open, as_fraction
from depthbench.report.compare.names import trial_name
from depthbench.report.compare.pairs import TEST, VALIDATION, Pairs, has, moved
from depthbench.report.gate import CellVerdict
from depthbench.report.groups import (
    DATA_COLUMNS,
    METRIC_COLUMNS,
    TRAIN_COLUMNS,
    Entry,
    entries_of,
)
from depthbench.report.rows import Key, Row, as_text, distinguishing, join, records, settings_text
from depthbench.report.statistics import MIN_SEEDS
from depthbench.units import counted

if TYPE_CHECKING:
    from depthbench.store import Run

_IDENTITY = ("variant_id", *DATA_COLUMNS, *TRAIN_COLUMNS)
# What machines are told of a variant.
_FACTS = ("family", "backbone", "depth", "width", "dataset", "task", "lr")


def compare_quality(
    baseline: Run,
    candidate: Run,
    names: Mapping[str, str],
    *,
    metrics: Sequence[str],
    threshold: float,
    excluded: Collection[str] = (),
) -> Findings:
    """Return what became of the trials of two runs, and of the metrics of their variants.

    Args:
        baseline: the run before.
        candidate: the run after.
        names: of variants, by variant_id.
        metrics: columns of trials; none: the loss that ranks, of each variant.
        threshold: a change must be larger, as a fraction.
        excluded: ids of trials that learned something else in the two runs.

    Raises:
        ResultError: two trials of a run have the same settings and seed.
    """
    before, after = trials_of(baseline), trials_of(candidate)
    found = Findings()
    for identity in dict.fromkeys((*before, *after)):
        row = before.get(identity) or after[identity]
        name = trial_name(names[row["variant_id"]], row)
        if identity not in before or identity not in after:
            side: Side = "baseline" if identity in before else "candidate"
            found.alone.append(Alone("trial", side, identity, name))
        elif before[identity]["status"] != after[identity]["status"]:
            found.endings.append(_ending(before[identity], after[identity], name))
    shared = before.keys() & after.keys() - set(excluded)
    rows = {identity: (before[identity], after[identity]) for identity in shared}
    for pairs in _pairs(baseline, candidate, names, rows, excluded):
        for metric in metrics or (pairs.ranking_metric(),):
            found.changes.append(_change(pairs, metric, threshold))
    return found


def trials_of(run: Run) -> dict[str, Row]:
    """Return the trials of a run that have ended, by trial_id."""
    columns = ("trial_id", "variant_id", "status", "error", "lr", "seed", "dataset", "data_digest")
    rows = records(run.trials, (*columns, *METRIC_COLUMNS))
    return {row["trial_id"]: row for row in rows if row["status"]}


def _ending(before: Row, after: Row, name: str) -> Ending:
    error = " ".join(str(after["error"] or before["error"] or "").split())
    return Ending("trial", after["trial_id"], name, before["status"], after["status"], error)


def _pairs(
    baseline: Run,
    candidate: Run,
    names: Mapping[str, str],
    rows: Mapping[str, tuple[Row, Row]],
    excluded: Collection[str],
) -> Iterator[Pairs]:
    """Yield the variants of the baseline, then those of the candidate alone."""
    ours, theirs = entries_of(baseline.trials), entries_of(candidate.trials)
    labels = _labels([*ours, *theirs])
    known = set(baseline.trials["trial_id"])
    alone = [entry for entry in theirs if known.isdisjoint(_ids(entry))]
    chosen = {entry.key(_IDENTITY): entry for entry in theirs}
    for entry in (*ours, *alone):
        key = entry.key(_IDENTITY)
        notes = _notes(entry, chosen.get(key), excluded)
        both = tuple(rows[identity] for identity in _ids(entry) if identity in rows)
        yield Pairs(entry, names[entry.settings["variant_id"]], labels[key], both, tuple(notes))


def _ids(entry: Entry) -> list[str]:
    return [row["trial_id"] for row in entry.trials]


def _labels(entries: Sequence[Entry]) -> dict[Key, str]:
    """Return what tells each entry from others of its variant: dataset mnist, epochs 5."""
    rows = [entry.settings for entry in entries]
    shown = distinguishing(rows, _IDENTITY[1:], always=_IDENTITY[:1])[1:]
    return {entry.key(_IDENTITY): settings_text(entry.settings, shown) for entry in entries}


def _notes(entry: Entry, other: Entry | None, excluded: Collection[str]) -> Iterator[str]:
    if other is not None and other.settings["lr"] != entry.settings["lr"]:
        was, now = (as_text(found.settings["lr"]) for found in (entry, other))
        yield f"the best learning rate was {was} and is {now}; compared at {was}"
    if any(identity in excluded for identity in _ids(entry)):
        yield "the data differ"


def _change(pairs: Pairs, metric: str, threshold: float) -> Open:
    """Return what became of a variant's metric, to be judged where there is something to test."""
    values, lost = pairs.values(metric), pairs.lost(metric)
    change = _unjudged(pairs, metric, len(values))
    if not values:
        return Open(_without_values(change, pairs, lost))
    found = moved(values)
    change = replace(
        change,
        baseline=found.baseline,
        candidate=found.candidate,
        change_fraction=as_fraction(found.change, is_ratio=found.is_ratio),
    )
    if lost["diverged"]:
        return Open(replace(change, verdict="worse", reason=_lost_text(lost)))
    if lost:
        reason = f"{_lost_text(lost)}; the other seeds alone decide nothing"
        return Open(replace(change, reason=reason))
    seeds = counted(len(values), "seed")
    if all(before == after for before, after in values):
        return Open(replace(change, verdict="same", reason=f"equal to the last bit in {seeds}"))
    if found.test is None:
        reason = f"{seeds} in common; a verdict needs {MIN_SEEDS} (`seeds: {MIN_SEEDS}` or more)"
        return Open(replace(change, reason=reason))
    change = replace(change, p_value=found.test.p_value)
    return Open(change, found.test, threshold, found.is_ratio)


def _unjudged(pairs: Pairs, metric: str, num: int) -> Change:
    settings = pairs.entry.settings
    notes = list(pairs.notes)
    num_without = sum(not has(before, metric) for before, _ in pairs.rows)
    if num and num_without:
        notes.append(f"{counted(num_without, 'seed')} without a value in the baseline")
    if metric == VALIDATION and pairs.lost(TEST) and not pairs.values(TEST):
        notes.append("the candidate has no test loss; compared by validation")
    return Change(
        kind="quality",
        id=str(settings["variant_id"]),
        name=pairs.name,
        what=metric_name(metric) + (f", {pairs.extra}" if pairs.extra else ""),
        metric=metric,
        facts={key: settings[key] for key in _FACTS},
        verdict="unresolved",
        reason="",
        num_baseline=num,
        num_candidate=num,
        notes=tuple(notes),
    )


def _without_values(change: Change, pairs: Pairs, lost: Counter[str]) -> Change:
    """Return the verdict on a variant of which no pair has values."""
    if lost:
        verdict: CellVerdict = "worse" if lost["diverged"] else "unresolved"
        return replace(change, verdict=verdict, reason=_lost_text(lost))
    if pairs.rows:
        reason = f"no {metric_name(change.metric)} in the baseline"
    else:
        reason = join(pairs.notes) or "no trial in common"
    return replace(change, verdict="unmatched", reason=reason)


def _lost_text(lost: Counter[str]) -> str:
    parts = [f"{why} in {counted(num, 'seed')}" for why, num in lost.items()]
    return f"candidate: {join(parts)}"
