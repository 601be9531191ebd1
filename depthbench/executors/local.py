"""One item at a time, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from depthbench.executors.base import ExecutorOptions, RunItems, T, Tell


class LocalExecutor:
    """Run items in their order in this process; each starts when its result is asked for.

    There is no worker to lose, and nobody who could hold an item to a limit.
    """

    def __init__(self, options: ExecutorOptions | None = None) -> None:
        self.options = options or ExecutorOptions()

    @contextmanager
    def open(self, work: Callable[[Any, Tell], Any]) -> Iterator[RunItems]:
        """Give what yields each item with its result, in the order of the items."""

        def run(items: Sequence[T], on_told: Callable[[T, Any], None]) -> Iterator[tuple[T, Any]]:
            for item in items:
                yield item, work(item, partial(on_told, item))

        yield run
