"""The words of networks: backbones, families and every option, with bounds, default and meaning.

`BACKBONE_DEFAULTS` says which backbone understands which option, `FAMILY_OPTIONS` which family has
options of its own, `FAMILY_BACKBONES` which backbones a family can lay out. A default of None in
`ModelOptions` means "the default of this backbone". No torch here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from depthbench.axes import NAMED, SEVERAL

Family = Literal["deep", "wide", "parallel_shallow", "hourglass", "looped", "widenet"]
Backbone = Literal["mlp", "conv", "preact", "transformer", "mixer"]
Activation = Literal["relu", "gelu", "silu", "tanh", "identity"]
Norm = Literal["none", "layer", "rms", "batch"]
NormPosition = Literal["pre", "post", "peri", "deep"]
Parametrization = Literal["sp", "ntk", "mup", "depth_mup", "completep"]
# Those that follow the depth, too.
DEPTH_PARAMETRIZATIONS = ("depth_mup", "completep")

IMPORT_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"

MAX_DEPTH = 4096
MAX_WIDTH = 1 << 20

# What any backbone of equal modules understands: the course that its stream takes over depth.
COURSE_OPTIONS: dict[str, Any] = {
    "survival": 1.0,
    "depth_average": False,
    "average_dilation": 1,
    "average_period": 1,
}
# What a module with one place for its norm understands.
BRANCH_OPTIONS: dict[str, Any] = {
    "norm_position": "pre",
    "norm_scale": "none",
    "layer_scale": "none",
}
EXPERT_OPTIONS: dict[str, Any] = {"experts": 1, "active_experts": 2, "balance": 0.01}
PARAMETRIZATION_OPTIONS: dict[str, Any] = {
    "parametrization": "sp",
    "base_width": 64,
    "base_depth": 4,
    "init": "default",
}

# The options each backbone understands, with their defaults (HOUSE: "a short suite means one
# network"). `expansion` is d_h / d; a backbone without one has no hidden layer outside hourglass.
BACKBONE_DEFAULTS: dict[str, dict[str, Any]] = {
    "mlp": {
        "activation": "relu",
        "norm": "layer",
        "norm_affine": True,
        "bias": True,
        "residual_scale": 1.0,
        "expansion": 2.0,
        "head_norm": True,
        "output": "identity",
        "lift": "trained",
        "skip": "residual",
        **COURSE_OPTIONS,
        **BRANCH_OPTIONS,
        **EXPERT_OPTIONS,
        **PARAMETRIZATION_OPTIONS,
    },
    "conv": {
        "activation": "relu",
        "norm": "none",
        "norm_affine": True,
        "bias": True,
        "residual_scale": 1.0,
        "kernel": 3,
        "stem_stride": 1,
        "head_norm": True,
        "output": "identity",
        "skip": "residual",
        **COURSE_OPTIONS,
        **BRANCH_OPTIONS,
        **PARAMETRIZATION_OPTIONS,
    },
    "preact": {
        "activation": "relu",
        "norm": "batch",
        "norm_affine": True,
        "bias": False,
        "residual_scale": 1.0,
        "dropout": 0.0,
        "output": "identity",
        "survival": 1.0,
        "layer_scale": "none",
    },
    "transformer": {
        "activation": "gelu",
        "norm": "layer",
        "norm_affine": True,
        "bias": True,
        "residual_scale": 1.0,
        "expansion": 4.0,
        "heads": None,
        "kv_heads": None,
        "patch": 4,
        "tie_embeddings": True,
        "sub_mlps": 4,
        "output": "identity",
        "parallel_block": False,
        **COURSE_OPTIONS,
        **BRANCH_OPTIONS,
        **EXPERT_OPTIONS,
        **PARAMETRIZATION_OPTIONS,
    },
}
# A mixer is a transformer whose modules mix tokens by weights of their positions.
BACKBONE_DEFAULTS["mixer"] = BACKBONE_DEFAULTS["transformer"] | {
    "token_expansion": 0,
    "attention_every": 0,
}
# The value of an option that goes without saying, where it has one: no name of a variant tells it.
NEUTRAL: dict[str, Any] = {
    "norm_affine": True,
    "bias": True,
    "head_norm": True,
    "output": "identity",
    "lift": "trained",
    "dropout": 0.0,
    "tie_embeddings": True,
    "parallel_block": False,
    "attention_every": 0,
    "init": "default",
    "input_injection": True,
    "residual_scale": 1.0,
    "skip": "residual",
    "survival": 1.0,
    "layer_scale": "none",
    "norm_position": "pre",
    "norm_scale": "none",
    "depth_average": False,
    "experts": 1,
    "parametrization": "sp",
}
# What fused execution cannot join, unless it is as usual.
UNFUSED = (
    "skip",
    "survival",
    "layer_scale",
    "norm_position",
    "norm_scale",
    "depth_average",
    "experts",
    "parametrization",
)
# Stages of equal depth, where a backbone has them: its depth counts the modules of all of them.
BACKBONE_STAGES: dict[str, int] = {"preact": 3}
HOURGLASS_EXPANSION = 0.25
# The default number of attention heads makes them about this wide: GPT-2 has 12 at width 768.
HEAD_SIZE = 64
FAMILY_OPTIONS: dict[str, dict[str, Any]] = {
    "deep": {},
    "wide": {},
    "parallel_shallow": {"branches": None, "execution": "loop"},
    "hourglass": {},
    "looped": {"loops": 2, "input_injection": True},
    "widenet": {"norm_sharing": "individual", "experts": 4},
}
# The built-in backbones a family can lay out, where not all.
FAMILY_BACKBONES: dict[str, tuple[str, ...]] = {
    "looped": ("mlp", "conv", "transformer", "mixer"),
    "widenet": ("mlp", "transformer", "mixer"),
}

Positive = Annotated[float, Field(gt=0)]
Size = Annotated[int, Field(ge=1, le=MAX_WIDTH)]


class Setting(BaseModel):
    """Refuse unknown keys, loose types, NaN and infinities; never change after validation."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True
    )


