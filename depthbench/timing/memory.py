"""How much memory a call takes: a pass of its own, after the samples."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from depthbench.timing.cells import Cell
from depthbench.timing.phases import Workload
from depthbench.timing.work import PreparedCell, storage_bytes

# Where Linux says how large this process is and was, and where the peak is set back.
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def memory_columns(
    prepared: PreparedCell, cell: Cell, device: torch.device, cuda: Any = torch.cuda
) -> dict[str, int | None]:
    """Return the memory columns of a cell, from one call; null where it is not known.

    Other cells may be in the same memory: what is counted is what this one holds between its calls
    (weights, their gradients, the optimizer's state, inputs), and what its call adds. A CUDA
    graph holds all the time what its call takes: there the call is made without it.

    Args:
        prepared: the cell, called before.
        cell: what it is.
        device: where.
        cuda: torch.cuda, or a stand-in.
    """
    work = prepared.work
    with prepared.active():
        kept = None if work.record is None else saved_activation_bytes(work)
        held = _held_bytes(work, cell.phase)
        peak, reserved = _cuda_bytes(work, device, held, cuda)
        grown = resident_growth_bytes(work.call) if device.type == "cpu" else None
    return {
        "peak_memory_bytes": peak,
        "reserved_memory_bytes": reserved,
        "saved_activation_bytes": kept,
        "resident_growth_bytes": grown,
    }


def saved_activation_bytes(work: Workload) -> int:
    """Return the bytes that one forward pass up to the loss keeps for its backward pass.

    Memory that several saved tensors share counts once; that of weights and of the network's
    other state is there anyway and does not count. The inputs do, where a gradient needs them.

    Args:
        work: a workload with gradients.
    """
    own = [*work.network.parameters(), *work.network.buffers()]
    return storage_bytes([*_saved_tensors(work), *own]) - storage_bytes(own)


def _saved_tensors(work: Workload) -> list[Tensor]:
    assert work.record is not None
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.detach())  # with its graph it would never be freed
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work.record()
    return saved


def _held_bytes(work: Workload, phase: str) -> int:
    """Return the bytes that a cell keeps between its calls."""
    held = list(_held_tensors(work))
    if phase == "backward":  # its graph is kept, too
        held += _saved_tensors(work)
    return storage_bytes(held)


def _held_tensors(work: Workload) -> Iterator[Tensor]:
    """Yield what a cell keeps between its calls, but for a recorded graph."""
    for weight in work.network.parameters():
        yield weight
        if weight.grad is not None:
            yield weight.grad
    yield from work.network.buffers()
    yield from work.inputs
    states = work.optimizer.state.values() if work.optimizer is not None else ()
    for state in states:
        yield from (value for value in state.values() if isinstance(value, Tensor))


def _cuda_bytes(
    work: Workload, device: torch.device, held: int, cuda: Any
) -> tuple[int | None, int | None]:
    """Return the largest memory allocated and reserved in one call, other cells' left out."""
    if device.type != "cuda":
        return None, None
    cuda.synchronize(device)
    cuda.empty_cache()  # else the call would be served from what others have left
    allocated, reserved = cuda.memory_allocated(device), cuda.memory_reserved(device)
    cuda.reset_peak_memory_stats(device)
    work.call()
    cuda.synchronize(device)
    peak = held + int(cuda.max_memory_allocated(device)) - allocated
    most_reserved = held + int(cuda.max_memory_reserved(device)) - reserved
    return peak, max(peak, most_reserved)  # part of it may lie in the gaps that others leave


def resident_growth_bytes(
    call: Any, status: Path = _STATUS, clear_refs: Path = _CLEAR_REFS
) -> int | None:
    """Return how far one call raises the resident memory of this process; None if unknown.

    Linux alone tells the peak of a stretch of time. What the allocator keeps of calls before is
    given back to the system first, where the C library can.

    Args:
        call: called once.
        status: the process's own numbers.
        clear_refs: where the peak is set back.
    """
    _trim_heap()
    try:
        clear_refs.write_text(_RESET_PEAK)
        before = _kibibytes(status, "VmRSS")
        call()
        peak = _kibibytes(status, "VmHWM")
    except OSError:
        return None
    return None if before is None or peak is None else max(0, peak - before) * 1024


def _kibibytes(status: Path, name: str) -> int | None:
    for line in status.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return None


def _trim_heap() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
