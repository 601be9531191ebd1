"""Bring the two sides of a claim together: usable rows by pair, and what is missing or alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log
from typing import Any

from depthbench.grammar import ClaimSettings
from depthbench.report.rows import Row, as_text, explain_no_match, join, matches
from depthbench.report.statistics import Estimate
from depthbench.report.verdicts import Bounds

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Side:
    """One side of a claim: its usable rows by the key of their pair, and what is missing."""

    rows: dict[Key, list[Row]]
    missing: Counter[str]

    @property
    def num_rows(self) -> int:
        """Return how many rows can be used."""
        return sum(len(rows) for rows in self.rows.values())


def side_of(rows: Sequence[Row], claim: ClaimSettings, name: str, keys: Sequence[str]) -> Side:
    """Return the rows of one side, `of` or `against`, by the key of their pair."""
    conditions = getattr(claim, name)
    usable: dict[Key, list[Row]] = defaultdict(list)
    missing: Counter[str] = Counter()
    for row in rows:
        if not (matches(row, conditions) and matches(row, claim.where)):
            continue
        problem = _problem(row, claim.metric)
        if problem:
            missing[problem] += 1
        else:
            usable[tuple(row[key] for key in keys)].append(row)
    return Side(dict(usable), missing)


def _problem(row: Row, metric: str) -> str:
    if row["status"] != "ok":
        return str(row["status"] or "unfinished")
    value = row[metric]
    is_number = isinstance(value, int | float) and isfinite(value)
    return "" if is_number else f"without {metric}"


def mean_of(rows: Sequence[Row], metric: str) -> float:
    """Return the mean of a metric over the rows that share a pair's key."""
    return sum(row[metric] for row in rows) / len(rows)


def compare(of: float, against: float, *, is_ratio: bool) -> float:
    """Return the log of the ratio, or the difference, of a pair."""
    return log(of) - log(against) if is_ratio else of - against


def back(estimate: Estimate, bounds: Bounds) -> Estimate:
    """Return a mean of logs as the ratio it stands for; a difference as it is."""
    if not bounds.is_ratio:
        return estimate
    low, high = (None if end is None else exp(end) for end in (estimate.low, estimate.high))
    return Estimate(exp(estimate.value), low, high, estimate.num)


def pair_keys(of: Side, against: Side) -> list[Key]:
    """Return the keys that both sides have, in an order of their own."""
    return sorted(
        of.rows.keys() & against.rows.keys(), key=lambda key: [_orderable(v) for v in key]
    )


def _orderable(value: Any) -> tuple[int, float, str]:
    if isinstance(value, (int, float)):
        return (0, float(value), "")
    return (1, 0.0, "" if value is None else str(value))


def side_notes(of: Side, against: Side, num_pairs: int) -> list[str]:
    """Return what a reader must know of the pairs: rows missing, unpaired, averaged."""
    notes = []
    for name, side in (("of", of), ("against", against)):
        counts = [f"{num} {status}" for status, num in sorted(side.missing.items())]
        if counts:
            notes.append(f"{side.missing.total()} missing in {name!r}: {join(counts)}")
        unpaired = len(side.rows) - num_pairs
        if unpaired:
            notes.append(f"{unpaired} of {len(side.rows)} keys of {name!r} have no partner")
        if side.num_rows > len(side.rows):
            notes.append(f"{side.num_rows} rows of {name!r} averaged to {len(side.rows)}")
    return notes


def under_each_budget(row: Row) -> list[Row]:
    """Return a row once for each budget its variant stands under, with that budget's columns."""
    shares = row["budgets"] or ()
    return [
        row
        | {
            "budgets": [share],
            "budget_match": share["match"],
            "budget_target": share["target"],
            "budget_error_fraction": share["error_fraction"],
        }
        for share in shares
    ] or [row]


def off_budget_notes(of: Side, against: Side, pairs: Sequence[Key]) -> list[str]:
    """Return how many of the rows used are of variants that meet none of their budgets."""
    used = [row for key in pairs for side in (of, against) for row in side.rows[key]]
    num_off = sum(
        bool(row["budgets"]) and not any(share["is_on_budget"] for share in row["budgets"])
        for row in used
    )
    verb = "is" if num_off == 1 else "are"
    return [f"{num_off} of {len(used)} rows {verb} off budget"] if num_off else []


def explain_no_pairs(
    claim: ClaimSettings, of: Side, against: Side, rows: Sequence[Row], keys: Sequence[str]
) -> str:
    """Return why there is no pair: which side is empty and what there is instead."""
    for name, side in (("of", of), ("against", against)):
        if side.rows:
            continue
        if side.missing:
            counts = [f"{num} {status}" for status, num in sorted(side.missing.items())]
            return f"no usable row in {name!r}: {join(counts)}"
        conditions = getattr(claim, name) | claim.where
        return f"{name!r} is empty: {explain_no_match(rows, conditions)}"
    for index, key in enumerate(keys):
        found = [{as_text(k[index]) for k in side.rows} for side in (of, against)]
        if not found[0] & found[1]:
            left, right = (join(sorted(values), limit=5) for values in found)
            return f"no pairs: {key} is {left} in 'of' and {right} in 'against'; see paired_by"
    return f"no pairs: no {join(list(keys))} is on both sides; see paired_by"
