"""Load a suite: YAML text to frozen, validated values; every mistake reported at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from depthbench import grammar as g
from depthbench.axes import axes_of, points
from depthbench.document import Document, Location, parse, read_text
from depthbench.errors import SuiteError
from depthbench.mistakes import Mistake, located
from depthbench.sections import canonical_json, validate_sections

MAX_SHOWN = 40


@dataclass(frozen=True)
class VariantEntry:
    """One point of the variants: scalar settings, with its own backbones and training if any."""

    path: Location
    settings: g.VariantSettings
    backbones: tuple[g.BackboneSettings, ...]
    trains: tuple[g.TrainSettings, ...]


@dataclass(frozen=True)
class Suite:
    """One validated question: what to build, train, time and judge.

    `canonical` is the validated file without defaults, as plain JSON values; `suite_hash` names it.
    """

    name: str
    question: str
    text: str
    canonical: dict[str, Any]
    suite_hash: str
    datasets: tuple[g.DatasetSettings, ...]
    tasks: tuple[g.TaskSettings, ...]
    backbones: tuple[g.BackboneSettings, ...]
    variants: tuple[VariantEntry, ...]
    budgets: tuple[g.BudgetSettings, ...]
    seeds: tuple[int, ...]
    cohort: str
    timing: g.TimingSettings | None
    probes: tuple[str, ...]
    claims: tuple[g.ClaimSettings, ...]
    document: Document = field(repr=False, compare=False)

    @property
    def source(self) -> str:
        """Return the file the suite was read from."""
        return self.document.source

    def where(self, path: Location) -> str:
        """Return file:line:column of a path of the suite."""
        return self.document.where(path)


def load_suite(path: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """Return the suite in a file.

    Args:
        path: a YAML file.
        overrides: `key=value` settings that replace the file's, such as "train.lr=0.01".

    Raises:
        SuiteError: lists every mistake with file:line:column, what was found and what is allowed.
    """
    path = Path(path)
    return parse_suite(read_text(path), str(path), overrides, folder=path.parent)


def parse_suite(
    text: str, source: str, overrides: Sequence[str] = (), folder: Path | None = None
) -> Suite:
    """Return the suite in a text; `folder` is where relative paths of data files start."""
    from depthbench.checks import Notes, check_sections, check_size, check_suite
    from depthbench.overrides import override

    document = override(parse(text, source), overrides)
    if not isinstance(document.value, dict):
        raise SuiteError(f"{document.where(())}: a suite is a mapping, such as `suite: my-name`")
    mistakes = [
        located(reason, reason.split(": ")[0], path) for path, reason in document.mistakes.items()
    ]
    sections, wrong = validate_sections(document, mistakes)
    note = Notes(document, mistakes, wrong)
    check_sections(sections, note)
    if not check_size(sections, note):
        _raise_if(mistakes)
    suite = _build(sections, document, text, folder)
    check_suite(suite, note)
    _raise_if(mistakes, suite)
    return suite


def _raise_if(mistakes: Iterable[Mistake], suite: Suite | None = None) -> None:
    """Raise what is wrong, if anything is, together with what stands of the suite without it."""
    unique = sorted(set(mistakes))
    if unique:
        remainder = suite and _without(suite, [mistake.path for mistake in unique])
        shown = [mistake.text for mistake in unique[:MAX_SHOWN]]
        if len(unique) > len(shown):
            shown.append(f"... and {len(unique) - len(shown)} more mistakes")
        raise SuiteError("\n".join(shown), remainder=remainder)


def _without(suite: Suite, places: list[Location]) -> Suite:
    """Return the suite without the variants that mistakes are in, or hang on."""
    shared = {place[:1] for place in places} & {("dataset",), ("task",), ("backbone",), ("budget",)}
    kept = [] if shared else [v for v in suite.variants if v.path not in {p[:2] for p in places}]
    return replace(suite, variants=tuple(kept))


def _expand(grids: Iterable[Any] | None, model: Any) -> Iterator[Any]:
    for grid in grids or ():
        for point in points(axes_of(grid)):
            yield model(**point)


def trains_of(base: Any, own: Any) -> tuple[g.TrainSettings, ...]:
    """Return the trainings of a variant: its own settings over the suite's.

    A duration of its own replaces the suite's.
    """
    axes = axes_of(base)
    if own is not None:
        mine = axes_of(own)
        if any(duration in mine for duration in g.DURATIONS):
            axes = {key: value for key, value in axes.items() if key not in g.DURATIONS}
        axes = axes | mine
    ordered = {key: axes[key] for key in g.TrainSettings.model_fields if key in axes}
    return tuple(g.TrainSettings(**point) for point in points(ordered))


def _build(sections: dict[str, Any], document: Document, text: str, folder: Path | None) -> Suite:
    """Return the suite that its sections make; of mistaken ones, as far as they go."""

    def listed(name: str) -> tuple[Any, ...]:
        return tuple(item for item in sections.get(name) or () if item is not None)

    seeds = sections.get("seeds", 1)
    canonical = canonical_json(sections)
    return Suite(
        name=sections.get("suite", ""),
        question=sections.get("question", ""),
        text=text,
        canonical=canonical,
        suite_hash=hashlib.sha256(
            json.dumps(canonical, sort_keys=True, allow_nan=False).encode()
        ).hexdigest()[:16],
        datasets=tuple(_anchored(d, folder) for d in _expand(listed("dataset"), g.DatasetSettings)),
        tasks=tuple(_expand(listed("task"), g.TaskSettings)) or (g.TaskSettings(name="classify"),),
        backbones=tuple(_expand(listed("backbone"), g.BackboneSettings)),
        variants=tuple(_entries(sections)),
        budgets=listed("budget"),
        seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(dict.fromkeys(seeds)),
        cohort=sections.get("cohort", "auto"),
        timing=sections.get("timing"),
        probes=sections.get("probes") or (),
        claims=listed("claims"),
        document=document,
    )


def _entries(sections: dict[str, Any]) -> Iterator[VariantEntry]:
    base = sections.get("train")
    base_trains = trains_of(base, None) if base is not None else ()
    for index, grid in enumerate(sections.get("variants") or ()):
        if grid is None:
            continue
        is_own = base is not None and grid.train is not None
        trains = trains_of(base, grid.train) if is_own else base_trains
        backbones = tuple(_expand(grid.backbone, g.BackboneSettings))
        axes = {k: v for k, v in axes_of(grid).items() if k not in ("backbone", "train")}
        for point in points(axes):
            settings = g.VariantSettings(**point)
            yield VariantEntry(("variants", index), settings, backbones, trains)


def _anchored(dataset: g.DatasetSettings, folder: Path | None) -> g.DatasetSettings:
    if dataset.path is None or folder is None:
        return dataset
    return dataset.model_copy(update={"path": str((folder / Path(dataset.path)).absolute())})
