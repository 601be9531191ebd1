"""The tasks: `TASKS` is the whole list of what can be learned."""

from __future__ import annotations

from collections.abc import Callable

from depthbench.grammar import TaskSettings
from depthbench.training.tasks.base import Task
from depthbench.training.tasks.classify import Classify
from depthbench.training.tasks.images import Denoise, Prototype, SuperResolution
from depthbench.training.tasks.language_model import LanguageModel

__all__ = ["TASKS", "Task", "task_of"]

TASKS: dict[str, Callable[[TaskSettings], Task]] = {
    "classify": Classify,
    "denoise": Denoise,
    "super_resolution": SuperResolution,
    "prototype": Prototype,
    "language_model": LanguageModel,
}


def task_of(settings: TaskSettings) -> Task:
    """Return the task that a suite's settings name."""
    return TASKS[settings.name](settings)
