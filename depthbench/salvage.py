"""Go on after a mistake: what the rest of a section says, so that all mistakes show at once.

Nothing salvaged is ever run: a suite with mistakes is refused. It only decides what else can be
checked. A misspelt word is taken as the nearest right one, a wrong value as if it were not given,
and what cannot be mended is left out. Checks then say nothing that names a mistaken setting, since
what it was meant to be is not known.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from depthbench.document import Location, written
from depthbench.mistakes import known_keys, literal_words, nearest_word

# The names of mistaken settings, by the section or the element of a section they stand in.
Wrong = dict[Location, set[str]]

# What stands in for settings without a default: a depth that all stages divide, a width that heads
# divide. Nothing is said of them.
_STAND_INS = {"depth": 12, "width": 64}
# Each round mends what the last one uncovered: a misspelt key, then its misspelt value.
_MAX_ROUNDS = 4


def salvage(
    adapter: TypeAdapter[Any],
    name: str,
    value: Any,
    keys_at: Mapping[str, tuple[str, ...]],
    wrong: Wrong,
) -> Any | None:
    """Return a section's value as far as it can be mended; None where it cannot at all.

    Args:
        adapter: validates the section.
        name: of the section.
        value: what was written.
        keys_at: the keys that each section knows.
        wrong: takes the names of the settings that were mistaken.
    """
    mender = _Mender(name, value, keys_at, wrong)
    for _ in range(_MAX_ROUNDS):
        kept = mender.kept()
        try:
            found = adapter.validate_python(mender.value_of(kept), strict=True)
        except ValidationError as error:
            for each in error.errors():
                mender.mend(each, kept)
        else:
            return mender.with_gaps(found, kept)
    wrong.setdefault((name,), set()).add(name)
    return None


def is_about_wrong(path: Location, message: str, wrong: Wrong) -> bool:
    """Say whether what a check found hangs on a setting that is itself mistaken.

    Settings of another element of the same list (another variant) have no say in it.
    """
    said = message.split("; did you mean")[0]
    return any(
        re.search(rf"\b{re.escape(name)}\b", said)
        for element, names in wrong.items()
        if element == path[: len(element)] or element[0] not in path[:1]
        for name in names
    )


class _Mender:
    """Hold a copy of a section, with what was mended in it and which elements were given up."""

    def __init__(
        self, name: str, value: Any, keys_at: Mapping[str, tuple[str, ...]], wrong: Wrong
    ) -> None:
        self.root = {name: copy.deepcopy(value)}
        self.name = name
        self.keys_at = keys_at
        self.wrong = wrong
        self.lost: set[int] = set()

    def kept(self) -> list[int]:
        """Return the indices of the elements still in use; none where this is no list."""
        value = self.root[self.name]
        return (
            [i for i in range(len(value)) if i not in self.lost] if isinstance(value, list) else []
        )

    def value_of(self, kept: list[int]) -> Any:
        value = self.root[self.name]
        return [value[i] for i in kept] if isinstance(value, list) else value

    def with_gaps(self, found: Any, kept: list[int]) -> Any:
        """Return the elements in their places, None where one was given up."""
        if not self.lost:
            return found
        elements = dict(zip(kept, found, strict=True))
        return [elements.get(i) for i in range(len(self.root[self.name]))]

    def mend(self, error: Mapping[str, Any], kept: list[int]) -> None:
        """Change what one error of validation is about."""
        location = error["loc"]
        if kept and location and isinstance(location[0], int):
            location = (kept[location[0]], *location[1:])
        path = written(self.root, (self.name, *location))
        element = path[:2] if isinstance(self.root[self.name], list) else path[:1]
        if error["type"] == "extra_forbidden":
            self.rename(path, element)
        elif error["type"] == "missing" and isinstance(error["loc"][-1], str):
            self.give(path, str(error["loc"][-1]), element)
        else:
            self.replace(path, element, literal_words([error]))

    def rename(self, path: Location, element: Location) -> None:
        """Take an unknown key as the nearest known one, if that is not there already."""
        parent, key = self.at(path[:-1]), path[-1]
        if not isinstance(parent, dict) or key not in parent:
            return
        value = parent.pop(key)
        near = nearest_word(key, known_keys(path, self.keys_at))
        if near and near not in parent:
            parent[near] = value
        else:
            self.wrong.setdefault(element, set()).add(str(key))

    def give(self, path: Location, key: str, element: Location) -> None:
        """Put a stand-in where a setting is missing, or give the element up."""
        parent = self.at(path)
        if isinstance(parent, dict) and key in _STAND_INS:
            self.wrong.setdefault(element, set()).add(key)
            parent[key] = _STAND_INS[key]
        else:
            self.give_up(element)

    def replace(self, path: Location, element: Location, words: list[str]) -> None:
        """Take a wrong word as the nearest right one, and any other value as not given."""
        near = nearest_word(self.at(path), words)
        if near:
            self.at(path[:-1])[path[-1]] = near
            return
        size = next((n for n in range(len(path), 0, -1) if isinstance(path[n - 1], str)), 0)
        owner = path[:size]
        if len(owner) <= len(element) or not isinstance(self.at(owner[:-1]), dict):
            self.give_up(element)
            return
        key = str(owner[-1])
        self.wrong.setdefault(element, set()).add(key)
        parent = self.at(owner[:-1])
        parent.pop(key, None)
        if key in _STAND_INS:
            parent[key] = _STAND_INS[key]

    def give_up(self, element: Location) -> None:
        if len(element) == 2 and isinstance(element[1], int):
            self.lost.add(element[1])

    def at(self, path: Location) -> Any:
        value: Any = self.root
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value
