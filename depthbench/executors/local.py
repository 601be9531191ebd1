"""One item at a time, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from depthbench.executors.base import R, T


class LocalExecutor:
    """Run items in their order in this process; each starts when its result is asked for."""

    def run(self, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield the result of each item, in the order of the items."""
        for item in items:
            yield work(item)
