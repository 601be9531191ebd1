"""Load a suite: YAML text to frozen, validated values; every mistake reported at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, create_model

from depthbench import grammar as g
from depthbench.axes import LISTED, NAMED, axes_of, grid_of, points
from depthbench.document import Document, Location, parse, read_text
from depthbench.errors import SuiteError
from depthbench.mistakes import Mistake, explain, mistake

TrainGrid: Any = grid_of(g.TrainSettings, "Train")
BackboneGrid: Any = grid_of(g.BackboneSettings, "Backbone")
DatasetGrid: Any = grid_of(g.DatasetSettings, "Dataset")
TaskGrid: Any = grid_of(g.TaskSettings, "Task")
VariantGrid: Any = grid_of(
    g.VariantSettings,
    "Variant",
    backbone=(
        Annotated[tuple[Annotated[BackboneGrid, NAMED], ...], LISTED] | None,
        Field(None, description="its own backbone"),
    ),
    train=(TrainGrid | None, Field(None, description="its own training, over the suite's")),
)
Seed = Annotated[int, Field(ge=0, lt=2**32)]

# The sections of a suite: name -> (type, default or ..., meaning). Each is validated on its own,
# so that a mistake in one does not hide those in another.
SECTIONS: dict[str, tuple[Any, Any, str]] = {
    "suite": (
        Annotated[str, Field(pattern=g.NAME_PATTERN)],
        ...,
        "name of the suite and of its folder under results/: a-z, 0-9 and -",
    ),
    "question": (Annotated[str, Field(max_length=1000)], "", "what the suite is to answer"),
    "dataset": (Annotated[tuple[Annotated[DatasetGrid, NAMED], ...], LISTED], ..., "the data"),
    "task": (
        Annotated[tuple[Annotated[TaskGrid, NAMED], ...], LISTED] | None,
        None,
        "what is learned (default: classify)",
    ),
    "backbone": (
        Annotated[tuple[Annotated[BackboneGrid, NAMED], ...], LISTED] | None,
        None,
        "the kind of residual module",
    ),
    "variants": (Annotated[list[VariantGrid], Field(min_length=1)], ..., "the networks"),
    "budget": (Annotated[tuple[g.BudgetSettings, ...], LISTED] | None, None, "what is held equal"),
    "train": (TrainGrid, ..., "how networks are trained"),
    "seeds": (
        Annotated[int, Field(ge=1, le=10_000)] | Annotated[list[Seed], Field(min_length=1)],
        1,
        "a number of seeds (from 0), or a list of them",
    ),
    "timing": (g.TimingSettings | None, None, "which cells are timed"),
    "probes": (
        Annotated[tuple[g.Probe, ...], LISTED] | None,
        None,
        "measurements inside trained networks",
    ),
    "claims": (list[g.ClaimSettings], [], "statements that results are judged by"),
}


def suite_model() -> Any:
    """Return the pydantic model of a whole suite file; its JSON Schema is the public grammar."""
    fields = {
        name: (kind, Field(default, description=meaning))
        for name, (kind, default, meaning) in SECTIONS.items()
    }
    create: Any = create_model  # its overloads know no fields from a table
    return create("Suite", __base__=g.Setting, __doc__="A depthbench suite.", **fields)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a suite file, for editors."""
    schema = suite_model().model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


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
    from depthbench.checks import check_sections, check_suite
    from depthbench.overrides import override

    document = override(parse(text, source), overrides)
    if not isinstance(document.value, dict):
        raise SuiteError(f"{document.where(())}: a suite is a mapping, such as `suite: my-name`")
    mistakes = [Mistake(0, reason) for reason in document.mistakes.values()]
    sections = _validate_sections(document, mistakes)
    check_sections(sections, document, mistakes)
    _raise_if(mistakes)
    suite = _build(sections, document, text, folder)
    mistakes += check_suite(suite)
    _raise_if(mistakes)
    return suite


