"""Where work runs. A new executor is one module here and one line in `EXECUTORS`."""

from __future__ import annotations

from collections.abc import Callable

from depthbench.executors.base import Executor, ExecutorOptions, Lost, Tell
from depthbench.executors.local import LocalExecutor
from depthbench.executors.process import ProcessExecutor, WorkerError

__all__ = [
    "EXECUTORS",
    "Executor",
    "ExecutorOptions",
    "LocalExecutor",
    "Lost",
    "ProcessExecutor",
    "Tell",
    "WorkerError",
]

EXECUTORS: dict[str, Callable[[ExecutorOptions], Executor]] = {
    "local": LocalExecutor,
    "process": ProcessExecutor,
}
