"""Put a comparison into one sentence, and into the balance of ups and downs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import expm1, log1p
from statistics import fmean

from depthbench.report.compare.changes import Balance, Change, Ending, Kind, RunComparison
from depthbench.report.gate import CellVerdict
from depthbench.report.rows import join
from depthbench.units import counted, format_fraction

_MAX_NAMED = 3
_CALLED: tuple[CellVerdict, ...] = ("worse", "better")
_HOW: dict[tuple[Kind, CellVerdict], str] = {
    ("time", "worse"): "slower",
    ("time", "better"): "faster",
    ("quality", "worse"): "worse",
    ("quality", "better"): "better",
}


def answer_of(comparison: RunComparison) -> str:
    """Return the result of a comparison in one sentence: what broke, times, quality."""
    if comparison.is_refused:
        found = [
            f"{difference.key} is {difference_text(difference.baseline)} in the baseline and "
            f"{difference_text(difference.candidate)} in the candidate"
            for difference in comparison.differences
            if not difference.is_allowed
        ]
        return f"Not comparable: {join(found)}."
    parts = [*_endings_text(comparison.endings)]
    parts += [*_kind_text(comparison.changes, "time"), *_kind_text(comparison.changes, "quality")]
    if not parts:
        return "Nothing was compared: the runs have no result in common."
    text = "; ".join([*_missing_text(comparison), *parts])
    return f"{text[0].upper()}{text[1:]}."


def difference_text(value: object) -> str:
    """Return a fact of an environment; what is null is unknown."""
    return "unknown" if value is None else str(value)


def _endings_text(endings: Sequence[Ending]) -> Iterator[str]:
    failed = [ending for ending in endings if ending.is_new_failure]
    diverged = [ending for ending in endings if ending.is_new_divergence]
    for found, verb in ((failed, "fail"), (diverged, "diverge")):
        for kind in ("trial", "timing"):
            names = [_ending_text(ending) for ending in found if ending.kind == kind]
            if names:
                was, now = ("was", f"{verb}s") if len(names) == 1 else ("were", verb)
                what = counted(len(names), kind)
                yield f"{what} that {was} ok now {now}: {join(names, limit=_MAX_NAMED)}"


def _ending_text(ending: Ending) -> str:
    """Return what ended otherwise, and how where failures have more than one way."""
    return f"{ending.name} ({ending.candidate_status})" if ending.is_new_failure else ending.name


def _kind_text(changes: Sequence[Change], kind: Kind) -> Iterator[str]:
    """Yield what became of all times, or of all quality; nothing where none was compared."""
    found = [change for change in changes if change.kind == kind and change.verdict != "unmatched"]
    if not found:
        return
    is_first = True
    for verdict in _CALLED:
        some = [change for change in found if change.verdict == verdict]
        if some:
            yield _called_text(kind, verdict, some, found, is_first=is_first)
            is_first = False
    num_open = sum(change.verdict == "unresolved" for change in found)
    if not is_first:
        if num_open:
            yield f"{num_open:,} {_are(num_open)} unresolved"
    elif num_open:
        num_same = len(found) - num_open
        better, worse = (_HOW[kind, how] for how in ("better", "worse"))
        what = _counted(kind, found)
        yield (
            f"{'no timing' if kind == 'time' else 'no quality'} is {worse} or {better} for sure: "
            f"of {what} {num_same:,} {_are(num_same)} the same, {num_open:,} unresolved"
        )
    else:
        yield "times are the same" if kind == "time" else _same_quality(found)


def _missing_text(comparison: RunComparison) -> Iterator[str]:
    """Yield what a reader must know before any number: what is not whole, or not comparable."""
    if comparison.candidate.status != "finished":
        yield f"the candidate is not finished ({comparison.candidate.status})"
    for kind in ("trial", "timing"):
        num = comparison.num_missing(kind)
        if num:
            yield f"{counted(num, kind)} of the baseline {_are(num)} missing in the candidate"
    if any(not difference.is_allowed for difference in comparison.differences):
        yield "quality is not comparable, since the data differ"


def _same_quality(found: Sequence[Change]) -> str:
    """Return that quality is the same, and of how many variants it is not so to the last bit."""
    num_moved = sum(change.change_fraction != 0 for change in found)
    if not num_moved:
        return "quality is the same"
    largest = max(found, key=_size)
    by = format_fraction(abs(largest.change_fraction or 0.0))
    return f"quality is the same within the threshold ({num_moved:,} moved, by {by} at most)"


def _called_text(
    kind: Kind,
    verdict: CellVerdict,
    some: Sequence[Change],
    every: Sequence[Change],
    *,
    is_first: bool,
) -> str:
    """Return how many changes are called so, and the largest: 2 of 48 timings are slower, ..."""
    num, how = len(some), _HOW[kind, verdict]
    of = f" of {_counted(kind, every)}" if is_first else ""
    largest = max(some, key=_size)
    if largest.q_value is None or largest.change_fraction is None:
        by = f"{largest.full_name} ({largest.reason})"
    else:
        said = f"the {'worst' if verdict == 'worse' else 'best'} by" if num > 1 else "by"
        by = f"{said} {format_fraction(abs(largest.change_fraction))}: {largest.full_name}"
    if kind == "time":
        doubtful = sum(any("doubtful" in note for note in change.notes) for change in some)
        doubt = f" ({doubtful:,} of them in doubt)" if doubtful else ""
        return f"{num:,}{of} {_are(num)} {how}{doubt}, {by}"
    return f"quality is {how} in {num:,}{of}, {by}"


def _size(change: Change) -> float:
    """Return how large a change is; one that no test has called, as seeds diverged, is last."""
    if change.q_value is None or change.change_fraction is None:
        return -1.0
    return abs(change.change_fraction)


def _counted(kind: Kind, every: Sequence[Change]) -> str:
    if kind == "time":
        return counted(len(every), "timing")
    is_each_once = len({change.id for change in every}) == len(every)
    return counted(len(every), "variant" if is_each_once else "value")


def _are(num: int) -> str:
    return "is" if num == 1 else "are"


def balances_of(changes: Sequence[Change]) -> Iterator[Balance]:
    """Yield for each metric how many values went up and down, and the geometric mean change."""
    for metric in dict.fromkeys(change.metric for change in changes):
        moved = [
            change.change_fraction
            for change in changes
            if change.metric == metric and change.change_fraction is not None
        ]
        if moved:
            mean = expm1(fmean(log1p(value) for value in moved)) if min(moved) > -1 else None
            num_up, num_down = sum(value > 0 for value in moved), sum(value < 0 for value in moved)
            yield Balance(metric, num_up, num_down, len(moved) - num_up - num_down, mean)


def balance_text(balance: Balance) -> str:
    """Return a balance in words: quiet_seconds: 30 up, 18 down, geometric mean +1.2%."""
    parts = [f"{balance.num_up:,} up", f"{balance.num_down:,} down"]
    if balance.num_equal:
        parts.append(f"{balance.num_equal:,} equal")
    if balance.mean_change_fraction is not None:
        mean = format_fraction(balance.mean_change_fraction, is_signed=True)
        parts.append(f"geometric mean {mean}")
    return f"{balance.metric}: {', '.join(parts)}"
