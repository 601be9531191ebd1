"""What a device can do and what it cannot, with the reason in words."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch

from depthbench.errors import TrialError
from depthbench.timing.cells import Cell
from depthbench.timing.modes import COMPILE_MODES, GRAPHED_COMPILE_MODES
from depthbench.timing.phases import INFERENCE_PHASES

# The first generations of NVIDIA GPUs with bfloat16 and TF32, and that Triton compiles for.
_AMPERE = (8, 0)
_VOLTA = (7, 0)


class UnsupportedError(TrialError):
    """Report a cell that this device cannot run; its row has the status unsupported."""


def _has_triton() -> bool:
    from torch.utils._triton import has_triton

    return bool(has_triton())


def _has_compiler() -> bool:
    """Say whether the C++ compiler is there that PyTorch would call."""
    default = "clang++" if sys.platform == "darwin" else "g++"
    return shutil.which(os.environ.get("CXX", default)) is not None


@dataclass(frozen=True, slots=True)
class Machine:
    """Name what is asked of a machine; a test puts its own answers here."""

    compute_capability: Callable[[torch.device], tuple[int, int]] = torch.cuda.get_device_capability
    has_compiler: Callable[[], bool] = _has_compiler
    has_triton: Callable[[], bool] = _has_triton


def unsupported_reason(
    cell: Cell, device: torch.device, machine: Machine | None = None
) -> str | None:
    """Return why a device cannot run a cell, in words; None where it can.

    Args:
        cell: what is to be timed.
        device: where.
        machine: what the machine has (default: this one).
    """
    machine = machine or Machine()
    reasons = (
        _phase_reason(cell),
        _precision_reason(cell.precision, device, machine),
        _mode_reason(cell, device, machine),
        _cache_reason(cell.cache, device),
    )
    return next((reason for reason in reasons if reason is not None), None)


def _phase_reason(cell: Cell) -> str | None:
    variant = cell.variant
    if cell.phase != "decode":
        return None
    if cell.problem.vocabulary is None:
        return (
            f"phase decode: backbone {variant.backbone} on {cell.dataset} predicts no next token; "
            "decode is for a transformer on text"
        )
    if variant.backbone == "mixer":
        return (
            "phase decode: a mixer keeps no keys and values, and would mix all tokens again for "
            "each; decode is for a transformer"
        )
    if (variant.loops or 1) > 1:
        return (
            f"phase decode: {variant.loops} loops over one set of modules would need a cache for "
            "each; decode is for modules that are run once"
        )
    return None


def _precision_reason(precision: str, device: torch.device, machine: Machine) -> str | None:
    if precision == "tf32" and device.type != "cuda":
        return f"precision tf32: arithmetic of NVIDIA GPUs, which a {device.type} has not; use fp32"
    if precision not in ("tf32", "bf16") or device.type != "cuda":
        return None
    major, minor = machine.compute_capability(device)
    if (major, minor) >= _AMPERE:
        return None
    return (
        f"precision {precision}: NVIDIA GPUs have it from compute capability 8.0 on; this one has "
        f"{major}.{minor}"
    )


def _mode_reason(cell: Cell, device: torch.device, machine: Machine) -> str | None:
    mode, is_cuda = cell.mode, device.type == "cuda"
    if mode in ("cuda_graph", "compile_reduce_overhead") and not is_cuda:
        return f"mode {mode}: records CUDA graphs, which a {device.type} has not"
    if mode != "cuda_graph" and mode not in COMPILE_MODES:
        return None
    reason = _drawn_reason(cell)
    if reason is not None or mode == "cuda_graph":
        return reason
    if not is_cuda:
        return None if machine.has_compiler() else f"mode {mode}: there is no C++ compiler here"
    if not machine.has_triton() or machine.compute_capability(device) < _VOLTA:
        return f"mode {mode}: PyTorch compiles for GPUs with Triton, which cannot be used here"
    if cell.phase == "backward" and mode in GRAPHED_COMPILE_MODES:
        return (
            f"mode {mode}: its CUDA graphs keep what a backward pass needs for one pass only, and "
            "phase backward repeats it; use compile, or phase train_step"
        )
    return None


def _drawn_reason(cell: Cell) -> str | None:
    """Return why a call can be neither recorded nor compiled: what it runs is decided on the way.

    PyTorch would compile it in pieces, anew for each size, and run it uncompiled after the eighth.
    """
    mode, is_trained = cell.mode, cell.phase not in INFERENCE_PHASES
    if (cell.variant.experts or 1) > 1:
        return f"mode {mode}: which rows an expert has is known only when a router has chosen"
    if is_trained and (cell.variant.survival or 1.0) < 1.0:
        return f"mode {mode}: which modules stochastic depth leaves out is drawn at each call"
    return None


def _cache_reason(cache: str, device: torch.device) -> str | None:
    if cache == "warm" or device.type == "cuda":
        return None
    return f"cache {cache}: only the L2 cache of a CUDA device can be emptied between calls"
