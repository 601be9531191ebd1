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
# Says how the trials of a group are stacked best, None where each is better trained alone, and how
# many at most.
Choose = Callable[[Sequence[Trial]], tuple[Stacking | None, int]]


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
    trials: Iterable[Trial],
    choose: Choose,
    max_members: int,
    num_workers: int,
    on_shape: Callable[[Sequence[Trial]], None] = lambda group: None,
) -> list[Cohort]:
    """Return cohorts that hold every trial once, in the order of their first trials.

    Args:
        trials: what is to be trained.
        choose: says how trials of one shape are stacked; asked once a shape.
        max_members: trials of a cohort, at most.
        num_workers: how many cohorts run at a time; none of them is to be idle.
        on_shape: hears of each group of one shape, when it has been decided on.
    """
    decided: dict[tuple[Any, ...], tuple[Stacking | None, int]] = {}
    groups = shapes_of(trials)
    sizes: list[int] = []
    for group in groups:
        # A training for so many seconds would take fewer steps beside others.
        can_join = min(len(group), max_members) > 1 and group[0].train.seconds is None
        key = (*_step_shape(group[0]), len(group))
        if can_join and key not in decided:
            decided[key] = choose(group)
        stacking, most = decided[key] if can_join else (None, 1)
        sizes.append(min(most, max_members) if stacking else 1)
        on_shape(group)
    counts = _counts([len(group) for group in groups], sizes, num_workers)
    cohorts = []
    for group, size, count in zip(groups, sizes, counts, strict=True):
        stacking = decided[(*_step_shape(group[0]), len(group))][0] if size > 1 else None
        each = ceil(len(group) / count)
        for start in range(0, len(group), each):
            members = tuple(group[start : start + each])
            cohorts.append(Cohort(members, stacking if len(members) > 1 else None))
    return cohorts


def shapes_of(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Return trials in groups that could train together."""
    groups: dict[tuple[Any, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[_shape(trial)].append(trial)
    return list(groups.values())


def _counts(lengths: Sequence[int], sizes: Sequence[int], num_workers: int) -> list[int]:
    """Return into how many cohorts each group goes: few large ones, enough for all workers."""
    counts = [ceil(length / size) for length, size in zip(lengths, sizes, strict=True)]
    while sum(counts) < num_workers:
        members = [length / count for length, count in zip(lengths, counts, strict=True)]
        largest = max(range(len(counts)), key=lambda index: members[index])
        if members[largest] < 2 * 2:  # halves of fewer would not be stacked
            break
        counts[largest] += 1
    return counts


def _shape(trial: Trial) -> tuple[Any, ...]:
    """Return what trials of one cohort share."""
    train = trial.train.model_copy(update={"lr": 1.0, "weight_decay": None})
    return trial.variant, trial.dataset_settings, trial.task_settings, train, trial.problem


def _step_shape(trial: Trial) -> tuple[Any, ...]:
    """Return what makes steps of trials alike, however many they take and by what schedule."""
    train = trial.train
    return (
        *(trial.variant, trial.problem, trial.task_settings, trial.dataset_settings.name),
        *(train.batch_size, train.precision, train.optimizer, train.clip_norm, train.augment),
    )


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
