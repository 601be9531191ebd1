"""How a run ended: how many trials and cells ended how, and why some failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthbench import store
from depthbench.record import FAILURES


@dataclass(frozen=True, slots=True)
class Failure:
    """State the first line of why trials or cells failed, and how many did for this reason."""

    status: str
    error: str
    num: int


@dataclass(frozen=True)
class RunSummary:
    """How a run ended: its folder, and how many trials and cells ended how.

    `retry_command` is the command that runs the failed ones again.
    """

    folder: Path
    suite: str
    run: str
    num_trials: int
    trials_by_status: dict[str, int]
    cells_by_status: dict[str, int]
    failures: tuple[Failure, ...] = ()
    retry_command: str = ""

    @property
    def num_failures(self) -> int:
        """Return how many trials and cells failed; diverged and unsupported are results."""
        counts = Counter(self.trials_by_status) + Counter(self.cells_by_status)
        return sum(counts[status] for status in FAILURES)


def summarise_run(
    folder: store.RunFolder, suite: str, run: str, trial_ids: Iterable[str], retry_command: str
) -> RunSummary:
    """Return how the trials of a run that were asked for ended, and all of its cells.

    Raises:
        ResultError: a table cannot be read.
    """
    finished = store.finished_trials(folder)
    trials = [finished[identity] for identity in trial_ids]
    cells = list(store.finished_cells(folder).values())
    return RunSummary(
        folder=folder.path,
        suite=suite,
        run=run,
        num_trials=len(trials),
        trials_by_status=dict(Counter(row["status"] for row in trials)),
        cells_by_status=dict(Counter(row["status"] for row in cells)),
        failures=_failures([*trials, *cells]),
        retry_command=retry_command,
    )


def _failures(rows: Iterable[Mapping[str, Any]]) -> tuple[Failure, ...]:
    """Return each reason for which trials or cells failed, the most frequent first."""
    reasons = Counter(
        (row["status"], (str(row["error"] or "").splitlines() or [""])[0])
        for row in rows
        if row["status"] in FAILURES
    )
    return tuple(Failure(status, error, num) for (status, error), num in reasons.most_common())
