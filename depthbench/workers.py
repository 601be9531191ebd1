"""Who trains the trials of a run: how many workers, with how many CPU threads each.

`--executor auto` is the process executor where that pays and the local one otherwise. It pays on a
CPU with more than one core, where the trials that wait would keep one core busy for
`LITTLE_SECONDS` by `workload.rough_seconds`: starting workers and measuring takes
several seconds. It is local on a GPU, which processes only take turns on (`--executor process
--workers N` lets N of them), and where a training lasts a given time, since what it learns in that
must not depend on what runs beside it. A limit needs a worker that can be ended, so with one auto
is never local.

The number of workers is measured once, with real steps of the median trial by cost: one
worker with all threads, two with half of them each, and so on to one a core. What is chosen stands
in run.json, and a resumed run takes it from there: the number of threads can change the last bits
of a result.

The ray executor has as many workers as the cluster has places, with one thread each. What stands
in run.json is how many those were at the beginning, which is what cohorts are planned for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from depthbench import machine
from depthbench.executors import EXECUTORS, Cluster, Executor, ExecutorOptions, count_places
from depthbench.executors.cores import num_shared_cpus
from depthbench.spec import Trial
from depthbench.trial import TrialContext
from depthbench.worker_speed import Layout, Speed, measure_speeds
from depthbench.workload import rough_seconds

LITTLE_SECONDS = 15.0
# What a worker with PyTorch and a network takes at most, data sets aside; on the safe side.
_WORKER_BYTES = 1 << 30
# Of speeds as near as this to the best, the one with the fewest workers is taken.
_EQUAL_FRACTION = 0.05
# Nodes differ; with one thread a result is the same on all that compute alike.
_CLUSTER_THREADS = 1

Group = Sequence[Trial]
Measure = Callable[[Group, TrialContext, Sequence[Layout]], list[Speed]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what the user asked for: an executor or auto, and a number of workers or None.

    A cluster is asked for by its name, or by where it is.
    """

    executor: str = "auto"
    num_workers: int | None = None
    has_limit: bool = False
    cluster: Cluster | None = None


