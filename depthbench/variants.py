"""Settings of a variant to a complete `Variant`; which widths it can have.

An option of the backbone section is a default for each variant's own; what remains open comes from
the tables of `grammar.py`. No torch here: planning and the editor's errors must be instant.
`options.py` says what can be wrong with them.
"""

from __future__ import annotations

from functools import cache
from math import floor
from typing import Any

from depthbench.grammar import (
    BACKBONE_DEFAULTS,
    BACKBONE_STAGES,
    FAMILY_OPTIONS,
    HEAD_SIZE,
    HOURGLASS_EXPANSION,
    BackboneSettings,
    ModelOptions,
    VariantSettings,
)
from depthbench.spec import Variant

HIDDEN_OPTIONS = ("expansion", "hidden", "bottleneck")
HEAD_OPTIONS = ("heads", "head_size")
# What a user's own block replaces: these describe the module between stem and head. The activation
# stays with conv, whose stem has one.
_MODULE_OPTIONS = {
    "mlp": frozenset({"activation", *HIDDEN_OPTIONS}),
    "conv": frozenset({"kernel"}),
}


def resolve_variant(settings: VariantSettings, backbone: BackboneSettings, width: int) -> Variant:
    """Return the one network that these settings mean at this width.

    A variant's own option wins over the backbone's, which wins over the default. `expansion` and
    `bottleneck` become a count, the nearest to expansion x width (halves go up) and at least 1;
    `head_size` becomes a number of heads. Options that do not apply stay None, so that equal
    networks have equal identities.

    Raises:
        KeyError: A backbone that this version does not have; `load_suite` refuses it before.
    """
    base = base_of(backbone)
    names = applicable(settings.family, base, bool(backbone.import_))
    defaults = _defaults(settings, base, bool(backbone.import_), width)
    chosen = {name: value_of(name, settings, backbone) for name in names}
    values = {name: chosen[name] for name in defaults if chosen.get(name) is not None}
    hidden = hidden_size(hidden_options(settings, backbone), width) if "hidden" in names else None
    if hidden is not None:
        values["hidden"] = hidden
    if "heads" in names:
        values["heads"] = _heads(settings, backbone, width)
    if "residual_scale" in values and not isinstance(values["residual_scale"], str):
        values["residual_scale"] = float(values["residual_scale"])
    if backbone.import_:
        values["base"] = base
    resolved = defaults | values
    if resolved["norm"] == "none":
        # Without norms their weights are no choice: None merges what would be the same network.
        resolved["norm_affine"] = None
        if "head_norm" in resolved:
            resolved["head_norm"] = None
    return Variant(
        family=settings.family,
        backbone=backbone.import_ or base,
        depth=settings.depth,
        width=width,
        defaults=tuple(sorted(defaults.items())),
        **resolved,
    )


def is_narrow_enough(settings: VariantSettings, backbone: BackboneSettings, width: int) -> bool:
    """Say whether a width leaves an hourglass its waist, d_h < d; other families need none."""
    if settings.family != "hourglass":
        return True
    hidden = hidden_size(hidden_options(settings, backbone), width)
    return (hidden or default_hidden(width)) < width


def whole_width(
    settings: VariantSettings, backbone: BackboneSettings, width: int, *, below: bool = False
) -> int:
    """Return the nearest width, from this one up or down, that attention heads divide.

    Heads as many or as large as the suite says divide their multiples. Heads by default divide a
    width where there are width // 64 of them, so that the heads of solved widths stay alike.
    """
    if base_of(backbone) != "transformer":
        return width
    given = next(iter(head_options(settings, backbone).values()), None)
    if given is not None:
        multiple = width // given if below else -(-width // given)
        return max(1, int(multiple)) * int(given)
    while width % max(1, width // HEAD_SIZE):
        width += -1 if below else 1
    return width


def base_of(backbone: BackboneSettings) -> str:
    """Return the built-in backbone that gives at least stem and head."""
    if backbone.import_:
        return backbone.base or "mlp"
    return backbone.name or "mlp"


@cache
def applicable(family: str, base: str, is_imported: bool) -> frozenset[str]:
    """Return the names of the options that a family of this backbone understands."""
    names = set(BACKBONE_DEFAULTS[base]) | set(FAMILY_OPTIONS[family])
    if is_imported:
        names = (names - _MODULE_OPTIONS[base]) | set(HIDDEN_OPTIONS)
    elif "expansion" in BACKBONE_DEFAULTS[base] or family == "hourglass":
        names |= set(HIDDEN_OPTIONS)
    if "heads" in names:
        names |= set(HEAD_OPTIONS)
    return frozenset(names if family == "hourglass" else names - {"sub_mlps"})


def value_of(name: str, settings: VariantSettings, backbone: BackboneSettings) -> Any:
    """Return a variant's own option, else the backbone's, else None."""
    own = getattr(settings, name)
    return own if own is not None else getattr(backbone, name)


def hidden_options(settings: VariantSettings, backbone: BackboneSettings) -> dict[str, float]:
    """Return what is said of the hidden size, by option."""
    # The three are one setting said in three ways, so any of a variant's own replaces them all.
    return _given(settings, HIDDEN_OPTIONS) or _given(backbone, HIDDEN_OPTIONS)


def hidden_size(options: dict[str, float], width: int) -> int | None:
    """Return the hidden size that the options mean at a width, None where they say nothing."""
    for name, value in options.items():
        return int(value) if name == "hidden" else _nearest(value * width)
    return None


def default_hidden(width: int) -> int:
    """Return the hidden size of an hourglass that is given none."""
    return _nearest(HOURGLASS_EXPANSION * width)


def head_options(settings: VariantSettings, backbone: BackboneSettings) -> dict[str, float]:
    """Return what is said of the attention heads, by option."""
    return _given(settings, HEAD_OPTIONS) or _given(backbone, HEAD_OPTIONS)


def stage_depth(depth: int, base: str) -> int:
    """Return how many modules a stage of the backbone has: all, where it has but one stage."""
    return depth // BACKBONE_STAGES.get(base, 1)


def _defaults(
    settings: VariantSettings, base: str, is_imported: bool, width: int
) -> dict[str, Any]:
    names = applicable(settings.family, base, is_imported)
    known = BACKBONE_DEFAULTS[base] | FAMILY_OPTIONS[settings.family]
    defaults = {
        name: value for name, value in known.items() if name in names and name not in HIDDEN_OPTIONS
    }
    expansion = BACKBONE_DEFAULTS[base].get("expansion")
    if settings.family == "hourglass":
        defaults["hidden"] = default_hidden(width)
    elif expansion is not None and not is_imported:
        defaults["hidden"] = _nearest(expansion * width)
    if "branches" in defaults:
        defaults["branches"] = stage_depth(settings.depth, base)
    if "heads" in defaults:
        defaults["heads"] = _default_heads(width)
    if is_imported:
        defaults["base"] = "mlp"
    return defaults


def _nearest(value: float) -> int:
    return max(1, floor(value + 0.5))


def _given(options: ModelOptions, names: tuple[str, ...]) -> dict[str, float]:
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _heads(settings: VariantSettings, backbone: BackboneSettings, width: int) -> int:
    for name, value in head_options(settings, backbone).items():
        return int(value) if name == "heads" else max(1, width // int(value))
    return _default_heads(width)


def _default_heads(width: int) -> int:
    heads = max(1, width // HEAD_SIZE)
    while width % heads:
        heads -= 1
    return heads
