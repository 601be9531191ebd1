"""The words of a suite: every setting with its type, bounds, default and meaning.

One class a section, one field a setting, all scalar. `suite.py` turns each scalar of a section
marked as a grid into an axis, so a setting is written once, here, and serves validation, the JSON
Schema, the generated docs and the identity of a trial. A default of None means "the default of
this backbone", from `BACKBONE_DEFAULTS`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from depthbench.axes import LISTED, NAMED, SEVERAL

Family = Literal["deep", "wide", "parallel_shallow", "hourglass"]
Backbone = Literal["mlp", "conv", "preact", "transformer", "mixer"]
Task = Literal["classify", "denoise", "super_resolution", "prototype", "language_model"]
DatasetName = Literal[
    "digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "tinystories", "npz", "text"
]
Activation = Literal["relu", "gelu", "silu", "tanh", "identity"]
Norm = Literal["none", "layer", "rms", "batch"]
Match = Literal["total_params", "trainable_params", "body_params", "forward_flops"]
Phase = Literal["inference", "forward", "backward", "train_step", "decode"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Mode = Literal["eager", "compile", "compile_reduce_overhead", "compile_max_autotune", "cuda_graph"]
Probe = Literal["layer_skip"]
Cohort = Literal["auto", "off"]

NAME_PATTERN = "^[a-z0-9][a-z0-9-]{0,62}$"
IMPORT_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
# What the patterns mean, for people.
PATTERN_WORDS = {
    NAME_PATTERN: "a-z, 0-9 and '-', at most 63, not starting with '-'",
    IMPORT_PATTERN: "package.module:factory",
}

MAX_DEPTH = 4096
MAX_WIDTH = 1 << 20
MAX_TRIALS = 1_000_000

TEXT_SETS = ("tinystories", "text")

DURATIONS = ("steps", "epochs", "examples", "tokens", "seconds")

# What this version can do, by setting. A word of the grammar that is not here is refused when used.
AVAILABLE: dict[str, tuple[str, ...]] = {
    "backbone": ("mlp", "conv", "preact", "transformer"),
    "dataset": get_args(DatasetName),
    "task": get_args(Task),
    "phases": get_args(Phase),
    "timing precisions": get_args(Precision),
    "modes": get_args(Mode),
    "cache": ("warm", "cold"),
    "probes": (),
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
    },
    "preact": {
        "activation": "relu",
        "norm": "batch",
        "norm_affine": True,
        "bias": False,
        "residual_scale": 1.0,
        "dropout": 0.0,
        "output": "identity",
    },
    "transformer": {
        "activation": "gelu",
        "norm": "layer",
        "norm_affine": True,
        "bias": True,
        "residual_scale": 1.0,
        "expansion": 4.0,
        "heads": None,
        "patch": 4,
        "tie_embeddings": True,
        "sub_mlps": 4,
        "output": "identity",
    },
}
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
}


class Setting(BaseModel):
    """Refuse unknown keys, loose types, NaN and infinities; never change after validation."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True
    )


Positive = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**12)]


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
    residual_scale: Positive | Literal["1/sqrt(L)", "1/L", "learned"] | None = Field(
        None, description="s in z + s f(z): a number, 1/sqrt(L), 1/L, or learned (starts at 1)"
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
    heads: Annotated[int, Field(ge=1, le=MAX_WIDTH)] | None = Field(
        None, description="attention heads; divides the width (transformer: default width // 64)"
    )
    head_size: Annotated[int, Field(ge=1, le=MAX_WIDTH)] | None = Field(
        None, description="features of an attention head, instead of heads; divides the width"
    )
    patch: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="side of an image patch in pixels; divides the image (transformer)"
    )
    tie_embeddings: bool | None = Field(
        None, description="whether the head shares the token embedding (transformer for text)"
    )
    sub_mlps: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = Field(
        None, description="narrow residual MLPs after attention (transformer, hourglass)"
    )
    execution: Literal["loop", "fused", "auto"] | None = Field(
        None, description="how parallel modules run: one by one, as one, or whichever is faster"
    )
    branches: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = Field(
        None,
        description="parallel modules a stage; divides the depth (default: all of them), with "
        "preact the depth of each of its three stages",
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


class DatasetSettings(Setting):
    """Name a data set and how much of it to use."""

    name: DatasetName = Field(description="a data set; see `depthbench datasets`")
    train_examples: Count | None = Field(None, description="examples training sees (default: all)")
    validation_examples: Count | None = Field(
        None, description="examples held out of training for validation"
    )
    allow_partial: bool = Field(False, description="accept an incomplete copy, marked in each row")
    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        None, description="file of a user's own data (npz, text), relative to the suite"
    )
    file: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="which file of a text set that has several"
    )
    num_classes: Annotated[int, Field(ge=2, le=10**6)] | None = Field(
        None, description="number of classes of an npz set (default: from its labels)"
    )
    vocabulary: Annotated[int, Field(ge=2)] | Literal["bytes"] | None = Field(
        None, description="tokens of a text set's vocabulary (default 4096), or bytes"
    )
    context: Count | None = Field(None, description="tokens of a text example (default 256)")
    document_mask: bool = Field(
        False, description="text: whether attention stays within a story; timing is without"
    )


