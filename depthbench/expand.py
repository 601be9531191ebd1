"""Expand a suite into its trials: pure, ordered, the same on every machine. Reads no data."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, TypeGuard

from depthbench.data import problem_of
from depthbench.document import Location
from depthbench.errors import BlockError, DepthbenchError, SuiteError
from depthbench.grammar import (
    BackboneSettings,
    BudgetSettings,
    DatasetSettings,
    TaskSettings,
    TrainSettings,
    VariantSettings,
    default_weight_decay,
)
from depthbench.matching import solve_heads, solve_width
from depthbench.mistakes import nearest
from depthbench.models.count import count
from depthbench.spec import BudgetShare, Problem, Trial, Variant, trial_ids, variant_id
from depthbench.suite import Suite, VariantEntry, load_suite
from depthbench.variants import head_options, resolve_variant, with_heads

if TYPE_CHECKING:
    from pandas import DataFrame

# What pandas raises for an expression it cannot read or evaluate.
_QUERY_ERRORS: tuple[type[Exception], ...] = (
    *(SyntaxError, NameError, LookupError, TypeError, ValueError, AttributeError),
    *(NotImplementedError, ArithmeticError, AssertionError, RecursionError, TokenError),
)

# Columns that most people choose trials by, and how many values of one a message lists.
_COMMON_COLUMNS = ("family", "backbone", "depth", "width", "dataset", "task", "lr", "seed")
_MAX_VALUES = 12


@dataclass(frozen=True)
class _Setting:
    """What all variants of one pass share: data, task, the suite's backbone."""

    dataset: DatasetSettings
    task: TaskSettings
    problem: Problem
    backbone: BackboneSettings | None


def expand(suite: Suite) -> tuple[Trial, ...]:
    """Return the trials of a suite, in the order of the file, duplicates merged.

    A trial that several budgets lead to stands once and keeps its share in each of them.

    Raises:
        SuiteError: lists every variant that cannot be built or matched, with file:line:column.
    """
    trials: dict[str, Trial] = {}
    reasons: dict[str, None] = {}
    for setting in _settings(suite):
        for entry in suite.variants:
            try:
                for trial in _entry_trials(suite, entry, setting):
                    known = trials.get(trial.trial_id)
                    _check_same_data(known, trial)
                    trials[trial.trial_id] = trial if known is None else _merged(known, trial)
            except DepthbenchError as error:
                reasons[f"{suite.where(_place(entry, error))}: {error}"] = None
    if reasons:
        raise SuiteError("\n".join(reasons))
    return tuple(trials.values())


