"""How trials of one shape are stacked best, by measuring: each alone, or as a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from depthbench import machine
from depthbench.cohorts import Stacking, max_members
from depthbench.models import build_model
from depthbench.models.stacked import CONVOLUTIONS, why_not_stacked
from depthbench.spec import Trial
from depthbench.training.arithmetic import exact_arithmetic
from depthbench.training.members import Members
from depthbench.training.memory_format import in_training_format
from depthbench.training.optimizers import build_optimizer
from depthbench.training.step import build_step
from depthbench.training.tasks import task_of
from depthbench.training.threads import cpu_threads, training_threads

NUM_WARMUP = 1
NUM_ROUNDS = 5
# Measuring may cost this much of the training.
MEASURED_FRACTION = 0.05
# Stacking is chosen only where it gains so much: a cohort also costs, at its validations.
LEAST_GAIN = 1.05
# All cohorts that train at a time may take this much of the memory that is free.
MEMORY_FRACTION = 0.25

Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timed:
    """Hold a step to be timed, and the threads that it has in a training."""

    step: Step
    num_threads: int | None


def why_alone(trial: Trial) -> str | None:
    """Return why trials like this one train alone, or None where they can be stacked."""
    if ":" in trial.backbone:
        return "a block of the user's own may do anything with its batch"
    with torch.device("meta"):
        return why_not_stacked(build_model(as_loop(trial)))


def as_loop(trial: Trial) -> Trial:
    """Return the trial with its modules run one by one: the same numbers, in a form that stacks."""
    if trial.variant.execution in (None, "loop"):
        return trial
    return replace(trial, variant=replace(trial.variant, execution="loop"))


def choose_stacking(
    trials: Sequence[Trial],
    most: int,
    num_steps: int,
    device: torch.device,
    *,
    num_workers: int = 1,
    alone: Trial | None = None,
) -> Stacking | None:
    """Return how trials of one shape are stacked, None where each is faster alone.

    Steps of a network alone and of stacked ones take turns, so that a disturbance hits all; what
    counts is the median time a member's step. No random state is changed.

    Args:
        trials: of one shape, two or more.
        most: trials of a cohort, at most.
        num_steps: that all of them take together: few are not worth measuring.
        device: where they train.
        num_workers: how many cohorts train at a time, none of which does while this measures.
        alone: a trial as it is built alone (default: with its modules one by one).
    """
    num_members = min(len(trials), most)
    if num_members < 2 or why_alone(trials[0]) is not None:
        return None
    ways = CONVOLUTIONS if _convolves(trials[0]) else CONVOLUTIONS[:1]
    num_measured = (NUM_WARMUP + NUM_ROUNDS) * (1 + num_members * len(ways)) * num_workers
    if num_measured > MEASURED_FRACTION * num_steps:
        return None
    steps = _steps(as_loop(trials[0]), alone or as_loop(trials[0]), num_members, device, ways)
    with exact_arithmetic(device, is_deterministic=True):
        first, *seconds = _medians(steps, device)
    gains = {way: first * num_members / each for way, each in zip(ways, seconds, strict=True)}
    best = max(gains, key=lambda way: gains[way])
    return best if gains[best] >= LEAST_GAIN else None


def members_in_memory(trial: Trial, device: torch.device, num_workers: int) -> int:
    """Return how many members cohorts of a shape may have, for all workers to fit in memory."""
    free = (
        torch.cuda.mem_get_info(device)[0]
        if device.type == "cuda"
        else machine.available_memory_bytes()
    )
    if free is None:  # the system does not say
        return max_members(device.type)
    return max(1, int(MEMORY_FRACTION * free / num_workers / _member_bytes(trial)))


def _member_bytes(trial: Trial) -> int:
    """Return about what a member takes: weights, gradients, two moments, copies; activations."""
    saved: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel() * tensor.element_size())
        return tensor

    task = task_of(trial.task_settings)
    generator = torch.Generator().manual_seed(0)
    inputs, _ = task.synthetic_batch(trial.problem, trial.train.batch_size, generator)
    with torch.device("meta"):
        network = build_model(as_loop(trial)).to("meta")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(inputs.to("meta"))
    return 8 * 4 * trial.cost.total_params + 2 * sum(saved)


def _steps(
    trial: Trial,
    alone: Trial,
    num_members: int,
    device: torch.device,
    ways: Sequence[Stacking],
) -> list[Timed]:
    """Return a step of one network, and of as many stacked in each way."""
    task, settings = task_of(trial.task_settings), trial.train
    examples = num_members * settings.batch_size
    batch = task.synthetic_batch(trial.problem, examples, torch.Generator().manual_seed(0))
    inputs, targets = (part.to(device).unflatten(0, (num_members, -1)) for part in batch)
    networks = [build_model(trial).to(device) for _ in range(num_members)]
    network = in_training_format(build_model(alone).to(device), device)
    take_step = build_step(
        network, build_optimizer(network, settings), settings, settings.precision, task
    )
    flops = trial.cost.forward_flops
    threads = training_threads(flops, settings.batch_size)
    steps = [Timed(partial(take_step, inputs[0], targets[0]), threads)]
    for way in ways:
        members = Members(networks, [settings] * num_members, task, way)
        step = partial(members.step, inputs, targets, [settings.lr] * num_members)
        steps.append(Timed(step, training_threads(flops, examples)))
    return steps


def _convolves(trial: Trial) -> bool:
    with torch.device("meta"):
        network = build_model(as_loop(trial))
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def _medians(steps: Sequence[Timed], device: torch.device) -> list[float]:
    rounds = [[_seconds(step, device) for step in steps] for _ in range(NUM_WARMUP + NUM_ROUNDS)]
    return [median(found) for found in zip(*rounds[NUM_WARMUP:], strict=True)]


def _seconds(timed: Timed, device: torch.device) -> float:
    with cpu_threads(timed.num_threads):
        started = perf_counter()
        timed.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return perf_counter() - started
