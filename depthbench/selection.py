"""Choose each variant's best learning rate on validation. Pure; knows no files and no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
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
) -> frozenset[str]:
    """Return the ids of the trials at their variant's best learning rate.

    A variant is judged at the rate with the lowest mean validation loss over the seeds, apart for
    each data set, task and otherwise equal training. A rate at which a seed diverged comes after
    all at which none did; one with failed or missing trials after the complete ones.
    """
    groups: dict[tuple[object, ...], dict[float, list[Trial]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for trial in trials:
        rest = trial.train.model_copy(update={"lr": 1.0})
        key = (trial.variant_id, trial.dataset_settings, trial.task_settings, rest)
        groups[key][trial.lr].append(trial)
    chosen: set[str] = set()
    for rates in groups.values():
        best = min(rates, key=lambda lr: (*_badness(rates[lr], outcomes), lr))
        chosen.update(trial.trial_id for trial in rates[best])
    return frozenset(chosen)


def _badness(trials: list[Trial], outcomes: Mapping[str, Outcome]) -> tuple[int, int, float]:
    """Return (seeds diverged, seeds without a result, mean validation loss), small is good."""
    found = [outcomes.get(trial.trial_id) for trial in trials]
    losses = [o.val_loss for o in found if o and o.status == "ok" and o.val_loss is not None]
    num_diverged = sum(o is not None and o.status == "diverged" for o in found)
    num_missing = len(found) - len(losses) - num_diverged
    return num_diverged, num_missing, fmean(losses) if losses else float("inf")
