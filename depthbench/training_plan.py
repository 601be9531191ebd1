"""How a run trains: executions, cohorts, workers. Found out once, and kept in run.json."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from depthbench import store
from depthbench.cohorts import Cohort, max_members, plan_cohorts, read_cohorts, shapes_of
from depthbench.executors import Cluster
from depthbench.known_speeds import KnownSpeeds
from depthbench.progress import Ending, Work
from depthbench.request import uses_ray
from depthbench.run_work import RunWork, status_of
from depthbench.spec import Trial
from depthbench.training.threads import cpu_threads
from depthbench.training_stage import label
from depthbench.trial import best_stacking, execution_key, faster_execution
from depthbench.workers import Asked, Workers, choose_workers, workers_from_json
from depthbench.workload import Load

# Planning fewer shapes takes no time that people would notice.
MIN_TOLD_SHAPES = 8


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


def plan_trainings(work: RunWork, workers: Workers) -> None:
    """Read which trials train together; plan it, once, for those to do that no plan has yet."""
    work.cohorts.extend(read_cohorts(work.state.get("cohorts", []), work.every_trial))
    known = {trial.trial_id for cohort in work.cohorts for trial in cohort.trials}
    finished = store.finished_trials(work.folder)
    new = [
        trial
        for trial in work.trials
        if trial.trial_id not in known and work.is_waiting(status_of(finished, trial.trial_id))
    ]
    if new:
        work.cohorts.extend(_planned(work, workers, new))
        keep_cohorts(work)


def _planned(work: RunWork, workers: Workers, new: Sequence[Trial]) -> list[Cohort]:
    most = max_members(work.context.device) if work.suite.cohort == "auto" else 1
    choose = partial(
        best_stacking, context=work.context, max_members=most, num_workers=workers.num_workers
    )
    shapes = {group[0].trial_id: Work(label(group)) for group in shapes_of(new)}
    is_told = most > 1 and len(shapes) >= MIN_TOLD_SHAPES
    if is_told:
        work.progress.begin("plan", shapes.values())

    def tell(group: Sequence[Trial]) -> None:
        if is_told:
            work.progress.advance(shapes[group[0].trial_id], (Ending("ok"),))

    with cpu_threads(workers.num_threads):  # what stacking gains depends on them
        cohorts = plan_cohorts(new, choose, most, workers.num_workers, tell)
    work.progress.end()
    return cohorts


def keep_cohorts(work: RunWork) -> None:
    """Write the plan of cohorts to run.json."""
    work.state["cohorts"] = [cohort.to_json() for cohort in work.cohorts]
    store.write_run_json(work.folder, work.state)


def split(work: RunWork, cohort: Cohort) -> None:
    """Let the halves of a cohort take its place in the plan, so that a resumed run repeats them."""
    place = work.cohorts.index(cohort)
    work.cohorts[place : place + 1] = cohort.halves()
    keep_cohorts(work)


def cluster_of(work: RunWork) -> Cluster | None:
    """Return the cluster that is to train, None where no cluster is."""
    options = work.options
    if not uses_ray(options):
        return None
    is_cuda = work.context.device.startswith("cuda")
    # Ray counts ten-thousandths: 6 shares that are rounded up would not fit.
    num_gpus = 10_000 // options.workers_per_gpu / 10_000 if is_cuda else 0.0
    return Cluster(options.address, options.workers, num_gpus, work.folder.path.absolute())


def workers_of(work: RunWork, load: Load) -> Workers:
    """Return who does what waits: as the user, run.json or a measurement says.

    run.json has it then, but for what little is left of a run and is done in this process.
    """
    if not load.trials:
        return Workers("local", 1, None)
    options, state = work.options, work.state
    has_limit = options.time_limit is not None or options.memory_limit is not None
    recorded = workers_from_json(state.get("workers"))
    asked = Asked(options.executor, options.workers, has_limit, cluster_of(work))
    speeds = KnownSpeeds(work.out, state["environment"])
    found = choose_workers(asked, load, work.context, speeds, recorded)
    if recorded is None or found.executor != "local":
        state["workers"] = found.to_json()
        store.write_run_json(work.folder, state)
    return found
