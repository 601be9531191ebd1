"""The words of a suite: every setting with its type, bounds, default and meaning.

Those of networks stand in `network_grammar.py` and are had from here, too.

One class a section, one field a setting, all scalar. `suite.py` turns each scalar of a section
marked as a grid into an axis, so a setting is written once, here, and serves validation, the JSON
Schema, the generated docs and the identity of a trial.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StrictStr

from depthbench.axes import LISTED, SEVERAL
from depthbench.network_grammar import BACKBONE_DEFAULTS as BACKBONE_DEFAULTS
from depthbench.network_grammar import BACKBONE_STAGES as BACKBONE_STAGES
from depthbench.network_grammar import FAMILY_BACKBONES as FAMILY_BACKBONES
from depthbench.network_grammar import FAMILY_OPTIONS as FAMILY_OPTIONS
from depthbench.network_grammar import HEAD_SIZE as HEAD_SIZE
from depthbench.network_grammar import HOURGLASS_EXPANSION as HOURGLASS_EXPANSION
from depthbench.network_grammar import IMPORT_PATTERN, Backbone, Positive, Setting
from depthbench.network_grammar import MAX_DEPTH as MAX_DEPTH
from depthbench.network_grammar import MAX_WIDTH as MAX_WIDTH
from depthbench.network_grammar import NEUTRAL as NEUTRAL
from depthbench.network_grammar import Activation as Activation
from depthbench.network_grammar import BackboneSettings as BackboneSettings
from depthbench.network_grammar import Family as Family
from depthbench.network_grammar import ModelOptions as ModelOptions
from depthbench.network_grammar import Norm as Norm
from depthbench.network_grammar import ReferenceSettings as ReferenceSettings
from depthbench.network_grammar import VariantSettings as VariantSettings

Task = Literal["classify", "denoise", "super_resolution", "prototype", "language_model"]
DatasetName = Literal[
    "digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "tinystories", "npz", "text"
]
Match = Literal[
    "total_params",
    "trainable_params",
    "active_params",
    "body_params",
    "forward_flops",
    "total_heads",
]
Phase = Literal["inference", "forward", "backward", "train_step", "decode"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Mode = Literal["eager", "compile", "compile_reduce_overhead", "compile_max_autotune", "cuda_graph"]
Probe = Literal["layer_skip"]
Cohort = Literal["auto", "off"]

NAME_PATTERN = "^[a-z0-9][a-z0-9-]{0,62}$"
# What the patterns mean, for people.
PATTERN_WORDS = {
    NAME_PATTERN: "a-z, 0-9 and '-', at most 63, not starting with '-'",
    IMPORT_PATTERN: "package.module:factory",
}

MAX_TRIALS = 1_000_000

TEXT_SETS = ("tinystories", "text")

DURATIONS = ("steps", "epochs", "examples", "tokens", "seconds")

# What this version can do, by setting. A word of the grammar that is not here is refused when used.
AVAILABLE: dict[str, tuple[str, ...]] = {
    "backbone": get_args(Backbone),
    "dataset": get_args(DatasetName),
    "task": get_args(Task),
    "phases": get_args(Phase),
    "timing precisions": get_args(Precision),
    "modes": get_args(Mode),
    "cache": ("warm", "cold"),
    "probes": (),
}

Decay = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**12)]


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
    of: Filter = Field(
        description="which rows are judged: column to value, or list of values; none is null, and "
        "a list column is compared as text"
    )
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
