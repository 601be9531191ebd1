"""Run a suite: read this first. Suite -> trials -> rows -> Parquet, one stage after another."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from depthbench import store
from depthbench.errors import SuiteError
from depthbench.executors import EXECUTORS
from depthbench.expand import expand, select
from depthbench.grammar import TimingSettings
from depthbench.journal import close_run, default_name, open_run
from depthbench.progress import Progress, Quiet
from depthbench.record import FAILURES, METRICS
from depthbench.selection import Outcome, select_learning_rates
from depthbench.spec import Trial
from depthbench.suite import Suite, load_suite
from depthbench.timing.cells import Cell, cells_of
from depthbench.trial import (
    TrialContext,
    execution_key,
    faster_execution,
    has_weights,
    prepared,
    read_test_set,
    run_cell,
    run_trial,
)


@dataclass(frozen=True)
class RunSummary:
    """How a run ended: its folder, and how many trials and cells ended how."""

    folder: Path
    suite: str
    run: str
    num_trials: int
    trials_by_status: dict[str, int]
    cells_by_status: dict[str, int]

    @property
    def num_failures(self) -> int:
        """Return how many trials and cells failed; diverged and unsupported are results."""
        counts = Counter(self.trials_by_status) + Counter(self.cells_by_status)
        return sum(counts[status] for status in FAILURES)


def run_suite(  # noqa: PLR0913 - the options of `depthbench run`, by the same names
    suite: Suite | str | Path,
    *,
    out: str | Path = "results",
    run: str | None = None,
    executor: str = "local",
    device: str = "auto",
    data_dir: str | Path | None = None,
    only: str | None = None,
    retry_failed: bool = False,
    keep_weights: bool = False,
    progress: Progress | None = None,
) -> RunSummary:
    """Train, time and record every trial of a suite; finish what a former run left.

    Args:
        suite: a suite or the path of one.
        out: folder of all results; the run's folder is `out/<suite>/<run>`.
        run: name of the run (default: time and hash); an existing one of this suite resumes.
        executor: where trials run.
        device: cpu, cuda, cuda:1, or auto: a GPU where there is one.
        data_dir: folder with one folder a data set.
        only: an expression that chooses trials, such as "depth > 4".
        retry_failed: run failed trials again.
        keep_weights: keep the trained weights in the run's folder.
        progress: hears of each piece of work that ends.

    Raises:
        SuiteError: the suite cannot be expanded, or `only` chooses nothing.
        DataError: data is missing or corrupt; found before anything is trained.
        ResultError: the folder cannot be used, or holds another suite's run of this name.
    """
    suite = suite if isinstance(suite, Suite) else load_suite(suite)
    if executor not in EXECUTORS:
        known = ", ".join(EXECUTORS)
        raise SuiteError(f"executor {executor!r} is not available yet; this version has: {known}")
    every_trial = expand(suite)
    trials = select(every_trial, only) if only else every_trial
    device = resolve_device(device)
    data_dir = Path(data_dir) if data_dir else None
    prepared.cache_clear()  # files may have changed since another run of this process
    digests = {
        data.model_dump_json(exclude={"path"}): prepared(data, task, data_dir, device)[1].digest
        for data, task in dict.fromkeys((t.dataset_settings, t.task_settings) for t in trials)
    }
    name = default_name() if run is None else run
    folder = store.create_run(Path(out), suite.name, name)
    with store.lock_run(folder):
        state = open_run(suite, folder, name, device, digests)
        state["num_trials"] = len(every_trial)
        weights, executions = folder.path / "weights", dict(state["executions"])
        context = TrialContext(suite.name, name, weights, device, data_dir, executions)
        progress = progress or Quiet()
        work = _Work(suite, every_trial, trials, context, folder, executor, progress, retry_failed)
        try:
            _choose_executions(work, state)
            _train(work)
            _read_test_sets(work)
            _time(work)
        except BaseException as error:
            is_stop = isinstance(error, KeyboardInterrupt)
            close_run(folder, state, "interrupted" if is_stop else "failed")
            where = "" if str(out) == "results" else f" --out {out}"
            error.add_note(f"finish it with: depthbench run {suite.source} --run {name}{where}")
            raise
        finally:
            work.progress.end()
        store.merge(folder)
        is_whole = store.finished_trials(folder).keys() >= {t.trial_id for t in every_trial}
        if is_whole and not keep_weights:
            shutil.rmtree(weights, ignore_errors=True)
        close_run(folder, state, "finished" if is_whole else "partial")
    return _summary(work)


@dataclass(frozen=True)
class _Work:
    """What every stage of a run needs; `trials` are those of `every_trial` that --only chose."""

    suite: Suite
    every_trial: tuple[Trial, ...]
    trials: tuple[Trial, ...]
    context: TrialContext
    folder: store.RunFolder
    executor: str
    progress: Progress
    retry_failed: bool

    def is_waiting(self, status: str | None) -> bool:
        """Say whether a piece of work that ended so, or not at all, is still to be done."""
        return status is None or (self.retry_failed and status in FAILURES)


def resolve_device(device: str) -> str:
    """Return the device to use: auto is a GPU where there is one.

    Raises:
        SuiteError: there is no such device on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SuiteError(
            f"--device {device}: {reason}; `depthbench doctor` shows what is here"
        ) from None
    return str(found)


