"""Where work runs. A new executor is one module here and one line in `EXECUTORS`."""

from __future__ import annotations

from collections.abc import Callable

from depthbench.executors.base import Executor
from depthbench.executors.local import LocalExecutor

__all__ = ["EXECUTORS", "Executor", "LocalExecutor"]

EXECUTORS: dict[str, Callable[[], Executor]] = {"local": LocalExecutor}
