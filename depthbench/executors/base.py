"""What an executor is: it runs work on items, and knows nothing of models or trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Run one function on many items, wherever that is."""

    def run(self, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield the result of each item as soon as it is there, in the order of completion.

        Closing the iterator starts no further item. What `work` raises passes through, so a caller
        that wants every result gives work that catches; so does KeyboardInterrupt.

        Args:
            work: The function; its results must not depend on where or in which order it runs.
            items: What it is called with, once each.
        """
        ...
