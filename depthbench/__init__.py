"""Benchmark harness for depth-versus-width studies of neural networks at equal budgets.

Importing this is instant: each name below is loaded when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthbench.expand import expand
    from depthbench.models import build_model
    from depthbench.run import run_suite
    from depthbench.store import read_run
    from depthbench.suite import load_suite

__version__ = "0.1.0"
__all__ = ["build_model", "expand", "load_suite", "read_run", "run_suite"]

_HOMES = {
    "build_model": "depthbench.models",
    "expand": "depthbench.expand",
    "load_suite": "depthbench.suite",
    "read_run": "depthbench.store",
    "run_suite": "depthbench.run",
}


class _Lazy:
    """Stand for a function of the package; its module, and torch, are loaded when it is called."""

    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name
        self.__module__ = _HOMES[name]

    @property
    def __wrapped__(self) -> Any:
        return getattr(import_module(self.__module__), self.__name__)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return str(self.__wrapped__.__doc__)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__wrapped__(*arguments, **options)

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__name__}>"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'depthbench' has no attribute {name!r}")
    return _Lazy(name)


class _Package(ModuleType):
    """Keep `depthbench.expand` the function, although importing the module would replace it."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
