"""Train what is waiting: cohorts go to an executor, and each trial's part to the disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from depthbench import store
from depthbench.cohorts import Cohort
from depthbench.executors import Executor, Lost
from depthbench.progress import Progress
from depthbench.record import FAILURES
from depthbench.spec import Trial
from depthbench.trial import TrialContext, TrialResult, lost_trial, run_cohort


@dataclass(frozen=True)
class TrainingStage:
    """What training needs of a run; `places` are those of all trials in the plan, by trial_id."""

    context: TrialContext
    folder: store.RunFolder
    progress: Progress
    places: Mapping[str, int]

    def train(
        self, executor: Executor, cohorts: Sequence[Cohort], waiting: Collection[str]
    ) -> None:
        """Train cohorts, and keep of each what is waiting, as soon as its cohort ends.

        Where a cohort of several fails or is lost with its worker, its halves are trained, so that
        one trial costs the others nothing but time.
        """
        while cohorts:
            halves: list[Cohort] = []
            for cohort, found in self._results(executor, cohorts):
                if len(cohort.trials) > 1 and _has_failed(found):
                    halves += cohort.halves()
                else:
                    self._keep(cohort, found, waiting)
            cohorts = halves

    def _results(
        self, executor: Executor, cohorts: Sequence[Cohort]
    ) -> Iterator[tuple[Cohort, list[TrialResult] | Lost]]:
        work = partial(run_cohort, context=self.context)
        yield from executor.run(work, cohorts, self._tell)

    def _tell(self, cohort: Cohort, told: tuple[float, float | None]) -> None:
        self.progress.move(label(cohort.trials), *told)

    def _keep(
        self, cohort: Cohort, found: list[TrialResult] | Lost, waiting: Collection[str]
    ) -> None:
        for index, trial in enumerate(cohort.trials):
            if trial.trial_id not in waiting:
                continue  # trained again only for the others of its cohort
            result = (
                lost_trial(trial, self.context, found) if isinstance(found, Lost) else found[index]
            )
            row = result.row | {"plan_index": self.places[trial.trial_id]}
            store.write_trial_part(self.folder, row, result.curves)
            said = "" if row["status"] == "ok" else f" {row['status']}"
            is_failure = row["status"] in FAILURES
            self.progress.advance(label((trial,)) + said, is_failure=is_failure)


def _has_failed(found: list[TrialResult] | Lost) -> bool:
    return isinstance(found, Lost) or any(result.row["status"] in FAILURES for result in found)


def label(trials: Sequence[Trial]) -> str:
    """Return how people are told of trials that are trained together."""
    first = trials[0]
    seeds = f"seed {first.seed}" if len(trials) == 1 else f"{len(trials)} trials"
    return f"{first.family} L {first.depth} d {first.width} {seeds}"
