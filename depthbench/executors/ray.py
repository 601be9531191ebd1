"""Items as tasks of a ray cluster: on this machine alone, or on many that share a folder."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from depthbench.executors.base import ExecutorOptions, Lost, RunItems, T, Tell
from depthbench.executors.ray_cluster import ClusterError, check_ray, joined, num_places, probe_in
from depthbench.executors.ray_worker import (
    TELL_SECONDS,
    BlindNodeError,
    Ears,
    Ended,
    RaisedError,
    Task,
    Told,
    do,
    pack,
)

# How often limits are looked at.
_LOOK_SECONDS = 0.1
# Nodes come and go; how often they are counted.
_COUNT_SECONDS = 5.0
# A worker that dies by itself can be its item's fault, and a node that dies seldom is.
_MAX_DEATHS = {"worker": 3, "node": 10}


def cause_of_death(errors: Any, error: Exception) -> Literal["memory", "node", "worker"] | None:
    """Return what ended a task, None where it did not die but cannot be run.

    Args:
        errors: ray's module of exceptions.
        error: one of them.
    """
    if isinstance(error, errors.OutOfMemoryError):
        return "memory"
    if isinstance(error, errors.NodeDiedError | errors.ObjectLostError):
        return "node"  # with it also results that were not fetched yet
    return "worker" if isinstance(error, errors.WorkerCrashedError) else None


class RayExecutor:
    """Run items in workers of a ray cluster; without an address, one is started here, and ended.

    The work is brought to each node once, and lies in its memory once. An item whose node dies is
    run again, as is one whose worker ends, up to three times. Ray ends workers where a node is
    short of memory: then the item is lost.

    Raises:
        ClusterError: ray is not installed, or a memory limit is asked for.
    """

    def __init__(self, options: ExecutorOptions | None = None) -> None:
        self.options = options or ExecutorOptions()
        check_ray()
        if self.options.memory_limit_bytes is not None:
            raise ClusterError(
                "--memory-limit: workers of ray are not held to one; ray itself ends them where a "
                "node is short of memory. Use --executor process, or leave it out"
            )

    @contextmanager
    def open(self, work: Callable[[Any, Tell], Any]) -> Iterator[RunItems]:
        """Give what yields each item with its result as soon as it is there.

        Raises:
            ClusterError: the cluster cannot be joined, has no node for such work, or has one that
                does not see the shared folder.
        """
        with ExitStack() as stack:
            tasks: _Tasks | None = None

            def run(
                items: Sequence[T], on_told: Callable[[T, Any], None]
            ) -> Iterator[tuple[T, Any]]:
                nonlocal tasks
                if not items:
                    return
                tasks = tasks or self._begin(stack, work)
                for place, value in tasks.results(items, on_told):
                    yield items[place], value

            yield run

    def _begin(self, stack: ExitStack, work: Callable[[Any, Tell], Any]) -> _Tasks:
        ray = stack.enter_context(joined(self.options.cluster.address))
        probe = stack.enter_context(probe_in(self.options.cluster.shared_folder))
        return stack.enter_context(closing(_Tasks(ray, self.options, work, probe)))


@dataclass(slots=True)
class _Try:
    """One try at one item; `began` is when it was first heard of, by the monotonic clock.

    `num_heard` is how much its work had told when it was heard last.
    """

    place: int
    number: int
    began: float | None = None
    num_heard: int = 0


class _Tasks:
    """The tasks of one piece of work, lot after lot."""

    def __init__(self, ray: Any, options: ExecutorOptions, work: Any, probe: Path | None) -> None:
        self._ray, self._options, self._probe = ray, options, probe
        self._cluster, self._num_cpus = options.cluster, options.num_threads or 1
        self._num_places = num_places(ray, self._num_cpus, self._cluster.num_gpus)
        self._counted = self._asked = time.monotonic()
        if not self._num_places:
            raise ClusterError(self._nowhere())
        self._numbers = count()
        self._running: dict[Any, _Try] = {}
        self._answer: Any = None
        self._work = ray.put(pack(work))
        self._ears = self._new_ears()
        self._do = ray.remote(do).options(
            num_cpus=self._num_cpus, num_gpus=self._cluster.num_gpus, max_retries=0
        )

    def results(
        self, items: Sequence[Any], on_told: Callable[[Any, Any], None]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the place of each item with its result."""
        self._items, self._on_told = items, on_told
        self._waiting = deque(range(len(items)))
        self._deaths: dict[str, Counter[int]] = defaultdict(Counter)
        try:
            while self._waiting or self._running:
                self._fill()
                ended, _ = self._ray.wait(list(self._running), timeout=_LOOK_SECONDS)
                for reference in ended:
                    yield from self._end(reference)
                self._listen()
                yield from self._late()
        finally:
            self._cancel()

    def close(self) -> None:
        """End all that was started for the tasks."""
        self._cancel()
        self._ray.kill(self._ears)

    def _cancel(self) -> None:
        """End the tasks that are under way, whatever they are at."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()

    def _nowhere(self) -> str:
        gpus = f" and {self._cluster.num_gpus:g} GPUs" if self._cluster.num_gpus else ""
        return (
            f"--executor ray: no node of the cluster has {self._num_cpus} CPUs{gpus} for a trial. "
            "`ray status` shows what there is; add a node, or choose another --device"
        )

    def _new_ears(self) -> Any:
        """Return the actor that hears tasks, on this node: it is lost with it only."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = self._ray.get_runtime_context().get_node_id()
        return (
            self._ray.remote(Ears)
            .options(
                num_cpus=0,
                max_restarts=-1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
            )
            .remote()
        )

    def _fill(self) -> None:
        """Hand out items: to each place of the cluster one, and the next, so that none is idle."""
        if time.monotonic() - self._counted > _COUNT_SECONDS:
            self._num_places = num_places(self._ray, self._num_cpus, self._cluster.num_gpus)
            self._counted = time.monotonic()
        room = max(1, 2 * self._num_places)
        if self._cluster.max_workers is not None:
            room = min(room, self._cluster.max_workers)
        while self._waiting and len(self._running) < room:
            place = self._waiting.popleft()
            attempt = _Try(place, next(self._numbers))
            task = Task(
                attempt.number, self._items[place], [self._work], self._num_cpus, self._probe
            )
            self._running[self._do.remote(task, self._ears)] = attempt

    def _end(self, reference: Any) -> Iterator[tuple[int, Any]]:
        attempt = self._running.pop(reference)
        try:
            ended: Ended = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise self._raised(error) from None
        except self._ray.exceptions.RayError as error:
            yield from self._died(attempt.place, error)
            return
        self._pass_on(attempt, ended.last)
        yield attempt.place, ended.result

    def _raised(self, error: Any) -> BaseException:
        """Return what the work raised, or why it could not be begun."""
        if isinstance(error.cause, RaisedError):
            return error.cause.error
        if not isinstance(error.cause, BlindNodeError):
            return ClusterError(
                f"--executor ray: a worker cannot do this work: {str(error).strip()}\nEach node "
                "needs the same versions of Python, depthbench and what the suite imports"
            )
        node = error.cause.args[0]
        return ClusterError(
            f"{self._cluster.shared_folder}: node {node} cannot see this folder, or cannot write "
            "there. Trained weights come back through it: choose one that all nodes share, under "
            "the same path, with --out DIR; docs/clusters.md says more"
        )

    def _died(self, place: int, error: Any) -> Iterator[tuple[int, Lost]]:
        """Run an item again whose task has died, or lose it."""
        # What follows is where ray's logs are, which end with a ray that was started here.
        said = str(error).strip().partition("\n")[0].partition(" Check ")[0]
        cause = cause_of_death(self._ray.exceptions, error)
        if cause == "memory":
            yield place, Lost("oom", f"ray ended the worker, its node was short of memory: {said}")
            return
        if cause is None:
            raise ClusterError(f"--executor ray: a task cannot be run: {error}") from error
        deaths, most = self._deaths[cause], _MAX_DEATHS[cause]
        deaths[place] += 1
        if deaths[place] < most:
            self._waiting.appendleft(place)
        else:
            yield place, Lost("failed", f"{most} {cause}s ended while they were at it: {said}")

    def _listen(self) -> None:
        """Take what tasks have told, without waiting for it."""
        if self._answer is None:
            if time.monotonic() - self._asked >= TELL_SECONDS:
                self._asked, self._answer = time.monotonic(), self._ears.take.remote()
            return
        if not self._ray.wait([self._answer], timeout=0)[0]:
            return
        answer, self._answer = self._answer, None
        try:
            heard = self._ray.get(answer)
        except self._ray.exceptions.RayActorError:  # it is started anew
            return
        for attempt in self._running.values():
            if attempt.number in heard:
                attempt.began = attempt.began or self._asked
                self._pass_on(attempt, heard[attempt.number])

    def _pass_on(self, attempt: _Try, told: Told) -> None:
        if told.num_told > attempt.num_heard:
            attempt.num_heard = told.num_told
            self._on_told(self._items[attempt.place], told.value)

    def _late(self) -> Iterator[tuple[int, Lost]]:
        """End the tasks that are past the time limit."""
        limit = self._options.time_limit_seconds
        if limit is None:
            return
        for reference, attempt in list(self._running.items()):
            is_late = attempt.began is not None and time.monotonic() - attempt.began > limit
            if is_late and not self._ray.wait([reference], timeout=0)[0]:
                self._ray.cancel(reference, force=True)
                del self._running[reference]
                yield attempt.place, Lost("timeout", f"ended after the time limit of {limit:g} s")
