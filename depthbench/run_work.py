"""What every stage of a run needs, and what it has found out so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depthbench import store
from depthbench.cohorts import Cohort
from depthbench.progress import Progress
from depthbench.record import FAILURES
from depthbench.request import RunOptions
from depthbench.spec import Trial
from depthbench.suite import Suite
from depthbench.trial import TrialContext


@dataclass(frozen=True)
class RunWork:
    """What every stage of a run needs; `trials` are those of `every_trial` that --only chose.

    `state` is the value of run.json.
    """

    suite: Suite
    every_trial: tuple[Trial, ...]
    trials: tuple[Trial, ...]
    context: TrialContext
    folder: store.RunFolder
    options: RunOptions
    progress: Progress
    retry_failed: bool
    out: Path
    is_peak_measured: bool
    cohorts: list[Cohort] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    def is_waiting(self, status: str | None) -> bool:
        """Say whether a piece of work that ended so, or not at all, is still to be done."""
        return status is None or (self.retry_failed and status in FAILURES)


def status_of(finished: Mapping[str, Mapping[str, Any]], identity: str) -> str | None:
    """Return how a trial or cell ended, None where it has not been done."""
    found = finished.get(identity)
    return None if found is None else str(found["status"])