def _raise_if(mistakes: Iterable[Mistake]) -> None:
    unique = sorted(set(mistakes))
    if unique:
        shown = [m.text for m in unique[:40]]
        more = len(unique) - len(shown)
        raise SuiteError("\n".join(shown + ([f"... and {more} more mistakes"] if more else [])))


def _validate_sections(document: Document, mistakes: list[Mistake]) -> dict[str, Any]:
    """Validate each section on its own; one that fails is left out and its mistakes noted."""
    found: dict[str, Any] = {}
    mapping = document.value
    spelled = [{"type": "extra_forbidden", "loc": (key,)} for key in mapping if key not in SECTIONS]
    mistakes += explain(spelled, document, (), _keys_at())
    for name, (kind, default, _) in SECTIONS.items():
        if name not in mapping:
            if default is ...:
                mistakes.append(mistake(document, (), f"the suite needs `{name}`"))
            else:
                found[name] = default
            continue
        try:
            found[name] = TypeAdapter(kind).validate_python(mapping[name], strict=True)
        except ValidationError as error:
            errors = [e for e in error.errors() if not _is_noted(document, (name, *e["loc"]))]
            mistakes += explain(errors, document, (name,), _keys_at())
    return found


def _is_noted(document: Document, path: Location) -> bool:
    return any(path[: len(noted)] == noted for noted in document.mistakes)


def _keys_at() -> dict[str, tuple[str, ...]]:
    """Return the keys each section knows; the empty name is the suite itself."""
    models: dict[str, Any] = {
        "variants": VariantGrid,
        "train": TrainGrid,
        "backbone": BackboneGrid,
        "dataset": DatasetGrid,
        "task": TaskGrid,
        "budget": g.BudgetSettings,
        "reference": g.ReferenceSettings,
        "timing": g.TimingSettings,
        "claims": g.ClaimSettings,
        "expect": g.Expectation,
    }
    keys = {"": tuple(SECTIONS)}
    for name, model in models.items():
        fields = model.model_fields.items()
        keys[name] = tuple(info.alias or key for key, info in fields)
    return keys


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
    base_trains = trains_of(sections["train"], None)
    entries: list[VariantEntry] = []
    for index, grid in enumerate(sections["variants"]):
        own = grid.train
        trains = trains_of(sections["train"], own) if own is not None else base_trains
        backbones = tuple(_expand(grid.backbone, g.BackboneSettings))
        axes = {k: v for k, v in axes_of(grid).items() if k != "backbone"}
        for point in points(axes):
            settings = g.VariantSettings(**point)
            entries.append(VariantEntry(("variants", index), settings, backbones, trains))
    seeds = sections["seeds"]
    canonical = canonical_json(sections)
    return Suite(
        name=sections["suite"],
        question=sections["question"],
        text=text,
        canonical=canonical,
        suite_hash=hashlib.sha256(
            json.dumps(canonical, sort_keys=True, allow_nan=False).encode()
        ).hexdigest()[:16],
        datasets=tuple(
            _anchored(d, folder) for d in _expand(sections["dataset"], g.DatasetSettings)
        ),
        tasks=tuple(_expand(sections["task"], g.TaskSettings))
        or (g.TaskSettings(name="classify"),),
        backbones=tuple(_expand(sections["backbone"], g.BackboneSettings)),
        variants=tuple(entries),
        budgets=sections["budget"] or (),
        seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(dict.fromkeys(seeds)),
        timing=sections["timing"],
        probes=sections["probes"] or (),
        claims=tuple(sections["claims"]),
        document=document,
    )


def canonical_json(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the validated sections as plain JSON values, without what is at its default."""
    value = suite_model().model_construct(**sections)
    dumped = value.model_dump(mode="json", by_alias=True, exclude_defaults=True, warnings=False)
    return {name: dumped[name] for name in SECTIONS if name in dumped}


def _anchored(dataset: g.DatasetSettings, folder: Path | None) -> g.DatasetSettings:
    if dataset.path is None or folder is None:
        return dataset
    return dataset.model_copy(update={"path": str((folder / Path(dataset.path)).absolute())})
