"""Train what is waiting: groups of trials go to an executor, and each trial's part to the disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from depthbench import store
from depthbench.executors import Executor, Lost
from depthbench.progress import Progress
from depthbench.record import FAILURES
from depthbench.spec import Trial
from depthbench.trial import TrialContext, TrialResult, lost_trial, run_trials

# Trials that are trained together, in one worker.
Group = tuple[Trial, ...]


@dataclass(frozen=True)
class TrainingStage:
    """What training needs of a run; `places` are those of all trials in the plan, by trial_id."""

    context: TrialContext
    folder: store.RunFolder
    progress: Progress
    places: Mapping[str, int]

    def train(self, executor: Executor, groups: Sequence[Group], waiting: Collection[str]) -> None:
        """Train groups, and keep of each what is waiting, as soon as its group ends.

        Where a group of several is lost with its worker or to memory, its halves are trained, so
        that one trial costs the others nothing but time.
        """
        while groups:
            halves: list[Group] = []
            for group, found in self._results(executor, groups):
                if len(group) > 1 and _is_lost(found):
                    halves += (group[: len(group) // 2], group[len(group) // 2 :])
                else:
                    self._keep(group, found, waiting)
            groups = halves

    def _results(
        self, executor: Executor, groups: Sequence[Group]
    ) -> Iterator[tuple[Group, list[TrialResult] | Lost]]:
        work = partial(run_trials, context=self.context)
        yield from executor.run(work, groups, self._tell)

    def _tell(self, group: Group, told: tuple[float, float | None]) -> None:
        self.progress.move(label(group), *told)

    def _keep(
        self, group: Group, found: list[TrialResult] | Lost, waiting: Collection[str]
    ) -> None:
        for index, trial in enumerate(group):
            if trial.trial_id not in waiting:
                continue  # trained again only for the others of its group
            result = (
                lost_trial(trial, self.context, found) if isinstance(found, Lost) else found[index]
            )
            row = result.row | {"plan_index": self.places[trial.trial_id]}
            store.write_trial_part(self.folder, row, result.curves)
            said = "" if row["status"] == "ok" else f" {row['status']}"
            is_failure = row["status"] in FAILURES
            self.progress.advance(label((trial,)) + said, is_failure=is_failure)


def _is_lost(found: list[TrialResult] | Lost) -> bool:
    return isinstance(found, Lost) or any(result.row["status"] == "oom" for result in found)


def label(group: Group) -> str:
    """Return how people are told of trials that are trained together."""
    first = group[0]
    seeds = f"seed {first.seed}" if len(group) == 1 else f"{len(group)} trials"
    return f"{first.family} L {first.depth} d {first.width} {seeds}"
