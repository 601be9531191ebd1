"""A task's metrics over a whole split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from depthbench.training.arithmetic import exact_arithmetic, forward_in
from depthbench.training.members import Members
from depthbench.training.memory_format import has_convolutions
from depthbench.training.tasks import Task
from depthbench.training.tasks.classify import Classify
from depthbench.training.tensors import Tensors

# Constant, so that a number does not depend on the batch size a trial trains with.
EVALUATION_BATCH_SIZE = 512
# Of convolutions on a CPU, whose caches hold no more: with it the sizes of docs/log.md took 0.6 to
# 1.0 of their time at 512. Linear layers took up to 1.8 times as long.
CONVOLUTION_BATCH_SIZE = 128


def evaluate(
    model: nn.Module,
    tensors: Tensors,
    batch_size: int | None = None,
    precision: str = "fp32",
    task: Task | None = None,
) -> dict[str, float]:
    """Return a task's metrics over all examples of a split, whatever the batches.

    The network runs in eval mode, without label smoothing; losses are float32, sums float64.

    Args:
        model: the network, on the device of the tensors; its mode is restored.
        tensors: the split.
        batch_size: examples a forward pass (default: as `evaluation_batch_size` says).
        precision: fp32 or bf16, of the forward pass.
        task: what is measured (default: classify, loss and accuracy).
    """
    task = task or Classify()
    batch_size = batch_size or evaluation_batch_size(model, tensors)
    forward = forward_in(model, precision)

    def outputs(inputs: Tensor) -> list[Tensor]:
        return [forward(inputs).float()]

    with eval_mode(model):
        return _metrics(outputs, tensors, batch_size, task)[0]


def evaluation_batch_size(model: nn.Module, tensors: Tensors) -> int:
    """Return how many examples of a split a network evaluates at a time.

    As its task has it, else 512, or 128 where it has convolutions and runs on a CPU.
    """
    if tensors.evaluation_batch_size:
        return tensors.evaluation_batch_size
    is_on_cpu = tensors.inputs.device.type == "cpu"
    is_small = is_on_cpu and has_convolutions(model)
    return CONVOLUTION_BATCH_SIZE if is_small else EVALUATION_BATCH_SIZE


def evaluate_members(members: Members, tensors: Tensors, task: Task) -> list[dict[str, float]]:
    """Return the metrics of each member of a cohort over all examples of a split.

    Args:
        members: the cohort, on the device of the tensors; its mode is restored.
        tensors: the split, the same for all members.
        task: what is measured.
    """
    batch_size = members_batch_size(tensors, members.num_members)

    def outputs(inputs: Tensor) -> Sequence[Tensor]:
        return members.outputs(inputs.expand(members.num_members, *inputs.shape)).unbind(0)

    with eval_mode(members.network):
        return _metrics(outputs, tensors, batch_size, task)


def members_batch_size(tensors: Tensors, num_members: int) -> int:
    """Return how many examples of a split each member of a cohort evaluates at a time."""
    whole = tensors.evaluation_batch_size or EVALUATION_BATCH_SIZE
    # Smaller batches cost time, larger ones memory: three times as many examples as alone.
    return max(1, min(whole, 3 * whole // num_members))


def _metrics(
    outputs: Callable[[Tensor], Sequence[Tensor]], tensors: Tensors, batch_size: int, task: Task
) -> list[dict[str, float]]:
    """Return the metrics of each network that gives outputs for a batch of inputs."""
    totals: list[dict[str, Tensor]] = []
    exact = exact_arithmetic(tensors.inputs.device, is_deterministic=True)
    with torch.inference_mode(), exact:
        for start in range(0, len(tensors), batch_size):
            targets = tensors.targets[start : start + batch_size]  # (B, ...)
            found = [
                task.sums(output, targets)
                for output in outputs(tensors.inputs[start : start + batch_size])
            ]
            totals = (
                [_added(*pair) for pair in zip(totals, found, strict=True)] if totals else found
            )
    return [task.metrics({name: value.item() for name, value in total.items()}) for total in totals]


def _added(total: dict[str, Tensor], more: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value + more[name] for name, value in total.items()}


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a network in eval mode inside, and back in the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
