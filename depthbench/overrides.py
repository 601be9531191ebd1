"""Apply `--set key=value` to a suite before it is validated."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from depthbench.document import Document, Location, parse
from depthbench.errors import SuiteError


def override(document: Document, overrides: Sequence[str]) -> Document:
    """Return the document with values replaced; their marks name the option.

    Args:
        document: a parsed suite.
        overrides: `key=value`; the key is dotted (train.lr, variants[0].width), the value YAML.

    Raises:
        SuiteError: an override is no key=value, or its key leads through a plain value.
    """
    if not overrides:
        return document
    value = copy.deepcopy(document.value)
    value_marks, key_marks = dict(document.value_marks), dict(document.key_marks)
    mistakes = dict(document.mistakes)
    for text in overrides:
        key, equals, written = text.partition("=")
        source = f"--set {key}"
        if not equals or not key.strip():
            raise SuiteError(f"--set {text}: write key=value, such as --set train.lr=0.01")
        path = path_of(key)
        if not written.strip():
            raise SuiteError(f"{source}=: nothing is written after the =; give a value")
        inserted = parse(written, source)
        path = _insert(value, path, inserted.value, source)
        for marks in (value_marks, key_marks, mistakes):
            for old in [p for p in marks if p[: len(path)] == path]:
                del marks[old]
        value_marks |= {(*path, *p): source for p in inserted.value_marks} | {path: source}
        mistakes |= {(*path, *p): _said(source, why) for p, why in inserted.mistakes.items()}
        key_marks[path] = source
    return Document(value, document.source, value_marks, key_marks, mistakes)


def _said(source: str, reason: str) -> str:
    """Return a mistake in an override; the line and column in it say nothing."""
    return re.sub(rf"^{re.escape(source)}:\d+:\d+", source, reason)


def path_of(key: str) -> Location:
    """Return the path that a dotted key names."""
    # variants[0].width, as mistakes name it, is variants.0.width.
    parts = re.sub(r"\[(\d+)\]", r".\1", key.strip()).split(".")
    return tuple(int(part) if part.isdigit() else part for part in parts)


def _insert(root: Any, path: Location, value: Any, source: str) -> Location:
    """Put a value at a path; a bare name on the way becomes a mapping with that name."""
    place = root
    for depth, part in enumerate(path):
        is_last = depth == len(path) - 1
        if isinstance(place, list) and isinstance(part, int) and part < len(place):
            pass
        elif isinstance(place, dict) and isinstance(part, str):
            place.setdefault(part, {} if not is_last else None)
        else:
            raise SuiteError(f"{source}: there is no {part!r} to set in this suite")
        if is_last:
            place[part] = value
            return path
        if isinstance(place[part], str):
            place[part] = {"name": place[part]}
        place = place[part]
    return path
