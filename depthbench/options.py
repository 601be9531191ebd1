"""Everything that can be wrong with a variant's options: each said with its reason. No torch."""

from __future__ import annotations

from typing import Any

from depthbench.combinations import combination_problems
from depthbench.grammar import (
    BACKBONE_DEFAULTS,
    BACKBONE_STAGES,
    FAMILY_OPTIONS,
    BackboneSettings,
    ModelOptions,
    Norm,
    VariantSettings,
    words,
)
from depthbench.network_grammar import NEUTRAL, UNFUSED
from depthbench.variants import (
    applicable,
    base_of,
    default_hidden,
    has_attention,
    head_options,
    hidden_options,
    hidden_size,
    is_narrow_enough,
    stage_depth,
    value_of,
    whole_width,
)

_NO_HIDDEN = "a module of this backbone has a hidden layer only in family hourglass"
_ONE_SHAPE = "the stages of preact change the shape of the stream, so states cannot be averaged"
_OWN_NORMS = "preact's activations stand behind its norms, and a user's block has its own"
_NO_EXPERTS = "experts are feed-forward layers, which this module does not have"
_OWN_STARTS = "preact's stem has 16 channels whatever the width, and a user's block its own weights"
_WHY_NOT = {
    "activation": "this stem and head have no activation, and an imported block brings its own",
    "kernel": "only the built-in conv module has a convolution kernel to choose",
    "stem_stride": "only conv's stem is a convolution whose stride can be chosen",
    "lift": "only mlp's stem is a linear projection of the whole example",
    "head_norm": "only the heads of mlp and conv can leave their norm out",
    "output": "outputs of text are logits",
    "dropout": "only a preact block has dropout",
    "heads": "only a transformer or a mixer has attention heads",
    "head_size": "only a transformer or a mixer has attention heads",
    "patch": "only a transformer or a mixer cuts images into patches",
    "tie_embeddings": "only a transformer or a mixer has a token embedding",
    "sub_mlps": "only a transformer or a mixer in family hourglass has narrow MLPs",
    "branches": "only parallel_shallow has parallel modules",
    "execution": "only parallel_shallow has parallel modules to fuse",
    "expansion": _NO_HIDDEN,
    "hidden": _NO_HIDDEN,
    "bottleneck": _NO_HIDDEN,
    "expansions": "modules of their own hidden sizes need one, and are neither preact's, shared, "
    "nor a user's own",
    "kv_heads": "only attention has keys and values",
    "skip": "only mlp and conv stack modules without sums: a transformer's block and preact's "
    "projections have sums within",
    "survival": "only residual modules can be left out",
    "layer_scale": "an imported block brings its own gains",
    "norm_position": _OWN_NORMS,
    "norm_scale": _OWN_NORMS,
    "depth_average": _ONE_SHAPE,
    "average_dilation": _ONE_SHAPE,
    "average_period": _ONE_SHAPE,
    "loops": "only family looped repeats its modules",
    "input_injection": "only family looped repeats its modules",
    "norm_sharing": "only family widenet shares modules",
    "experts": _NO_EXPERTS,
    "active_experts": _NO_EXPERTS,
    "balance": _NO_EXPERTS,
    "parallel_block": "only a transformer or a mixer has two parts in a block",
    "token_expansion": "only a mixer mixes tokens by weights of their positions",
    "attention_every": "only a mixer can have attention in some of its modules",
    "parametrization": _OWN_STARTS,
    "base_width": _OWN_STARTS,
    "base_depth": _OWN_STARTS,
    "init": _OWN_STARTS,
}
# The backbones whose parallel modules can run as one.
_FUSABLE = ("mlp", "conv")

Problems = list[tuple[str, str]]


def option_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    """Return (field, message) for every option that cannot be, here or beside another.

    An option of the backbone section that belongs to another family (`branches` beside a deep
    variant) is a default for those families and no problem. `norm_affine` beside `norm: none` is
    allowed and without effect, so that an axis of norms can stand beside it.
    """
    problems = _backbone_problems(backbone)
    if problems or base_of(backbone) not in BACKBONE_DEFAULTS:
        return problems
    return [
        *_misplaced(settings, backbone),
        *_depth_problems(settings, backbone),
        *_kernel_problems(settings, backbone),
        *_hidden_problems(settings, backbone),
        *_head_problems(settings, backbone),
        *_parallel_problems(settings, backbone),
        *combination_problems(settings, backbone, base_of(backbone)),
    ]


def _backbone_problems(backbone: BackboneSettings) -> Problems:
    if backbone.name and backbone.import_:
        return [("import", "name and import exclude each other; import takes its stem from base")]
    if not backbone.name and not backbone.import_:
        names = ", ".join(BACKBONE_DEFAULTS)
        return [("name", f"a backbone needs a name ({names}) or an import (package.module:block)")]
    if backbone.base and not backbone.import_:
        return [("base", "only an imported block has a base; remove it, or name the block: import")]
    return []


