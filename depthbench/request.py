"""What a run is asked for: checked before anything is read or made, and told as a command."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from depthbench import store
from depthbench.document import Document
from depthbench.errors import SuiteError
from depthbench.executors import EXECUTORS, check_address, check_ray
from depthbench.expand import expand, select
from depthbench.journal import check_resumable, default_name
from depthbench.overrides import path_of
from depthbench.spec import Trial
from depthbench.suite import Suite, load_suite

# The options of `depthbench run` that take a value, in the order in which a command has them.
_VALUES = (
    "run",
    "out",
    "executor",
    "workers",
    "time_limit",
    "memory_limit",
    "address",
    "workers_per_gpu",
    "device",
    "data_dir",
    "only",
    "peak",
)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Hold the options of `depthbench run` as the user gave them, by the same names and units."""

    out: str = "results"
    run: str | None = None
    executor: str = "auto"
    device: str = "auto"
    data_dir: str | None = None
    only: str | None = None
    retry_failed: bool = False
    keep_weights: bool = False
    peak: str = "known"
    workers: int | None = None
    time_limit: float | None = None
    memory_limit: float | None = None
    address: str | None = None
    workers_per_gpu: int = 2


@dataclass(frozen=True)
class RunRequest:
    """Hold a run that can be done; `trials` are those of `every_trial` that `only` chose.

    `options.run` is the run's name, and `device` one that is here.
    """

    suite: Suite
    every_trial: tuple[Trial, ...]
    trials: tuple[Trial, ...]
    device: str
    options: RunOptions
    folder: store.RunFolder


def request_run(suite: Suite | str | Path, options: RunOptions) -> RunRequest:
    """Return what is to be run; refuses all that can be refused without reading data.

    Raises:
        SuiteError: the suite cannot be expanded, `only` chooses nothing, or there is no such
            executor or device.
        ResultError: the run's name is no name, or an existing run of it cannot be resumed.
    """
    suite = suite if isinstance(suite, Suite) else load_suite(suite)
    _check_executor(options)
    # What costs nothing to refuse goes first: widths take seconds to solve.
    options = replace(options, run=default_name() if options.run is None else options.run)
    folder = store.run_folder(Path(options.out), suite.name, options.run or "")
    device = resolve_device(options.device)
    every_trial = expand(suite)
    trials = select(every_trial, options.only) if options.only else every_trial
    if folder.run_json.exists():
        check_resumable(suite, folder, device)
    return RunRequest(suite, every_trial, trials, device, options, folder)


def _check_executor(options: RunOptions) -> None:
    executor = options.executor
    if executor not in ("auto", *EXECUTORS):
        known = ", ".join(("auto", *EXECUTORS))
        raise SuiteError(f"--executor {executor}: not available yet; this version has: {known}")
    _check_cluster(options)
    if executor != "local":
        return
    if (options.workers or 1) > 1:
        raise SuiteError(
            f"--workers {options.workers}: the local executor runs one trial at a time; "
            "use --executor process"
        )
    if options.time_limit is not None or options.memory_limit is not None:
        raise SuiteError(
            "--executor local: trials in the run's own process cannot be held to a limit; "
            "use --executor process"
        )


def _check_cluster(options: RunOptions) -> None:
    """Check what only the ray executor has a use for; an address is enough to ask for it."""
    if uses_ray(options):
        check_ray()
        if options.address is not None:
            check_address(options.address)
        if options.device.startswith("cuda:"):
            raise SuiteError(
                f"--device {options.device}: ray chooses each worker's GPU; use --device cuda"
            )
        return
    if options.address is not None:
        raise SuiteError(f"--address {options.address}: needs --executor ray")


def uses_ray(options: RunOptions) -> bool:
    """Say whether trials are to run on a ray cluster."""
    is_auto = options.executor == "auto"
    return options.executor == "ray" or (is_auto and options.address is not None)


def resolve_device(device: str) -> str:
    """Return the device to use: auto is a GPU where there is one.

    Raises:
        SuiteError: there is no such device on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SuiteError(
            f"--device {device}: {reason}; `depthbench doctor` shows what is here"
        ) from None
    return str(found)


def run_command(suite: Suite, options: RunOptions) -> str:
    """Return the command that does a run, or goes on with it: complete, quoted for a shell.

    A suite that Python changed after reading it says nothing of that; `--set` it does remember.
    """
    words = ["depthbench", "run", suite.source]
    words += [word for text in _overrides(suite.document) for word in ("--set", text)]
    usual = RunOptions()
    for name in _VALUES:
        value = getattr(options, name)
        if value != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    flags = ("retry_failed", "keep_weights")
    words += [f"--{name.replace('_', '-')}" for name in flags if getattr(options, name)]
    return shlex.join(words)


def _overrides(document: Document) -> list[str]:
    """Return the `key=value` texts that were set over the file: the marks of their keys say so."""
    found = []
    for path, mark in document.key_marks.items():
        key = mark.removeprefix("--set ")
        if key != mark and path_of(key) == path:
            value = document.value
            for part in path:
                value = value[part]
            found.append(f"{key.strip()}={json.dumps(value, ensure_ascii=False)}")
    return found
