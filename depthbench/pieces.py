"""The pieces that a run gives to an executor: cohorts to train, and trials to be tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

from depthbench.cohorts import Cohort
from depthbench.executors import Tell
from depthbench.spec import Trial
from depthbench.trial import Row, TrialContext, TrialResult, read_test_set, run_cohort
from depthbench.workload import rough_test_seconds

# What is read in one go: enough that handing it out is nothing beside it, little enough that a
# crash costs next to nothing.
_READING_SECONDS = 0.25
# Each worker is to get so many readings at least, so that none is idle for long at the end.
_READINGS_A_WORKER = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """Name trained trials with which the test set is read, one after another."""

    trials: tuple[Trial, ...]

    def halves(self) -> tuple[Reading, ...]:
        """Return two readings with half the trials each."""
        middle = len(self.trials) // 2
        return Reading(self.trials[:middle]), Reading(self.trials[middle:])


def plan_readings(trials: Sequence[Trial], num_workers: int) -> list[Reading]:
    """Return readings of all trials, in their order, each worth handing out.

    Args:
        trials: what is to be tested.
        num_workers: how many read at a time.
    """
    most = ceil(len(trials) / (num_workers * _READINGS_A_WORKER))
    readings: list[Reading] = []
    members: list[Trial] = []
    seconds = 0.0
    for trial in trials:
        members.append(trial)
        seconds += rough_test_seconds(trial)
        if seconds >= _READING_SECONDS or len(members) == most:
            readings.append(Reading(tuple(members)))
            members, seconds = [], 0.0
    return [*readings, Reading(tuple(members))] if members else readings


def work_with(context: TrialContext) -> Callable[[Cohort | Reading, Tell], Any]:
    """Return the work of a run's executor, which does pieces of either kind."""
    return partial(_do, context=context)


def _do(
    piece: Cohort | Reading, tell: Tell, *, context: TrialContext
) -> list[TrialResult] | list[Row | None]:
    """Return the results of a cohort's trials, or what `read_test_set` says of each."""
    if isinstance(piece, Cohort):
        return run_cohort(piece, tell, context=context)
    return [read_test_set(trial, context) for trial in piece.trials]
