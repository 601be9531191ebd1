"""Which networks a coordinate check trains: those of a suite, at other widths and depths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import get_args

from depthbench.document import Location
from depthbench.errors import SuiteError
from depthbench.expand import expand
from depthbench.grammar import (
    BACKBONE_DEFAULTS,
    BackboneSettings,
    DatasetSettings,
    TaskSettings,
    TrainSettings,
    VariantSettings,
)
from depthbench.mistakes import nearest
from depthbench.network_grammar import (
    DEPTH_PARAMETRIZATIONS,
    MAX_DEPTH,
    MAX_WIDTH,
    PARAMETRIZATION_OPTIONS,
    Parametrization,
)
from depthbench.options import option_problems
from depthbench.report.rows import Row, join
from depthbench.spec import Trial
from depthbench.stacking import as_loop
from depthbench.suite import Suite, VariantEntry
from depthbench.variants import applicable, base_of, value_of

WIDTHS = (64, 128, 256, 512, 1024, 2048)
DEPTHS = (2, 4, 8, 16, 32, 64)
NUM_STEPS = 5
NUM_SEEDS = 3
_PARAMETRIZATIONS: tuple[str, ...] = get_args(Parametrization)
_MOST = {"widths": MAX_WIDTH, "depths": MAX_DEPTH}

# The trials of a curve at each of its sizes, one a seed.
Points = list[tuple[int, tuple[Trial, ...]]]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Say what is checked; None: the parametrisations, or the first learning rate, of the suite.

    Widths are those at base depth, depths those at base width.
    """

    widths: tuple[int, ...] = WIDTHS
    depths: tuple[int, ...] = DEPTHS
    parametrizations: tuple[str, ...] | None = None
    num_steps: int = NUM_STEPS
    num_seeds: int = NUM_SEEDS
    lr: float | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of networks of a suite, of whatever width, depth and parametrisation."""

    settings: VariantSettings
    backbone: BackboneSettings
    dataset: DatasetSettings
    task: TaskSettings
    train: TrainSettings
    place: Location = field(compare=False)


@dataclass(frozen=True, slots=True)
class Curve:
    """Name networks that differ in one size alone: `over` is width or depth."""

    network: str
    parametrization: str
    over: str
    lr: float
    points: Points = field(compare=False)

    def facts(self) -> Row:
        """Return what rows say of the curve."""
        names = ("network", "parametrization", "over", "lr")
        return {name: getattr(self, name) for name in names}


def sizes_in(text: str, name: str) -> tuple[int, ...]:
    """Return the widths or depths that a text names, smallest first; "none" are none.

    Args:
        text: such as "64,128,256".
        name: widths or depths.

    Raises:
        SuiteError: it is no list of sizes, or has just one, which says nothing of growth.
    """
    if text == "none":
        return ()
    words = [word.strip() for word in text.split(",")]
    sizes = sorted({int(word) for word in words if word.isdecimal()})
    is_read = all(word.isdecimal() for word in words)
    if not is_read or len(sizes) < 2 or sizes[0] < 1 or sizes[-1] > _MOST[name]:
        raise SuiteError(
            f"--{name} {text}: two or more whole numbers from 1 to {_MOST[name]:,}, such as "
            f"{'64,128,256' if name == 'widths' else '2,4,8'}, or none"
        )
    return tuple(sizes)


def parametrizations_in(text: str | None) -> tuple[str, ...] | None:
    """Return the parametrisations that a text names, such as "sp,mup" or "all".

    Raises:
        SuiteError: there is none of such a name.
    """
    if text is None or text == "all":
        return _PARAMETRIZATIONS if text else None
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for name in names:
        if name not in _PARAMETRIZATIONS:
            hint = nearest(name, _PARAMETRIZATIONS)
            known = ", ".join(_PARAMETRIZATIONS)
            raise SuiteError(f"--parametrization {name}: allowed: {known}, or all{hint}")
    return names


def curves_of(suite: Suite, options: CheckOptions) -> list[Curve]:
    """Return every curve with its trials.

    Raises:
        SuiteError: lists every variant that cannot be checked as asked.
    """
    if not options.widths and not options.depths:
        raise SuiteError("no widths and no depths: there is nothing to check; give one of them")
    curves: list[Curve] = []
    mistakes: dict[str, None] = {}
    kinds = _kinds(suite)
    for kind, in_suite in kinds.items():
        name = _name(kind, kinds)
        for parametrization in options.parametrizations or in_suite:
            for over, sizes in (("width", options.widths), ("depth", options.depths)):
                points: Points = []
                for size in sizes:
                    settings = _settings(kind, parametrization, over, size)
                    problems = _problems(kind, settings)
                    where = suite.where(kind.place)
                    mistakes |= dict.fromkeys(f"{where}: {problem}" for problem in problems)
                    if not problems:
                        same = _same_network(kind, settings, over)
                        points.append((size, _trials(suite, kind, same, options)))
                lr = kind.train.lr if options.lr is None else options.lr
                curves += [Curve(name, parametrization, over, lr, points)] if sizes else []
    if mistakes:
        raise SuiteError("\n".join(mistakes))
    return curves


def _kinds(suite: Suite) -> dict[_Kind, list[str]]:
    """Return the kinds of networks of a suite, each with the parametrisations that it has there."""
    found: dict[_Kind, dict[str, None]] = defaultdict(dict)
    open_sizes = {"width": 1, "depth": 1, "parametrization": None}
    for entry in suite.variants:
        settings = entry.settings.model_copy(update=open_sizes)
        for backbone in entry.backbones or suite.backbones:
            own = value_of("parametrization", entry.settings, backbone) or "sp"
            backbone = backbone.model_copy(update={"parametrization": None})
            for dataset in suite.datasets:
                for task in suite.tasks:
                    kind = _Kind(settings, backbone, dataset, task, entry.trains[0], entry.path)
                    found[kind][own] = None
    return {kind: list(own) for kind, own in found.items()}


def _name(kind: _Kind, kinds: Iterable[_Kind]) -> str:
    """Return what tells a kind from the others: family, backbone, and what else differs."""
    words = [kind.settings.family, kind.backbone.import_ or base_of(kind.backbone)]
    facts = {other: _facts(other) for other in kinds}
    for name, value in facts[kind].items():
        if any(own.get(name) != value for own in facts.values()):
            words.append(f"{name} {value}")
    return " ".join(words)


def _facts(kind: _Kind) -> Row:
    skipped = {"family", "width", "depth", "parametrization", "name", "import_", "base"}
    given: Row = kind.backbone.model_dump(exclude=skipped, exclude_none=True)
    given |= kind.settings.model_dump(exclude=skipped, exclude_none=True)
    for settings in (kind.dataset, kind.task, kind.train):
        given |= settings.model_dump(exclude={"name"}, exclude_none=True)
    return given | {"data": kind.dataset.name, "task": kind.task.name}


def _settings(kind: _Kind, parametrization: str, over: str, size: int) -> VariantSettings:
    """Return the settings of a network of one size, at the base in the other."""
    base = {axis: _base(kind, axis) for axis in ("width", "depth")}
    return kind.settings.model_copy(update=base | {over: size, "parametrization": parametrization})


def _base(kind: _Kind, axis: str) -> int:
    name = f"base_{axis}"
    value = value_of(name, kind.settings, kind.backbone) or PARAMETRIZATION_OPTIONS[name]
    return int(value)


def _same_network(kind: _Kind, settings: VariantSettings, over: str) -> VariantSettings:
    """Return settings of the same network under the plainest parametrisation, to train it once.

    At the base all are sp; at base depth those that follow it are mup, at base width others are sp.
    """
    given = settings.parametrization
    is_deep = given in DEPTH_PARAMETRIZATIONS
    plainest = given
    if getattr(settings, over) == _base(kind, over) or (over == "depth" and not is_deep):
        plainest = "sp"
    elif over == "width" and is_deep:
        plainest = "mup"
    return settings.model_copy(update={"parametrization": plainest})


def _problems(kind: _Kind, settings: VariantSettings) -> list[str]:
    base, is_imported = base_of(kind.backbone), bool(kind.backbone.import_)
    if "parametrization" not in applicable(settings.family, base, is_imported):
        allowed = [name for name, known in BACKBONE_DEFAULTS.items() if "parametrization" in known]
        return [
            f"backbone {kind.backbone.import_ or base} cannot be checked, since no parametrization "
            f"but sp applies to it; {join(allowed, 'or')} can"
        ]
    if value_of("heads", settings, kind.backbone) == "match":
        return [
            "heads: match follows a budget, which a coordinate check has none of; set heads to a "
            "number, such as --set variants.0.heads=4, or give head_size without heads"
        ]
    return [message for _, message in option_problems(settings, kind.backbone)]


def _trials(
    suite: Suite, kind: _Kind, settings: VariantSettings, options: CheckOptions
) -> tuple[Trial, ...]:
    lr = kind.train.lr if options.lr is None else options.lr
    train = kind.train.model_copy(update={"lr": lr})
    one = replace(
        suite,
        datasets=(kind.dataset,),
        tasks=(kind.task,),
        backbones=(),
        variants=(VariantEntry(kind.place, settings, (kind.backbone,), (train,)),),
        budgets=(),
        seeds=tuple(range(options.num_seeds)),
    )
    return tuple(map(as_loop, expand(one)))
