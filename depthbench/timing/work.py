"""What is called when a cell is timed: a network, fixed inputs, and nothing else."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from depthbench.errors import TrialError
from depthbench.spec import Problem, Variant
from depthbench.timing.cells import Cell
from depthbench.training.arithmetic import exact_arithmetic, forked_random
from depthbench.training.optimizers import build_optimizer
from depthbench.training.step import build_step
from depthbench.training.tasks import Task, task_of
from depthbench.training.threads import cpu_threads

Builder = Callable[[Variant, Problem], nn.Module]
Work = Callable[[], object]

# Weights and inputs of a timed network; time does not depend on which.
_SEED = 0
_PHASES = ("inference", "train_step")
_PRECISIONS = ("fp32", "bf16")


@contextmanager
def prepared_work(cell: Cell, device: torch.device, build: Builder) -> Iterator[Work]:
    """Yield a function that does a cell's work once, and the process as that work needs it.

    The network is as initialised. `inference` is one forward pass in eval and inference mode; in
    bf16 weights and inputs are bfloat16, as they would be in use. `train_step` is what the
    training loop does with a batch: gradients to None, forward, loss, backward, the
    optimizer's step; in bf16 under autocast, weights float32. Inputs are fixed, drawn once.
    Threads, random numbers and Python's garbage collector are as before afterwards.

    Args:
        cell: what is timed.
        device: where.
        build: gives an initialised network.

    Raises:
        TrialError: a phase, precision, mode, cache or task that cannot be timed.
    """
    _check(cell)
    with ExitStack() as stack:
        stack.enter_context(cpu_threads(cell.threads))
        stack.enter_context(forked_random(device, _SEED))
        stack.enter_context(exact_arithmetic(device, is_deterministic=False))
        network = build(cell.variant, cell.problem).to(device)
        inputs, targets = _synthetic_batch(cell, device)
        stack.enter_context(_no_garbage_collection())
        if cell.phase == "train_step":
            yield _train_step(cell, network, inputs, targets)
        else:
            dtype = torch.bfloat16 if cell.precision == "bf16" else torch.float32
            stack.enter_context(torch.inference_mode())
            inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs  # tokens stay
            yield partial(network.eval().to(dtype), inputs)


def _train_step(cell: Cell, network: nn.Module, inputs: Tensor, targets: Tensor) -> Work:
    optimizer = build_optimizer(network.train(), cell.train)
    return partial(
        build_step(network, optimizer, cell.train, cell.precision, _task(cell)), inputs, targets
    )


def _synthetic_batch(cell: Cell, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(_SEED)
    inputs, targets = _task(cell).synthetic_batch(cell.problem, cell.batch_size, generator)
    return inputs.to(device), targets.to(device)


def _task(cell: Cell) -> Task:
    return task_of(cell.task)


def _check(cell: Cell) -> None:
    allowed = {
        "phase": _PHASES,
        "precision": _PRECISIONS,
        "mode": ("eager",),
        "cache": ("warm",),
    }
    for name, words in allowed.items():
        found = getattr(cell, name)
        if found not in words:
            raise TrialError(f"timing: {name} {found!r} cannot be timed; use {', '.join(words)}")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python's collector out of the samples: its pauses are depthbench's, not the net's."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
