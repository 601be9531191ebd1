"""workers.json: how fast layouts of workers were, so that each machine is measured once a shape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from math import log2
from pathlib import Path
from typing import Any

from depthbench import environment
from depthbench.errors import ResultError
from depthbench.folder import write_atomically
from depthbench.spec import Trial
from depthbench.trial import TrialContext
from depthbench.worker_costs import Layout, Speed
from depthbench.worker_speed import measure_speeds, speeds_here

NAME = "workers.json"


class KnownSpeeds:
    """Measure the speeds of layouts, and remember them; what is remembered holds on this machine.

    Networks of one backbone whose steps take as many FLOPs, within a factor of 2, count as alike.

    Args:
        out: folder of all results, where the file is.
        facts: the environment, as run.json has it.
    """

    def __init__(self, out: Path, facts: Mapping[str, Any]) -> None:
        self._path = out / NAME
        self._facts = facts

    def known(self, trial: Trial, layouts: Sequence[Layout]) -> list[Speed]:
        """Return the speed of each layout in which a trial can train; empty if not measured yet."""
        return [Speed(**values) for values in self._read().get(_key(trial, layouts), [])]

    def here(self, trial: Trial, context: TrialContext, layouts: Sequence[Layout]) -> list[Speed]:
        """Return about how fast the first and the last layout are; see `speeds_here`."""
        return speeds_here(trial, context, layouts)

    def measured(
        self, trial: Trial, context: TrialContext, layouts: Sequence[Layout]
    ) -> list[Speed]:
        """Measure the speed of each layout, in workers, and remember it."""
        speeds = measure_speeds(trial, context, layouts)
        if speeds:  # a machine too busy to measure anything may be quiet next time
            found = {_key(trial, layouts): [asdict(speed) for speed in speeds]}
            self._write(self._read() | found)
        return speeds

    def _read(self) -> dict[str, Any]:
        """Return what is known here: nothing, where the file is unreadable or of another place."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            speeds, there = dict(found["speeds"]), dict(found["environment"])
            [Speed(**values) for each in speeds.values() for values in each]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {} if environment.differences(there, self._facts) else speeds

    def _write(self, speeds: Mapping[str, Any]) -> None:
        text = json.dumps({"environment": dict(self._facts), "speeds": dict(speeds)}, indent=2)
        with suppress(ResultError):  # it will be measured again
            write_atomically(self._path, (text + "\n").encode())


def _key(trial: Trial, layouts: Sequence[Layout]) -> str:
    flops = max(1, trial.cost.forward_flops * trial.train.batch_size)
    shares = ", ".join(f"{layout.num_workers} x {layout.num_threads}" for layout in layouts)
    return f"{trial.backbone}, 2^{round(log2(flops))} FLOPs a step, {shares}"
