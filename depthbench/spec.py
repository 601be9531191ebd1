"""Frozen values that pass between stages: what a trial is, fully resolved. No torch, no I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from depthbench.grammar import (
    TEXT_SETS,
    DatasetSettings,
    TaskSettings,
    TrainSettings,
    default_weight_decay,
)

# Raise only when the meaning of an identity changes: every id changes with it.
IDENTITY_VERSION = 1

# What text is cut into where a suite does not say.
DEFAULT_VOCABULARY = 4096
DEFAULT_CONTEXT = 256


@dataclass(frozen=True, slots=True)
class Problem:
    """State what a network maps to what.

    `vocabulary` is the number of tokens where examples are text, else None.

    Shapes:
        input_shape: (C, H, W) of one example, or (T,) tokens.
        output_shape: (K,) logits, (C, H, W) of an image, or (T, K) token logits.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    vocabulary: int | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """Describe one network completely; an option its backbone does not have is None.

    `hidden` is d_h of a module with a hidden layer, `hidden_sizes` that of each module where they
    differ. `head_size` is None where it is width / heads. `base_hidden`, `base_heads` and
    `base_head_size` are what the same settings mean at `base_width`. `options` that differ from
    `defaults` are part of the identity; `defaults` itself is not.
    """

    family: str
    backbone: str
    depth: int
    width: int
    hidden: int | None = None
    activation: str | None = None
    norm: str | None = None
    norm_affine: bool | None = None
    bias: bool | None = None
    residual_scale: float | str | None = None
    kernel: int | None = None
    stem_stride: int | None = None
    head_norm: bool | None = None
    output: str | None = None
    lift: str | None = None
    dropout: float | None = None
    heads: int | None = None
    patch: int | None = None
    tie_embeddings: bool | None = None
    sub_mlps: int | None = None
    branches: int | None = None
    execution: str | None = None
    base: str | None = None
    hidden_sizes: tuple[int, ...] | None = None
    head_size: int | None = None
    kv_heads: int | None = None
    skip: str | None = None
    survival: float | None = None
    layer_scale: float | str | None = None
    norm_position: str | None = None
    norm_scale: str | None = None
    depth_average: bool | None = None
    average_dilation: int | None = None
    average_period: int | None = None
    loops: int | None = None
    input_injection: bool | None = None
    norm_sharing: str | None = None
    experts: int | None = None
    active_experts: int | None = None
    balance: float | None = None
    parallel_block: bool | None = None
    token_expansion: int | None = None
    attention_every: int | None = None
    parametrization: str | None = None
    base_width: int | None = None
    base_depth: int | None = None
    base_hidden: int | None = None
    base_heads: int | None = None
    base_head_size: int | None = None
    init: str | None = None
    defaults: tuple[tuple[str, Any], ...] = ()

    def options(self) -> dict[str, Any]:
        """Return every setting but `defaults`, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "defaults"}

    @property
    def size_of_heads(self) -> int | None:
        """Return the features of an attention head, None where there is no attention."""
        if self.heads is None:
            return None
        return self.head_size or self.width // self.heads

    def identity(self) -> dict[str, Any]:
        """Return the settings that make this variant what it is: those not at their default."""
        defaults = dict(self.defaults)
        return {
            name: value
            for name, value in self.options().items()
            if value is not None and defaults.get(name, ...) != value
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """Count the weights of a network and the FLOPs of its forward pass for one example.

    `body_params` leaves out embedding, stem and head; `active_params` the experts that do not work
    for an example; `total_heads` are the attention heads of all modules. A multiply-add is 2 FLOPs.
    """

    total_params: int
    trainable_params: int
    active_params: int
    body_params: int
    forward_flops: int
    total_heads: int = 0

    def of(self, match: str) -> int:
        """Return the quantity that a budget names."""
        return int(getattr(self, match))


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """Record that a trial stands under a budget, and how far off it is.

    `error_fraction` is (size - target) / target, signed. `is_solved` says that the width was
    solved for this budget rather than given; `is_on_budget` that the error is within tolerance.
    """

    match: str
    target: float
    tolerance: float
    error_fraction: float
    is_solved: bool

    @property
    def is_on_budget(self) -> bool:
        """Say whether the error is within the budget's tolerance."""
        return abs(self.error_fraction) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of one variant on one data set with one seed, fully resolved."""

    trial_id: str
    variant_id: str
    variant: Variant
    dataset_settings: DatasetSettings
    task_settings: TaskSettings
    train: TrainSettings
    seed: int
    problem: Problem
    cost: Cost
    budgets: tuple[BudgetShare, ...] = ()

    @property
    def family(self) -> str:
        """Return how the modules are laid out."""
        return self.variant.family

    @property
    def backbone(self) -> str:
        """Return the backbone's name, or package.module:factory of an imported one."""
        return self.variant.backbone

    @property
    def depth(self) -> int:
        """Return the number of residual modules, L."""
        return self.variant.depth

    @property
    def width(self) -> int:
        """Return the size of the residual stream, d."""
        return self.variant.width

    @property
    def dataset(self) -> str:
        """Return the data set's name."""
        return self.dataset_settings.name

    @property
    def task(self) -> str:
        """Return the task's name."""
        return self.task_settings.name

    @property
    def lr(self) -> float:
        """Return the peak learning rate."""
        return self.train.lr

    @property
    def budget_error_fraction(self) -> float | None:
        """Return the signed error under the first budget, or None where there is no budget."""
        return self.budgets[0].error_fraction if self.budgets else None

    def describe(self) -> dict[str, Any]:
        """Return every resolved setting and count by the name of its column in trials.parquet."""
        first = self.budgets[0] if self.budgets else None
        row = {"trial_id": self.trial_id, "variant_id": self.variant_id, "seed": self.seed}
        row |= self.variant.options()
        row["residual_scale"] = _text(self.variant.residual_scale)
        row["layer_scale"] = _text(self.variant.layer_scale)
        row["head_size"] = self.variant.size_of_heads
        sizes = self.variant.hidden_sizes
        row["hidden_sizes"] = None if sizes is None else list(sizes)
        row |= self.dataset_settings.model_dump(exclude={"name", "path", "file"})
        row |= _text_columns(self.dataset_settings)
        row |= {"dataset": self.dataset, "dataset_file": file_name(self.dataset_settings)}
        row["noise"] = self.task_settings.noise if self.task == "denoise" else None
        row |= {"task": self.task, "input_shape": list(self.problem.input_shape)}
        row |= {"output_shape": list(self.problem.output_shape)}
        row |= self.train.model_dump(exclude={"betas", "milestones"})
        row |= {"betas": list(self.train.betas), "milestones": list(self.train.milestones)}
        row |= {f.name: getattr(self.cost, f.name) for f in fields(self.cost)}
        row |= {
            "budget_match": first.match if first else None,
            "budget_target": first.target if first else None,
            "budget_error_fraction": self.budget_error_fraction,
            "budgets": [_share(share) for share in self.budgets],
        }
        return row


