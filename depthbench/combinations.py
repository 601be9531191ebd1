"""Options of a network that need or exclude one another, each pair said with its reason. No torch.

What an option means is in `network_grammar.py`; which backbone and family understand it is checked
in `options.py`, before this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from depthbench.network_grammar import (
    BACKBONE_DEFAULTS,
    DEPTH_PARAMETRIZATIONS,
    FAMILY_BACKBONES,
    FAMILY_OPTIONS,
    NEUTRAL,
    PARAMETRIZATION_OPTIONS,
    BackboneSettings,
    VariantSettings,
)
from depthbench.units import counted
from depthbench.variants import (
    has_attention,
    head_options,
    hidden_options,
    num_heads,
    value_of,
)

Problem = tuple[str, str]
# Returns an option's value at one point of a suite, None where nothing is said.
Value = Callable[[str], Any]


# The backbones whose weights a rule says how to start.
_INITS = {"critical": ("mlp", "conv"), "deepscale": ("transformer", "mixer")}
# Activations whose criticality lies at biases that vary.
_NEED_BIASES = ("gelu", "silu")
# What is said of norms, where there are any.
_OF_NORMS = ("norm_position", "norm_scale", "norm_affine", "head_norm")
# Options that say how another one is, and what that one would have to be.
_SAY_HOW = {
    "average_dilation": ("depth_average", "true"),
    "average_period": ("depth_average", "true"),
    "active_experts": ("experts", "2 or more"),
    "balance": ("experts", "2 or more"),
    "base_width": ("parametrization", "ntk, mup, depth_mup or completep"),
    "base_depth": ("parametrization", "depth_mup or completep"),
}


def combination_problems(
    settings: VariantSettings, backbone: BackboneSettings, base: str
) -> list[Problem]:
    """Return (field, message) for every pair of options that cannot stand together."""

    def value(name: str) -> Any:
        return value_of(name, settings, backbone)

    return [
        *_family_problems(settings, backbone, base),
        *_skip_problems(value),
        *_norm_problems(value, base),
        *_start_problems(settings, value, base),
        *_base_problems(settings, backbone, value),
        *_idle_problems(settings, value),
        *_expert_problems(settings, value),
        *_expansion_problems(settings, backbone),
        *_attention_problems(settings, backbone, value),
    ]


def _family_problems(
    settings: VariantSettings, backbone: BackboneSettings, base: str
) -> Iterator[Problem]:
    allowed = FAMILY_BACKBONES.get(settings.family)
    if allowed is None:
        return
    reasons = {
        "looped": "the stages of preact change the shape of the stream, so they cannot be repeated",
        "widenet": "it shares modules and gives them experts, which takes a feed-forward layer",
    }
    if base not in allowed or (backbone.import_ and settings.family == "widenet"):
        name = backbone.import_ or base
        yield (
            "family",
            f"family {settings.family} does not apply to backbone {name}: "
            f"{reasons[settings.family]}; it is for {', '.join(allowed)}",
        )
    if settings.family == "widenet" and value_of("attention_every", settings, backbone):
        yield (
            "attention_every",
            "attention_every: family widenet shares one module, so none of its modules can have "
            "attention alone; use backbone: transformer, or family: deep",
        )


def _skip_problems(value: Value) -> Iterator[Problem]:
    if value("skip") != "none":
        return
    reasons = {
        "residual_scale": (1.0, "there is no sum whose parts could be scaled"),
        "survival": (1.0, "a module that is left out would cut the network"),
        "norm_position": ("pre", "norms have other places only around sums"),
    }
    for name, (idle, reason) in reasons.items():
        if value(name) not in (None, idle):
            yield name, f"{name}: {value(name)} beside skip: none: {reason}; remove one of them"
    if value("parametrization") in DEPTH_PARAMETRIZATIONS:
        name = value("parametrization")
        yield (
            "parametrization",
            f"parametrization: {name} scales residual sums; skip: none has none",
        )


def _norm_problems(value: Value, base: str) -> Iterator[Problem]:
    norm = value("norm") or BACKBONE_DEFAULTS[base]["norm"]
    for name in _OF_NORMS:
        is_set = value(name) not in (None, NEUTRAL[name])
        if norm == "none" and value("norm") is None and is_set:
            yield (
                name,
                f"{name}: {str(value(name)).lower()} without effect: {base} has no norms; set "
                "norm: layer",
            )
    position = value("norm_position")
    if norm == "none" or position not in ("post", "deep"):
        return
    has_norms_within = base in ("transformer", "mixer") and not value("parallel_block")
    scale = value("residual_scale")
    if position == "deep" and not has_norms_within and scale not in (None, 1.0):
        yield (
            "residual_scale",
            f"residual_scale: {scale} beside norm_position: deep, which scales sums by its own "
            "rule; remove one of them",
        )
    if has_norms_within and scale not in (None, 1.0):
        yield (
            "residual_scale",
            f"residual_scale: {scale} multiplies the update of a whole block, "
            f"and with norm_position: {position} a norm stands within it; use layer_scale",
        )
    if value("norm_scale") not in (None, "none"):
        yield (
            "norm_scale",
            f"norm_scale: {value('norm_scale')} scales what norms give to a module, and with "
            f"norm_position: {position} they give it to the stream; use pre or peri",
        )


def _start_problems(settings: VariantSettings, value: Value, base: str) -> Iterator[Problem]:
    init, parametrization = value("init"), value("parametrization")
    backbones = _INITS.get(init or "", (base,))
    if base not in backbones:
        yield "init", f"init: {init} is for {' and '.join(backbones)}, not for {base}"
    rules = [f"init: {init}"] if init not in (None, "default") else []
    rules += [f"parametrization: {parametrization}"] if parametrization not in (None, "sp") else []
    rules += ["norm_position: deep"] if value("norm_position") == "deep" else []
    if len(rules) > 1:
        yield (
            rules[0].partition(":")[0],
            f"{' and '.join(rules)}: each says how weights start; keep one of them",
        )
    scale = value("residual_scale")
    if parametrization in DEPTH_PARAMETRIZATIONS and isinstance(scale, str):
        yield (
            "residual_scale",
            f"residual_scale: {scale} beside parametrization: {parametrization}, which scales sums "
            "by the depth; give a number, that of base_depth",
        )
    loops = value("loops") or FAMILY_OPTIONS[settings.family].get("loops", 1)
    follows_depth = [
        rule for rule in rules if rule.partition(": ")[2] in (*DEPTH_PARAMETRIZATIONS, "deepscale")
    ]
    if loops > 1 and settings.family == "looped" and follows_depth:
        yield (
            follows_depth[0].partition(":")[0],
            f"{follows_depth[0]} follows the depth of modules that run once, and these run {loops} "
            "times with the same weights: no rule for that is known; remove it, or set loops: 1",
        )
    if init == "critical" and value("bias") is False and value("activation") in _NEED_BIASES:
        yield "bias", f"init: critical with activation: {value('activation')} needs biases"
    experts = value("experts") or FAMILY_OPTIONS[settings.family].get("experts", 1)
    if init == "critical" and experts > 1:
        yield (
            "init",
            "init: critical does not apply to experts, whose gates shrink what it keeps; remove "
            "one of them",
        )
    scaled_by = {"residual_scale": 1.0, "layer_scale": "none", "norm_scale": "none"}
    for name, idle in scaled_by.items() if init == "deepscale" else ():
        if value(name) not in (None, idle):
            yield (
                name,
                f"{name}: {value(name)} beside init: deepscale, which scales sums by its own rule; "
                "remove one of them",
            )


def _base_problems(
    settings: VariantSettings, backbone: BackboneSettings, value: Value
) -> Iterator[Problem]:
    """Yield what keeps the network of the base width from being one."""
    if value("parametrization") in (None, "sp") or not has_attention(settings, backbone):
        return
    given = head_options(settings, backbone)
    width = value("base_width") or PARAMETRIZATION_OPTIONS["base_width"]
    advice = "choose another base_width, or give both heads and head_size"
    for name, size in given.items():
        if len(given) == 1 and width % size:
            yield name, f"{name}: {size} does not divide base_width: {width}; {advice}"
            return
    heads, kv_heads = num_heads(given, width), value("kv_heads") or 1
    if given.get("heads") != "match" and heads % kv_heads:
        yield (
            "kv_heads",
            f"kv_heads: {kv_heads} does not divide the {counted(heads, 'head')} at base_width: "
            f"{width}; {advice}",
        )


def _idle_problems(settings: VariantSettings, value: Value) -> Iterator[Problem]:
    """Yield what a variant says of an option that nobody sets.

    Beside an axis of that option it is without effect at its end, and no problem.
    """
    for name, (other, needed) in _SAY_HOW.items():
        given = getattr(settings, name)
        is_set = value(other) is not None or other in FAMILY_OPTIONS[settings.family]
        if given is not None and not is_set:
            yield name, f"{name}: {given} without effect by itself; set {other}: {needed}"


def _expert_problems(settings: VariantSettings, value: Value) -> Iterator[Problem]:
    experts = value("experts") or FAMILY_OPTIONS[settings.family].get("experts", 1)
    active = value("active_experts")
    if active is not None and active > experts > 1:
        yield (
            "active_experts",
            f"active_experts: {active} of experts: {experts}; at most {experts} can be active",
        )


def _expansion_problems(settings: VariantSettings, backbone: BackboneSettings) -> Iterator[Problem]:
    expansions = hidden_options(settings, backbone).get("expansions")
    if expansions is None:
        return
    if len(expansions) != settings.depth:
        yield (
            "expansions",
            f"expansions has {len(expansions)} numbers and the depth is {settings.depth}: one for "
            "each module",
        )


def _attention_problems(
    settings: VariantSettings, backbone: BackboneSettings, value: Value
) -> Iterator[Problem]:
    options, kv_heads = head_options(settings, backbone), value("kv_heads")
    if not has_attention(settings, backbone):
        # Beside an axis of attention_every they are without effect where it is 0.
        is_wrong = backbone.name == "mixer" and value("attention_every") is None
        names = [*options, *(["kv_heads"] if kv_heads else [])] if is_wrong else []
        for name in names:
            yield name, f"{name}: no module of this mixer has attention; set attention_every"
        return
    if options.get("heads") == "match":
        if "head_size" not in options:
            yield "heads", "heads: match needs head_size: the size that every head has"
        if settings.width == "match":
            yield "heads", "heads: match beside width: match: only one of them can be solved"
        return
    width = settings.width
    heads = options.get("heads") if width == "match" else num_heads(options, width)
    if heads is None and (kv_heads or 1) > 1:
        message = f"kv_heads: {kv_heads} beside width: match needs heads, a multiple of it"
        yield "kv_heads", message
    elif heads is not None and kv_heads and heads % kv_heads:
        yield "kv_heads", f"kv_heads: {kv_heads} does not divide heads: {heads}"
