"""What is called when a cell is timed: a network, fixed inputs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from depthbench.garbage import no_garbage_collection
from depthbench.spec import Problem, Variant
from depthbench.timing.cells import Cell
from depthbench.timing.modes import COMPILE_MODES, Call, captured
from depthbench.timing.phases import INFERENCE_PHASES, PHASES, Parts, Workload
from depthbench.timing.precisions import arithmetic
from depthbench.timing.support import Machine, UnsupportedError, unsupported_reason
from depthbench.training.arithmetic import forked_random
from depthbench.training.failures import is_out_of_memory
from depthbench.training.tasks import task_of
from depthbench.training.threads import cpu_threads

__all__ = ["Builder", "PreparedCell", "UnsupportedError", "Work", "prepare"]

Builder = Callable[[Variant, Problem], nn.Module]
Capture = Callable[[Call, torch.device], Call]
Work = Call

# Weights and inputs of a timed network; time does not depend on which.
_SEED = 0


@dataclass(frozen=True, slots=True)
class PreparedCell:
    """Hold a cell that is ready to be called, beside others in the same process.

    Args:
        call: does the cell's work once, on the same tensors each time. On a GPU it does not wait.
        active: enters the state of the process that calls need: CPU threads, inference mode,
            arithmetic, no garbage collection. The very first call must be inside it, too.
        tokens_per_call: of text; None for images.
        is_compiled: whether the first call compiles.
        touched_bytes: weights and inputs, each once.
        work: what is called and what it works on, before any capture as a CUDA graph.
    """

    call: Call
    active: Callable[[], AbstractContextManager[None]]
    tokens_per_call: int | None
    is_compiled: bool
    touched_bytes: int
    work: Workload


def prepare(
    cell: Cell,
    device: torch.device,
    build: Builder,
    *,
    machine: Machine | None = None,
    capture: Capture = captured,
) -> PreparedCell:
    """Build a cell's network and batch and return what calls them; the process is as before.

    The network is as initialised. Phases are those of `PHASES`; inputs are fixed, drawn once. In
    inference and decode weights and inputs are of the cell's type, in training weights are
    float32 under autocast, and fp16 scales its loss.

    Args:
        cell: what is timed.
        device: where.
        build: gives an initialised network.
        machine: what the machine has (default: this one).
        capture: records a call as a CUDA graph.

    Raises:
        UnsupportedError: what the device cannot do, with the reason.
    """
    reason = unsupported_reason(cell, device, machine)
    if reason is not None:
        raise UnsupportedError(reason)
    with _active(cell, device):
        with forked_random(device, _SEED), torch.inference_mode(False):
            work = PHASES[cell.phase](_parts(cell, device, build))
        call = _captured(work.call, device, capture) if cell.mode == "cuda_graph" else work.call
    return PreparedCell(
        call=call,
        active=partial(_active, cell, device),
        tokens_per_call=_tokens_per_call(cell),
        is_compiled=cell.mode in COMPILE_MODES,
        touched_bytes=_touched_bytes(work),
        work=work,
    )


@contextmanager
def _active(cell: Cell, device: torch.device) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(cpu_threads(cell.threads))
        stack.enter_context(arithmetic(device, cell.precision))
        stack.enter_context(torch.inference_mode(cell.phase in INFERENCE_PHASES))
        # The collector's pauses are depthbench's, not the network's.
        stack.enter_context(no_garbage_collection())
        yield


def _parts(cell: Cell, device: torch.device, build: Builder) -> Parts:
    network = build(cell.variant, cell.problem).to(device)
    task = task_of(cell.task)
    generator = torch.Generator().manual_seed(_SEED)
    inputs, targets = task.synthetic_batch(cell.problem, cell.batch_size, generator)
    # Copies, since a task may draw both in one tensor, which each would keep in memory whole.
    inputs, targets = inputs.to(device, copy=True), targets.to(device, copy=True)
    return Parts(cell, network, inputs, targets, task)


def _captured(call: Call, device: torch.device, capture: Capture) -> Call:
    try:
        return capture(call, device)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UnsupportedError(f"mode cuda_graph: PyTorch cannot record it: {reason}") from error


def _tokens_per_call(cell: Cell) -> int | None:
    if cell.problem.vocabulary is None:
        return None
    return cell.batch_size * (1 if cell.phase == "decode" else cell.problem.input_shape[0])


def _touched_bytes(work: Workload) -> int:
    return storage_bytes([*work.network.parameters(), *work.network.buffers(), *work.inputs])


def storage_bytes(tensors: list[Tensor]) -> int:
    """Return the bytes of the memory under tensors, memory that several share counted once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())