def vocabulary_of(dataset: DatasetSettings) -> int | str:
    """Return the vocabulary of a text set: a number of tokens, or bytes."""
    return DEFAULT_VOCABULARY if dataset.vocabulary is None else dataset.vocabulary


def context_of(dataset: DatasetSettings) -> int:
    """Return how many tokens an example of a text set has."""
    return DEFAULT_CONTEXT if dataset.context is None else dataset.context


def _share(share: BudgetShare) -> dict[str, Any]:
    values = {f.name: getattr(share, f.name) for f in fields(share)}
    return values | {"is_on_budget": share.is_on_budget}


def _text_columns(dataset: DatasetSettings) -> dict[str, Any]:
    """Return the columns of text as they are resolved; null where the data are no text."""
    if dataset.name not in TEXT_SETS:
        return {"vocabulary": None, "context": None, "document_mask": None}
    return {"vocabulary": _text(vocabulary_of(dataset)), "context": context_of(dataset)}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def file_name(dataset: DatasetSettings) -> str | None:
    """Return the name of a user's own data file without its folder, which is no identity."""
    path = dataset.file or dataset.path
    return path.replace("\\", "/").rsplit("/", 1)[-1] if path else None


@lru_cache(maxsize=4096)
def variant_identity_json(variant: Variant) -> str:
    """Return the canonical JSON of a variant's identity."""
    return _canonical(variant.identity())


@lru_cache(maxsize=4096)
def _settings_json(settings: DatasetSettings | TaskSettings | TrainSettings) -> str:
    dumped = settings.model_dump(exclude_defaults=True, mode="json")
    decay = getattr(settings, "weight_decay", None)
    if isinstance(settings, TrainSettings) and decay == default_weight_decay(settings.optimizer):
        dumped.pop("weight_decay", None)
    if isinstance(settings, DatasetSettings):
        dumped.pop("path", None)
        dumped.pop("allow_partial", None)
        if settings.vocabulary == DEFAULT_VOCABULARY:
            dumped.pop("vocabulary")
        if settings.context == DEFAULT_CONTEXT:
            dumped.pop("context")
        if file_name(settings):
            dumped["file"] = file_name(settings)
    return _canonical(dumped)


def variant_id(variant: Variant) -> str:
    """Return the 16 hex digits that name a variant on every machine."""
    return _digest(f'{{"identity":{IDENTITY_VERSION},"variant":{variant_identity_json(variant)}}}')


def trial_ids(
    variant: Variant,
    dataset: DatasetSettings,
    task: TaskSettings,
    train: TrainSettings,
    seeds: Iterable[int],
) -> list[str]:
    """Return, for each seed, the 16 hex digits that name a trial on every machine."""
    head = f'{{"dataset":{_settings_json(dataset)},"identity":{IDENTITY_VERSION},"seed":'
    tail = (
        f',"task":{_settings_json(task)},"train":{_settings_json(train)},'
        f'"variant":{variant_identity_json(variant)}}}'
    )
    return [_digest(f"{head}{seed}{tail}") for seed in seeds]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
