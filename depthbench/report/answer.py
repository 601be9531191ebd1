"""Put a group's result into one sentence, and what a reader must know of it into notes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from depthbench.report.comparison import Comparison, Verdict
from depthbench.report.groups import Gathering
from depthbench.report.rows import join
from depthbench.report.statistics import MIN_SEEDS, Estimate
from depthbench.report.values import Budget, VariantRow
from depthbench.units import (
    counted,
    format_count,
    format_estimate,
    format_flops,
    format_fraction,
    format_percentages,
)

_SPLITS = {"test": "test", "val": "validation", "train": "training"}
_MAX_NAMED = 3


def metric_name(metric: str) -> str:
    """Return a metric's column in words: test loss."""
    split, _, name = metric.partition("_")
    return f"{_SPLITS[split]} {name.replace('_db', ' (dB)').replace('_', ' ')}"


def budget_text(budget: Budget) -> str:
    """Return a budget in words: total_params (20,000 within 2%)."""
    write = format_flops if budget.match == "forward_flops" else format_count
    return f"{budget.match} ({write(budget.target)} within {format_fraction(budget.tolerance)})"


def place_of(gathering: Gathering) -> str:
    """Return where a result holds: At equal total_params (20,000 within 2%) on digits."""
    budget = gathering.budget
    start = f"At equal {budget_text(budget)} on" if budget else "Without a budget, on"
    training = f" with {gathering.training}" if gathering.training else ""
    return f"{start} {gathering.dataset}{training}"


def answer_of(gathering: Gathering, metric: str | None, rows: Sequence[VariantRow]) -> str:
    """Return the result of a group in one sentence.

    Args:
        gathering: the group.
        metric: the column that ranks, or None where nothing has a value.
        rows: its variants, best first.
    """
    place = place_of(gathering)
    ranked = [row for row in rows if row.rank is not None]
    if metric is None:
        return f"{place}, no variant has a result{_how_trials_ended(rows)}."
    if not ranked:
        why = "; ".join(f"{row.full_name}: {row.not_ranked_because}" for row in rows[:_MAX_NAMED])
        return f"{place}, no variant can be ranked ({why})."
    best = ranked[0]
    name, found = metric_name(metric), best.metrics[metric]
    if len(ranked) == 1:
        return (
            f"{place}, {best.full_name} is the only variant to rank, with a {name} of "
            f"{_over_seeds(found)}; a comparison needs two."
        )
    if not any(row.against_best and row.against_best.verdict for row in ranked[1:]):
        return _no_verdict(place, name, metric, best, ranked)
    return _verdict(place, name, found, best, ranked[1:])


def _verdict(
    place: str, name: str, found: Estimate, best: VariantRow, others: Sequence[VariantRow]
) -> str:
    by_verdict: dict[Verdict | None, list[VariantRow]] = defaultdict(list)
    for row in others:
        by_verdict[row.against_best.verdict if row.against_best else None].append(row)
    if by_verdict["worse"]:
        start = f"{best.full_name} has the lowest {name}: {_over_seeds(found)}"
    else:
        start = (
            f"no variant stands out: {best.full_name} has the lowest {name}, {_over_seeds(found)}"
        )
    return f"{place}, {'; '.join([start, *_clauses(best, by_verdict)])}."


def _clauses(
    best: VariantRow, by_verdict: Mapping[Verdict | None, Sequence[VariantRow]]
) -> Iterator[str]:
    """Yield what the variants of each verdict are, a clause each."""
    if same := by_verdict.get("same"):
        margin = format_fraction(_compared(same[0]).margin)
        yield f"{_named(same)} {_are(same)} the same as {best.name} within {margin}"
    if worse := by_verdict.get("worse"):
        yield _worse(worse)
    if better := by_verdict.get("better"):
        yield f"{_named(better)} {_are(better)} better over the seeds in common"
    if unresolved := by_verdict.get("unresolved"):
        yield f"{_named(unresolved)} {_are(unresolved)} unresolved"
    if untested := by_verdict.get(None):
        yield f"{_named(untested)} {'has' if len(untested) == 1 else 'have'} too few seeds to tell"


def _worse(rows: Sequence[VariantRow]) -> str:
    """Return by how much variants are worse: deep is worse by 24% [22, 25]."""
    ordered = sorted(rows, key=lambda row: _compared(row).value)
    first, second, rest = ordered[0], ordered[1:2], ordered[2:]
    parts = [f"{first.name} is worse by {_distance(first)}"]
    parts += [f"{row.name} by {_distance(row)}" for row in second]
    if rest:
        parts.append(f"{rest[0].name if len(rest) == 1 else f'{len(rest)} others'} by more")
    return join(parts)


def _distance(row: VariantRow) -> str:
    found = _compared(row)
    if not found.is_ratio:
        return format_estimate(found.value, found.low, found.high)
    ends = (None if end is None else end - 1 for end in (found.low, found.high))
    return format_percentages(found.value - 1, *ends)


def _compared(row: VariantRow) -> Comparison:
    assert row.against_best is not None
    return row.against_best


def _are(rows: Sequence[VariantRow]) -> str:
    return "is" if len(rows) == 1 else "are"


