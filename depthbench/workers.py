"""Who trains the trials of a run: how many workers, with how many CPU threads each.

`--executor auto` is the process executor where that pays and the local one otherwise, so that it is
no slower than either. It can pay on a CPU with more than one core, and does where what is saved is
more than what starting workers costs (`worker_costs.py`). What is saved is known from layouts that
were measured on this machine, else from a few real steps in this process. Where the trials that
wait would keep one core busy for less than `LITTLE_SECONDS` by `workload.py`, nothing is measured.
It is local on a GPU, which processes only take turns on (`--executor process --workers N` lets N of
them), and where a training lasts a given time, since what it learns in that must not depend on what
runs beside it. A limit needs a worker that can be ended, so with one auto is never local.

The number of workers is measured once, with real steps of the median trial by cost: one
worker with all threads, two with half of them each, and so on to one a core. Where that would take
a notable share of the training, it is one a core. What is chosen stands in run.json, and a resumed
run takes it from there: the number of threads can change the last bits of a result. So what is left
of such a run is done by workers again or, where it is too little, here, as by one of them.

The ray executor has as many workers as the cluster has places, with one thread each. What stands
in run.json is how many those were at the beginning, which is what cohorts are planned for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

from depthbench import machine
from depthbench.executors import EXECUTORS, Cluster, Executor, ExecutorOptions, count_places
from depthbench.executors.cores import num_shared_cpus
from depthbench.spec import Trial
from depthbench.trial import TrialContext
from depthbench.worker_costs import START_SECONDS, Layout, Speed, do_pay, seconds_of
from depthbench.workload import Load, rough_step_of

LITTLE_SECONDS = 15.0
# Measuring layouts takes so long, workers being started for it, and may take this of the training.
_MEASURING_SECONDS = START_SECONDS + 3.0
_MEASURED_FRACTION = 0.05
# What a worker with PyTorch and a network takes at most, data sets aside; on the safe side.
_WORKER_BYTES = 1 << 30
# Of speeds as near as this to the best, the one with the fewest workers is taken.
_EQUAL_FRACTION = 0.05
# Nodes differ; with one thread a result is the same on all that compute alike.
_CLUSTER_THREADS = 1


class Speeds(Protocol):
    """Tell how fast layouts train a trial; what cannot be measured has no speed."""

    def known(self, trial: Trial, layouts: Sequence[Layout]) -> list[Speed]:
        """Return what was measured before; empty where nothing was."""
        ...

    def here(self, trial: Trial, context: TrialContext, layouts: Sequence[Layout]) -> list[Speed]:
        """Return about how fast the first and the last layout are, starting no worker."""
        ...

    def measured(
        self, trial: Trial, context: TrialContext, layouts: Sequence[Layout]
    ) -> list[Speed]:
        """Return how fast workers are."""
        ...


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
    load: Load,
    context: TrialContext,
    speeds: Speeds,
    recorded: Workers | None = None,
) -> Workers:
    """Return who does what waits.

    Args:
        asked: what the user asked for; a number of workers wins over all else.
        load: what waits; each trial is trained by one worker.
        context: what workers get.
        speeds: of layouts of workers.
        recorded: what the run was trained with before.
    """
    executor = "ray" if asked.cluster else asked.executor
    former = recorded if recorded and recorded.executor == executor else None
    if asked.cluster:
        at_first = asked.num_workers or (former.num_workers if former else None)
        return Workers("ray", at_first or _num_places(asked.cluster), _CLUSTER_THREADS)
    if executor == "auto":
        former = recorded if recorded and recorded.executor == "process" else None
        if asked.num_workers is None and not asked.has_limit:
            return _rest_of(former, load) if former else _where_it_pays(load, context, speeds)
        is_alone = asked.num_workers == 1 and not (former or asked.has_limit)
        executor = "local" if is_alone else "process"
    if executor == "local":
        return Workers("local", 1, None)
    if asked.num_workers is not None:
        return Workers(executor, asked.num_workers, _num_threads(asked.num_workers, former))
    return former or _fastest(executor, load, context, speeds)


def _num_places(cluster: Cluster) -> int:
    """Return how many workers a cluster has places for, before it does anything."""
    if cluster.address is not None:
        return max(1, count_places(cluster, _CLUSTER_THREADS))
    if cluster.num_gpus:
        return torch.cuda.device_count() * int(1 / cluster.num_gpus)
    return num_shared_cpus()


def _where_it_pays(load: Load, context: TrialContext, speeds: Speeds) -> Workers:
    """Return workers where starting them pays, else this process."""
    here = Workers("local", 1, None)
    if num_shared_cpus() == 1 or not _can_share(load, context) or _is_little(load):
        return here
    trial, item_steps = _in_steps_of_median(load)
    possible = _layouts_of(load)
    found = measured = speeds.known(trial, possible)
    if not any(speed.num_workers == 1 for speed in measured):
        guessed = speeds.here(trial, context, possible)
        found = [*measured, *guessed[1:]] if measured else guessed
    if found and not do_pay(item_steps, found):
        return here
    if not measured and _is_worth_measuring(item_steps, found):
        measured = speeds.measured(trial, context, possible)
        if measured and not do_pay(item_steps, measured):
            return here
    return _best("process", possible, measured)


def _rest_of(former: Workers, load: Load) -> Workers:
    """Return who does what is left of a run that workers began: they, or this process as one."""
    trial, item_steps = _in_steps_of_median(load)
    number, threads = former.num_workers, former.num_threads or 1
    layout = Layout(number, threads)
    known = {Layout(s.num_workers, s.num_threads): s.steps_per_second for s in former.measured}
    together = known.get(layout, number / rough_step_of(trial))
    speeds = [Speed(number, threads, together), Speed(1, threads, together / number)]
    return former if do_pay(item_steps, speeds) else Workers("local", 1, former.num_threads)


def _can_share(load: Load, context: TrialContext) -> bool:
    """Say whether trials may run beside others."""
    is_timed = any(trial.train.seconds is not None for trial in load.train)
    return len(load.trials) > 1 and context.device == "cpu" and not is_timed


def _is_little(load: Load) -> bool:
    return sum(load.rough_seconds()) < LITTLE_SECONDS


def _in_steps_of_median(load: Load) -> tuple[Trial, list[float]]:
    """Return the trial with the median step, and how many such steps each item is worth."""
    by_cost = sorted(load.trials, key=rough_step_of)
    median = by_cost[len(by_cost) // 2]
    step = rough_step_of(median)
    return median, [seconds / step for seconds in load.rough_seconds()]


def _is_worth_measuring(item_steps: Sequence[float], found: Sequence[Speed]) -> bool:
    """Say whether measuring layouts takes little of what one process would take for all."""
    alone = [seconds_of(item_steps, speed) for speed in found if speed.num_workers == 1]
    return not alone or _MEASURED_FRACTION * alone[0] > _MEASURING_SECONDS


def _fastest(executor: str, load: Load, context: TrialContext, speeds: Speeds) -> Workers:
    """Return the fastest layout; one worker a core where nothing is measured."""
    possible = _layouts_of(load) if _can_share(load, context) else [Layout(1, num_shared_cpus())]
    if executor != "process" or len(possible) == 1 or _is_little(load):
        return _best(executor, possible, [])
    trial, _ = _in_steps_of_median(load)
    found = speeds.known(trial, possible) or speeds.measured(trial, context, possible)
    return _best(executor, possible, found)


def _layouts_of(load: Load) -> list[Layout]:
    return layouts(min(len(load.trials), _num_workers_at_most()), num_shared_cpus())


def _best(executor: str, possible: Sequence[Layout], found: Sequence[Speed]) -> Workers:
    """Return the layout of the best speed, of about equal ones that of the fewest workers."""
    if not found:
        return Workers(executor, possible[0].num_workers, possible[0].num_threads)
    least = max(speed.steps_per_second for speed in found) * (1 - _EQUAL_FRACTION)
    good = [speed for speed in found if speed.steps_per_second >= least]
    best = min(good, key=lambda speed: speed.num_workers)
    return Workers(executor, best.num_workers, best.num_threads, tuple(found))


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
