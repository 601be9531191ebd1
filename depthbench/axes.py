"""Axes: settings that may be one value or a list of values, and their products. Pydantic only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import Annotated, Any, get_args, get_origin

from annotated_types import GroupedMetadata, MinLen
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo


class _OneOrMany:
    """Show editors that one value may stand for a list of one."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema = handler(core_schema)
        item = schema.get("items", {})
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


class _NameOrMapping:
    """Show editors that a bare name may stand for a mapping with only `name`."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema = handler(core_schema)
        name = handler.resolve_ref_schema(schema)["properties"]["name"]
        return {"anyOf": [{"type": "string", "enum": list(_words(name))}, schema]}


def _words(schema: Any) -> Iterator[str]:
    """Yield the words that a JSON Schema allows, each once."""
    found = schema.get("enum", [schema["const"]] if "const" in schema else [])
    parts = [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    yield from dict.fromkeys([*found, *(word for part in parts for word in _words(part))])


class _Listed(GroupedMetadata):
    """Mark a tuple that may be written as one value or a list of them, never empty."""

    def __iter__(self) -> Iterator[Any]:
        return iter((BeforeValidator(_as_tuple), MinLen(1), _OneOrMany()))


class _Named(GroupedMetadata):
    """Mark a section that may be written as a mapping or as its name alone."""

    def __iter__(self) -> Iterator[Any]:
        return iter((BeforeValidator(_as_mapping), _NameOrMapping()))


def _as_tuple(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return value if isinstance(value, tuple) else (value,)


def _list_as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _as_lists(value: Any) -> Any:
    """Return an axis of lists; one list alone is an axis of one."""
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return tuple(value)
    return (value,)


def _as_mapping(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


LISTED = _Listed()
NAMED = _Named()
# Marks a setting whose value is itself a list, written as one.
SEVERAL = BeforeValidator(_list_as_tuple)


def _is_list_valued(field: FieldInfo) -> bool:
    return any(_is_tuple(kind) for kind in (field.annotation, *get_args(field.annotation)))


def _is_tuple(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_origin(annotation) is tuple


def grid_of(model: type[BaseModel], name: str, **more: Any) -> Any:
    """Return the model in which every setting of `model` is an axis.

    Args:
        model: scalar settings.
        name: name of the new model, as it stands in the JSON Schema.
        more: further fields, as for `pydantic.create_model`; these are no axes.
    """
    axes: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        item: Any = field.annotation
        if field.metadata:
            item = Annotated[item, *field.metadata]
        marks: tuple[Any, ...] = (LISTED,)
        if _is_list_valued(field):
            marks = (BeforeValidator(_as_lists), _OneOrMany())
        axis: Any = Annotated[tuple[item, ...], *marks]
        default: Any = ... if field.is_required() else None
        info = Field(default, alias=field.alias, description=field.description)
        axes[key] = (axis, info)
    config = ConfigDict(**model.model_config)
    return create_model(name, __config__=config, __doc__=model.__doc__, **axes, **more)


def axes_of(grid: BaseModel) -> dict[str, tuple[Any, ...]]:
    """Return the axes that a validated grid sets, in the order of the grammar."""
    return {
        key: getattr(grid, key)
        for key in type(grid).model_fields
        if key in grid.model_fields_set and isinstance(getattr(grid, key), tuple)
    }


def num_points(axes: Mapping[str, tuple[Any, ...]]) -> int:
    """Return how many points a product of axes has."""
    return prod(len(values) for values in axes.values())


def points(axes: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Yield every point of a product of axes, the last axis fastest."""
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))
