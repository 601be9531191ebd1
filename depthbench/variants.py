"""Settings of a variant to a complete `Variant`; which widths it can have.

An option of the backbone section is a default for each variant's own; what remains open comes from
the tables of `grammar.py`. No torch here: planning and the editor's errors must be instant.
`options.py` says what can be wrong with them.
"""

from __future__ import annotations

from functools import cache
from math import floor
from typing import Any

from depthbench.network_grammar import (
    BACKBONE_DEFAULTS,
    BACKBONE_STAGES,
    BRANCH_OPTIONS,
    EXPERT_OPTIONS,
    FAMILY_OPTIONS,
    HEAD_SIZE,
    HOURGLASS_EXPANSION,
    PARAMETRIZATION_OPTIONS,
    BackboneSettings,
    ModelOptions,
    VariantSettings,
)
from depthbench.spec import Variant

HIDDEN_OPTIONS = ("expansion", "hidden", "bottleneck", "expansions")
HEAD_OPTIONS = ("heads", "head_size")
# What a user's own block replaces: these describe the module between stem and head. The activation
# stays with conv, whose stem has one.
_INSIDE_OPTIONS = (*BRANCH_OPTIONS, *EXPERT_OPTIONS, *PARAMETRIZATION_OPTIONS)
_MODULE_OPTIONS = {
    "mlp": frozenset({"activation", *HIDDEN_OPTIONS, *_INSIDE_OPTIONS}),
    "conv": frozenset({"kernel", *_INSIDE_OPTIONS}),
}
# Settings without effect beside others: an option, its value, and what then is no choice.
_IDLE: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("norm", "none", ("norm_affine", "norm_position", "norm_scale", "head_norm", "norm_sharing")),
    ("skip", "none", ("residual_scale", "survival")),
    ("depth_average", False, ("average_dilation", "average_period")),
    ("loops", 1, ("input_injection",)),
    ("experts", 1, ("active_experts", "balance")),
    ("parametrization", "sp", ("base_width", "base_depth")),
    ("parametrization", "ntk", ("base_depth",)),
    ("parametrization", "mup", ("base_depth",)),
    ("attention_every", 0, ("heads", "head_size", "kv_heads")),
    ("attention_every", 1, ("token_expansion",)),
)


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
    defaults = default_options(
        settings.family, base, settings.depth, width, is_imported=bool(backbone.import_)
    )
    chosen = {name: value_of(name, settings, backbone) for name in names}
    values = {name: chosen[name] for name in defaults if chosen.get(name) is not None}
    if "hidden" in names:
        values |= _hidden_values(settings, backbone, width)
    if "heads" in names:
        values |= _head_values(settings, backbone, width)
    for name in ("residual_scale", "layer_scale"):
        if name in values and not isinstance(values[name], str):
            values[name] = float(values[name])
    if backbone.import_:
        values["base"] = base
    resolved = defaults | values
    resolved |= _within_reach(settings.depth, resolved)
    for name, value, others in _IDLE:
        if resolved.get(name) == value:
            # None merges what would be the same network.
            resolved |= {other: None for other in others if other in resolved}
    resolved |= _base_sizes(settings, backbone, resolved)
    return Variant(
        family=settings.family,
        backbone=backbone.import_ or base,
        depth=settings.depth,
        width=width,
        defaults=tuple(sorted(defaults.items())),
        **resolved,
    )


def default_options(
    family: str, base: str, depth: int, width: int, *, is_imported: bool = False
) -> dict[str, Any]:
    """Return the options of a network of which a suite says nothing else, by name.

    Raises:
        KeyError: A family or a backbone that this version does not have.
    """
    names = applicable(family, base, is_imported)
    known = BACKBONE_DEFAULTS[base] | FAMILY_OPTIONS[family]
    defaults = {
        name: value for name, value in known.items() if name in names and name not in HIDDEN_OPTIONS
    }
    expansion = BACKBONE_DEFAULTS[base].get("expansion")
    if family == "hourglass":
        defaults["hidden"] = default_hidden(width)
    elif expansion is not None and not is_imported:
        defaults["hidden"] = _nearest(expansion * width)
    if "branches" in defaults:
        defaults["branches"] = stage_depth(depth, base)
    if "heads" in defaults:
        defaults["heads"] = _default_heads(width)
    if is_imported:
        defaults["base"] = "mlp"
    return defaults


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
    if not has_attention(settings, backbone):
        return width
    options = head_options(settings, backbone)
    if len(options) > 1:  # heads of a size of their own divide nothing
        return width
    given = next(iter(options.values()), None)
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
    has_unlike = not (is_imported or base in BACKBONE_STAGES or family == "widenet")
    if not has_unlike or "hidden" not in names:
        names -= {"expansions"}
    return frozenset(names if family == "hourglass" else names - {"sub_mlps"})


def value_of(name: str, settings: VariantSettings, backbone: BackboneSettings) -> Any:
    """Return a variant's own option, else the backbone's, else None."""
    own = getattr(settings, name)
    return own if own is not None else getattr(backbone, name)