def _choose_executions(work: _Work, state: dict[str, Any]) -> None:
    """Measure, once a run, which execution is faster for each variant that leaves it open."""
    chosen = work.context.executions
    waiting = {
        execution_key(trial): trial
        for trial in work.trials
        if trial.variant.execution == "auto" and execution_key(trial) not in chosen
    }
    for key, trial in waiting.items():
        chosen[key] = faster_execution(trial, work.context)
    state["executions"] = chosen
    if waiting:
        store.write_run_json(work.folder, state)


def _train(work: _Work) -> None:
    finished = store.finished_trials(work.folder)
    statuses = {name: found["status"] for name, found in finished.items()}
    waiting = [t for t in work.trials if work.is_waiting(statuses.get(t.trial_id))]
    _train_waiting(work, waiting, len(work.trials), work.executor)


def _train_waiting(work: _Work, waiting: Sequence[Trial], total: int, executor: str) -> None:
    if not waiting:
        return
    work.progress.begin("train", total, total - len(waiting))
    labels = {trial.trial_id: label(trial) for trial in waiting}
    for result in EXECUTORS[executor]().run(lambda trial: run_trial(trial, work.context), waiting):
        store.write_trial_part(work.folder, result.row, result.curves)
        status = result.row["status"]
        said = "" if status == "ok" else f" {status}"
        is_failure = status in FAILURES
        work.progress.advance(labels[result.row["trial_id"]] + said, is_failure=is_failure)
    work.progress.end()


def label(trial: Trial) -> str:
    """Return how people are told of a trial."""
    return f"{trial.family} L {trial.depth} d {trial.width} seed {trial.seed}"


def _read_test_sets(work: _Work) -> None:
    """Select each variant's learning rate on validation, then read the test set there, once.

    A variant of which some trials have not run yet, because of --only, is left for later.
    """
    finished, is_best = _selected(work)
    lost = [t for t in _unread(work, finished, is_best) if not has_weights(t, work.context)]
    if lost:
        _train_waiting(work, lost, len(lost), "local")
        finished, is_best = _selected(work)
    unread = {trial.trial_id for trial in _unread(work, finished, is_best)}
    if unread:
        work.progress.begin("test", len(unread), 0)
    for trial in work.every_trial:
        if trial.trial_id not in is_best:
            continue
        values = _selection_columns(finished[trial.trial_id], is_best[trial.trial_id])
        if trial.trial_id in unread:
            values |= read_test_set(trial, work.context)
            work.progress.advance(label(trial), is_failure="status" in values)
        if values:
            store.update_trial(work.folder, trial.trial_id, **values)
    work.progress.end()


def _selected(work: _Work) -> tuple[dict[str, dict[str, Any]], dict[str, bool]]:
    """Return what has ended, and which trials are at the best learning rates."""
    finished = store.finished_trials(work.folder)
    outcomes = {key: Outcome(value["status"], value["val_loss"]) for key, value in finished.items()}
    return finished, select_learning_rates(work.every_trial, outcomes)


def _unread(
    work: _Work, finished: dict[str, dict[str, Any]], is_best: dict[str, bool]
) -> Iterator[Trial]:
    for trial in work.every_trial:
        found = finished.get(trial.trial_id)
        is_wanted = is_best.get(trial.trial_id) and found and found["status"] == "ok"
        if is_wanted and found and not found["has_test"]:
            yield trial


def _selection_columns(found: dict[str, Any], is_selected: bool) -> dict[str, Any]:
    """Return the columns that change with the selection; off it, no test metric stands."""
    if found["is_selected"] == is_selected:
        return {}
    values: dict[str, Any] = {"is_selected": is_selected}
    if not is_selected and found["has_test"]:
        values |= dict.fromkeys(f"test_{metric}" for metric in METRICS)
    return values


def _time(work: _Work) -> None:
    timing = work.suite.timing
    if timing is None:
        return
    finished = store.finished_cells(work.folder)
    cells = list(_resolved_cells(work, timing))
    waiting = [item for item in cells if work.is_waiting(finished.get(item[0].cell_id))]
    if not waiting:
        return
    work.progress.begin("time", len(cells), len(cells) - len(waiting))
    for cell, row in waiting:
        measured = run_cell(cell, row, work.context.device, timing)
        store.write_timing_part(work.folder, measured)
        work.progress.advance(
            f"{row['family']} L {row['depth']} {cell.phase} batch {cell.batch_size}",
            is_failure=measured["status"] in FAILURES,
        )
    work.progress.end()


def _resolved_cells(work: _Work, timing: TimingSettings) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Yield each cell once, with the columns of its row that stand before it is measured."""
    for cell, trial in cells_of(work.trials, timing):
        used = work.context.executions.get(execution_key(trial), trial.variant.execution)
        resolved = replace(cell, variant=replace(cell.variant, execution=used))
        yield (
            resolved,
            {
                "suite": work.context.suite,
                "run": work.context.run,
                "trial_id": trial.trial_id,
                "variant_id": trial.variant_id,
                "execution_used": used,
                "family": trial.family,
                "backbone": trial.backbone,
                "depth": trial.depth,
                "width": trial.width,
                "dataset": trial.dataset,
                "task": trial.task,
                **cell.columns(),
            },
        )


def _summary(work: _Work) -> RunSummary:
    finished = store.finished_trials(work.folder)
    return RunSummary(
        folder=work.folder.path,
        suite=work.suite.name,
        run=work.context.run,
        num_trials=len(work.trials),
        trials_by_status=dict(Counter(finished[t.trial_id]["status"] for t in work.trials)),
        cells_by_status=dict(Counter(store.finished_cells(work.folder).values())),
    )
