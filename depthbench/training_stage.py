"""Train what is waiting: cohorts go to an executor, and each trial's part to the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from depthbench import store
from depthbench.cohorts import Cohort, still_waiting
from depthbench.executors import Lost, RunItems
from depthbench.progress import Ending, Progress, Work
from depthbench.record import FAILURES
from depthbench.spec import Trial
from depthbench.trial import (
    TrialContext,
    TrialResult,
    execution_key,
    lost_trial,
    savepoint_path,
)
from depthbench.workload import rough_seconds


@dataclass(frozen=True)
class TrainingStage:
    """What training needs of a run.

    `places` are those of all trials in the plan, by trial_id. `on_split` hears of a cohort whose
    halves are trained in its place.
    """

    context: TrialContext
    folder: store.RunFolder
    progress: Progress
    places: Mapping[str, int]
    on_split: Callable[[Cohort], None]
    under_way: dict[tuple[str, int], Work] = field(default_factory=dict)

    def train(
        self,
        run_items: RunItems,
        cohorts: Sequence[Cohort],
        waiting: Set[str],
        former: Iterable[tuple[Work, Ending]] = (),
    ) -> None:
        """Train cohorts, and keep of each what is waiting, as soon as its cohort ends.

        Where a cohort of several fails or is lost with its worker, its halves are trained, so that
        one trial costs the others nothing but time.

        Args:
            run_items: what trains cohorts.
            cohorts: what is trained.
            waiting: the trials whose results are kept, by trial_id.
            former: what a former session has done of this stage, for those who watch.
        """
        todo = (training_work(cohort.trials, waiting) for cohort in cohorts)
        self.progress.begin("train", todo, former)
        while cohorts:
            halves: list[Cohort] = []
            for cohort, found in run_items(cohorts, partial(self._tell, waiting)):
                name = _name(cohort.trials)
                work = self.under_way.pop(name, None) or training_work(cohort.trials, waiting)
                if len(cohort.trials) > 1 and _has_failed(found):
                    self.progress.advance(work, ())
                    self.on_split(cohort)
                    halves += still_waiting(cohort.halves(), waiting)
                else:
                    self.progress.advance(work, self._keep(cohort, found, waiting))
                if len(cohort.trials) > 1:
                    self._forget_savepoint(cohort)
            cohorts = halves
        self.progress.end()

    def _tell(self, waiting: Set[str], cohort: Cohort, told: tuple[float, float | None]) -> None:
        """Pass on how far a cohort is; called at each step, so its work is made once."""
        name = _name(cohort.trials)
        if name not in self.under_way:
            self.under_way[name] = training_work(cohort.trials, waiting)
        self.progress.move(self.under_way[name], *told)

    def _keep(
        self, cohort: Cohort, found: list[TrialResult] | Lost, waiting: Set[str]
    ) -> list[Ending]:
        """Write the parts of what is waiting, and return how each ended."""
        endings = []
        for index, trial in enumerate(cohort.trials):
            if trial.trial_id not in waiting:
                continue  # trained again only for the others of its cohort
            result = (
                lost_trial(trial, self.context, found) if isinstance(found, Lost) else found[index]
            )
            row = result.row | {"plan_index": self.places[trial.trial_id]}
            store.write_trial_part(self.folder, row, result.curves)
            endings.append(ending(row))
        return endings

    def _forget_savepoint(self, cohort: Cohort) -> None:
        """Remove where a long training was saved: its results are on the disk, or it was split."""
        savepoint_path(self.context.weights_folder, cohort).unlink(missing_ok=True)


def _has_failed(found: list[TrialResult] | Lost) -> bool:
    return isinstance(found, Lost) or any(result.row["status"] in FAILURES for result in found)


def _name(group: Sequence[Trial]) -> tuple[str, int]:
    """Return what tells the cohorts of a stage apart: no trial is in two of one size."""
    return group[0].trial_id, len(group)


def training_work(group: Sequence[Trial], waiting: Set[str]) -> Work:
    """Return trials that train together as progress hears of them; only waiting ones count."""
    first = group[0]
    cost = rough_seconds(first)
    return Work(
        label=label(group),
        key=_name(group),
        count=sum(trial.trial_id in waiting for trial in group),
        shape=(execution_key(first), first.task, cost),
        cost=cost,
        variant=_short(first),
        group=(first.dataset, first.task),
    )


def ended_work(trial: Trial, row: Mapping[str, Any]) -> tuple[Work, Ending]:
    """Return a trial that a former session has done, as progress hears of it."""
    work = Work(label((trial,)), variant=_short(trial), group=(trial.dataset, trial.task))
    return work, ending(row)


def ending(row: Mapping[str, Any]) -> Ending:
    """Return how a trial ended, by its row."""
    status = row["status"]
    return Ending(status, status in FAILURES, row.get("val_loss"))


def label(trials: Sequence[Trial]) -> str:
    """Return how people are told of trials that are trained together."""
    first = trials[0]
    seeds = f"seed {first.seed}" if len(trials) == 1 else f"{len(trials)} trials"
    return f"{first.family} L {first.depth} d {first.width} {seeds}"


def _short(trial: Trial) -> str:
    kernel = f" k{trial.variant.kernel}" if trial.variant.kernel else ""
    return f"{trial.family} L{trial.depth} d{trial.width}{kernel}"