class TaskSettings(Setting):
    """Name what is learned."""

    name: Task = Field(description="what is learned")
    noise: Annotated[float, Field(gt=0, le=10)] = Field(
        0.25, description="denoise: standard deviation of the noise, for images in [0, 1]"
    )


class TrainSettings(Setting):
    """Describe the optimisation; exactly one duration."""

    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="the optimizer")
    lr: Annotated[float, Field(gt=0, le=1e6)] = Field(0.001, description="peak learning rate")
    weight_decay: Annotated[float, Field(ge=0, le=1e3)] | None = Field(
        None, description="weight decay (default: 0.01 for adamw, else 0)"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="momentum of sgd")
    nesterov: bool = Field(True, description="Nesterov's form of sgd's momentum")
    betas: Annotated[tuple[Decay, Decay], SEVERAL] = Field(
        (0.9, 0.999), description="decay of adam's moments, a list of two"
    )
    eps: Positive = Field(1e-8, description="adam's epsilon")
    batch_size: Annotated[int, Field(ge=1, le=10**7)] = Field(128, description="examples a step")
    steps: Annotated[int, Field(ge=0, le=10**12)] | None = Field(
        None, description="duration: optimizer steps"
    )
    epochs: Positive | None = Field(None, description="duration: passes over the training set")
    examples: Count | None = Field(None, description="duration: examples seen")
    tokens: Count | None = Field(None, description="duration: tokens seen (text)")
    seconds: Positive | None = Field(None, description="duration: seconds of training")
    schedule: Literal["constant", "linear", "cosine", "step"] = Field(
        "constant",
        description="learning rate over time, after warm-up: to 0 but for constant, step",
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="steps of linear warm-up")
    milestones: Annotated[tuple[Positive, ...], SEVERAL] = Field(
        (), description="step schedule: when to decay, in the duration's unit; always a list"
    )
    gamma: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="step schedule: the factor")
    clip_norm: Positive | None = Field(None, description="largest norm of all gradients together")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="probability spread over all classes in the training loss"
    )
    augment: Literal["none", "flip", "flip_crop"] = Field("none", description="flips and shifts")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="arithmetic of training")
    checkpoint: Literal["last", "best"] = Field(
        "last",
        description="weights at the end: of the last step, or best on validation",
    )
    evaluations: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="validations during training, the last included (default: one an epoch)"
    )


class BudgetSettings(Setting):
    """State what is held equal between variants; exactly one of reference and target."""

    match: Match = Field(description="the quantity held equal")
    reference: ReferenceSettings | None = Field(
        None, description="the variant that sets the target"
    )
    target: Positive | None = Field(None, description="the target as a number")
    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.02, description="largest relative error of a solved width"
    )


class TimingSettings(Setting):
    """Say which cells are timed and how precisely; every setting may be a list."""

    phases: Annotated[tuple[Phase, ...], LISTED] = Field(
        ("inference",), description="what is timed; docs/timing.md says what each call does"
    )
    batch_sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=10**7)], ...], LISTED] = Field(
        (128,), description="examples a call"
    )
    precisions: Annotated[tuple[Precision, ...], LISTED] = Field(
        ("fp32",), description="arithmetic; in training bf16 and fp16 are autocast"
    )
    modes: Annotated[tuple[Mode, ...], LISTED] = Field(
        ("eager",), description="how PyTorch runs the network; what a device cannot do is a row"
    )
    threads: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], LISTED] | None = Field(
        None, description="CPU threads (default: PyTorch's own number)"
    )
    cache: Annotated[tuple[Literal["warm", "cold"], ...], LISTED] = Field(
        ("warm",), description="state of the L2 cache"
    )
    target_precision: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="half width of the median's interval at which a cell is done, a fraction"
    )
    time_budget_seconds: Positive | None = Field(
        None, description="seconds after which a cell stops, whatever its precision (default 10)"
    )


Scalar = StrictStr | bool | int | float
Filter = dict[str, Scalar | Annotated[list[Scalar], Field(min_length=1)]]


class Expectation(Setting):
    """State one bound; ratios and differences are `of` against `against`."""

    ratio_at_most: Positive | None = None
    ratio_at_least: Positive | None = None
    ratio_within: Annotated[tuple[Positive, Positive], SEVERAL] | None = None
    difference_at_most: float | None = None
    difference_at_least: float | None = None
    difference_within: Annotated[tuple[float, float], SEVERAL] | None = None


class ClaimSettings(Setting):
    """State something about results that a machine can judge."""

    id: Annotated[str, Field(pattern=NAME_PATTERN)] = Field(description="its name")
    metric: str = Field(description="a metric of trials.parquet or timings.parquet")
    of: Filter = Field(description="which rows are judged: column to value, or list of values")
    against: Filter = Field(description="which rows they are compared with")
    where: Filter = Field(default_factory=dict, description="a filter on both sides")
    paired_by: Annotated[tuple[str, ...], LISTED] = Field(
        ("seed",), description="columns that make a pair"
    )
    expect: Expectation = Field(description="the bound")
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = Field(0.95, description="of the interval")
    source: str | None = Field(None, description="who makes the claim, and where")


def words(annotation: Any) -> tuple[str, ...]:
    """Return the words a Literal allows."""
    return get_args(annotation)


def default_weight_decay(optimizer: str) -> float:
    """Return the weight decay of an optimizer that is given none: PyTorch's own default."""
    return 0.01 if optimizer == "adamw" else 0.0
