"""The tasks: `TASKS` is the whole list of what can be learned."""

from __future__ import annotations

from collections.abc import Callable

from depthbench.grammar import TaskSettings
from depthbench.training.tasks.base import Task
from depthbench.training.tasks.classify import Classify

__all__ = ["TASKS", "Task", "task_of"]

TASKS: dict[str, Callable[[TaskSettings], Task]] = {
    "classify": Classify,
}


def task_of(settings: TaskSettings) -> Task:
    """Return the task that a suite's settings name."""
    return TASKS[settings.name](settings)
