"""Read the test set, once, with the trials whose learning rate validation has selected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from depthbench import store
from depthbench.progress import Ending, Work
from depthbench.record import METRICS
from depthbench.run_work import RunWork
from depthbench.selection import Outcome, select_learning_rates
from depthbench.spec import Trial
from depthbench.training_stage import label
from depthbench.trial import read_test_set


def read_test_sets(work: RunWork, retrain: Callable[[Sequence[Trial]], None]) -> None:
    """Select each variant's learning rate on validation, then read the test set there, once.

    A variant of which some trials have not run yet, because of --only, is left for later.

    Args:
        work: the run.
        retrain: trains trials again whose weights are gone.
    """
    finished, is_best = selected(work)
    lost = _read_each(work, finished, list(unread_trials(work, finished, is_best)))
    if lost:
        retrain(lost)
        finished, is_best = selected(work)
        _read_each(work, finished, list(unread_trials(work, finished, is_best)))
    flags = {key: _selection_columns(finished[key], is_best[key]) for key in is_best}
    flags = {key: values for key, values in flags.items() if values}
    if flags:
        store.update_trials(work.folder, flags)


def _read_each(
    work: RunWork, finished: dict[str, dict[str, Any]], unread: Sequence[Trial]
) -> list[Trial]:
    """Read the test set with trained trials; return those whose weights are gone or torn."""
    lost = []
    tests = [Work(label((trial,)), key=trial.trial_id) for trial in unread]
    if tests:
        work.progress.begin("test", tests)
    for trial, test in zip(unread, tests, strict=True):
        values = read_test_set(trial, work.context)
        if values is None:
            lost.append(trial)
            work.progress.advance(test, ())
            continue
        store.update_trial(work.folder, trial.trial_id, is_selected=True, **values)
        finished[trial.trial_id] |= {"is_selected": True, "has_test": "status" not in values}
        ended = Ending(str(values.get("status", "ok")), is_failure="status" in values)
        work.progress.advance(test, (ended,))
    work.progress.end()
    return lost


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
