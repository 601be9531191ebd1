"""Read YAML into plain values that remember where they stood. Knows nothing of suites.

The text is composed to nodes and walked here, so that every key and value keeps its line and
column, and so that what YAML allows but a suite has no use for (custom tags, duplicate keys,
aliases that contain themselves or explode, several documents) is refused in one clear sentence.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depthbench.errors import SuiteError

MAX_BYTES = 256 * 1024
MAX_NESTING = 24
MAX_VALUES = 200_000

Location = tuple[str | int, ...]

_TAG_PREFIX = "tag:yaml.org,2002:"
_SCALARS = ("str", "int", "float", "bool", "null")


@dataclass(frozen=True)
class Document:
    """Hold a value and where each of its parts was written.

    `value_marks` and `key_marks` map a path such as ("train", "lr") to "file:line:column".
    `mistakes` maps the path of each part that could not be read, and is None in `value`, to why.
    """

    value: Any
    source: str
    value_marks: dict[Location, str] = field(default_factory=dict)
    key_marks: dict[Location, str] = field(default_factory=dict)
    mistakes: dict[Location, str] = field(default_factory=dict)

    def where(self, path: Location, *, is_key: bool = False) -> str:
        """Return file:line:column of a path, or of its nearest written parent."""
        marks = self.key_marks if is_key and path in self.key_marks else self.value_marks
        while path and path not in marks:
            path = path[:-1]
        return marks.get(path, self.source)

    def written(self, path: Location) -> Location:
        """Return the part of a validation's path that is written in the document.

        Validation sees a list of one where one value was written, a mapping with a name where a
        bare name was, and the types it tried; those steps are left out.
        """
        return written(self.value, path)

    def at(self, path: Location) -> Any:
        """Return the value written at a path of this document."""
        value = self.value
        for part in path:
            value = value[part]
        return value


def written(value: Any, path: Location) -> Location:
    """Return the part of a validation's path that is written in a value."""
    found: Location = ()
    for part in path:
        is_key = isinstance(value, dict) and part in value
        if is_key or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
            found = (*found, part)
        elif part != 0 and not isinstance(value, list):
            break
        # Else it is a list of one, or the name of a type among several that were tried.
    return found


def read_text(path: Path) -> str:
    """Return a suite's text.

    Raises:
        SuiteError: the file is missing, too large, or not UTF-8.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise SuiteError(f"{path}: is a folder; give a suite file, such as {path}/suite.yaml")
        if size > MAX_BYTES:
            raise SuiteError(f"{path}: {size:,} bytes; a suite has at most {MAX_BYTES:,}")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SuiteError(
            f"{path}: byte {error.start} is not UTF-8; save the suite as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SuiteError(
            f"{path}: cannot be read: {reason}; `depthbench init` writes one"
        ) from None


def parse(text: str, source: str) -> Document:
    """Return the one YAML document of a text.

    Raises:
        SuiteError: the text is not YAML, or explodes; lesser mistakes are noted in the document.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    loader = YAML(typ="safe", pure=True)
    try:
        node = loader.compose(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        reason = " ".join(str(error.problem or error.context).split())
        raise SuiteError(f"{place}: not valid YAML: {reason}") from None
    except YAMLError as error:
        raise SuiteError(
            f"{source}: not valid YAML: {' '.join(str(error).split())[:200]}"
        ) from None
    except RecursionError:
        raise SuiteError(f"{source}: nested too deeply to be a suite") from None
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, AssertionError) as error:
        # Defects of the YAML library on malformed text; the text is still the user's to mend.
        raise SuiteError(f"{source}: not valid YAML: {error}") from None
    if node is None:
        raise SuiteError(f"{source}: the file is empty; `depthbench init` writes a suite to edit")
    walker = _Walker(source, loader.constructor)
    value = walker.value(node, ())
    return Document(value, source, walker.value_marks, walker.key_marks, walker.mistakes)


class _Walker:
    """Turn nodes into values, noting marks and what a suite may not hold."""

    def __init__(self, source: str, constructor: Any) -> None:
        self.source = source
        self.constructor = constructor
        self.value_marks: dict[Location, str] = {}
        self.key_marks: dict[Location, str] = {}
        self.mistakes: dict[Location, str] = {}
        self.open_nodes: set[int] = set()
        self.num_values = 0

    def mark(self, node: Any) -> str:
        return f"{self.source}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"

    def note(self, node: Any, path: Location, reason: str) -> None:
        self.mistakes[path] = f"{self.mark(node)}: {reason}"

    def value(self, node: Any, path: Location) -> Any:
        self.num_values += 1
        if self.num_values > MAX_VALUES:
            raise SuiteError(f"{self.source}: more than {MAX_VALUES:,} values; do aliases explode?")
        if len(path) > MAX_NESTING:
            raise SuiteError(f"{self.mark(node)}: nested too deeply to be a suite")
        if id(node) in self.open_nodes:
            return self.note(node, path, "an anchor contains itself")
        self.value_marks[path] = self.mark(node)
        self.open_nodes.add(id(node))
        try:
            return self.closed_value(node, path)
        finally:
            self.open_nodes.discard(id(node))

    def closed_value(self, node: Any, path: Location) -> Any:
        tag = str(node.tag or "")
        kind = tag.removeprefix(_TAG_PREFIX)
        if (kind, node.id) == ("map", "mapping"):
            return self.mapping(node, path)
        if (kind, node.id) == ("seq", "sequence"):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        if kind in _SCALARS and node.id == "scalar":
            return self.scalar(node, kind, path)
        if kind == "timestamp":
            return self.note(node, path, f"{node.value} is a date in YAML; put it in quotes")
        return self.note(
            node, path, f"the tag {tag!r} has no meaning in a suite; write the value without it"
        )

    def scalar(self, node: Any, kind: str, path: Location) -> Any:
        if kind == "null" and not node.value:
            return self.note(node, path, "nothing is written here; give a value, or leave it out")
        try:
            return self.constructor.construct_object(node)
        except (ValueError, OverflowError, TypeError, LookupError):
            return self.note(node, path, f"{node.value[:40]!r} is no {kind}")

    def mapping(self, node: Any, path: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag) == _TAG_PREFIX + "merge":
                merged = self.merge(value_node, path) | merged
                continue
            if not isinstance(key_node.value, str):
                self.note(key_node, (*path, "?"), "a key is a word, found a list or a mapping")
                continue
            key = key_node.value
            if key in result:
                first = self.key_marks[(*path, key)]
                reason = f"{key!r} is given twice, first at {first}; keep one"
                self.note(key_node, (*path, key), reason)
                continue
            self.key_marks[(*path, key)] = self.mark(key_node)
            result[key] = self.value(value_node, (*path, key))
        return merged | result

    def merge(self, node: Any, path: Location) -> dict[str, Any]:
        """Return the keys that `<<` brings in; a mapping or a list of them, first one wins."""
        sources = node.value if str(node.tag) == _TAG_PREFIX + "seq" else [node]
        result: dict[str, Any] = {}
        for source in sources:
            value = self.value(source, path)
            if not isinstance(value, dict):
                self.note(node, (*path, "<<"), "<< merges mappings, and this is none")
                continue
            result = value | result
        return result
