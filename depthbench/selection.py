"""Choose each variant's best learning rate on validation. Pure; knows no files and no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from depthbench.spec import Trial


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: its status and, where it is ok, its validation loss."""

    status: str
    val_loss: float | None


def select_learning_rates(
    trials: Iterable[Trial], outcomes: Mapping[str, Outcome]
) -> dict[str, bool]:
    """Return, for each trial that can be judged, whether it is at its variant's best learning rate.

    A variant is judged at the rate with the lowest mean validation loss over the seeds, apart for
    each data set, task and otherwise equal training, once all of its trials have ended. A rate
    without any result comes last, one at which a seed diverged after all at which none did, one
    with failed trials after the complete ones.
    """
    groups: dict[tuple[object, ...], dict[float, list[Trial]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for trial in trials:
        groups[selection_key(trial)][trial.lr].append(trial)
    is_best: dict[str, bool] = {}
    for rates in groups.values():
        if any(trial.trial_id not in outcomes for rate in rates.values() for trial in rate):
            continue
        ended = {lr: [outcomes[t.trial_id] for t in rates[lr]] for lr in rates}
        best = min(rates, key=lambda lr: (*badness(ended[lr]), lr))
        is_best |= {trial.trial_id: lr == best for lr in rates for trial in rates[lr]}
    return is_best


def selection_key(trial: Trial) -> tuple[object, ...]:
    """Return what trials have in common that one learning rate is chosen for."""
    rest = trial.train.model_copy(update={"lr": 1.0})
    return trial.variant_id, trial.dataset_settings, trial.task_settings, rest


def badness(outcomes: Sequence[Outcome]) -> tuple[bool, int, int, float]:
    """Return (has no result, seeds diverged, seeds failed, mean validation loss); small is good.

    A run chooses by it, and so does the report of a run that has not chosen yet.
    """
    losses = [o.val_loss for o in outcomes if o.status == "ok" and o.val_loss is not None]
    num_diverged = sum(outcome.status == "diverged" for outcome in outcomes)
    num_failed = len(outcomes) - len(losses) - num_diverged
    return not losses, num_diverged, num_failed, fmean(losses) if losses else float("inf")
