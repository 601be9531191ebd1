"""Where work runs. A new executor is one module here and one line in `EXECUTORS`."""

from __future__ import annotations

from collections.abc import Callable

from depthbench.executors.base import (
    Cluster,
    Executor,
    ExecutorOptions,
    Lost,
    RunItems,
    Tell,
)
from depthbench.executors.local import LocalExecutor
from depthbench.executors.process import ProcessExecutor, WorkerError
from depthbench.executors.ray import RayExecutor
from depthbench.executors.ray_cluster import ClusterError, check_address, check_ray, count_places

__all__ = [
    "EXECUTORS",
    "Cluster",
    "ClusterError",
    "Executor",
    "ExecutorOptions",
    "LocalExecutor",
    "Lost",
    "ProcessExecutor",
    "RayExecutor",
    "RunItems",
    "Tell",
    "WorkerError",
    "check_address",
    "check_ray",
    "count_places",
]

EXECUTORS: dict[str, Callable[[ExecutorOptions], Executor]] = {
    "local": LocalExecutor,
    "process": ProcessExecutor,
    "ray": RayExecutor,
}
