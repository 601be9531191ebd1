"""Several items at a time, each in a process of its own kind: a worker's death costs its item."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import wait
from typing import Any

from depthbench import machine
from depthbench.errors import DepthbenchError
from depthbench.executors.base import ExecutorOptions, Lost, RunItems, T, Tell
from depthbench.executors.cores import num_shared_cpus, own_cores
from depthbench.executors.handle import Worker
from depthbench.executors.sharing import SharedValue

# How often limits are looked at, and workers that ended without a word are looked for.
_LOOK_SECONDS = 0.1
# So many workers in a row may end before they take an item.
_MAX_FAILED_STARTS = 3


class WorkerError(DepthbenchError):
    """Report that workers cannot be started here, with the last that one said."""


class ProcessExecutor:
    """Run items in workers: fresh interpreters, each with cores and threads of its own.

    An item is run once. Where its worker dies, or runs past a limit and is ended, the item is lost
    and a new worker takes the next one. Tensors and arrays that the work holds are in memory once,
    for all workers. Whatever ends this process, its workers end, too.

    The memory limit is of a worker's own memory, without what is shared: it is looked at ten times
    a second, and needs Linux.

    Raises:
        WorkerError: this system has no such workers, or cannot see what memory they use.
    """

    def __init__(self, options: ExecutorOptions | None = None) -> None:
        self.options = options or ExecutorOptions()
        if os.name != "posix":
            raise WorkerError("--executor process: needs Linux or macOS; use --executor local")
        is_limited = self.options.memory_limit_bytes is not None
        if is_limited and machine.own_memory_bytes(os.getpid()) is None:
            raise WorkerError("--memory-limit: this system does not say what a process uses")

    @contextmanager
    def open(self, work: Callable[[Any, Tell], Any]) -> Iterator[RunItems]:
        """Give what yields each item with its result as soon as it is there.

        The next item is under way by then. Items, results and what is told are pickled, and so is
        what the work raises: it has the worker's traceback as a note.

        Raises:
            WorkerError: workers end before they take an item.
        """
        with closing(_Crew(self.options, work)) as crew:
            yield crew.run
            crew.dismiss()


class _Crew:
    """The workers of an executor; a slot is a worker's place, with the cores that go with it."""

    def __init__(self, options: ExecutorOptions, work: Callable[[Any, Tell], Any]) -> None:
        self._options, self._work = options, work
        self._shared: SharedValue | None = None
        self._items: Sequence[Any] = ()
        self._waiting: deque[int] = deque()
        self._num_left = 0
        self._num_threads = options.num_threads or max(1, num_shared_cpus() // options.num_workers)
        self._cores = own_cores(options.num_workers, self._num_threads)
        self._workers: dict[int, Worker] = {}
        self._num_failed_starts = 0
        self._last_words = ""

    def run(self, items: Sequence[T], on_told: Callable[[T, Any], None]) -> Iterator[tuple[T, Any]]:
        """Yield each item with its result, and leave no worker at an item."""
        self._items, self._num_left = items, len(items)
        self._waiting = deque(range(len(items)))
        try:
            for place, value in self._results(on_told):
                yield items[place], value
        finally:
            self._end({s: w for s, w in self._workers.items() if w.item is not None})

    def _results(self, on_told: Callable[[Any, Any], None]) -> Iterator[tuple[int, Any]]:
        """Yield the place of each item with its result."""
        while self._num_left:
            self._fill()
            for slot in self._heard():
                yield from self._listen(slot, on_told)
            for slot in list(self._workers):
                yield from self._look_at(slot)

    def dismiss(self) -> None:
        """End workers that have nothing to do, all together."""
        ready = [worker for worker in self._workers.values() if worker.is_ready]
        for worker in ready:
            worker.dismiss()
        for worker in ready:
            worker.join()

    def close(self) -> None:
        """End all workers, whatever they are at, and leave no process behind."""
        self._end(dict(self._workers))
        if self._shared is not None:
            self._shared.close()

    def _end(self, workers: dict[int, Worker]) -> None:
        for worker in workers.values():
            worker.kill()
        for slot, worker in workers.items():
            worker.close()
            del self._workers[slot]

    def _fill(self) -> None:
        """Start workers where some are missing, and hand out what is waiting."""
        num_wanted = min(self._options.num_workers, self._num_left)
        free = [slot for slot in range(self._options.num_workers) if slot not in self._workers]
        for slot in free[: max(0, num_wanted - len(self._workers))]:
            if self._num_failed_starts < _MAX_FAILED_STARTS:
                self._workers[slot] = self._new_worker(slot)
        if not self._workers:
            raise WorkerError(
                f"{self._num_failed_starts} workers in a row ended before they could take a "
                f"piece of work; the last: {self._last_words}"
            )
        for slot in list(self._workers):
            self._hand_out(slot)

    def _new_worker(self, slot: int) -> Worker:
        self._shared = self._shared or SharedValue(self._work)
        return Worker(self._shared, self._num_threads, self._cores[slot])

    def _hand_out(self, slot: int) -> None:
        worker = self._workers[slot]
        if not (self._waiting and worker.is_ready and worker.item is None):
            return
        if worker.hand(self._waiting[0], self._items[self._waiting[0]]):
            self._waiting.popleft()
            self._num_failed_starts = 0
        else:
            self._bury(slot)

    def _heard(self) -> list[int]:
        """Wait a little, and return the slots whose workers have said something."""
        slots = {worker.connection: slot for slot, worker in self._workers.items()}
        return [slots[found] for found in wait(list(slots), _LOOK_SECONDS)]  # type: ignore[index]

    def _listen(self, slot: int, on_told: Callable[[Any, Any], None]) -> Iterator[tuple[int, Any]]:
        worker = self._workers[slot]
        kind, value = worker.hear()
        place = worker.item
        if kind == "ended":
            yield from self._lose(slot, *_how_it_died(worker))
        elif kind == "ready":
            self._hand_out(slot)
        elif place is None:  # pragma: no cover - a worker speaks of an item only
            raise AssertionError(f"heard of no item: {kind}")
        elif kind == "raised":
            raise value
        elif kind == "told":
            on_told(self._items[place], value)
        else:
            worker.item = None
            self._num_left -= 1
            self._hand_out(slot)
            yield place, value

    def _look_at(self, slot: int) -> Iterator[tuple[int, Any]]:
        """Lose the item of a worker that has ended, or is past a limit with nothing said."""
        worker = self._workers[slot]
        if worker.has_ended():
            yield from self._lose(slot, *_how_it_died(worker))
        elif worker.item is not None and not worker.connection.poll():
            excess = self._excess(worker)
            if excess:
                yield from self._lose(slot, *excess)

    def _excess(self, worker: Worker) -> tuple[str, str] | None:
        """Return which limit a worker is past, as a status and an error; None for none."""
        seconds, num_bytes = self._options.time_limit_seconds, self._options.memory_limit_bytes
        if seconds is not None and worker.seconds() > seconds:
            return "timeout", f"ended after the time limit of {seconds:g} s"
        own_bytes = 0 if num_bytes is None else worker.own_bytes() or 0
        if num_bytes is not None and own_bytes > num_bytes:
            used, limit = (count / 1e9 for count in (own_bytes, num_bytes))
            return (
                "oom",
                f"ended at {used:.2f} GB of its own, past the memory limit of {limit:g} GB",
            )
        return None

    def _lose(self, slot: int, status: Any, error: str) -> Iterator[tuple[int, Lost]]:
        place = self._workers[slot].item
        self._last_words = error
        self._bury(slot)
        if place is not None:
            self._num_left -= 1
            yield place, Lost(status, error)

    def _bury(self, slot: int) -> None:
        worker = self._workers.pop(slot)
        worker.close()
        self._num_failed_starts += worker.item is None


def _how_it_died(worker: Worker) -> tuple[str, str]:
    return ("oom" if worker.was_killed_for_memory() else "failed"), worker.last_words()
