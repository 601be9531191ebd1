"""Judge claims: does what was expected of a ratio or a difference hold, over pairs of trials?

The unit is the pair, the estimate the mean over pairs (of logs, for a ratio), the interval a
bootstrap over seeds, stratified by the other columns that make a pair. Rows of one side that share
a pair's key are averaged first. Trials count at their variant's best learning rate only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from depthbench.errors import ResultError
from depthbench.grammar import ClaimSettings
from depthbench.record import FAILURES, column_names
from depthbench.report.pairs import (
    Key,
    Side,
    back,
    compare,
    explain_no_pairs,
    mean_of,
    off_budget_notes,
    pair_keys,
    side_notes,
    side_of,
    under_each_budget,
)
from depthbench.report.rows import Row, as_text
from depthbench.report.statistics import MIN_SEEDS, stratified_mean
from depthbench.report.timing_claims import judge_timing
from depthbench.report.verdicts import (
    Judgement,
    bounds_of,
    close_judgement,
    exit_code,
    open_judgement,
)
from depthbench.units import counted

if TYPE_CHECKING:
    from depthbench.store import Run


def check(runs: Sequence[Run], *, is_strict: bool = False) -> tuple[list[Judgement], int]:
    """Judge every claim of every run; return the judgements and the exit code.

    Raises:
        ResultError: a run.json holds a claim that cannot be read.
    """
    judgements = [judge(claim, run) for run in runs for claim in claims_of(run)]
    num_failed = sum(
        row["status"] in FAILURES
        for run in runs
        for table in ("trials", "timings")
        for row in run.rows(table, ["status"])
    )
    code = exit_code(
        [judgement.verdict for judgement in judgements],
        num_failed=num_failed,
        is_strict=is_strict,
        is_empty=all(judgement.num_pairs == 0 for judgement in judgements),
    )
    return judgements, code


def claims_of(run: Run) -> list[ClaimSettings]:
    """Return the claims of a run's suite.

    Raises:
        ResultError: run.json holds a claim that cannot be read.
    """
    from pydantic import ValidationError

    try:
        return [ClaimSettings.model_validate(claim) for claim in run.run.get("claims") or ()]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ResultError(
            f"{run.folder / 'run.json'}: claims: {place}: {first['msg']}; "
            "run the suite again with this version of depthbench"
        ) from None


def judge(claim: ClaimSettings, run: Run) -> Judgement:
    """Judge one claim by one run's results."""
    opened = open_judgement(claim, str(run.run.get("suite", "")), str(run.run.get("run", "")))
    if claim.metric in column_names("timings") and claim.metric not in column_names("trials"):
        return judge_timing(claim, run, opened)
    needed = [claim.metric, "status", "is_selected", "budgets", *claim.paired_by]
    filters = [*claim.of, *claim.against, *claim.where]
    rows = list(run.rows("trials", [*needed, *filters]))
    if any(name.startswith("budget_") for name in (claim.metric, *filters, *claim.paired_by)):
        rows = [share for row in rows for share in under_each_budget(row)]
    selected = [row for row in rows if row["is_selected"]]
    if not selected:
        why = "no learning rate is selected yet, the run is unfinished" if rows else "no trials"
        return replace(opened, reason=why)
    of, against = (side_of(selected, claim, side, claim.paired_by) for side in ("of", "against"))
    return _judge_pairs(claim, opened, of, against, selected)


def _judge_pairs(
    claim: ClaimSettings, opened: Judgement, of: Side, against: Side, rows: Sequence[Row]
) -> Judgement:
    pairs = pair_keys(of, against)
    opened = replace(opened, num_missing=of.missing.total() + against.missing.total())
    if not pairs:
        return replace(opened, reason=explain_no_pairs(claim, of, against, rows, claim.paired_by))
    bounds = bounds_of(claim.expect)
    strata: dict[Key, list[float]] = defaultdict(list)
    for key in pairs:
        values = (mean_of(of.rows[key], claim.metric), mean_of(against.rows[key], claim.metric))
        if bounds.is_ratio and min(values) <= 0:
            reason = f"a ratio needs positive values; {claim.metric} is {min(values):g}"
            return replace(opened, num_pairs=len(pairs), reason=reason)
        stratum = _stratum(key, claim.paired_by)
        strata[stratum].append(compare(*values, is_ratio=bounds.is_ratio))
    opened = replace(opened, num_pairs=len(pairs), num_strata=len(strata))
    estimate = stratified_mean(list(strata.values()), claim.confidence)
    notes = side_notes(of, against, len(pairs)) + off_budget_notes(of, against, pairs)
    few = _few_seeds(claim, strata, opened.num_missing)
    closed = close_judgement(opened, bounds, back(estimate, bounds), few + notes)
    if of.missing["diverged"] + against.missing["diverged"] == 0:
        return closed
    why = "seeds diverged, and the survivors alone decide nothing"
    return replace(closed, verdict="undecided", reason="; ".join([why, *notes]))


def _stratum(key: Key, paired_by: Sequence[str]) -> Key:
    """Return a pair's key without its seed; without seeds the pairs themselves are drawn."""
    if "seed" not in paired_by:
        return ()
    return tuple(value for name, value in zip(paired_by, key, strict=True) if name != "seed")


def _few_seeds(
    claim: ClaimSettings, strata: Mapping[Key, Sequence[float]], num_missing: int
) -> list[str]:
    """Return that a stratum has too few values for an interval, and what would give it more."""
    fewest = min(strata, key=lambda key: len(strata[key]))
    num = len(strata[fewest])
    if num >= MIN_SEEDS:
        return []
    unit = "seed" if "seed" in claim.paired_by else "pair"
    names = [name for name in claim.paired_by if name != "seed"] if unit == "seed" else []
    at = ", ".join(f"{n} {as_text(v)}" for n, v in zip(names, fewest, strict=False))
    place = f" at {at}" if at else ""
    # Where trials are missing, the notes say how they ended: the suite may well have the seeds.
    is_short = unit == "seed" and not num_missing
    advice = f" (`seeds: {MIN_SEEDS}` or more in the suite)" if is_short else ""
    return [f"{counted(num, unit)}{place}; an interval needs {MIN_SEEDS}{advice}"]
