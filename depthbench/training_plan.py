"""How a run trains: executions, cohorts, workers. Found out once, and kept in run.json."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from depthbench import store
from depthbench.cohorts import max_members, plan_cohorts, read_cohorts
from depthbench.executors import Cluster
from depthbench.known_speeds import KnownSpeeds
from depthbench.request import uses_ray
from depthbench.run_work import RunWork
from depthbench.spec import Trial
from depthbench.training.threads import cpu_threads
from depthbench.trial import best_stacking, execution_key, faster_execution
from depthbench.workers import Asked, Workers, choose_workers, workers_from_json


def choose_executions(work: RunWork) -> None:
    """Measure, once a run, which execution is faster for each variant that leaves it open."""
    chosen = work.context.executions
    waiting = {
        execution_key(trial): trial
        for trial in work.trials
        if trial.variant.execution == "auto" and execution_key(trial) not in chosen
    }
    for key, trial in waiting.items():
        chosen[key] = faster_execution(trial, work.context)
    work.state["executions"] = chosen
    if waiting:
        store.write_run_json(work.folder, work.state)


def plan_trainings(work: RunWork) -> None:
    """Read which trials train together; plan it, once, for those that no plan has yet."""
    work.cohorts.extend(read_cohorts(work.state.get("cohorts", []), work.every_trial))
    known = {trial.trial_id for cohort in work.cohorts for trial in cohort.trials}
    new = [trial for trial in work.trials if trial.trial_id not in known]
    if not new:
        return
    most = max_members(work.context.device) if work.suite.cohort == "auto" else 1
    choose = partial(best_stacking, context=work.context, max_members=most)
    workers = workers_of(work, new)
    with cpu_threads(workers.num_threads):  # what stacking gains depends on them
        planned = plan_cohorts(new, choose, most, workers.num_workers)
    work.cohorts.extend(planned)
    work.state["cohorts"] = [cohort.to_json() for cohort in work.cohorts]
    store.write_run_json(work.folder, work.state)


def cluster_of(work: RunWork) -> Cluster | None:
    """Return the cluster that is to train, None where no cluster is."""
    options = work.options
    if not uses_ray(options):
        return None
    is_cuda = work.context.device.startswith("cuda")
    # Ray counts ten-thousandths: 6 shares that are rounded up would not fit.
    num_gpus = 10_000 // options.workers_per_gpu / 10_000 if is_cuda else 0.0
    return Cluster(options.address, options.workers, num_gpus, work.folder.path.absolute())


def workers_of(work: RunWork, waiting: Sequence[Trial]) -> Workers:
    """Return who trains: as the user, run.json or a measurement says; run.json has it then."""
    options, state = work.options, work.state
    has_limit = options.time_limit is not None or options.memory_limit is not None
    recorded = workers_from_json(state.get("workers"))
    asked = Asked(options.executor, options.workers, has_limit, cluster_of(work))
    measure = KnownSpeeds(work.out, state["environment"])
    groups = [(trial,) for trial in waiting]
    found = choose_workers(asked, groups, work.context, recorded, measure)
    if found != recorded:
        state["workers"] = found.to_json()
        store.write_run_json(work.folder, state)
    return found
