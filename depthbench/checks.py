"""What must hold in a suite beyond types: settings that need, exclude or outgrow one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from depthbench import grammar as g
from depthbench.axes import axes_of, num_points
from depthbench.document import Document, Location
from depthbench.mistakes import Mistake, dotted, mistake, nearest
from depthbench.record import TABLES, column_names

Note = Callable[..., None]

_OWN_FILES = ("npz", "text")
_IMAGE_TASKS = ("denoise", "super_resolution", "prototype")


def check_sections(sections: dict[str, Any], document: Document, mistakes: list[Mistake]) -> None:
    """Note mistakes that can be seen section by section; absent sections failed already."""

    def note(path: Location, message: str) -> None:
        mistakes.append(mistake(document, path, message))

    _check_datasets(sections.get("dataset") or (), note)
    _check_tasks(sections, note)
    _check_backbones(("backbone",), sections.get("backbone") or (), note)
    _check_trainings(sections, note)
    _check_text(sections, note)
    _check_augment(sections, note)
    _check_budgets(sections.get("budget") or (), note)
    _check_timing(sections.get("timing"), note)
    _check_words(("probes",), "probes", sections.get("probes") or (), note)
    _check_claims(sections, note)
    if {"variants", "train", "dataset", "seeds"} <= sections.keys():
        _check_size(sections, note)


def _names(grids: Any) -> tuple[str, ...]:
    return tuple(name for grid in grids or () for name in grid.name or ())


def _check_words(path: Location, setting: str, words: Any, note: Note) -> None:
    available = g.AVAILABLE[setting]
    for word in words or ():
        if word not in available:
            known = ", ".join(available) or "none"
            note(path, f"{dotted(path)}: {word!r} is not available yet; this version has: {known}")


def _check_tasks(sections: dict[str, Any], note: Note) -> None:
    tasks = sections.get("task") or ()
    names = _names(tasks)
    _check_words(("task",), "task", names, note)
    for index, grid in enumerate(tasks):
        path: Location = ("task", index) if len(tasks) > 1 else ("task",)
        for name in grid.name or ():
            if name != "denoise" and grid.noise:
                note((*path, "noise"), f"noise applies to denoise, not to {name}")
    trainings: list[tuple[Location, Any]] = [(("train",), sections.get("train"))]
    for index, grid in enumerate(sections.get("variants") or ()):
        trainings.append((("variants", index, "train"), grid.train))
    for place, training in trainings:
        for name in names if training is not None and training.label_smoothing else ():
            if name in _IMAGE_TASKS:
                note((*place, "label_smoothing"), f"label_smoothing has no labels in task {name}")


def _check_augment(sections: dict[str, Any], note: Note) -> None:
    texts = [name for name in _names(sections.get("dataset")) if name in g.TEXT_SETS]
    places: list[tuple[Location, Any]] = [(("train",), sections.get("train"))]
    for index, grid in enumerate(sections.get("variants") or ()):
        places.append((("variants", index, "train"), grid.train))
    for path, training in places if texts else ():
        changes = [word for word in (training and training.augment) or () if word != "none"]
        if changes:
            note((*path, "augment"), f"augment: {changes[0]} is for images, not for {texts[0]}")


def _check_text(sections: dict[str, Any], note: Note) -> None:
    """Check that text, its task and its unit of duration stand together."""
    datasets, tasks = _names(sections.get("dataset")), _names(sections.get("task"))
    images = [name for name in datasets if name not in g.TEXT_SETS]
    texts = [name for name in datasets if name in g.TEXT_SETS]
    others = [name for name in tasks or ("classify",) if name != "language_model"]
    if texts and others and "task" in sections:
        note(("task",), f"dataset {texts[0]} is text: set task: language_model, not {others[0]}")
    if images and "language_model" in tasks:
        sets = ", ".join(g.TEXT_SETS)
        note(("task",), f"task language_model needs text ({sets}), and {images[0]} is not")
    places: list[tuple[Location, Any]] = [(("train",), sections.get("train"))]
    for index, grid in enumerate(sections.get("variants") or ()):
        places.append((("variants", index, "train"), grid.train))
    for path, training in places if images else ():
        if training is not None and training.tokens:
            message = "tokens is a duration of text sets; use steps, epochs or examples"
            note((*path, "tokens"), message)


def _check_datasets(datasets: Any, note: Note) -> None:
    for index, grid in enumerate(datasets):
        path: Location = ("dataset", index) if len(datasets) > 1 else ("dataset",)
        names = grid.name
        _check_words(path, "dataset", names, note)
        for name in names:
            if name in _OWN_FILES and not (grid.path or grid.file):
                note(path, f"dataset {name} needs path, the file of your data")
            if name not in _OWN_FILES and grid.path:
                note((*path, "path"), f"dataset {name} takes no path; --data-dir says where it is")
            if name != "npz" and grid.num_classes:
                note((*path, "num_classes"), f"num_classes applies to npz, not to {name}")
            for key in ("vocabulary", "context", "file", "document_mask"):
                if name not in g.TEXT_SETS and any(getattr(grid, key) or ()):
                    note((*path, key), f"{key} applies to text sets, not to {name}")


def _check_backbones(path: Location, backbones: Any, note: Note) -> None:
    for index, grid in enumerate(backbones):
        place = (*path, index) if len(backbones) > 1 else path
        _check_words(place, "backbone", grid.name, note)
        if bool(grid.name) == bool(grid.import_):
            note(place, f"{dotted(place)} needs exactly one of name and import")
        if grid.base and not grid.import_:
            note((*place, "base"), "base applies to an imported backbone")


def _check_trainings(sections: dict[str, Any], note: Note) -> None:
    base = sections.get("train")
    if base is not None:
        _check_training(("train",), base, base, note)
    for index, grid in enumerate(sections.get("variants") or ()):
        path: Location = ("variants", index)
        _check_backbones((*path, "backbone"), grid.backbone or (), note)
        if grid.train is not None and base is not None:
            _check_training((*path, "train"), grid.train, base, note)


def _check_training(path: Location, own: Any, base: Any, note: Note) -> None:
    """Check one training; `own` settings stand over those of `base`."""
    durations = [d for d in g.DURATIONS if getattr(own, d)] or [
        d for d in g.DURATIONS if getattr(base, d)
    ]
    if len(durations) != 1:
        found = " and ".join(durations) or "none"
        note(path, f"{dotted(path)} needs exactly one of {', '.join(g.DURATIONS)}; found {found}")

    def value(key: str, default: Any) -> tuple[Any, ...]:
        return getattr(own, key) or getattr(base, key) or (default,)

    optimizers, schedules = value("optimizer", "adamw"), value("schedule", "constant")
    for key, owners in (
        ("momentum", "sgd"),
        ("nesterov", "sgd"),
        ("betas", "adam"),
        ("eps", "adam"),
    ):
        if getattr(own, key) is not None and not any(o.startswith(owners) for o in optimizers):
            note((*path, key), f"{key} applies to {owners}, and the optimizer is {optimizers[0]}")
    for key in ("milestones", "gamma"):
        if getattr(own, key) is not None and "step" not in schedules:
            note((*path, key), f"{key} applies to schedule: step, not to {schedules[0]}")
    if any(value("nesterov", True)) and 0 in value("momentum", 0.9) and "sgd" in optimizers:
        note((*path, "momentum"), "nesterov needs a momentum above 0; set nesterov: false")
    if "step" in schedules:
        _check_milestones(path, value("milestones", ()), durations, (own, base), note)


def _check_milestones(
    path: Location, axis: Any, durations: list[str], grids: tuple[Any, Any], note: Note
) -> None:
    place = (*path, "milestones")
    longest = max(
        (max(getattr(grid, d)) for d in durations for grid in grids if getattr(grid, d)), default=0
    )
    for milestones in axis:
        if not milestones:
            note(path, "schedule: step needs milestones, such as [60, 120], in the duration's unit")
        elif list(milestones) != sorted(set(milestones)):
            note(place, f"milestones must increase; found {list(milestones)}")
        elif longest and milestones[-1] >= longest:
            note(place, f"the milestone {milestones[-1]:g} is not before the end, {longest:g}")


def _check_budgets(budgets: Any, note: Note) -> None:
    for index, budget in enumerate(budgets):
        path: Location = ("budget", index) if len(budgets) > 1 else ("budget",)
        if (budget.reference is None) == (budget.target is None):
            note(path, f"{dotted(path)} needs exactly one of reference and target")
        if budget.reference is not None and budget.reference.backbone is not None:
            place = (*path, "reference", "backbone")
            backbone = budget.reference.backbone
            _check_words(place, "backbone", (backbone.name,) if backbone.name else (), note)


def _check_timing(timing: Any, note: Note) -> None:
    if timing is None:
        return
    _check_words(("timing", "phases"), "phases", timing.phases, note)
    _check_words(("timing", "precisions"), "timing precisions", timing.precisions, note)
    _check_words(("timing", "modes"), "modes", timing.modes, note)
    _check_words(("timing", "cache"), "cache", timing.cache, note)


def _check_claims(sections: dict[str, Any], note: Note) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(sections.get("claims") or ()):
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
        return
    if timing and sections.get("timing") is None and "timing" in sections:
        note((*path, "metric"), f"{claim.metric} is a timing, and the suite has no timing section")
    known = column_names("timings" if timing else "trials")
    if timing:
        known = tuple(dict.fromkeys(known + column_names("trials")))
    for side in ("of", "against", "where"):
        for key, value in getattr(claim, side).items():
            if key not in known:
                note((*path, side, key), f"{key!r} is no column{nearest(key, known)}")
            _check_filter_words((*path, side, key), key, value, note)
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


def _check_filter_words(path: Location, key: str, value: Any, note: Note) -> None:
    closed = {"family": g.Family, "task": g.Task, "dataset": g.DatasetName, "phase": g.Phase}
    if key not in closed:
        return
    allowed = g.words(closed[key])
    for word in value if isinstance(value, list) else [value]:
        if word not in allowed:
            note(path, f"{word!r} is no {key}{nearest(word, allowed)}")


def _check_expectation(path: Location, expect: g.Expectation, note: Note) -> None:
    given = {k: v for k, v in expect.model_dump().items() if v is not None}
    if len(given) != 1:
        allowed = ", ".join(g.Expectation.model_fields)
        note(path, f"{dotted(path)} needs exactly one of {allowed}")
    for key, value in given.items():
        if isinstance(value, tuple) and value[0] > value[1]:
            note((*path, key), f"{key} is [low, high]; found {list(value)}")


def _check_size(sections: dict[str, Any], note: Note) -> None:
    """Refuse a product of axes that would not fit in memory, before anything is expanded."""
    shared = 1
    for name in ("dataset", "task", "backbone"):
        shared *= sum(num_points(axes_of(grid)) for grid in sections.get(name) or ()) or 1
    shared *= sections["seeds"] if isinstance(sections["seeds"], int) else len(sections["seeds"])
    shared *= max(1, len(sections.get("budget") or ()))
    total = 0
    for grid in sections["variants"]:
        axes = {k: v for k, v in axes_of(grid).items() if k != "backbone"}
        own = sum(num_points(axes_of(b)) for b in grid.backbone or ()) or 1
        trains = axes_of(sections["train"]) | (axes_of(grid.train) if grid.train else {})
        total += shared * own * num_points(axes) * num_points(trains)
    if total > g.MAX_TRIALS:
        note((), f"the axes multiply to {total:,} trials; at most {g.MAX_TRIALS:,} fit one suite")


def check_suite(suite: Any) -> Iterator[Mistake]:
    """Yield mistakes that show only in a point of the axes: options that do not go together."""
    from depthbench.options import option_problems

    seen: set[tuple[Location, str]] = set()
    for entry in suite.variants:
        backbones = entry.backbones or suite.backbones
        if not backbones:
            yield mistake(suite.document, entry.path, f"{dotted(entry.path)} has no backbone")
        if entry.settings.width == "match" and not suite.budgets:
            path = (*entry.path, "width")
            yield mistake(suite.document, path, "width: match needs a budget to match")
        for backbone in backbones:
            problems = [
                *option_problems(entry.settings, backbone),
                *_output_problems(entry.settings, backbone, suite.tasks),
            ]
            for field, message in problems:
                path = (*entry.path, field)
                if (path, message) not in seen:
                    seen.add((path, message))
                    yield mistake(suite.document, path, f"{dotted(entry.path)}: {message}")
    yield from _check_references(suite)


def _output_problems(
    settings: g.VariantSettings, backbone: g.BackboneSettings, tasks: tuple[g.TaskSettings, ...]
) -> list[tuple[str, str]]:
    others = [task.name for task in tasks if task.name not in _IMAGE_TASKS]
    if not others or "sigmoid" not in (settings.output or backbone.output,):
        return []
    return [
        (
            "output",
            f"output: sigmoid is for images ({', '.join(_IMAGE_TASKS)}); task {others[0]} takes "
            "logits",
        )
    ]


def _check_references(suite: Any) -> Iterator[Mistake]:
    from depthbench.options import option_problems

    for index, budget in enumerate(suite.budgets):
        reference = budget.reference
        if reference is None:
            continue
        path: Location = ("budget", index) if len(suite.budgets) > 1 else ("budget",)
        path = (*path, "reference")
        backbones = (reference.backbone,) if reference.backbone else suite.backbones
        if not backbones:
            yield mistake(suite.document, path, f"{dotted(path)} needs a backbone")
        for backbone in backbones:
            for field, message in option_problems(reference, backbone):
                yield mistake(suite.document, (*path, field), f"{dotted(path)}: {message}")
