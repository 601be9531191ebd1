"""What must hold in a suite beyond types: settings that need, exclude or outgrow one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from depthbench import grammar as g
from depthbench.axes import axes_of, num_points
from depthbench.claim_checks import check_claims
from depthbench.document import Document, Location
from depthbench.mistakes import Mistake, dotted, mistake
from depthbench.options import option_problems
from depthbench.salvage import Wrong, is_about_wrong
from depthbench.variants import head_options

_OWN_FILES = ("npz", "text")
_IMAGE_TASKS = ("denoise", "super_resolution", "prototype")


class Notes:
    """Take notes of what is wrong in a document, but of nothing that hangs on another mistake."""

    def __init__(self, document: Document, mistakes: list[Mistake], wrong: Wrong) -> None:
        self.document = document
        self.mistakes = mistakes
        self.wrong = wrong

    def __call__(self, path: Location, message: str, *, is_sure: bool = False) -> None:
        """Note a mistake at a path of the document; one that is sure hangs on no other."""
        if is_sure or not is_about_wrong(path, message, self.wrong):
            self.mistakes.append(mistake(self.document, path, message))

    def given(self, path: Location, names: Iterable[str], element: Any) -> list[str]:
        """Return which of these settings an element gives, those that are mistaken too."""
        wrong = self.wrong.get(path, set())
        return [name for name in names if getattr(element, name) is not None or name in wrong]


def check_sections(sections: dict[str, Any], note: Notes) -> None:
    """Note mistakes that can be seen in the sections that could be read."""
    _check_datasets(sections, note)
    _check_tasks(sections, note)
    for path, grid in elements(sections, "backbone"):
        _check_backbone(path, grid, note)
    _check_trainings(sections, note)
    _check_text(sections, note)
    _check_augment(sections, note)
    _check_budgets(sections, note)
    _check_timing(sections.get("timing"), note)
    _check_words(("probes",), "probes", sections.get("probes") or (), note)
    check_claims(sections, note)


def elements(sections: dict[str, Any], name: str) -> Iterator[tuple[Location, Any]]:
    """Yield what a section holds, each with its path; one written alone has the section's path."""
    found = sections.get(name) or ()
    for index, element in enumerate(found):
        if element is not None:
            is_alone = len(found) == 1 and name not in ("variants", "claims")
            yield ((name,) if is_alone else (name, index)), element


def _trainings(sections: dict[str, Any]) -> Iterator[tuple[Location, Any]]:
    """Yield the suite's training and those of variants, each with its path."""
    if sections.get("train") is not None:
        yield ("train",), sections["train"]
    for path, grid in elements(sections, "variants"):
        if grid.train is not None:
            yield (*path, "train"), grid.train


def _names(sections: dict[str, Any], section: str) -> tuple[str, ...]:
    return tuple(name for _, grid in elements(sections, section) for name in grid.name or ())


def _check_words(path: Location, setting: str, words: Any, note: Notes) -> None:
    available = g.AVAILABLE[setting]
    for word in words or ():
        if word not in available:
            known = ", ".join(available) or "none"
            note(path, f"{dotted(path)}: {word!r} is not available yet; this version has: {known}")


def _check_tasks(sections: dict[str, Any], note: Notes) -> None:
    names = _names(sections, "task")
    _check_words(("task",), "task", names, note)
    for path, grid in elements(sections, "task"):
        for name in grid.name or ():
            if name != "denoise" and grid.noise:
                note((*path, "noise"), f"noise applies to denoise, not to {name}")
    for path, training in _trainings(sections):
        for name in names if training.label_smoothing else ():
            if name in _IMAGE_TASKS:
                note((*path, "label_smoothing"), f"label_smoothing has no labels in task {name}")


def _check_augment(sections: dict[str, Any], note: Notes) -> None:
    texts = [name for name in _names(sections, "dataset") if name in g.TEXT_SETS]
    for path, training in _trainings(sections) if texts else ():
        changes = [word for word in training.augment or () if word != "none"]
        if changes:
            note((*path, "augment"), f"augment: {changes[0]} is for images, not for {texts[0]}")


