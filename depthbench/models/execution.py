"""Choose how parallel modules run, one by one or as one, by measuring both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import Literal

import torch

from depthbench.models import build, can_fuse
from depthbench.spec import Problem, Variant

Execution = Literal["loop", "fused"]

_NUM_WARMUP_STEPS = 3
_NUM_STEPS = 9


def choose_execution(
    variant: Variant, problem: Problem, batch_size: int, device: torch.device
) -> Execution:
    """Return the execution whose train steps are faster here, by the median of a few.

    Both networks take turns step by step, so that a disturbance hits both; on CPUs the fused one
    can be slower. Where there is nothing to fuse the answer is the loop, unmeasured, and an
    execution that the suite names stands. No random state is changed.
    """
    if variant.execution in ("loop", "fused"):
        return "fused" if variant.execution == "fused" else "loop"
    if not can_fuse(variant) or variant.branches == 1:
        return "loop"
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        loop = _train_step(replace(variant, execution="loop"), problem, batch_size, device)
        fused = _train_step(replace(variant, execution="fused"), problem, batch_size, device)
    loop_seconds, fused_seconds = _interleaved_medians(loop, fused, device)
    return "fused" if fused_seconds < loop_seconds else "loop"


def _train_step(
    variant: Variant, problem: Problem, batch_size: int, device: torch.device
) -> Callable[[], None]:
    network = build(variant, problem).to(device)
    optimizer = torch.optim.AdamW(
        (weight for weight in network.parameters() if weight.requires_grad),
        fused=device.type in ("cpu", "cuda"),
    )
    x = torch.randn(batch_size, *problem.input_shape).to(device)  # (B, *input)

    def step() -> None:
        optimizer.zero_grad()
        # Any loss will do: that of the task costs both networks the same.
        network(x).square().mean().backward()
        optimizer.step()

    return step


def _interleaved_medians(
    loop: Callable[[], None], fused: Callable[[], None], device: torch.device
) -> tuple[float, float]:
    for _ in range(_NUM_WARMUP_STEPS):
        loop()
        fused()
    pairs = [(_seconds(loop, device), _seconds(fused, device)) for _ in range(_NUM_STEPS)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    _synchronize(device)
    started = perf_counter()
    step()
    _synchronize(device)
    return perf_counter() - started


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
