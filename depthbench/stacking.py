"""How trials of one shape are stacked best, by measuring: each alone, or as a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from time import perf_counter

import torch
from torch import nn

from depthbench.cohorts import Stacking
from depthbench.models import build_model
from depthbench.models.stacked import CONVOLUTIONS, why_not_stacked
from depthbench.spec import Trial
from depthbench.training.members import Members
from depthbench.training.optimizers import build_optimizer
from depthbench.training.step import build_step
from depthbench.training.tasks import task_of

NUM_WARMUP = 2
NUM_ROUNDS = 7
# Measuring may cost this much of the training.
MEASURED_FRACTION = 0.1
# Stacking is chosen only where it gains so much: a cohort also costs, at its validations.
LEAST_GAIN = 1.05


def why_alone(trial: Trial) -> str | None:
    """Return why trials like this one train alone, or None where they can be stacked."""
    with torch.device("meta"):
        return why_not_stacked(build_model(stackable(trial)))


def stackable(trial: Trial) -> Trial:
    """Return the trial with its modules run one by one: the same numbers, in a form that stacks."""
    if trial.variant.execution in (None, "loop"):
        return trial
    return replace(trial, variant=replace(trial.variant, execution="loop"))


def choose_stacking(
    trials: Sequence[Trial], max_members: int, num_steps: int, device: torch.device
) -> Stacking | None:
    """Return how trials of one shape are stacked, None where each is faster alone.

    Steps of a network alone and of stacked ones take turns, so that a disturbance hits all; what
    counts is the median time a member's step. No random state is changed.

    Args:
        trials: of one shape, two or more.
        max_members: trials of a cohort, at most.
        num_steps: that all of them take together: few are not worth measuring.
        device: where they train.
    """
    trial = stackable(trials[0])
    num_members = min(len(trials), max_members)
    num_measured = (NUM_WARMUP + NUM_ROUNDS) * (1 + num_members)
    if num_measured > MEASURED_FRACTION * num_steps or why_alone(trial) is not None:
        return None
    alone, stacked = _steps(trial, num_members, device)
    seconds = _medians([alone, *stacked.values()], device)
    gains = {
        way: seconds[0] * num_members / found
        for way, found in zip(stacked, seconds[1:], strict=True)
    }
    best = max(gains, key=lambda way: gains[way])
    return best if gains[best] >= LEAST_GAIN else None


Step = Callable[[], object]


def _steps(
    trial: Trial, num_members: int, device: torch.device
) -> tuple[Step, dict[Stacking, Step]]:
    """Return a step of one network, and of as many stacked in each way."""
    task = task_of(trial.task_settings)
    examples = num_members * trial.train.batch_size
    batch = task.synthetic_batch(trial.problem, examples, torch.Generator().manual_seed(0))
    inputs, targets = (part.to(device).unflatten(0, (num_members, -1)) for part in batch)
    networks = [build_model(trial).to(device) for _ in range(num_members)]
    ways = CONVOLUTIONS if _convolves(networks[0]) else CONVOLUTIONS[:1]
    stacked: dict[Stacking, Step] = {
        way: partial(
            Members(networks, [trial.train] * num_members, task, way).step,
            inputs,
            targets,
            [trial.lr] * num_members,
        )
        for way in ways
    }
    optimizer = build_optimizer(networks[0], trial.train)
    take_step = build_step(networks[0], optimizer, trial.train, trial.train.precision, task)
    return partial(take_step, inputs[0], targets[0]), stacked


def _convolves(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def _medians(steps: Sequence[Step], device: torch.device) -> list[float]:
    rounds = [[_seconds(step, device) for step in steps] for _ in range(NUM_WARMUP + NUM_ROUNDS)]
    return [median(found) for found in zip(*rounds[NUM_WARMUP:], strict=True)]


def _seconds(step: Step, device: torch.device) -> float:
    started = perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - started
