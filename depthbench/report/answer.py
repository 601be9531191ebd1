"""Put a group's result into one sentence, and what a reader must know of it into notes."""

from __future__ import annotations

from collections.abc import Sequence

from depthbench.report.groups import Gathering
from depthbench.report.rows import join
from depthbench.report.statistics import MIN_SEEDS, Estimate
from depthbench.report.values import Budget, VariantRow
from depthbench.units import (
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
    if all(row.against_best is None or row.against_best.low is None for row in ranked[1:]):
        return _no_verdict(place, name, metric, best, ranked)
    return _verdict(place, name, found, best, ranked[1:])


def _verdict(
    place: str, name: str, found: Estimate, best: VariantRow, others: Sequence[VariantRow]
) -> str:
    separated = [row for row in others if row.against_best and row.against_best.is_separated]
    near = [row for row in others if row not in separated]
    if not separated:
        verb = "is" if len(near) == 1 else "are"
        return (
            f"{place}, no variant stands out: {best.full_name} has the lowest {name}, "
            f"{_over_seeds(found)}, but {_named(near)} {verb} not separated from it."
        )
    leads = [_lead(row) for row in separated[:2]]
    if len(separated) > 2:
        leads.append(f"more below {_named(separated[2:])}")
    tail = ""
    if near:
        verb = "is" if len(near) == 1 else "are"
        tail = f"; {_named(near)} {verb} not separated from it"
    return (
        f"{place}, {best.full_name} has the lowest {name}: {_over_seeds(found)}, "
        f"{join(leads)}{tail}."
    )


def _lead(row: VariantRow) -> str:
    """Return how far the best is below a variant: 12% below deep [5%, 19%]."""
    found = row.against_best
    assert found is not None and found.low is not None and found.high is not None
    if found.is_ratio:
        value, low, high = (1 - 1 / end for end in (found.value, found.low, found.high))
        text = format_percentages(value, low, high).replace(",", "%,").replace("]", "%]")
    else:
        text = format_estimate(found.value, found.low, found.high)
    value_text, _, interval = text.partition(" ")
    return f"{value_text} below {row.name} {interval}"


def _no_verdict(
    place: str, name: str, metric: str, best: VariantRow, ranked: Sequence[VariantRow]
) -> str:
    fewest = min(row.metrics[metric].num for row in ranked)
    seeds = "1 seed" if fewest == 1 else f"{fewest} seeds"
    seen = format_estimate(best.metrics[metric].value)
    had = f"from {seeds}" if fewest < MIN_SEEDS else f"with fewer than {MIN_SEEDS} common seeds"
    return (
        f"{place}, no verdict is possible {had}: the lowest {name} seen is {seen}, by "
        f"{best.full_name}; a verdict needs {MIN_SEEDS} seeds or more."
    )


def _over_seeds(found: Estimate) -> str:
    seeds = "1 seed" if found.num == 1 else f"{found.num} seeds"
    return f"{format_estimate(found.value, found.low, found.high)} over {seeds}"


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


def notes_of(gathering: Gathering, metric: str | None, rows: Sequence[VariantRow]) -> list[str]:
    """Return what qualifies a group's answer, a sentence each."""
    notes = []
    if metric is not None and metric.startswith("val_"):
        notes.append(
            "Ranked by validation: the test set is read when all trials are done, at each "
            "variant's best learning rate only."
        )
    if any(entry.is_provisional for entry in gathering.entries):
        notes.append("Learning rates are the best so far; the run's own choice is still to come.")
    sizes = [row.total_params for row in rows if row.total_params is not None]
    if gathering.budget is None and sizes and min(sizes) < max(sizes):
        notes.append(
            f"Sizes differ: {format_count(min(sizes))} to {format_count(max(sizes))} weights; "
            "a budget in the suite would hold them equal."
        )
    for row in rows:
        if row.not_ranked_because.startswith("diverged"):
            how = row.not_ranked_because.replace("diverged", "diverged in")
            notes.append(f"{row.full_name} {how} seeds and is not ranked.")
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
