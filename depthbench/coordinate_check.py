"""Check how sizes inside a suite's networks follow width and depth, under each parametrisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from pathlib import Path

import torch

from depthbench.coordinate_curves import CheckOptions, Curve, curves_of
from depthbench.interruption import terminated_like_interrupted
from depthbench.models import build_model
from depthbench.models.network import Network
from depthbench.progress import Ending, Progress, Quiet, Work
from depthbench.progress.tally import in_words
from depthbench.report.growth import growth_of
from depthbench.report.rows import Row
from depthbench.request import resolve_device
from depthbench.spec import Trial
from depthbench.suite import Suite
from depthbench.training.coordinates import Sizes, first_steps
from depthbench.training.memory_format import in_training_format
from depthbench.trial import TrialContext, data_key, threads_for
from depthbench.units import counted, format_flops
from depthbench.workload import rough_step_seconds

# What measuring costs, in training steps.
_MEASURED_STEPS = 1 / 3
# A training step takes about three forward passes.
_PASSES = 3


@dataclass(frozen=True, slots=True)
class CoordinateCheck:
    """Hold what was found.

    `growth` has a row for each curve, quantity and step: its exponent over the width or the depth,
    with a verdict. `sizes` has all root mean squares, a row for each network and step.
    """

    suite: str
    num_steps: int
    growth: tuple[Row, ...]
    sizes: tuple[Row, ...]


def coordinate_check(
    suite: Suite,
    options: CheckOptions,
    *,
    device: str = "auto",
    data_dir: Path | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> CoordinateCheck:
    """Train networks of many widths and depths for a few steps; say how their sizes follow these.

    Args:
        suite: whose kinds of networks are checked: family, options, data, training.
        options: what is checked.
        device: cpu, cuda, cuda:1, or auto: a GPU where there is one.
        data_dir: folder with one folder a data set.
        progress: hears of each network that is done.
        tell: hears beforehand what it will cost.

    Raises:
        SuiteError: a variant cannot have such a size or parametrisation, or there is no such
            device.
        DataError: data is missing or corrupt.
    """
    context = TrialContext(
        suite.name, "coordinate-check", Path(), resolve_device(device), data_dir, {}
    )
    curves = curves_of(suite, options)
    trials = {t.trial_id: t for curve in curves for _, own in curve.points for t in own}
    tell(_cost(trials.values(), options.num_steps))
    found: dict[str, tuple[Sizes, ...]] = {}
    progress = progress or Quiet()
    works = {name: _work(trial) for name, trial in trials.items()}
    progress.begin("coordinate-check", works.values())
    try:
        with terminated_like_interrupted():
            for name, trial in trials.items():
                found[name] = _first_sizes(trial, context, options.num_steps)
                progress.advance(works[name], (Ending(),))
    except KeyboardInterrupt as error:
        error.add_note(f"{len(found):,} of {counted(len(trials), 'network')} done; none are stored")
        raise
    finally:
        progress.end()
    return CoordinateCheck(
        suite.name,
        options.num_steps,
        tuple(row for curve in curves for row in _growth_rows(curve, found)),
        tuple(row for curve in curves for row in _size_rows(curve, found)),
    )


def _cost(trials: Iterable[Trial], num_steps: int) -> str:
    """Return what a check costs, in words: about, since nothing has been measured."""
    trials = tuple(trials)
    steps = num_steps + _MEASURED_STEPS * (num_steps + 1)
    flops = sum(_PASSES * steps * t.train.batch_size * t.cost.forward_flops for t in trials)
    seconds = fsum(steps * _work(trial).cost for trial in trials)
    return (
        f"{counted(len(trials), 'network')}, {counted(num_steps, 'step')} each: "
        f"{format_flops(flops)} FLOPs, very roughly {in_words(seconds)} on a CPU core"
    )


def _work(trial: Trial) -> Work:
    variant = trial.variant
    flops, batch_size = trial.cost.forward_flops, trial.train.batch_size
    return Work(
        f"{variant.family} {variant.parametrization} L{trial.depth} d{trial.width} seed "
        f"{trial.seed}",
        shape=trial.variant_id,
        cost=rough_step_seconds(trial.depth, flops, batch_size),
        key=trial.trial_id,
    )


def _first_sizes(trial: Trial, context: TrialContext, num_steps: int) -> tuple[Sizes, ...]:
    task, data = context.learned_data(data_key(trial))
    device = torch.device(context.device)
    with threads_for(trial):
        network = in_training_format(build_model(trial).to(device), device)
        assert isinstance(network, Network)
        return tuple(first_steps(network, data, trial.train, trial.seed, task, num_steps))


# Quantities by name, each with its size and the size of its change since the start.
_QUANTITIES: dict[str, tuple[Callable[[Sizes], float], Callable[[Sizes], float]]] = {
    "stream": (lambda s: s.streams[-1], lambda s: s.stream_changes[-1]),
    "update": (lambda s: _together(s.updates), lambda s: _together(s.update_changes)),
    "logits": (lambda s: s.logits, lambda s: s.logits_change),
}


def _together(sizes: Sequence[float]) -> float:
    """Return the root mean square over equal parts."""
    return sqrt(fsum(size * size for size in sizes) / len(sizes))


def _growth_rows(curve: Curve, found: dict[str, tuple[Sizes, ...]]) -> Iterator[Row]:
    num_steps = len(found[curve.points[0][1][0].trial_id])
    for step in range(num_steps):
        for name, of in _QUANTITIES.items():
            for is_change, value in enumerate(of):
                if is_change and not step:
                    continue
                values = [
                    [value(found[trial.trial_id][step]) for trial in own] for _, own in curve.points
                ]
                yield _growth_row(curve, values) | {
                    "step": step,
                    "quantity": f"change of {name}" if is_change else name,
                }


def _growth_row(curve: Curve, values: Sequence[Sequence[float]]) -> Row:
    sizes = [size for size, _ in curve.points]
    growth = growth_of(sizes, values)
    exponent = growth.exponent
    ends = {"smallest": 0, "largest": -1}
    return (
        curve.facts()
        | {"sizes": sizes, "values": list(map(_together, values))}
        | {end: sizes[place] for end, place in ends.items()}
        | {f"at_{end}": _together(values[place]) for end, place in ends.items()}
        | {
            "exponent": exponent and exponent.value,
            "low": exponent and exponent.low,
            "high": exponent and exponent.high,
            "num_seeds": len(values[0]),
            "verdict": growth.verdict,
        }
    )


def _size_rows(curve: Curve, found: dict[str, tuple[Sizes, ...]]) -> Iterator[Row]:
    for size, own in curve.points:
        for trial in own:
            for sizes in found[trial.trial_id]:
                yield (
                    curve.facts()
                    | {"size": size, "seed": trial.seed}
                    | {name: getattr(sizes, name) for name in Sizes.__slots__}
                )
