"""Read the test set, once, with the trials whose learning rate validation has selected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from depthbench import store
from depthbench.executors import Lost, RunItems
from depthbench.pieces import Reading, plan_readings
from depthbench.progress import Ending, Work
from depthbench.record import METRICS
from depthbench.run_work import RunWork
from depthbench.selection import Outcome, select_learning_rates
from depthbench.spec import Trial
from depthbench.training_stage import label
from depthbench.trial import Row


def read_test_sets(
    work: RunWork,
    run_items: RunItems,
    num_workers: int,
    retrain: Callable[[Sequence[Trial]], None],
) -> None:
    """Select each variant's learning rate on validation, then read the test set there, once.

    A variant of which some trials have not run yet, because of --only, is left for later.

    Args:
        work: the run.
        run_items: what does the reading.
        num_workers: how many readings it does at a time.
        retrain: trains trials again whose weights are gone.
    """
    finished, is_best = selected(work)
    unread = list(unread_trials(work, finished, is_best))
    lost = _read_each(work, run_items, plan_readings(unread, num_workers), finished)
    if lost:
        retrain(lost)
        finished, is_best = selected(work)
        unread = list(unread_trials(work, finished, is_best))
        _read_each(work, run_items, plan_readings(unread, num_workers), finished)
    flags = {key: _selection_columns(finished[key], is_best[key]) for key in is_best}
    flags = {key: values for key, values in flags.items() if values}
    if flags:
        store.update_trials(work.folder, flags)


def _read_each(
    work: RunWork,
    run_items: RunItems,
    readings: Sequence[Reading],
    finished: dict[str, dict[str, Any]],
) -> list[Trial]:
    """Read the test set with trained trials; return those whose weights are gone or torn.

    Of a reading that is lost with its worker, each half is read, so that a trial costs the others
    nothing but time.
    """
    unread = [trial for reading in readings for trial in reading.trials]
    tests = {trial.trial_id: Work(label((trial,)), key=trial.trial_id) for trial in unread}
    updates = store.TrialUpdates(work.folder, tests)
    weightless = []
    if tests:
        work.progress.begin("test", tests.values())
    while readings:
        halves: list[Reading] = []
        for reading, found in run_items(readings, lambda reading, told: None):
            if isinstance(found, Lost) and len(reading.trials) > 1:
                halves += reading.halves()
                continue
            for trial, values in zip(reading.trials, _rows(found), strict=True):
                if values is None:
                    weightless.append(trial)
                else:
                    updates.write(trial.trial_id, is_selected=True, **values)
                    finished[trial.trial_id] |= _now_known(values)
                work.progress.advance(tests[trial.trial_id], _endings(values))
        readings = halves
    work.progress.end()
    return weightless


def _rows(found: list[Row | None] | Lost) -> list[Row | None]:
    if isinstance(found, Lost):
        return [{"status": found.status, "error": found.error}]
    return found


def _now_known(values: Row) -> dict[str, Any]:
    return {"is_selected": True, "has_test": "status" not in values}


def _endings(values: Row | None) -> list[Ending]:
    """Return how a test ended; one without weights has not."""
    if values is None:
        return []
    return [Ending(str(values.get("status", "ok")), is_failure="status" in values)]


def selected(work: RunWork) -> tuple[dict[str, dict[str, Any]], dict[str, bool]]:
    """Return what has ended, and which trials are at the best learning rates."""
    finished = store.finished_trials(work.folder)
    outcomes = {key: Outcome(value["status"], value["val_loss"]) for key, value in finished.items()}
    return finished, select_learning_rates(work.every_trial, outcomes)


def unread_trials(
    work: RunWork, finished: dict[str, dict[str, Any]], is_best: dict[str, bool]
) -> Iterator[Trial]:
    """Yield the trials at their best learning rates with which the test set is still to be read."""
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
