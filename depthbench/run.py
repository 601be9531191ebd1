"""Run a suite: read this first. Suite -> trials -> rows -> Parquet, one stage after another."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from depthbench import store
from depthbench.calibration import effort_of, load_floors
from depthbench.cohorts import Cohort, still_waiting
from depthbench.errors import ResultError
from depthbench.executors import RunItems
from depthbench.folder import named_where_full
from depthbench.interruption import terminated_like_interrupted
from depthbench.journal import close_run, open_run
from depthbench.outcome import RunSummary, summarise_run
from depthbench.pieces import work_with
from depthbench.progress import Ending, Progress, Quiet, Work
from depthbench.request import RunOptions, RunRequest, request_run, run_command
from depthbench.run_work import RunWork, status_of
from depthbench.spec import Trial
from depthbench.suite import Suite
from depthbench.testing_stage import read_test_sets, selected, unread_trials
from depthbench.timing_stage import cell_ending, planned_cells, time_cells, timing_work
from depthbench.training.threads import cpu_threads
from depthbench.training_plan import (
    choose_executions,
    cluster_of,
    plan_trainings,
    split,
    workers_of,
)
from depthbench.training_stage import TrainingStage, ended_work, label
from depthbench.trial import (
    TrialContext,
    data_key,
    execution_key,
    faster_execution,
)
from depthbench.workers import Workers
from depthbench.workload import Load

# How often work is done whose part turns out corrupt when parts are merged.
MAX_PASSES = 3

__all__ = ["RunSummary", "label", "run_suite", "time_suite"]


def run_suite(  # noqa: PLR0913 - the options of `depthbench run`, by the same names
    suite: Suite | str | Path,
    *,
    out: str | Path = "results",
    run: str | None = None,
    executor: str = "auto",
    workers: int | None = None,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    address: str | None = None,
    workers_per_gpu: int = 2,
    device: str = "auto",
    data_dir: str | Path | None = None,
    only: str | None = None,
    retry_failed: bool = False,
    keep_weights: bool = False,
    peak: str = "known",
    progress: Progress | None = None,
) -> RunSummary:
    """Train, time and record every trial of a suite; finish what a former run left.

    Args:
        suite: a suite or the path of one.
        out: folder of all results; the run's folder is `out/<suite>/<run>`.
        run: name of the run (default: time and hash); an existing one of this suite resumes.
        executor: where trials run: local, process, ray, or auto: process where that pays.
        workers: trials at a time (default: what is fastest, measured once a run).
        time_limit: seconds after which a trial is given up; trials that train together are one.
        memory_limit: GB of its own at which a trial is given up.
        address: HOST:PORT of a ray cluster (default: ray is started here, for the run).
        workers_per_gpu: how many workers of ray share a GPU.
        device: cpu, cuda, cuda:1, or auto: a GPU where there is one.
        data_dir: folder with one folder a data set.
        only: an expression that chooses trials, such as "depth > 4".
        retry_failed: run failed trials again.
        keep_weights: keep the trained weights in the run's folder.
        peak: known, or measured: the device's peak FLOP/s that times are held against.
        progress: hears of each piece of work that ends.

    SIGTERM stops a run as Ctrl-C does: what was finished is kept.

    Raises:
        SuiteError: the suite cannot be expanded, `only` chooses nothing, or there is no such
            executor or device.
        DataError: data is missing or corrupt; found before anything is trained.
        ResultError: the folder cannot be used, or holds another suite's run of this name.
    """
    options = RunOptions(
        out=str(out),
        run=run,
        executor=executor,
        workers=workers,
        time_limit=time_limit,
        memory_limit=memory_limit,
        address=address,
        workers_per_gpu=workers_per_gpu,
        device=device,
        data_dir=_text(data_dir),
        only=only,
        retry_failed=retry_failed,
        keep_weights=keep_weights,
        peak=peak,
    )
    request = request_run(suite, options)
    with terminated_like_interrupted():
        return _run(request, progress or Quiet())


def _text(path: str | Path | None) -> str | None:
    return str(path) if path else None


def _run(request: RunRequest, progress: Progress) -> RunSummary:
    folder, options = request.folder, request.options
    work = _work_of(request, progress)
    is_new = not folder.run_json.exists()
    load = Load(request.trials)
    # Of a new run all data is looked for before anything is made.
    digests = _digests(load.trials, work.context) if is_new else {}
    store.create_run(Path(options.out), request.suite.name, work.context.run)
    with store.lock_run(folder):
        if not is_new:
            load = _still_to_do(work)
            digests = _digests(load.trials, work.context)
        num_trials = len(request.every_trial)
        state = open_run(request.suite, folder, request.device, digests, num_trials)
        try:
            with named_where_full(folder.path):
                close_run(folder, state, _do(replace(work, state=state), load))
        except BaseException as error:
            error.add_note(f"finish it with: {run_command(request.suite, options)}")
            is_stop = isinstance(error, KeyboardInterrupt)
            with suppress(ResultError):  # a full disk is not to hide why the run ended
                close_run(folder, state, "interrupted" if is_stop else "failed")
            raise
        finally:
            progress.end()
    retry_command = run_command(request.suite, replace(options, retry_failed=True))
    chosen = [trial.trial_id for trial in request.trials]
    return summarise_run(folder, work.suite.name, work.context.run, chosen, retry_command)


def _work_of(request: RunRequest, progress: Progress) -> RunWork:
    options, folder = request.options, request.folder
    data_dir = Path(options.data_dir).absolute() if options.data_dir else None
    context = TrialContext(
        suite=request.suite.name,
        run=options.run or "",
        weights_folder=folder.weights_folder.absolute(),  # for workers, wherever they are
        device=request.device,
        data_dir=data_dir,
        executions={},
    )
    return RunWork(
        suite=request.suite,
        every_trial=request.every_trial,
        trials=request.trials,
        context=context,
        folder=folder,
        options=options,
        progress=progress,
        retry_failed=options.retry_failed,
        out=Path(options.out),
        is_peak_measured=options.peak == "measured",
    )


def _digests(trials: Iterable[Trial], context: TrialContext) -> dict[str, str]:
    """Return the digests of the data that trials need; reading them, finds what is missing."""
    return {
        key[0].model_dump_json(exclude={"path"}): context.learned_data(key)[1].digest
        for key in dict.fromkeys(map(data_key, trials))
    }


def _still_to_do(work: RunWork) -> Load:
    """Return the trials of a run begun before that are still to be trained, or tested."""
    finished, is_best = selected(work)
    waiting = [t for t in work.trials if work.is_waiting(status_of(finished, t.trial_id))]
    return Load(waiting, list(unread_trials(work, finished, is_best)))


def _do(work: RunWork, load: Load) -> str:
    """Do what is missing, merge it, and return how the run ended: finished or partial."""
    work.context.executions.update(work.state["executions"])
    choose_executions(work)
    workers = workers_of(work, load)
    plan_trainings(work, workers)
    for _ in range(MAX_PASSES):
        _train_and_test(work, workers)
        _time(work, work.state["environment"])
        is_torn = bool(store.merge(work.folder))
        ended = store.finished_trials(work.folder).keys()
        if not is_torn and ended >= {trial.trial_id for trial in work.trials}:
            break
    else:
        raise ResultError(
            f"{work.folder.parts}: after {MAX_PASSES} passes some trials have no readable part, "
            "just after it was written. Check the disk, or choose another with --out DIR"
        )
    is_whole = ended >= {trial.trial_id for trial in work.every_trial}
    if is_whole and not work.options.keep_weights:
        shutil.rmtree(work.folder.weights_folder, ignore_errors=True)
    return "finished" if is_whole else "partial"


def _train_and_test(work: RunWork, workers: Workers) -> None:
    """Train and test what is waiting; its workers have ended when this returns."""
    limits = work.options.time_limit, work.options.memory_limit
    executor = workers.executor_within(*limits, cluster_of(work))
    here = workers.num_threads if workers.executor == "local" else None
    with cpu_threads(here), executor.open(work_with(work.context)) as run_items:
        _train(work, run_items)
        retrain = partial(_train_waiting, work, run_items)
        read_test_sets(work, run_items, workers.num_workers, retrain)


def _train(work: RunWork, run_items: RunItems) -> None:
    finished = store.finished_trials(work.folder)
    waiting = [t for t in work.trials if work.is_waiting(status_of(finished, t.trial_id))]
    to_do = {trial.trial_id for trial in waiting}
    former = (
        ended_work(trial, finished[trial.trial_id])
        for trial in work.trials
        if trial.trial_id not in to_do
    )
    _train_waiting(work, run_items, waiting, former)


def _train_waiting(
    work: RunWork,
    run_items: RunItems,
    waiting: Sequence[Trial],
    former: Iterable[tuple[Work, Ending]] = (),
) -> None:
    if not waiting:
        return
    names = {trial.trial_id for trial in waiting}
    places = {trial.trial_id: place for place, trial in enumerate(work.every_trial)}
    stage = TrainingStage(work.context, work.folder, work.progress, places, partial(split, work))
    planned = {trial.trial_id for cohort in work.cohorts for trial in cohort.trials}
    # What a run from before there were cohorts has finished, and has to train again, is in no plan.
    others = [Cohort((trial,)) for trial in waiting if trial.trial_id not in planned]
    cohorts = [*still_waiting(work.cohorts, names), *others]
    stage.train(run_items, cohorts, names, former)


def _time(work: RunWork, facts: Mapping[str, Any]) -> None:
    if work.suite.timing is None:
        return
    finished = store.finished_cells(work.folder)
    executions = work.context.executions
    every, chosen = (
        list(planned_cells(work.suite, work.context.run, trials, executions))
        for trials in (work.every_trial, work.trials)
    )
    names = {item.cell.cell_id for item in chosen}
    cells = [item for item in every if item.cell.cell_id in names]
    waiting = [c for c in cells if work.is_waiting(status_of(finished, c.cell.cell_id))]
    if not waiting:
        return
    names = {item.cell.cell_id for item in waiting}
    former = (
        (timing_work(item), cell_ending(finished[item.cell.cell_id]))
        for item in cells
        if item.cell.cell_id not in names
    )
    work.progress.begin("time", map(timing_work, waiting), former)
    floors, _ = load_floors(work.out, work.suite.name, facts, effort_of(work.suite.canonical))

    def keep(row: dict[str, Any]) -> None:
        floor = floors.get(row["cell_id"])
        row["noise_floor_fraction"] = None if floor is None else floor.fraction
        store.write_timing_part(work.folder, row)

    time_cells(
        work.suite,
        waiting,
        work.context.device,
        keep,
        progress=work.progress,
        is_peak_measured=work.is_peak_measured,
    )
    work.progress.end()


def time_suite(
    suite: Suite, trials: Sequence[Trial], device: str, progress: Progress | None = None
) -> pd.DataFrame:
    """Time the cells of trials and return the rows of timings.parquet; nothing is written.

    Args:
        suite: whose timing section says what is timed and how precisely.
        trials: the trials whose variants are timed.
        device: where, such as "cpu".
        progress: hears of each cell that ends.
    """
    rows: list[dict[str, Any]] = []
    context = TrialContext(suite.name, "calibration", Path(), device, None, {})
    auto = {execution_key(t): t for t in trials if t.variant.execution == "auto"}
    executions = {key: faster_execution(trial, context) for key, trial in auto.items()}
    cells = list(planned_cells(suite, "calibration", trials, executions))
    progress = progress or Quiet()
    progress.begin("time", map(timing_work, cells))
    time_cells(suite, cells, device, rows.append, progress=progress)
    progress.end()
    return pd.DataFrame(rows)
