"""Say in the answer what the best variant costs in time, where times were measured."""

from __future__ import annotations

from collections.abc import Sequence

from depthbench.report.values import Timing, VariantRow


def times_text(rows: Sequence[VariantRow]) -> str:
    """Return the end of the answer: "; at inference batch 1 deep is 2.1x slower than wide".

    The best variant is set against the fastest of the ranked ones, or, if it is the fastest, the
    next. Of the cells that all ranked variants share the first of inference counts, else the
    first. Times whose intervals meet are not separated. Empty where nothing can be compared.

    Args:
        rows: a group's variants, best first.
    """
    ranked = [row for row in rows if row.rank is not None]
    label = _label(ranked)
    if label is None:
        return ""
    best = ranked[0]
    other = min(ranked[1:], key=lambda row: _median(_cell(row, label)))
    own, its = _cell(best, label), _cell(other, label)
    doubt = " (times in doubt)" if own.flags or its.flags else ""
    if _is_overlapping(own, its):
        return f"; at {label} {best.name} and {other.name} are not separated in time{doubt}"
    ratio = _median(own) / _median(its)
    times, how = (ratio, "slower") if ratio > 1 else (1 / ratio, "faster")
    digits = 1 if times >= 1.05 else 3
    return f"; at {label} {best.name} is {times:.{digits}f}x {how} than {other.name}{doubt}"


def _label(ranked: Sequence[VariantRow]) -> str | None:
    """Return the name of the cell to compare by; None where the variants share none."""
    if len(ranked) < 2:
        return None
    timed = [{t.label for t in row.timings if _is_timed(t, t.label)} for row in ranked]
    common = set.intersection(*timed)
    shared = [timing for timing in ranked[0].timings if timing.label in common]
    shared.sort(key=lambda timing: timing.phase != "inference")
    return shared[0].label if shared else None


def _is_timed(timing: Timing, label: str) -> bool:
    return timing.label == label and timing.status == "ok" and bool(timing.median_seconds)


def _cell(row: VariantRow, label: str) -> Timing:
    return next(timing for timing in row.timings if _is_timed(timing, label))


def _median(timing: Timing) -> float:
    assert timing.median_seconds is not None
    return timing.median_seconds


def _is_overlapping(first: Timing, second: Timing) -> bool:
    """Say whether two times may be equal; without intervals nothing says that they are not."""
    ends = (
        first.ci_low_seconds,
        first.ci_high_seconds,
        second.ci_low_seconds,
        second.ci_high_seconds,
    )
    if any(end is None for end in ends):
        return True
    low, high, other_low, other_high = ends
    return bool(low <= other_high and other_low <= high)  # type: ignore[operator]
