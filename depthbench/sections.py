"""The sections of a suite file: the type of each, the JSON Schema of all, and their validation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, create_model

from depthbench import grammar as g
from depthbench.axes import LISTED, NAMED, grid_of
from depthbench.document import Document, Location
from depthbench.mistakes import Mistake, explain, mistake
from depthbench.salvage import Wrong, salvage

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
    "cohort": (
        g.Cohort,
        "auto",
        "whether trials of one shape train as one stacked network where that is faster: auto | off",
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


def canonical_json(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the validated sections as plain JSON values, without what is at its default."""
    value = suite_model().model_construct(**sections)
    dumped = value.model_dump(mode="json", by_alias=True, exclude_defaults=True, warnings=False)
    return {name: dumped[name] for name in SECTIONS if name in dumped}


def validate_sections(document: Document, mistakes: list[Mistake]) -> tuple[dict[str, Any], Wrong]:
    """Return the validated sections of a suite, noting every mistake.

    Each is validated on its own. Of one with mistakes the rest is kept where it can be, so that
    what else is wrong shows at once; an element of a list that cannot be kept is None there, a
    section that cannot is left out.

    Returns:
        sections: values by name, defaults filled in.
        wrong: the settings that were mistaken, by the section or element they stand in.
    """
    sections: dict[str, Any] = {}
    wrong: Wrong = {}
    mapping = document.value
    for path in document.mistakes:
        names = [part for part in path if isinstance(part, str)]
        is_element = len(path) > 1 and isinstance(path[1], int)
        wrong.setdefault(path[: 1 + is_element], set()).update(names[-1:])
    spelled = [{"type": "extra_forbidden", "loc": (key,)} for key in mapping if key not in SECTIONS]
    mistakes += explain(spelled, document, (), keys_at())
    for name, (kind, default, _) in SECTIONS.items():
        if name in mapping:
            _validate(name, kind, document, mistakes, sections, wrong)
        elif default is ...:
            mistakes.append(mistake(document, (), f"the suite needs `{name}`"))
        else:
            sections[name] = default
    return sections, wrong


def _validate(
    name: str,
    kind: Any,
    document: Document,
    mistakes: list[Mistake],
    sections: dict[str, Any],
    wrong: Wrong,
) -> None:
    adapter = TypeAdapter(kind)
    try:
        sections[name] = adapter.validate_python(document.value[name], strict=True)
    except ValidationError as error:
        errors = [e for e in error.errors() if not _is_noted(document, (name, *e["loc"]))]
        mistakes += explain(errors, document, (name,), keys_at())
        kept = salvage(adapter, name, document.value[name], keys_at(), wrong)
        if kept is not None:
            sections[name] = kept


def _is_noted(document: Document, path: Location) -> bool:
    return any(path[: len(noted)] == noted for noted in document.mistakes)


@cache
def keys_at() -> Mapping[str, tuple[str, ...]]:
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