def _check_text(sections: dict[str, Any], note: Notes) -> None:
    """Check that text, its task and its unit of duration stand together."""
    datasets, tasks = _names(sections, "dataset"), _names(sections, "task")
    images = [name for name in datasets if name not in g.TEXT_SETS]
    texts = [name for name in datasets if name in g.TEXT_SETS]
    others = [name for name in tasks or ("classify",) if name != "language_model"]
    if texts and others and "task" in sections:
        note(("task",), f"dataset {texts[0]} is text: set task: language_model, not {others[0]}")
    if images and "language_model" in tasks:
        sets = ", ".join(g.TEXT_SETS)
        note(("task",), f"task language_model needs text ({sets}), and {images[0]} is not")
    for path, training in _trainings(sections) if images else ():
        if training.tokens:
            message = "tokens is a duration of text sets; use steps, epochs or examples"
            note((*path, "tokens"), message)


def _check_datasets(sections: dict[str, Any], note: Notes) -> None:
    for path, grid in elements(sections, "dataset"):
        _check_words(path, "dataset", grid.name, note)
        for name in grid.name:
            if name in _OWN_FILES and not (grid.path or grid.file):
                note(path, f"dataset {name} needs path, the file of your data")
            if name not in _OWN_FILES and grid.path:
                note((*path, "path"), f"dataset {name} takes no path; --data-dir says where it is")
            if name != "npz" and grid.num_classes:
                note((*path, "num_classes"), f"num_classes applies to npz, not to {name}")
            for key in ("vocabulary", "context", "file", "document_mask"):
                if name not in g.TEXT_SETS and any(getattr(grid, key) or ()):
                    note((*path, key), f"{key} applies to text sets, not to {name}")


def _check_backbone(path: Location, grid: Any, note: Notes) -> None:
    _check_words(path, "backbone", grid.name, note)
    if grid.name and grid.import_:
        note(path, f"{dotted(path)} has a name and an import; keep one of them")
    if not grid.name and not grid.import_:
        names = ", ".join(g.AVAILABLE["backbone"])
        note(path, f"{dotted(path)} needs a name ({names}) or an import (package.module:factory)")
    if grid.base and not grid.import_:
        note((*path, "base"), "base applies to an imported backbone")


def _check_trainings(sections: dict[str, Any], note: Notes) -> None:
    base = sections.get("train")
    for path, grid in elements(sections, "variants"):
        for index, backbone in enumerate(grid.backbone or ()):
            is_alone = len(grid.backbone) == 1
            place: Location = (*path, "backbone") if is_alone else (*path, "backbone", index)
            _check_backbone(place, backbone, note)
    for path, training in _trainings(sections) if base is not None else ():
        _check_training(path, training, base, note)


def _check_training(path: Location, own: Any, base: Any, note: Notes) -> None:
    """Check one training; `own` settings stand over those of `base`."""
    durations = note.given(path, g.DURATIONS, own) or note.given(("train",), g.DURATIONS, base)
    if len(durations) != 1:
        found = " and ".join(durations) or "none"
        message = f"{dotted(path)} needs exactly one of {', '.join(g.DURATIONS)}; found {found}"
        note(path, message, is_sure=True)

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
    path: Location, axis: Any, durations: list[str], grids: tuple[Any, Any], note: Notes
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


def _check_budgets(sections: dict[str, Any], note: Notes) -> None:
    for path, budget in elements(sections, "budget"):
        given = note.given(path, ("reference", "target"), budget)
        if len(given) != 1:
            message = f"{dotted(path)} needs exactly one of reference and target"
            note(path, message, is_sure=True)
        if budget.reference is not None and budget.reference.backbone is not None:
            place = (*path, "reference", "backbone")
            backbone = budget.reference.backbone
            _check_words(place, "backbone", (backbone.name,) if backbone.name else (), note)


def _check_timing(timing: Any, note: Notes) -> None:
    if timing is None:
        return
    _check_words(("timing", "phases"), "phases", timing.phases, note)
    _check_words(("timing", "precisions"), "timing precisions", timing.precisions, note)
    _check_words(("timing", "modes"), "modes", timing.modes, note)
    _check_words(("timing", "cache"), "cache", timing.cache, note)


