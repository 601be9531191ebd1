"""What an executor is: it runs work on items, and knows nothing of models or trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")
# Takes what work says of itself before it is done: small, and fit to be sent to another process.
Tell = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Lost:
    """Say that an item has no result, since its worker died or ran past a limit."""

    status: Literal["failed", "oom", "timeout"]
    error: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Say which cluster runs items, and what they need there.

    It has as many workers as it has places, but never more than `max_workers`. Each takes
    `num_gpus`, which may be a fraction, and must see `shared_folder`. Without an address a cluster
    is started on this machine.
    """

    address: str | None = None
    max_workers: int | None = None
    num_gpus: float = 0.0
    shared_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """What an executor may use; each takes of it what it has a use for.

    `time_limit_seconds` and `memory_limit_bytes` are of one item, None for no limit, and
    `num_threads` CPU threads are for each worker.
    """

    num_workers: int = 1
    num_threads: int | None = None
    time_limit_seconds: float | None = None
    memory_limit_bytes: int | None = None
    cluster: Cluster = Cluster()


class RunItems(Protocol):
    """Run the work of an open executor on items."""

    def __call__(
        self, items: Sequence[T], on_told: Callable[[T, Any], None]
    ) -> Iterator[tuple[T, Any]]:
        """Yield each item with its result or `Lost`, as soon as it is there.

        Closing the iterator starts no further item, and ends those that are under way. What the
        work raises passes through, so a caller that wants every result gives work that catches; so
        does KeyboardInterrupt.

        Args:
            items: What the work is called with, once each.
            on_told: Takes an item and what the work tells on the way; called in this process.
        """
        ...


class Executor(Protocol):
    """Run one piece of work on many items, wherever that is."""

    def open(self, work: Callable[[Any, Tell], Any]) -> AbstractContextManager[RunItems]:
        """Return the context in which items are run, one lot after another.

        Workers are started with the first items, stay for all lots, and end with the context.

        Args:
            work: The function; its results must not depend on where or in which order it runs.
                What it holds is brought to each worker once.
        """
        ...
