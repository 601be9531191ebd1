"""The options that tell networks apart, in words, for the names of variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from depthbench.grammar import BACKBONE_DEFAULTS, FAMILY_OPTIONS, NEUTRAL, ModelOptions
from depthbench.report.rows import as_text, distinguishing
from depthbench.variants import default_options

# What may be said in several ways is resolved to `hidden`, or to `hidden_sizes`.
_RESOLVED = ("expansion", "bottleneck", "expansions")
# Sizes at a base width, which follow from the others nearly always.
_OF_BASE = ("base_hidden", "base_heads", "base_head_size")
# What may tell apart two variants of one family, depth and width; `execution` changes speed alone.
OPTION_COLUMNS = (
    "backbone",
    *(name for name in ModelOptions.model_fields if name not in _RESOLVED),
    "base",
    "hidden_sizes",
    *_OF_BASE,
)
NETWORK_COLUMNS = ("family", "depth", "width")
# Having none of these means something; without another option there is none of it otherwise.
_MAY_BE_NONE = ("heads", "head_size", "kv_heads", "hidden", "hidden_sizes", "base")
# Their values say what they are of.
_PLAIN = ("backbone", "parametrization")


def option_texts(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = OPTION_COLUMNS
) -> list[str]:
    """Return for each network the options in which these networks do not all keep their default.

    What an option without effect is, as survival 1, is left out, and so is what follows from the
    family, the depth and the width. Two networks that differ never have the same text beside these.

    Args:
        rows: of each network `NETWORK_COLUMNS` and `OPTION_COLUMNS`.
        columns: the options that may be told.
    """
    told = _told(rows, columns)
    rest = distinguishing(rows, columns, always=(*NETWORK_COLUMNS, *told))
    rest = rest[len(NETWORK_COLUMNS) + len(told) :]
    return [_text(row, told, rest) for row in rows]


def _told(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return the options that are set in some networks, and not alike in all that have them."""
    found = [_set_options(row) for row in rows]
    told = []
    for name in (name for name in columns if name not in _OF_BASE):
        values = {
            options.get(name)
            for row, options in zip(rows, found, strict=True)
            if row[name] is not None or name in _MAY_BE_NONE
        }
        told += [name] if len(values) > 1 else []
    return told


def _set_options(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that are not at the default of their backbone and family, as text.

    Of a network of another version or program, whose defaults are not known, the backbone alone.
    """
    family, depth, width = (row[name] for name in NETWORK_COLUMNS)
    is_imported = row["base"] is not None
    base = row["base"] if is_imported else row["backbone"]
    is_known = base in BACKBONE_DEFAULTS and family in FAMILY_OPTIONS
    if not is_known or depth is None or width is None:
        return {"backbone": as_text(row["backbone"])}
    defaults = default_options(family, base, depth, width, is_imported=is_imported)
    if row["heads"]:
        defaults["head_size"] = width // row["heads"]
    usual = {name: as_text(value) for name, value in defaults.items()}
    given = {name: as_text(row[name]) for name in OPTION_COLUMNS if row[name] is not None}
    return {name: text for name, text in given.items() if usual.get(name) != text}


def _text(row: Mapping[str, Any], told: Sequence[str], rest: Sequence[str]) -> str:
    shown = [name for name in told if not _goes_without_saying(name, row[name])]
    return ", ".join(_words(name, row[name]) for name in (*shown, *rest) if row[name] is not None)


def _goes_without_saying(name: str, value: Any) -> bool:
    return name in NEUTRAL and as_text(value) == as_text(NEUTRAL[name])


def _words(name: str, value: Any) -> str:
    if name in _PLAIN:
        return as_text(value)
    words = name.replace("_", " ")
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return f"{words} {as_text(value)}"