def _misplaced(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    base, is_imported = base_of(backbone), bool(backbone.import_)
    here = applicable(settings.family, base, is_imported)
    # What some family of this backbone understands may stand in the backbone section.
    anywhere = frozenset().union(*(applicable(f, base, is_imported) for f in FAMILY_OPTIONS))
    where = backbone.import_ or base
    problems = []
    for name in ModelOptions.model_fields:
        allowed = here if getattr(settings, name) is not None else anywhere
        value = value_of(name, settings, backbone)
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


def _depth_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    base, depth = base_of(backbone), settings.depth
    num_stages = BACKBONE_STAGES.get(base, 1)
    if depth % num_stages == 0:
        return []
    below, above = depth // num_stages * num_stages, (depth // num_stages + 1) * num_stages
    near = f"{below} or {above}" if below else str(above)
    message = (
        f"depth: {depth} does not divide into the {num_stages} equally deep stages of {base}, "
        f"whose depth counts the blocks of all of them; use {near}"
    )
    return [("depth", message)]


def _kernel_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    kernel = value_of("kernel", settings, backbone)
    if kernel is None or kernel % 2 or backbone.name != "conv":
        return []
    near = f"{kernel - 1} or {kernel + 1}"
    return [
        ("kernel", f"kernel: {kernel} is even and cannot keep the size of the image; use {near}")
    ]


def _hidden_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    given = hidden_options(settings, backbone)
    if len(given) > 1:
        names = " and ".join(given)
        return [(list(given)[1], f"{names} say the same thing, d_h; keep one of them")]
    if settings.family != "hourglass":
        return []
    return _waist_problems(settings, backbone, next(iter(given), "width"))


def _waist_problems(settings: VariantSettings, backbone: BackboneSettings, name: str) -> Problems:
    options, width = hidden_options(settings, backbone), settings.width
    advice = "an hourglass computes below its width: use bottleneck: 0.25, or family: deep"
    largest = max(options.get("expansion", 0), *options.get("expansions", (0,)))
    if largest >= 1:
        return [(name, f"{name}: {largest:g} is not below 1; {advice}")]
    if not isinstance(width, int) or is_narrow_enough(settings, backbone, width):
        return []
    hidden = hidden_size(options, width) or default_hidden(width)
    return [(name, f"hidden size {hidden} is not below the width {width}; {advice}")]


def _head_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    given, width = head_options(settings, backbone), settings.width
    if not has_attention(settings, backbone) or len(given) != 1 or not isinstance(width, int):
        return []
    [(name, value)] = given.items()
    if value == "match" or width % value == 0:
        return []
    widths = sorted({whole_width(settings, backbone, width, below=b) for b in (True, False)})
    message = (
        f"{name}: {value:g} does not divide the width {width}; nearest widths: "
        f"{', '.join(map(str, widths))}; nearest {name}: {_nearest_divisors(width, value)}; or "
        "give heads and head_size, which need not make the width"
    )
    return [(name, message)]


def _parallel_problems(settings: VariantSettings, backbone: BackboneSettings) -> Problems:
    if "branches" not in FAMILY_OPTIONS[settings.family]:
        return []
    problems = []
    branches, base = value_of("branches", settings, backbone), base_of(backbone)
    depth = max(1, stage_depth(settings.depth, base))
    if branches is not None and depth % branches:
        whole = "depth" if base not in BACKBONE_STAGES else f"{base}'s depth of a stage,"
        divisors = _nearest_divisors(depth, branches)
        message = f"branches: {branches} does not divide {whole} {depth}; nearest: {divisors}"
        problems.append(("branches", message))
    if value_of("execution", settings, backbone) == "fused":
        problems += [("execution", reason) for reason in _unfusable(settings, backbone)]
    return problems


def _nearest_divisors(number: int, divisor: float) -> str:
    divisors = [k for k in range(1, number + 1) if number % k == 0]
    nearest = sorted(sorted(divisors, key=lambda k: abs(k - divisor))[:2])
    return ", ".join(str(k) for k in nearest)


def _unfusable(settings: VariantSettings, backbone: BackboneSettings) -> list[str]:
    if backbone.import_ or backbone.name not in _FUSABLE:
        name = backbone.import_ or backbone.name
        return [f"execution: fused cannot join the modules of {name}; use loop or auto"]
    if value_of("norm", settings, backbone) == "batch":
        others = ", ".join(word for word in words(Norm) if word != "batch")
        return [
            "execution: fused cannot join batch norms, each of which keeps running statistics of "
            f"its own; use loop or auto, or another norm ({others})"
        ]
    return [
        f"execution: fused cannot join modules with {name}: {value}; use loop or auto"
        for name in UNFUSED
        if (value := value_of(name, settings, backbone)) not in (None, NEUTRAL[name])
    ] + [
        "execution: fused cannot join modules of unlike size (expansions); use loop or auto"
        for name in hidden_options(settings, backbone)
        if name == "expansions"
    ]