def has_attention(settings: VariantSettings, backbone: BackboneSettings) -> bool:
    """Say whether a network has attention: a transformer, or a mixer that is told to."""
    base = base_of(backbone)
    every = value_of("attention_every", settings, backbone) or 0
    return base == "transformer" or (base == "mixer" and 0 < every <= settings.depth)


def hidden_options(settings: VariantSettings, backbone: BackboneSettings) -> dict[str, Any]:
    """Return what is said of the hidden size, by option."""
    # They are one setting said in four ways, so any of a variant's own replaces them all.
    return _given(settings, HIDDEN_OPTIONS) or _given(backbone, HIDDEN_OPTIONS)


def hidden_size(options: dict[str, Any], width: int) -> int | None:
    """Return the largest hidden size that options mean at a width, None where they say nothing."""
    for name, value in options.items():
        if name == "expansions":
            return max(_nearest(each * width) for each in value)
        return int(value) if name == "hidden" else _nearest(value * width)
    return None


def default_hidden(width: int) -> int:
    """Return the hidden size of an hourglass that is given none."""
    return _nearest(HOURGLASS_EXPANSION * width)


def head_options(settings: VariantSettings, backbone: BackboneSettings) -> dict[str, Any]:
    """Return what is said of the attention heads, by option."""
    return _given(settings, HEAD_OPTIONS) or _given(backbone, HEAD_OPTIONS)


def with_heads(
    settings: VariantSettings, backbone: BackboneSettings, heads: int
) -> VariantSettings:
    """Return the variant with so many attention heads a module, of the size that is said."""
    return settings.model_copy(update=head_options(settings, backbone) | {"heads": heads})


def num_heads(options: dict[str, Any], width: int) -> int:
    """Return the attention heads of a module that options mean at a width."""
    size = options.get("head_size")
    by_width = _default_heads(width) if size is None else max(1, width // size)
    return int(options.get("heads", by_width))


def stage_depth(depth: int, base: str) -> int:
    """Return how many modules a stage of the backbone has: all, where it has but one stage."""
    return depth // BACKBONE_STAGES.get(base, 1)


def _within_reach(depth: int, resolved: dict[str, Any]) -> dict[str, Any]:
    """Return what options come to that ask for more experts, modules or stages than there are."""
    changed: dict[str, Any] = {}
    if resolved.get("experts", 1) < resolved.get("active_experts", 1):
        changed["active_experts"] = resolved["experts"]
    if resolved.get("attention_every", 0) > depth:
        changed["attention_every"] = 0
    num_stages = depth // resolved.get("branches", 1) * resolved.get("loops", 1)
    if resolved.get("average_period", 0) > num_stages:
        changed["depth_average"] = False
    return changed


def _nearest(value: float) -> int:
    return max(1, floor(value + 0.5))


def _hidden_values(
    settings: VariantSettings, backbone: BackboneSettings, width: int
) -> dict[str, Any]:
    """Return the hidden size, or those of the modules where they differ."""
    options = hidden_options(settings, backbone)
    sizes = [_nearest(each * width) for each in options.get("expansions", ())]
    if len(set(sizes)) > 1:
        return {"hidden": None, "hidden_sizes": tuple(sizes)}
    hidden = hidden_size(options, width)
    return {} if hidden is None else {"hidden": hidden}


def _head_values(
    settings: VariantSettings, backbone: BackboneSettings, width: int
) -> dict[str, int | None]:
    """Return the number of heads, their size where it is not width / heads, and those of keys."""
    options = head_options(settings, backbone)
    size, heads = options.get("head_size"), num_heads(options, width)
    kv_heads = value_of("kv_heads", settings, backbone)
    return {
        "heads": heads,
        "head_size": None if size is None or heads * size == width else size,
        "kv_heads": None if kv_heads == heads else kv_heads,
    }


def _base_sizes(
    settings: VariantSettings, backbone: BackboneSettings, resolved: dict[str, Any]
) -> dict[str, int | None]:
    """Return what the settings mean at the base width, where there is one."""
    width = resolved.get("base_width")
    sizes: dict[str, int | None] = {}
    if width is None:
        return sizes
    if resolved.get("hidden") is not None:
        # Expansions that rounding makes alike here may differ there: the largest stands for them.
        base = default_options(settings.family, base_of(backbone), settings.depth, width)
        given = hidden_size(hidden_options(settings, backbone), width)
        sizes["base_hidden"] = given or base["hidden"]
    if resolved.get("heads") is not None:
        values = _head_values(settings, backbone, width)
        heads = values["heads"]
        if values["kv_heads"] is not None:  # the base has groups, though this width may have none
            sizes["kv_heads"] = values["kv_heads"]
        sizes |= {"base_heads": heads, "base_head_size": values["head_size"] or width // heads or 1}
    return sizes


def _given(options: ModelOptions, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _default_heads(width: int) -> int:
    heads = max(1, width // HEAD_SIZE)
    while width % heads:
        heads -= 1
    return heads
