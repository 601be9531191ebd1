"""Turn what validation found into sentences: where, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from depthbench.document import Document, Location
from depthbench.grammar import PATTERN_WORDS

# What each kind of validation error says is allowed; {} is filled from the error's context.
_ALLOWED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "nothing",
    "literal_error": "{expected}",
    "greater_than": "more than {gt:,}",
    "greater_than_equal": "at least {ge:,}",
    "less_than": "less than {lt:,}",
    "less_than_equal": "at most {le:,}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
}


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing wrong in a suite; `text` starts with where it stands."""

    line: int
    column: int
    text: str
    path: Location = field(default=(), compare=False)


def located(text: str, where: str, path: Location) -> Mistake:
    """Return a mistake at a place such as s.yaml:3:5; places without a line come first."""
    *_, line, column = ["", "", *where.rsplit(":", 2)]
    is_line = line.isdigit() and column.isdigit()
    return Mistake(int(line) if is_line else 0, int(column) if is_line else 0, text, path)


def mistake(document: Document, path: Location, message: str, *, is_key: bool = False) -> Mistake:
    """Return a mistake at a path of the document, in words."""
    where = document.where(path, is_key=is_key)
    return located(f"{where}: {message}", where, path)


def nearest(word: object, allowed: Iterable[str]) -> str:
    """Return '; did you mean ...?' for the nearest allowed word, or nothing."""
    match = nearest_word(word, allowed)
    return f"; did you mean {match!r}?" if match else ""


def nearest_word(word: object, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that a misspelt one is likeliest to be, if any is likely."""
    if not isinstance(word, str):
        return None
    spelled = word.strip().lower().replace("-", "_").replace(" ", "_")
    match = difflib.get_close_matches(spelled, list(allowed), n=1, cutoff=0.65)
    return match[0] if match else None


def show(value: Any) -> str:
    """Return a value as it might be written, cut short, without control characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(path: Location) -> str:
    """Return a path as a reader would say it: variants[2].depth."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the suite"


def explain(
    errors: Iterable[Mapping[str, Any]],
    document: Document,
    prefix: Location,
    keys_at: Mapping[str, tuple[str, ...]],
) -> list[Mistake]:
    """Return one mistake for each place that validation complained about.

    Args:
        errors: as from `pydantic.ValidationError.errors()`.
        document: what was validated.
        prefix: path of the validated part in the document.
        keys_at: the keys that each section knows, for spelling suggestions.
    """
    places: dict[tuple[Location, bool], list[Mapping[str, Any]]] = {}
    for error in errors:
        path = (*prefix, *error["loc"])
        is_key = error["type"] == "extra_forbidden"
        place = (*document.written(path[:-1]), path[-1]) if is_key else document.written(path)
        places.setdefault((place, is_key), []).append(error)
    return [
        mistake(document, path, _sentence(found, path, document, keys_at), is_key=is_key)
        for (path, is_key), found in places.items()
        if not (_is_wrong_type(found) and any(_is_below(other, path) for other, _ in places))
    ]


def _is_wrong_type(errors: list[Mapping[str, Any]]) -> bool:
    return all(error["type"].endswith("_type") for error in errors)


def _is_below(path: Location, above: Location) -> bool:
    """Say whether a path leads further: then another type among several was nearer the mark."""
    return len(path) > len(above) and path[: len(above)] == above


def _sentence(
    errors: list[Mapping[str, Any]],
    path: Location,
    document: Document,
    keys_at: Mapping[str, tuple[str, ...]],
) -> str:
    first = errors[0]
    if first["type"] == "extra_forbidden":
        return _unknown_key(path, keys_at)
    missing = [str(e["loc"][-1]) for e in errors if e["type"] == "missing"]
    if missing and isinstance(first["loc"][-1], int):
        owner = path[: 1 + max(i for i, part in enumerate(path) if isinstance(part, str))]
        return f"{dotted(owner)} lacks {len(missing)} of its values"
    if missing:
        return f"{dotted(path)} needs {' and '.join(missing)}"
    value = document.at(path)
    if any(e["type"] == "too_short" for e in errors):
        return f"{dotted(path)} is empty; give at least one value"
    allowed: list[str] = []
    for error in errors:
        phrase = _allowed(error)
        if phrase not in allowed:
            allowed.append(phrase)
    hint = nearest(value, literal_words(errors))
    return f"{dotted(path)} is {show(value)}; allowed: {', or '.join(allowed)}{hint}"


def _unknown_key(path: Location, keys_at: Mapping[str, tuple[str, ...]]) -> str:
    allowed = known_keys(path, keys_at)
    place = dotted(path[:-1])
    known = f"; {place} knows: {', '.join(allowed)}" if allowed else ""
    return f"unknown key {str(path[-1])!r} in {place}{nearest(path[-1], allowed) or known}"


def known_keys(path: Location, keys_at: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the keys that the mapping around a key knows."""
    section = next((str(part) for part in reversed(path[:-1]) if isinstance(part, str)), "")
    return keys_at.get(section, ())


def _allowed(error: Mapping[str, Any]) -> str:
    if error["type"] == "string_pattern_mismatch":
        return PATTERN_WORDS.get(error["ctx"]["pattern"], "other text")
    template = _ALLOWED.get(error["type"])
    if template is None:
        return str(error["msg"])
    return template.format(**error.get("ctx", {}))


def literal_words(errors: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the words that validation would have accepted, if it was words it wanted."""
    words: list[str] = []
    for error in errors:
        if error["type"] == "literal_error":
            words += [w.strip(" '") for w in _split_expected(error["ctx"]["expected"])]
    return words


def _split_expected(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")
