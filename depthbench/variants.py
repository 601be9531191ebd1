"""Settings of a variant to a complete `Variant`, and everything that can be wrong with them.

An option of the backbone section is a default for each variant's own; what remains open comes from
the tables of `grammar.py`. No torch here: planning and the editor's errors must be instant.
"""

from __future__ import annotations

from functools import cache
from math import floor
from typing import Any

from depthbench.grammar import (
    BACKBONE_DEFAULTS,
    FAMILY_OPTIONS,
    HOURGLASS_EXPANSION,
    BackboneSettings,
    ModelOptions,
    Norm,
    VariantSettings,
    words,
)
from depthbench.spec import Variant

HIDDEN_OPTIONS = ("expansion", "hidden", "bottleneck")
# What a user's own block replaces: these describe the module between stem and head. The activation
# stays with conv, whose stem has one.
_MODULE_OPTIONS = {
    "mlp": frozenset({"activation", *HIDDEN_OPTIONS}),
    "conv": frozenset({"kernel"}),
}
_WHY_NOT = {
    "activation": "this stem and head have no activation, and an imported block brings its own",
    "kernel": "only the built-in conv module has a convolution kernel to choose",
    "stem_stride": "only conv's stem is a convolution",
    "lift": "only mlp's stem is a linear projection",
    "branches": "only parallel_shallow has parallel modules",
    "execution": "only parallel_shallow has parallel modules to fuse",
    "expansion": "a conv module has a hidden layer only in family hourglass",
    "hidden": "a conv module has a hidden layer only in family hourglass",
    "bottleneck": "a conv module has a hidden layer only in family hourglass",
}

Problems = list[tuple[str, str]]


def resolve_variant(settings: VariantSettings, backbone: BackboneSettings, width: int) -> Variant:
    """Return the one network that these settings mean at this width.

    A variant's own option wins over the backbone's, which wins over the default. `expansion` and
    `bottleneck` become a count, the nearest to expansion x width (halves go up) and at least 1.
    Options that do not apply stay None, so that equal networks have equal identities.

    Raises:
        KeyError: A backbone that this version does not have; `load_suite` refuses it before.
    """
    base = _base(backbone)
    applicable = _applicable(settings.family, base, bool(backbone.import_))
    defaults = _defaults(settings, base, bool(backbone.import_), width)
    chosen = {name: _value(name, settings, backbone) for name in applicable}
    values = {name: chosen[name] for name in defaults if chosen.get(name) is not None}
    hidden = _hidden(_hidden_options(settings, backbone), width) if "hidden" in applicable else None
    if hidden is not None:
        values["hidden"] = hidden
    if "residual_scale" in values and not isinstance(values["residual_scale"], str):
        values["residual_scale"] = float(values["residual_scale"])
    if backbone.import_:
        values["base"] = base
    resolved = defaults | values
    if resolved["norm"] == "none":
        # Without norms their weights are no choice: None merges what would be the same network.
        resolved["norm_affine"] = None
    return Variant(
        family=settings.family,
        backbone=backbone.import_ or base,
        depth=settings.depth,
        width=width,
        defaults=tuple(sorted(defaults.items())),
        **resolved,
    )


def option_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    """Return (field, message) for every option that cannot be, here or beside another.

    An option of the backbone section that belongs to another family (`branches` beside a deep
    variant) is a default for those families and no problem. `norm_affine` beside `norm: none` is
    allowed and without effect, so that an axis of norms can stand beside it.
    """
    problems = _backbone_problems(backbone)
    if problems or _base(backbone) not in BACKBONE_DEFAULTS:
        return problems
    return [
        *_misplaced(settings, backbone),
        *_kernel_problems(settings, backbone),
        *_hidden_problems(settings, backbone),
        *_parallel_problems(settings, backbone),
    ]


def is_narrow_enough(settings: VariantSettings, backbone: BackboneSettings, width: int) -> bool:
    """Say whether a width leaves an hourglass its waist, d_h < d; other families need none."""
    if settings.family != "hourglass":
        return True
    hidden = _hidden(_hidden_options(settings, backbone), width)
    return (hidden or _nearest(HOURGLASS_EXPANSION * width)) < width


def _base(backbone: BackboneSettings) -> str:
    if backbone.import_:
        return backbone.base or "mlp"
    return backbone.name or "mlp"


@cache
def _applicable(family: str, base: str, is_imported: bool) -> frozenset[str]:
    names = set(BACKBONE_DEFAULTS[base]) | set(FAMILY_OPTIONS[family])
    if is_imported:
        names = (names - _MODULE_OPTIONS[base]) | set(HIDDEN_OPTIONS)
    elif base == "mlp" or family == "hourglass":
        names |= set(HIDDEN_OPTIONS)
    return frozenset(names)


def _defaults(
    settings: VariantSettings, base: str, is_imported: bool, width: int
) -> dict[str, Any]:
    applicable = _applicable(settings.family, base, is_imported)
    known = BACKBONE_DEFAULTS[base] | FAMILY_OPTIONS[settings.family]
    defaults = {
        name: value
        for name, value in known.items()
        if name in applicable and name not in HIDDEN_OPTIONS
    }
    expansion = BACKBONE_DEFAULTS[base].get("expansion")
    if settings.family == "hourglass":
        defaults["hidden"] = _nearest(HOURGLASS_EXPANSION * width)
    elif expansion is not None and not is_imported:
        defaults["hidden"] = _nearest(expansion * width)
    if "branches" in defaults:
        defaults["branches"] = settings.depth
    if is_imported:
        defaults["base"] = "mlp"
    return defaults