def _no_verdict(
    place: str, name: str, metric: str, best: VariantRow, ranked: Sequence[VariantRow]
) -> str:
    fewest = min(row.metrics[metric].num for row in ranked)
    seen = format_estimate(best.metrics[metric].value)
    had = (
        f"from {_seeds(fewest)}"
        if fewest < MIN_SEEDS
        else f"with fewer than {MIN_SEEDS} common seeds"
    )
    return (
        f"{place}, no verdict is possible {had}: the lowest {name} seen is {seen}, by "
        f"{best.full_name}; a verdict needs {MIN_SEEDS} seeds or more."
    )


def _over_seeds(found: Estimate) -> str:
    return f"{format_estimate(found.value, found.low, found.high)} over {_seeds(found.num)}"


def _named(rows: Sequence[VariantRow]) -> str:
    if len(rows) > _MAX_NAMED:
        return f"{len(rows)} others"
    return join([row.name for row in rows])


def _how_trials_ended(rows: Sequence[VariantRow]) -> str:
    num_diverged = sum(row.num_diverged for row in rows)
    num_failed = sum(row.num_failed for row in rows)
    ended = [
        f"{num} {'trial' if num == 1 else 'trials'} {how}"
        for num, how in ((num_diverged, "diverged"), (num_failed, "failed"))
        if num
    ]
    return f": {join(ended)}" if ended else " yet"


def doubt_of(metric: str | None, rows: Sequence[VariantRow]) -> str:
    """Return what a reader must know beside the answer: whose better numbers have lost trials.

    A mean over the seeds that survived flatters: of the best variant it is said how many trials
    failed, and which variants have a lower mean but are not ranked, since trials of theirs
    diverged. Empty where there is neither.

    Args:
        metric: the column that ranks, or None where nothing has a value.
        rows: a group's variants, best first.
    """
    if metric is None or not rows or rows[0].rank is None:
        return ""
    best, texts = rows[0], []
    if best.num_failed:
        trials = "trial" if best.num_trials == 1 else "trials"
        texts.append(
            f"Of {best.full_name} {best.num_failed} of {best.num_trials} {trials} failed, so its "
            "mean is over the others."
        )
    flattered = _flattered(metric, rows)
    if len(flattered) == 1:
        row = flattered[0]
        found = row.metrics[metric]
        texts.append(
            f"Lower, but not ranked since it {_how_diverged(row)}: {row.full_name}, "
            f"{format_estimate(found.value)} over {_seeds(found.num)}."
        )
    elif flattered:
        named = [f"{row.full_name} {_how_diverged(row)}" for row in flattered]
        texts.append(f"Lower, but not ranked: {join(named, limit=_MAX_NAMED)}.")
    return " ".join(texts)


def _flattered(metric: str, rows: Sequence[VariantRow]) -> list[VariantRow]:
    """Return the diverged variants that would lead if the seeds that survived were all."""
    if not rows or rows[0].rank is None:
        return []
    best = rows[0].metrics[metric].value
    return [
        row
        for row in rows
        if row.num_diverged
        and row.is_on_budget is not False
        and metric in row.metrics
        and row.metrics[metric].value < best
    ]


def _how_diverged(row: VariantRow) -> str:
    return f"diverged in {row.num_diverged} of {_seeds(row.num_trials)}"


def _seeds(num: int) -> str:
    return "1 seed" if num == 1 else f"{num} seeds"


def notes_of(gathering: Gathering, metric: str | None, rows: Sequence[VariantRow]) -> list[str]:
    """Return what qualifies a group's answer, a sentence each."""
    notes = []
    if metric is not None and metric.startswith("val_"):
        test = metric.replace("val_", "test_", 1)
        known = [(entry.values(metric), entry.values(test)) for entry in gathering.entries]
        num = sum(len(validated) for validated, _ in known)
        num_untested = sum(len(validated.keys() - tested.keys()) for validated, tested in known)
        notes.append(
            f"Ranked by validation, since {num_untested:,} of {counted(num, 'trial')} have no "
            "number of the test set: it is read when all trials are done, at each variant's best "
            "learning rate only."
        )
    if any(entry.is_provisional for entry in gathering.entries):
        notes.append("Learning rates are the best so far; the run's own choice is still to come.")
    sizes = [row.total_params for row in rows if row.total_params is not None]
    if gathering.budget is None and sizes and min(sizes) < max(sizes):
        notes.append(
            f"Sizes differ: {format_count(min(sizes))} to {format_count(max(sizes))} weights; "
            "a budget in the suite would hold them equal."
        )
    in_answer = _flattered(metric, rows) if metric is not None else []
    for row in rows:
        if row.num_diverged and row not in in_answer:
            notes.append(f"{row.full_name} {_how_diverged(row)} and is not ranked.")
    off = [
        f"{row.full_name} {format_fraction(row.budget_error_fraction, is_signed=True)}"
        for row in rows
        if row.not_ranked_because == "off budget"
    ]
    if off:
        notes.append(f"Off budget and not ranked: {join(off, limit=4)}.")
    if metric is not None:
        notes += _uneven_seeds(metric, rows)
    return notes


def _uneven_seeds(metric: str, rows: Sequence[VariantRow]) -> list[str]:
    short = [
        f"{row.full_name} {row.num_seeds} of {row.num_trials}"
        for row in rows
        if row.rank is not None and row.num_seeds < row.num_trials
    ]
    return [f"Seeds with a {metric_name(metric)}: {join(short, limit=4)}."] if short else []
