"""What machine this is and which versions run on it; which of that makes two runs comparable.

Facts about PyTorch and the GPU are collected where the caller has loaded PyTorch; this module never
loads it but in `doctor`. Unknown is None.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from depthbench import __version__, machine
from depthbench.errors import ResultError

PACKAGES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn")
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "KMP_AFFINITY",
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
)
# What must agree before two runs' numbers are compared: facts that move times or losses and stay
# from boot to boot. Not the kernel's build, clock rates or load; thread variables
# act through PyTorch's number of threads.
COMPARABLE_KEYS = (
    "arch",
    "cpu_model",
    "num_usable_cpus",
    "cpu_quota",
    "python_minor",
    "versions.torch",
    "device_type",
    "torch_threads",
    "gpu_name",
    "cuda_version",
    "variables.NVIDIA_TF32_OVERRIDE",
)
MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 1 << 30
MAX_CLOCK_STEP_SECONDS = 1e-6
OPTIONAL_PACKAGES = {
    "duckdb": "asks SQL questions of results",
    "polars": "reads results fast",
}


@dataclass(frozen=True, slots=True)
class Check:
    """State one thing about this machine; `is_ok` is None where it is neither good nor bad."""

    name: str
    is_ok: bool | None
    found: str
    advice: str = ""


def collect(device: str | None = None, suite_folder: Path | None = None) -> dict[str, Any]:
    """Return the facts of this machine, ready for JSON.

    Args:
        device: The device a run uses, such as cpu or cuda:1; with it and PyTorch loaded, the facts
            of both are there.
        suite_folder: A folder whose git commit belongs to the facts.
    """
    commit, is_changed = machine.git_state(suite_folder) if suite_folder else (None, None)
    return {
        "os": machine.os_name(),
        "kernel": platform.release() or None,
        "arch": platform.machine() or None,
        "container": machine.container(),
        "cpu_model": machine.cpu_model(),
        "num_cpus": os.cpu_count(),
        "num_usable_cpus": machine.num_usable_cpus(),
        "cpu_quota": machine.cpu_quota(),
        "memory_bytes": machine.memory_bytes(),
        "memory_limit_bytes": machine.memory_limit_bytes(),
        "python": platform.python_version(),
        "python_minor": ".".join(platform.python_version_tuple()[:2]),
        "versions": {"depthbench": __version__} | {name: version(name) for name in PACKAGES},
        "device": device,
        "device_type": device.split(":")[0] if device else None,
        **_torch_facts(device),
        "git_commit": commit,
        "git_is_changed": is_changed,
        "variables": {name: os.environ.get(name) for name in VARIABLES},
    }


def version(package: str) -> str | None:
    """Return a package's version without importing it; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _torch_facts(device: str | None) -> dict[str, Any]:
    """Return what PyTorch says of threads and the GPU, all None where it is not loaded."""
    torch = sys.modules.get("torch")
    facts: dict[str, Any] = dict.fromkeys(
        ("torch_threads", "gpu_name", "num_gpus", "gpu_memory_bytes", "cuda_version", "gpu_driver")
    )
    if torch is None or device is None:
        return facts
    facts["torch_threads"] = torch.get_num_threads()
    if device.startswith("cuda") and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu_name": properties.name,
            "num_gpus": torch.cuda.device_count(),
            "gpu_memory_bytes": properties.total_memory,
            "cuda_version": torch.version.cuda,
            "gpu_driver": machine.gpu_driver(),
        }
    return facts


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts that make two environments incomparable, by key, with both values.

    A key that one of them lacks, as an older depthbench did not record it, tells nothing.
    """
    found = {}
    for key in COMPARABLE_KEYS:
        pair = _fact(before, key), _fact(after, key)
        if ... not in pair and pair[0] != pair[1]:
            found[key] = pair
    return found


def _fact(facts: Any, key: str) -> Any:
    for name in key.split("."):
        facts = facts.get(name, ...) if isinstance(facts, Mapping) else ...
    return facts


def doctor(
    results: Path = Path("results"), device: str = "auto", data_checks: Iterable[Check] = ()
) -> list[Check]:
    """Examine this machine, and say for each thing what to do about it.

    Args:
        results: The folder that runs are written to.
        device: The device to try: auto is a GPU where there is one.
        data_checks: What the caller found out about data sets.
    """
    examined: tuple[Callable[[], Check], ...] = (
        lambda: Check("depthbench", True, __version__),
        _check_python,
        _check_torch,
        lambda: _check_device(device),
        _check_threads,
        _check_clock,
        lambda: _check_results(results),
        lambda: _check_disk(results),
    )
    checks = [examine() for examine in examined]
    return [*checks, *data_checks, *map(_check_optional, OPTIONAL_PACKAGES)]


def _check_python() -> Check:
    is_ok = sys.version_info >= MIN_PYTHON
    wanted = ".".join(map(str, MIN_PYTHON))
    return Check("Python", is_ok, platform.python_version(), "" if is_ok else f"use {wanted} or up")


def _check_torch() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of it is missing
        return Check("PyTorch", False, str(error), "pip install torch")
    return Check("PyTorch", True, torch.__version__)


def device_name(device: str) -> str:
    """Return what rows call a device: cpu, or the name of the GPU as PyTorch reports it."""
    import torch

    found = torch.device(device)
    return torch.cuda.get_device_name(found) if found.type == "cuda" else found.type


def _check_device(device: str) -> Check:
    try:
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.ones(2, device=device).sum().item()
        is_gpu = torch.device(device).type == "cuda"
        found = f"{device}: {device_name(device)}" if is_gpu else device
    except (ImportError, OSError, RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Check("device", False, f"{device}: {reason}", "run with --device cpu")
    if is_gpu:
        return Check("device", True, found)
    return Check("device", None, f"{found} ({machine.cpu_model() or 'unknown processor'})")


def _check_threads() -> Check:
    torch = sys.modules.get("torch")
    usable, quota = machine.num_usable_cpus(), machine.cpu_quota()
    if torch is None or usable is None:
        return Check("threads", None, "unknown")
    granted = min(usable, quota) if quota else usable
    threads = torch.get_num_threads()
    found = f"{threads} of PyTorch on {granted:g} usable CPUs"
    is_ok = threads <= max(1, granted)
    return Check(
        "threads", is_ok, found, "" if is_ok else f"OMP_NUM_THREADS={max(1, int(granted))}"
    )


def _check_clock() -> Check:
    step = machine.clock_step_seconds()
    is_ok = step <= MAX_CLOCK_STEP_SECONDS
    advice = "" if is_ok else "the clock is coarse, so timing short calls takes longer blocks"
    return Check("clock", is_ok, f"smallest step {step * 1e9:.0f} ns", advice)


def _check_results(results: Path) -> Check:
    from depthbench.folder import write_atomically

    place = _existing(results)
    probe = place / f".depthbench-doctor-{os.getpid()}"
    try:
        write_atomically(probe, b"")
        probe.unlink()
    except (ResultError, OSError) as error:
        return Check("results", False, str(error), "choose another folder with --out DIR")
    return Check("results", True, f"{results} can be written")


def _check_disk(results: Path) -> Check:
    try:
        free = shutil.disk_usage(_existing(results)).free
    except OSError as error:
        return Check("disk", None, str(error))
    is_ok = free >= MIN_FREE_BYTES
    advice = "" if is_ok else f"free some: weights and results want {MIN_FREE_BYTES / 1e9:.0f} GB"
    return Check("disk", is_ok, f"{free / 1e9:.1f} GB free", advice)


def _existing(path: Path) -> Path:
    """Return the nearest folder or file that exists, on the way up."""
    path = path.absolute()
    return next((place for place in (path, *path.parents) if place.exists()), path)


def _check_optional(package: str) -> Check:
    found = version(package)
    use = OPTIONAL_PACKAGES[package]
    return Check(package, None, found or "not installed", "" if found else f"optional; it {use}")