def _nearest(value: float) -> int:
    return max(1, floor(value + 0.5))


def _value(name: str, settings: VariantSettings, backbone: BackboneSettings) -> Any:
    own = getattr(settings, name)
    return own if own is not None else getattr(backbone, name)


def _given(options: ModelOptions) -> dict[str, float]:
    values = {name: getattr(options, name) for name in HIDDEN_OPTIONS}
    return {name: value for name, value in values.items() if value is not None}


def _hidden_options(settings: VariantSettings, backbone: BackboneSettings) -> dict[str, float]:
    # The three are one setting said in three ways, so any of a variant's own replaces them all.
    return _given(settings) or _given(backbone)


def _hidden(options: dict[str, float], width: int) -> int | None:
    for name, value in options.items():
        return int(value) if name == "hidden" else _nearest(value * width)
    return None


def _backbone_problems(backbone: BackboneSettings) -> Problems:
    if backbone.name and backbone.import_:
        return [("import", "name and import exclude each other; import takes its stem from base")]
    if not backbone.name and not backbone.import_:
        return [("name", "a backbone needs a name (mlp, conv) or an import (package.module:block)")]
    if backbone.base and not backbone.import_:
        return [("base", "only an imported block has a base; remove it, or name the block: import")]
    return []


def _misplaced(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    base, is_imported = _base(backbone), bool(backbone.import_)
    here = _applicable(settings.family, base, is_imported)
    # What some family of this backbone understands may stand in the backbone section.
    anywhere = frozenset().union(*(_applicable(f, base, is_imported) for f in FAMILY_OPTIONS))
    where = backbone.import_ or base
    problems = []
    for name in ModelOptions.model_fields:
        allowed = here if getattr(settings, name) is not None else anywhere
        value = _value(name, settings, backbone)
        if value is not None and name not in allowed:
            problems.append((name, _misplaced_message(name, value, settings.family, where, here)))
    return problems


def _misplaced_message(
    name: str, value: Any, family: str, backbone: str, allowed: frozenset[str]
) -> str:
    is_imported = ":" in backbone
    if name == "kernel" and is_imported:
        reason = "an imported block chooses its own kernel"
    else:
        reason = _WHY_NOT[name]
    return (
        f"{name}: {value} does not apply to family {family} with backbone {backbone}: {reason}; "
        f"options here: {', '.join(sorted(allowed))}"
    )


def _kernel_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    kernel = _value("kernel", settings, backbone)
    if kernel is None or kernel % 2 or backbone.name != "conv":
        return []
    near = f"{kernel - 1} or {kernel + 1}"
    return [
        ("kernel", f"kernel: {kernel} is even and cannot keep the size of the image; use {near}")
    ]


def _hidden_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    given = _hidden_options(settings, backbone)
    if len(given) > 1:
        names = " and ".join(given)
        return [(list(given)[1], f"{names} say the same thing, d_h; keep one of them")]
    if settings.family != "hourglass":
        return []
    return _waist_problems(settings, backbone, next(iter(given), "width"))


def _waist_problems(settings: VariantSettings, backbone: BackboneSettings, name: str) -> Problems:
    options, width = _hidden_options(settings, backbone), settings.width
    advice = "an hourglass computes below its width: use bottleneck: 0.25, or family: deep"
    if options.get("expansion", 0) >= 1:
        return [(name, f"expansion: {options['expansion']:g} is not below 1; {advice}")]
    if not isinstance(width, int) or is_narrow_enough(settings, backbone, width):
        return []
    hidden = _hidden(options, width) or _nearest(HOURGLASS_EXPANSION * width)
    return [(name, f"hidden size {hidden} is not below the width {width}; {advice}")]


def _parallel_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    if "branches" not in FAMILY_OPTIONS[settings.family]:
        return []
    problems = []
    depth, branches = settings.depth, _value("branches", settings, backbone)
    if branches is not None and depth % branches:
        divisors = ", ".join(str(k) for k in _nearest_divisors(depth, branches))
        message = f"branches: {branches} does not divide depth {depth}; nearest: {divisors}"
        problems.append(("branches", message))
    if _value("execution", settings, backbone) == "fused":
        problems += [("execution", reason) for reason in _unfusable(settings, backbone)]
    return problems


def _nearest_divisors(depth: int, branches: int) -> list[int]:
    divisors = [k for k in range(1, depth + 1) if depth % k == 0]
    return sorted(sorted(divisors, key=lambda k: abs(k - branches))[:2])


def _unfusable(settings: VariantSettings, backbone: BackboneSettings) -> list[str]:
    if backbone.import_:
        return [f"execution: fused cannot join the modules of {backbone.import_}; use loop or auto"]
    if _value("norm", settings, backbone) == "batch":
        others = ", ".join(word for word in words(Norm) if word != "batch")
        return [
            "execution: fused cannot join batch norms, each of which keeps running statistics of "
            f"its own; use loop or auto, or another norm ({others})"
        ]
    return []