def check_size(sections: dict[str, Any], note: Notes) -> bool:
    """Note a product of axes that would not fit in memory, before anything is expanded.

    Returns:
        Whether the suite, as far as it could be read, can be expanded.
    """
    seeds = sections.get("seeds", 1)
    shared = seeds if isinstance(seeds, int) else len(seeds)
    for name in ("dataset", "task", "backbone"):
        shared *= sum(num_points(axes_of(grid)) for _, grid in elements(sections, name)) or 1
    shared *= sum(1 for _ in elements(sections, "budget")) or 1
    total = 0
    for _, grid in elements(sections, "variants"):
        axes = {k: v for k, v in axes_of(grid).items() if k != "backbone"}
        own = sum(num_points(axes_of(b)) for b in grid.backbone or ()) or 1
        base = sections.get("train")
        trains = (axes_of(base) if base else {}) | (axes_of(grid.train) if grid.train else {})
        total += shared * own * num_points(axes) * num_points(trains)
    if total > g.MAX_TRIALS:
        note((), f"the axes multiply to {total:,} trials; at most {g.MAX_TRIALS:,} fit one suite")
    return total <= g.MAX_TRIALS


def check_suite(suite: Any, note: Notes) -> None:
    """Note mistakes that show only in a point of the axes: options that do not go together."""
    found: dict[tuple[Location, str], None] = {}
    shared: dict[Location, str] = {}
    for entry in suite.variants:
        backbones = entry.backbones or suite.backbones
        if not backbones:
            names = ", ".join(g.AVAILABLE["backbone"])
            message = f"{dotted(entry.path)} has no backbone; set backbone: {names}, or an import"
            found[entry.path, message] = None
        _note_unmatched(suite, entry, backbones, found)
        for backbone in backbones:
            for field, message in _point_problems(entry.settings, backbone, suite.tasks):
                if entry.backbones or _is_own(entry.settings, field):
                    found[(*entry.path, field), f"{dotted(entry.path)}: {message}"] = None
                else:  # said once, where it is written, whatever variants it concerns
                    shared.setdefault(("backbone", field), f"backbone: {message}")
    for path, message in (*found, *shared.items(), *_reference_problems(suite)):
        note(path, message)


def _note_unmatched(suite: Any, entry: Any, backbones: Any, found: dict[Any, None]) -> None:
    """Note what is to be solved and has no budget that could say how."""
    matches = [budget.match for budget in suite.budgets]
    place = (*entry.path, "width")
    if entry.settings.width == "match" and not matches:
        found[place, "width: match needs a budget to match"] = None
    if entry.settings.width == "match" and "total_heads" in matches:
        message = "the number of heads does not follow from the width; use heads: match"
        found[place, f"width: match beside match: total_heads: {message}"] = None
    is_solved = any(head_options(entry.settings, b).get("heads") == "match" for b in backbones)
    if is_solved and "total_heads" not in matches:
        message = "heads: match needs a budget with match: total_heads"
        found[(*entry.path, "heads"), message] = None


def _is_own(settings: g.VariantSettings, field: str) -> bool:
    """Say whether a problem is with what the variant itself gives, not the suite's backbone."""
    return (
        field not in g.BackboneSettings.model_fields or getattr(settings, field, None) is not None
    )


def _point_problems(
    settings: g.VariantSettings, backbone: g.BackboneSettings, tasks: tuple[g.TaskSettings, ...]
) -> list[tuple[str, str]]:
    problems = option_problems(settings, backbone)
    others = [task.name for task in tasks if task.name not in _IMAGE_TASKS]
    if others and "sigmoid" in (settings.output or backbone.output,):
        images = ", ".join(_IMAGE_TASKS)
        reason = f"output: sigmoid is for images ({images}); task {others[0]} takes logits"
        problems = [*problems, ("output", reason)]
    return problems


def _reference_problems(suite: Any) -> Iterator[tuple[Location, str]]:
    for path, budget in elements({"budget": suite.budgets}, "budget"):
        reference, place = budget.reference, (*path, "reference")
        if reference is None:
            continue
        backbones = (reference.backbone,) if reference.backbone else suite.backbones
        if not backbones:
            yield place, f"{dotted(place)} needs a backbone"
        for backbone in backbones:
            for field, message in option_problems(reference, backbone):
                yield (*place, field), f"{dotted(place)}: {message}"
            if head_options(reference, backbone).get("heads") == "match":
                yield (*place, "heads"), f"{dotted(place)}: heads: match; a reference has a number"