@dataclass(frozen=True, slots=True)
class Workers:
    """State who trains; None threads are PyTorch's own number. `measured` are steps a second."""

    executor: str
    num_workers: int
    num_threads: int | None
    measured: tuple[Speed, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the value of run.json's key workers."""
        return asdict(self) | {"measured": [asdict(speed) for speed in self.measured]}

    def executor_within(
        self,
        time_limit: float | None = None,
        memory_limit: float | None = None,
        cluster: Cluster | None = None,
    ) -> Executor:
        """Return the executor, which holds each item to limits in seconds and in GB."""
        return EXECUTORS[self.executor](
            ExecutorOptions(
                num_workers=self.num_workers,
                num_threads=self.num_threads,
                time_limit_seconds=time_limit,
                memory_limit_bytes=None if memory_limit is None else int(memory_limit * 1e9),
                cluster=cluster or Cluster(),
            )
        )


def workers_from_json(value: dict[str, Any] | None) -> Workers | None:
    """Return the workers that a run was begun with, None where it has not trained yet."""
    if value is None:
        return None
    measured = tuple(Speed(**speed) for speed in value["measured"])
    return Workers(value["executor"], value["num_workers"], value["num_threads"], measured)


def choose_workers(
    asked: Asked,
    groups: Sequence[Group],
    context: TrialContext,
    recorded: Workers | None = None,
    measure: Measure | None = None,
) -> Workers:
    """Return who trains the groups that wait.

    Args:
        asked: what the user asked for; a number of workers wins over all else.
        groups: what waits; each group is trained by one worker.
        context: what workers get.
        recorded: what the run was trained with before.
        measure: returns the speeds of layouts, of which it may leave some out (default:
            `measure_speeds`).
    """
    executor = "ray" if asked.cluster else asked.executor
    if executor == "auto":
        was_process = recorded is not None and recorded.executor == "process"
        executor = "process" if was_process else _automatic(asked, groups, context)
    if executor == "local":
        return Workers("local", 1, None)
    former = recorded if recorded and recorded.executor == executor else None
    if asked.cluster:
        at_first = asked.num_workers or (former.num_workers if former else None)
        return Workers("ray", at_first or _num_places(asked.cluster), _CLUSTER_THREADS)
    if asked.num_workers is not None:
        return Workers(executor, asked.num_workers, _num_threads(asked.num_workers, former))
    return former or _fastest(executor, groups, context, measure or measure_speeds)


def _num_places(cluster: Cluster) -> int:
    """Return how many workers a cluster has places for, before it does anything."""
    if cluster.address is not None:
        return max(1, count_places(cluster, _CLUSTER_THREADS))
    if cluster.num_gpus:
        return torch.cuda.device_count() * int(1 / cluster.num_gpus)
    return num_shared_cpus()


def _automatic(asked: Asked, groups: Sequence[Group], context: TrialContext) -> str:
    if asked.num_workers is not None:
        is_process = asked.num_workers > 1
    else:
        is_process = (
            num_shared_cpus() > 1 and _can_share(groups, context) and (not _is_little(groups))
        )
    return "process" if is_process or asked.has_limit else "local"


def _can_share(groups: Sequence[Group], context: TrialContext) -> bool:
    """Say whether these trainings may run beside others."""
    is_timed = any(trial.train.seconds is not None for group in groups for trial in group)
    return len(groups) > 1 and context.device == "cpu" and not is_timed


def _is_little(groups: Sequence[Group]) -> bool:
    left = LITTLE_SECONDS
    for group in groups:
        left -= sum(rough_seconds(trial) for trial in group)
        if left < 0:
            return False
    return True


def likely_workers(trials: Sequence[Trial], device: str) -> int:
    """Return how many workers `auto` will most likely choose: one a core, or one for a little."""
    is_timed = any(trial.train.seconds is not None for trial in trials)
    if device != "cpu" or is_timed or _is_little([trials]):
        return 1
    return min(len(trials), _num_workers_at_most())


def _fastest(
    executor: str, groups: Sequence[Group], context: TrialContext, measure: Measure
) -> Workers:
    """Return the fastest layout; one worker a core where nothing is measured."""
    at_most = _num_workers_at_most() if _can_share(groups, context) else 1
    possible = layouts(min(len(groups), at_most), num_shared_cpus())
    usual = Workers(executor, possible[0].num_workers, possible[0].num_threads)
    if executor != "process" or len(possible) == 1 or _is_little(groups):
        return usual
    speeds = measure(_median_by_cost(groups), context, possible)
    if not speeds:
        return usual
    least = max(speed.steps_per_second for speed in speeds) * (1 - _EQUAL_FRACTION)
    good = [speed for speed in speeds if speed.steps_per_second >= least]
    best = min(good, key=lambda speed: speed.num_workers)
    return Workers(executor, best.num_workers, best.num_threads, tuple(speeds))


def layouts(max_workers: int, num_cpus: int) -> list[Layout]:
    """Return the ways to share CPUs that are worth a try, the one with the most workers first."""
    max_workers = max(1, min(max_workers, num_cpus))
    counts = {2**power for power in range(max_workers.bit_length())} | {max_workers}
    return [
        Layout(count, num_cpus // count)
        for count in sorted(counts, reverse=True)
        if count <= max_workers
    ]


def _num_threads(num_workers: int, former: Workers | None) -> int:
    """Return the threads of each of so many workers: as before, where the CPUs suffice."""
    num_cpus = num_shared_cpus()
    if former and former.num_threads and num_workers * former.num_threads <= num_cpus:
        return former.num_threads
    return max(1, num_cpus // num_workers)


def _num_workers_at_most() -> int:
    """Return how many workers this machine has memory and CPUs for."""
    room, num_cpus = machine.available_memory_bytes(), num_shared_cpus()
    return num_cpus if room is None else max(1, min(num_cpus, room // _WORKER_BYTES))


def _median_by_cost(groups: Sequence[Group]) -> Group:
    by_cost = sorted(groups, key=lambda group: len(group) * _step_flops(group[0]))
    return by_cost[len(by_cost) // 2]


def _step_flops(trial: Trial) -> int:
    return trial.cost.forward_flops * trial.train.batch_size