def load_to_expand(path: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """Return the suite in a file; of one with mistakes, find those of its sizes too.

    Raises:
        SuiteError: lists every mistake, and every width that cannot be solved in what is left.
    """
    try:
        return load_suite(path, overrides)
    except SuiteError as error:
        mistakes = [str(error)]
        try:
            if error.remainder is not None:
                expand(error.remainder)
        except SuiteError as more:
            mistakes.append(str(more))
        raise SuiteError("\n".join(mistakes)) from None


def _check_same_data(known: Trial | None, again: Trial) -> None:
    """Refuse two files of one name: paths are no part of an identity, names are.

    Raises:
        SuiteError: two trials of one identity have different data files.
    """
    if known is not None and known.dataset_settings.path != again.dataset_settings.path:
        paths = f"{known.dataset_settings.path} and {again.dataset_settings.path}"
        raise SuiteError(f"dataset: {paths} are two files of one name; rename one of them")


def _place(entry: VariantEntry, error: DepthbenchError) -> Location:
    if isinstance(error, BlockError) and not entry.backbones:
        return ("backbone", "import")  # the block's own, whatever variant met it first
    return (*entry.path, "width") if entry.settings.width == "match" else entry.path


def _settings(suite: Suite) -> Iterator[_Setting]:
    for dataset, task in product(suite.datasets, suite.tasks):
        try:
            problem = problem_of(dataset, task)
        except DepthbenchError as error:
            raise SuiteError(f"{suite.where(('dataset',))}: {error}") from error
        for backbone in suite.backbones or (None,):
            yield _Setting(dataset, task, problem, backbone)


def _entry_trials(suite: Suite, entry: VariantEntry, setting: _Setting) -> Iterator[Trial]:
    own = (setting.backbone,) if setting.backbone is not None else ()
    for backbone in entry.backbones or own:
        for variant, shares in _sized(suite, entry.settings, backbone, setting):
            for train in entry.trains:
                yield from _seeded(suite.seeds, variant, shares, setting, resolved_train(train))


def _seeded(
    seeds: tuple[int, ...],
    variant: Variant,
    shares: tuple[BudgetShare, ...],
    setting: _Setting,
    train: TrainSettings,
) -> Iterator[Trial]:
    name, cost = variant_id(variant), count(variant, setting.problem)
    ids = trial_ids(variant, setting.dataset, setting.task, train, seeds)
    for seed, identity in zip(seeds, ids, strict=True):
        yield Trial(
            trial_id=identity,
            variant_id=name,
            variant=variant,
            dataset_settings=setting.dataset,
            task_settings=setting.task,
            train=train,
            seed=seed,
            problem=setting.problem,
            cost=cost,
            budgets=shares,
        )


def _sized(
    suite: Suite, settings: VariantSettings, backbone: BackboneSettings, setting: _Setting
) -> Iterator[tuple[Variant, tuple[BudgetShare, ...]]]:
    """Yield the variant at each of its widths, with its shares in the suite's budgets."""
    problem = setting.problem
    targets = [(b, _target(b, setting.backbone or backbone, problem)) for b in suite.budgets]
    if head_options(settings, backbone).get("heads") == "match":
        yield from _sized_by_heads(settings, backbone, problem, targets)
        return
    if isinstance(settings.width, int):
        variant = resolve_variant(settings, backbone, settings.width)
        cost = count(variant, problem)
        yield variant, tuple(_share(b, t, cost.of(b.match) / t - 1) for b, t in targets)
        return
    for budget, target in targets:
        match, tolerance = budget.match, budget.tolerance
        solution = solve_width(
            settings, backbone, problem, match=match, target=target, tolerance=tolerance
        )
        share = _share(budget, target, solution.error_fraction, is_solved=True)
        yield resolve_variant(settings, backbone, solution.width), (share,)


def _sized_by_heads(
    settings: VariantSettings,
    backbone: BackboneSettings,
    problem: Problem,
    targets: Sequence[tuple[BudgetSettings, float]],
) -> Iterator[tuple[Variant, tuple[BudgetShare, ...]]]:
    """Yield the variant with as many attention heads a module as each budget of heads leaves it."""
    assert isinstance(settings.width, int)
    for budget, target in targets:
        if budget.match == "total_heads":
            solution = solve_heads(
                settings, backbone, problem, target=target, tolerance=budget.tolerance
            )
            given = with_heads(settings, backbone, solution.width)
            share = _share(budget, target, solution.error_fraction, is_solved=True)
            yield resolve_variant(given, backbone, settings.width), (share,)


def _share(
    budget: BudgetSettings, target: float, error_fraction: float, *, is_solved: bool = False
) -> BudgetShare:
    return BudgetShare(budget.match, target, budget.tolerance, error_fraction, is_solved)


def _target(budget: BudgetSettings, backbone: BackboneSettings, problem: Problem) -> float:
    """Return a budget's target; a reference is built of its own backbone, else the suite's."""
    if budget.target is not None:
        return budget.target
    return _reference_size(budget, backbone, problem)


@lru_cache(maxsize=1024)
def _reference_size(budget: BudgetSettings, backbone: BackboneSettings, problem: Problem) -> float:
    reference = budget.reference
    assert reference is not None
    variant = resolve_variant(reference, reference.backbone or backbone, reference.width)
    size = float(count(variant, problem).of(budget.match))
    if not size:
        raise SuiteError(
            f"budget.match: {budget.match} of the reference is 0: backbone {variant.backbone} has "
            "none; match what it has, such as total_params"
        )
    return size


@lru_cache(maxsize=1024)
def resolved_train(train: TrainSettings) -> TrainSettings:
    """Return the training with its optimizer's weight decay, and without settings of no effect.

    What another optimizer or schedule would use returns to its default, so that equal trainings
    have equal identities.
    """
    idle = ["betas", "eps"] if train.optimizer == "sgd" else ["momentum", "nesterov"]
    idle += [] if train.schedule == "step" else ["milestones", "gamma"]
    changes = {name: TrainSettings.model_fields[name].default for name in idle}
    if train.weight_decay is None:
        changes["weight_decay"] = default_weight_decay(train.optimizer)
    return train.model_copy(update=changes)


def _merged(known: Trial, again: Trial) -> Trial:
    shares = tuple(dict.fromkeys((*known.budgets, *again.budgets)))
    return known if shares == known.budgets else replace(known, budgets=shares)


def select(trials: Iterable[Trial], expression: str) -> tuple[Trial, ...]:
    """Return the trials for which an expression holds, such as "depth > 4 and seed == 0".

    Args:
        trials: what to choose from.
        expression: over the columns of trials.parquet that stand before a run, in the language
            of `pandas.DataFrame.eval`.

    Raises:
        SuiteError: the expression cannot be read, or chooses nothing.
    """
    import pandas as pd

    trials = tuple(trials)
    frame = pd.DataFrame([trial.describe() for trial in trials])
    names = _names_in(expression)
    unknown = [name for name in names if name not in frame.columns]
    if unknown:
        hint = nearest(unknown[0], frame.columns)
        known = "" if hint else f"; such as {', '.join(_COMMON_COLUMNS)}"
        raise SuiteError(f"--only {expression}: no column is named {unknown[0]!r}{hint}{known}")
    try:
        mask = frame.eval(expression, engine="python")
        if not isinstance(mask, pd.Series) or not pd.api.types.is_bool_dtype(mask):
            raise TypeError("it is a value, not a condition")
        chosen = frame.index[mask]
    except _QUERY_ERRORS as error:
        is_syntax = isinstance(error, (SyntaxError, TokenError))
        reason = "it is no expression" if is_syntax else (str(error).splitlines() or ["error"])[0]
        raise SuiteError(
            f"--only {expression}: cannot be read: {reason}; write a condition, such as "
            "\"family == 'deep' and depth > 4\""
        ) from None
    if not len(chosen):
        present = "; ".join(_values_of(frame, name) for name in names)
        raise SuiteError(
            f"--only {expression}: chooses none of the {len(trials):,} trials; {present}"
        )
    return tuple(trials[index] for index in chosen)


def _names_in(expression: str) -> list[str]:
    """Return the names an expression uses, as far as it can be read."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []
    found = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_name(n.func)}
    return [name for name in dict.fromkeys(found) if name not in called]


def _is_name(node: ast.expr) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)


def _values_of(frame: DataFrame, name: str) -> str:
    """Return which values a column has: depth is 2, 4, 8."""
    values = sorted(dict.fromkeys(frame[name].dropna().astype(str)), key=lambda v: (len(v), v))
    shown = ", ".join(values[:_MAX_VALUES]) + (", ..." if len(values) > _MAX_VALUES else "")
    return f"{name} is {shown or 'not set'}"