class ModelOptions(Setting):
    """Options of the residual module, its stem and its head; named as in the README."""

    activation: Activation | None = Field(None, description="nonlinearity inside a module")
    norm: Norm | None = Field(None, description="normalisation at the start of a module")
    norm_affine: bool | None = Field(None, description="whether norms have trained weights")
    bias: bool | None = Field(
        None,
        description="whether linear and convolution layers have biases (preact: the convolutions "
        "alone; the head of a text transformer has none)",
    )
    residual_scale: Positive | Literal["1/sqrt(L)", "1/L", "learned", "rezero"] | None = Field(
        None,
        description="s in z + s f(z): a number, 1/sqrt(L), 1/L, or trained: learned starts at 1, "
        "rezero at 0",
    )
    expansion: Annotated[float, Field(gt=0, le=1024)] | None = Field(
        None, description="hidden size of a module as a multiple of the width, d_h / d"
    )
    hidden: Annotated[int, Field(ge=1, le=MAX_WIDTH)] | None = Field(
        None, description="hidden size of a module as a count, d_h"
    )
    bottleneck: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="an expansion below 1 (hourglass: default 0.25)"
    )
    kernel: Annotated[int, Field(ge=1, le=31)] | None = Field(
        None, description="side of the convolution kernel, odd (conv)"
    )
    stem_stride: Annotated[int, Field(ge=1, le=8)] | None = Field(
        None, description="stride of the stem's convolution (conv)"
    )
    head_norm: bool | None = Field(
        None, description="whether the head normalises the stream first (mlp, conv; default true)"
    )
    output: Literal["identity", "sigmoid"] | None = Field(
        None, description="what the outputs go through, for images (default identity)"
    )
    lift: Literal["trained", "fixed"] | None = Field(
        None, description="whether the mlp's input projection is trained or stays as initialised"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="share of zeroed activations before a block's last convolution (preact)"
    )
    heads: Size | Literal["match"] | None = Field(
        None,
        description="attention heads (default width // 64); divides the width, unless head_size "
        "stands beside it; 'match' solves it for a budget of total_heads",
    )
    head_size: Size | None = Field(
        None,
        description="features of an attention head: alone it divides the width and sets heads; "
        "beside heads it is free",
    )
    patch: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None,
        description="side of an image patch in pixels; divides the image (transformer, mixer)",
    )
    tie_embeddings: bool | None = Field(
        None,
        description="whether the head shares the token embedding (transformer, mixer; for text)",
    )
    sub_mlps: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = Field(
        None, description="narrow residual MLPs after attention (transformer, mixer; hourglass)"
    )
    execution: Literal["loop", "fused", "auto"] | None = Field(
        None, description="how parallel modules run: one by one, as one, or whichever is faster"
    )
    branches: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = Field(
        None,
        description="parallel modules a stage; divides the depth (default: all of them), with "
        "preact the depth of each of its three stages",
    )
    expansions: Annotated[tuple[Annotated[float, Field(gt=0, le=1024)], ...], SEVERAL] | None = (
        Field(None, description="expansion of each module, a list of L numbers; always a list")
    )
    skip: Literal["residual", "none"] | None = Field(
        None, description="none: plain stacks, z <- f(z), as VGG (mlp, conv)"
    )
    survival: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="stochastic depth: probability that the last module is kept in a training "
        "step; falls linearly from 1 over the modules",
    )
    layer_scale: Positive | Literal["none"] | None = Field(
        None, description="first value of a trained gain for each feature of an update, as CaiT"
    )
    norm_position: NormPosition | None = Field(
        None,
        description="where norms stand: before f, after the sum, before f and on its update "
        "(peri), or after a sum with an enlarged stream (deep: DeepNorm)",
    )
    norm_scale: Literal["none", "1/sqrt(l)"] | None = Field(
        None, description="what the output of module l's norms is multiplied by, l = 1..L"
    )
    depth_average: bool | None = Field(
        None,
        description="whether a trained average of all states so far follows a stage, as "
        "DenseFormer",
    )
    average_dilation: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = Field(
        None, description="depth averages: every so many earlier states are read"
    )
    average_period: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = Field(
        None,
        description="depth averages: one after every so many stages; beyond their number: none",
    )
    loops: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = Field(
        None, description="how often the modules are run, with the same weights (looped)"
    )
    input_injection: bool | None = Field(
        None, description="whether z_0 is added to the stream at each new loop (looped)"
    )
    norm_sharing: Literal["individual", "shared"] | None = Field(
        None, description="whether the norms of shared modules are each module's own (widenet)"
    )
    experts: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="feed-forward layers that a router chooses from; 1: no router"
    )
    active_experts: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="experts that work for an example or token (default 2, at most experts)"
    )
    balance: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        None, description="weight of the loss that keeps experts equally busy"
    )
    parallel_block: bool | None = Field(
        None, description="attention and feed-forward side by side, on one norm, as PaLM"
    )
    kv_heads: Size | None = Field(
        None, description="heads of keys and values, shared by groups of heads; 1: multi-query"
    )
    token_expansion: Annotated[int, Field(ge=0, le=1024)] | None = Field(
        None, description="hidden size of token mixing, in contexts; 0: one matrix, flat (mixer)"
    )
    attention_every: Annotated[int, Field(ge=0, le=MAX_DEPTH)] | None = Field(
        None, description="every so many modules one has attention instead; 0: none (mixer)"
    )
    parametrization: Parametrization | None = Field(
        None, description="how first weights, learning rates and multipliers follow the shape"
    )
    base_width: Size | None = Field(
        None, description="the width at which a parametrization equals sp"
    )
    base_depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = Field(
        None, description="the depth at which a parametrization equals sp"
    )
    init: Literal["default", "critical", "deepscale"] | None = Field(
        None,
        description="first weights: the backbone's own, critical for the activation (mlp, conv), "
        "or DeepScaleLM's, with its scaled skips (transformer, mixer)",
    )


class BackboneSettings(ModelOptions):
    """Name a backbone, built in or a user's own block, with options for all variants."""

    name: Backbone | None = Field(None, description="a built-in backbone")
    import_: Annotated[str, Field(pattern=IMPORT_PATTERN)] | None = Field(
        None, alias="import", description="a user's own block: package.module:factory"
    )
    base: Literal["mlp", "conv"] | None = Field(
        None, description="whose stem and head surround an imported block (default mlp)"
    )


class VariantSettings(ModelOptions):
    """Describe one network: a family, a depth, a width and options."""

    family: Family = Field(description="how the modules are laid out")
    depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] = Field(description="residual modules, L")
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)] | Literal["match"] = Field(
        description="size of the residual stream, d; 'match' solves it for the budget"
    )


class ReferenceSettings(VariantSettings):
    """Describe the variant whose size is the budget's target."""

    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = Field(
        description="size of the residual stream, d"
    )
    backbone: Annotated[BackboneSettings, NAMED] | None = Field(
        None, description="its backbone, where it is not the suite's"
    )
