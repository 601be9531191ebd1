"""Which trials train together: cohorts, planned once a run. No torch.

Trials that differ in seed, learning rate and weight decay alone share every shape and every step of
the schedule, so they can train as one stacked network. The plan is part of run.json: a run that is
resumed repeats it, and so its numbers.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from depthbench.spec import Trial

# What is gained by one more member falls, what a crash costs and memory rise.
_MAX_MEMBERS = {"cpu": 8, "cuda": 64}

Stacking = Literal["loop", "grouped"]
# Says how the trials of a group are stacked best, None where each is better trained alone.
Choose = Callable[[Sequence[Trial]], Stacking | None]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Name trials that are trained together, and how their convolutions are stacked.

    A trial that trains alone is a cohort of one, and has nothing to stack.
    """

    trials: tuple[Trial, ...]
    stacking: Stacking | None = None

    @property
    def cohort_id(self) -> str | None:
        """Return the 16 hex digits that name these members, None of a trial that trains alone."""
        if len(self.trials) == 1:
            return None
        names = "".join(trial.trial_id for trial in self.trials)
        return hashlib.sha256(names.encode()).hexdigest()[:16]

    def halves(self) -> tuple[Cohort, ...]:
        """Return two cohorts with half the members each."""
        middle = len(self.trials) // 2
        return tuple(
            Cohort(part, self.stacking if len(part) > 1 else None)
            for part in (self.trials[:middle], self.trials[middle:])
        )

    def to_json(self) -> dict[str, Any]:
        """Return what run.json says of it."""
        return {"trials": [t.trial_id for t in self.trials], "stacking": self.stacking}


def plan_cohorts(
    trials: Iterable[Trial], choose: Choose, max_members: int, num_workers: int
) -> list[Cohort]:
    """Return cohorts that hold every trial once, in the order of their first trials.

    Args:
        trials: what is to be trained.
        choose: says how trials of one shape are stacked; asked once a shape.
        max_members: trials of a cohort, at most.
        num_workers: how many cohorts run at a time; none of them is to be idle for long.
    """
    groups: dict[tuple[Any, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[_shape(trial)].append(trial)
    cohorts = []
    for group in groups.values():
        # A training for so many seconds would take fewer steps beside others.
        can_join = min(len(group), max_members) > 1 and group[0].train.seconds is None
        stacking = choose(group) if can_join else None
        size = _size(len(group), max_members, num_workers) if stacking else 1
        for start in range(0, len(group), size):
            members = tuple(group[start : start + size])
            cohorts.append(Cohort(members, stacking if len(members) > 1 else None))
    return cohorts


def _size(num_trials: int, max_members: int, num_workers: int) -> int:
    """Return how many members cohorts of a group have: equal ones, enough for all workers."""
    num_cohorts = max(ceil(num_trials / max_members), min(num_workers, num_trials // 2), 1)
    return ceil(num_trials / num_cohorts)


def _shape(trial: Trial) -> tuple[Any, ...]:
    """Return what trials of one cohort share."""
    train = trial.train.model_copy(update={"lr": 1.0, "weight_decay": None})
    return trial.variant, trial.dataset_settings, trial.task_settings, train, trial.problem


def read_cohorts(planned: Iterable[dict[str, Any]], trials: Iterable[Trial]) -> list[Cohort]:
    """Return the cohorts that run.json plans."""
    by_id = {trial.trial_id: trial for trial in trials}
    return [
        Cohort(tuple(by_id[name] for name in entry["trials"]), entry["stacking"])
        for entry in planned
    ]


def still_waiting(cohorts: Iterable[Cohort], waiting: Set[str]) -> list[Cohort]:
    """Return the cohorts that have a trial which is still to be trained.

    Such a cohort is trained whole, so that its numbers are those of the plan.
    """
    return [
        cohort
        for cohort in cohorts
        if not waiting.isdisjoint(trial.trial_id for trial in cohort.trials)
    ]


def max_members(device: str) -> int:
    """Return how many trials a cohort has at most on a device."""
    return _MAX_MEMBERS.get(device.partition(":")[0], _MAX_MEMBERS["cpu"])
