"""What must hold in the claims of a suite, so that results can judge them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from depthbench import grammar as g
from depthbench.document import Location
from depthbench.mistakes import dotted, nearest, show
from depthbench.record import TABLES, column_names

Note = Callable[[Location, str], None]


def check_claims(sections: dict[str, Any], note: Note) -> None:
    """Note what keeps a claim from ever being judged."""
    seen: set[str] = set()
    for index, claim in enumerate(sections.get("claims") or ()):
        if claim is None:
            continue
        path: Location = ("claims", index)
        if claim.id in seen:
            note((*path, "id"), f"the claim {claim.id!r} stands twice; ids are unique")
        seen.add(claim.id)
        _check_claim(path, claim, sections, note)


def _check_claim(
    path: Location, claim: g.ClaimSettings, sections: dict[str, Any], note: Note
) -> None:
    timing = is_timing_metric(claim.metric)
    numbers = claim_metrics()
    if claim.metric not in numbers:
        hint = nearest(claim.metric, numbers) or "; such as val_loss, test_accuracy, median_seconds"
        note((*path, "metric"), f"{claim.metric!r} is no metric of the results{hint}")
    if timing and sections.get("timing") is None and "timing" in sections:
        note((*path, "metric"), f"{claim.metric} is a timing, and the suite has no timing section")
    known = column_names("timings" if timing else "trials")
    if timing or claim.metric not in numbers:
        known = tuple(dict.fromkeys(known + column_names("trials")))
    are_words = True
    for side in ("of", "against", "where"):
        for key, value in getattr(claim, side).items():
            if key not in known:
                note((*path, side, key), f"{key!r} is no column{nearest(key, known)}")
            are_words &= _are_filter_words((*path, side, key), key, value, note)
    if are_words:
        _check_sides(path, claim, sections, note)
    for key in claim.paired_by:
        if key not in known:
            note((*path, "paired_by"), f"{key!r} is no column{nearest(key, known)}")
    _check_expectation((*path, "expect"), claim.expect, note)


def claim_metrics() -> tuple[str, ...]:
    """Return the columns that a claim may be about: numbers that are measured."""
    trials = [c.name for c in TABLES["trials"] if c.name.startswith(("train_", "val_", "test_"))]
    trials = [name for name in trials if not name.endswith("_examples")]
    timings = [
        c.name for c in TABLES["timings"] if c.type == "float64" or c.name == "peak_memory_bytes"
    ]
    sizes = ["total_params", "trainable_params", "body_params", "forward_flops", "trial_seconds"]
    return (*trials, *sizes, *timings)


def is_timing_metric(metric: str) -> bool:
    """Say whether a metric is a column of timings.parquet rather than of trials.parquet."""
    return metric in column_names("timings") and metric not in column_names("trials")


def _check_sides(
    path: Location, claim: g.ClaimSettings, sections: dict[str, Any], note: Note
) -> None:
    if claim.of == claim.against:
        note((*path, "against"), f"{dotted(path)}: of and against are the same rows")
    for side in ("of", "against"):
        _check_scope(path, side, claim, sections, note)


def _check_scope(
    path: Location, side: str, claim: g.ClaimSettings, sections: dict[str, Any], note: Note
) -> None:
    """Note a side of a claim that no trial of the suite could ever be on."""
    wanted = {**claim.where, **getattr(claim, side)}
    variants = sections.get("variants")
    if not variants or any(grid is None for grid in variants):
        return
    shared = _shared_values(sections)
    tables = [shared | _own_values(grid) for grid in variants]
    if any(all(_may_be(t.get(key), wanted[key]) for key in wanted) for t in tables):
        return
    for key, value in wanted.items():
        if not any(_may_be(table.get(key), value) for table in tables):
            present = dict.fromkeys(show(v) for t in tables for v in t.get(key) or ())
            place = side if key in getattr(claim, side) else "where"
            found = ", ".join(present)
            note(
                (*path, place, key),
                f"{dotted(path)}.{place}: no variant of the suite has {key} {show(value)}; here "
                f"{key} is {found}",
            )
            return
    asked = ", ".join(f"{key} {show(value)}" for key, value in wanted.items())
    note((*path, side), f"{dotted(path)}.{side}: no variant of the suite has all of: {asked}")


def _shared_values(sections: dict[str, Any]) -> dict[str, tuple[Any, ...] | None]:
    """Return what the columns of results can hold that all variants share, where that is known."""
    names = {
        name: tuple(word for grid in sections.get(name) or () if grid for word in grid.name or ())
        for name in ("dataset", "task", "backbone")
    }
    names["task"] = names["task"] or ("classify",)
    if any(grid.import_ for grid in sections.get("backbone") or () if grid):
        names["backbone"] = ()
    seeds = sections.get("seeds")
    timing = sections.get("timing")
    cells = {"phase": timing.phases, "precision": timing.precisions} if timing else {}
    known_seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds or ())
    known = names | {"seed": known_seeds} | cells
    return {name: values or None for name, values in known.items()}


def _own_values(grid: Any) -> dict[str, tuple[Any, ...] | None]:
    """Return what a variant gives of family, depth, width and backbone; None is anything."""
    own: dict[str, tuple[Any, ...] | None] = {"family": grid.family, "depth": grid.depth}
    own["width"] = None if "match" in grid.width else grid.width
    if grid.backbone:
        names = tuple(word for backbone in grid.backbone for word in backbone.name or ())
        own["backbone"] = None if any(b.import_ for b in grid.backbone) else names
    return own


def _may_be(values: tuple[Any, ...] | None, wanted: Any) -> bool:
    return values is None or any(value in values for value in _listed(wanted))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _are_filter_words(path: Location, key: str, value: Any, note: Note) -> bool:
    """Note values that a column with a closed list of words never holds."""
    closed = {"family": g.Family, "task": g.Task, "dataset": g.DatasetName, "phase": g.Phase}
    allowed = g.words(closed[key]) if key in closed else ()
    unknown = [word for word in _listed(value) if allowed and word not in allowed]
    for word in unknown:
        note(path, f"{word!r} is no {key}{nearest(word, allowed)}")
    return not unknown


def _check_expectation(path: Location, expect: g.Expectation, note: Note) -> None:
    given = {k: v for k, v in expect.model_dump().items() if v is not None}
    if len(given) != 1:
        allowed = ", ".join(g.Expectation.model_fields)
        note(path, f"{dotted(path)} needs exactly one of {allowed}")
    for key, value in given.items():
        if isinstance(value, tuple) and value[0] > value[1]:
            note((*path, key), f"{key} is [low, high]; found {list(value)}")
