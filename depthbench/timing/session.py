"""Time cells: shuffled rounds over all of them, in several fresh processes. Read this first.

Cells that fit in memory together make a group. Each of a few processes prepares all cells of a
group; then, round after round, every cell that is not yet measured enough is sampled once, in an
order drawn anew, after a canary. The processes take rounds in turn, one at a time. So what drifts
in the machine meets all cells alike, and what differs between processes is in every cell's samples.
A cell ends when it is precise enough, when more samples would tell little, or when its time is up,
always after as many samples in each process.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from depthbench.timing.bench import Bench
from depthbench.timing.canary import canary_columns, canary_flags
from depthbench.timing.cells import Cell
from depthbench.timing.measured import Ended, MeasuredCell, Ready
from depthbench.timing.stopping import Limits, StopRule
from depthbench.timing.summary import measured_columns
from depthbench.timing.worker import WorkerDiedError

NUM_PROCESSES = 3
# Beyond this much of a bench's memory no further cell joins a group.
FULL_FRACTION = 0.5

Columns = dict[str, Any]


class Session:
    """Time cells and hand over the columns of each as soon as it ends.

    Args:
        start: gives benches, all of which may be started at once.
        limits: when a cell has been measured enough.
        on_end: takes a cell and its measured columns.
        references: the cell_id of the reference variant's cell, by cell_id.
        eager: the cell_id of the same cell in mode eager, by the cell_id of a compiled one.
        num_processes: how many fresh processes each cell's samples come from.
        seed: of the order of the rounds.
        now: returns host seconds, for budgets only.
        on_sample: takes a cell that was sampled and the share of its time budget that is used.
    """

    def __init__(  # noqa: PLR0913 - two of them matter, the others have defaults
        self,
        start: Callable[[int], Sequence[Bench]],
        limits: Limits,
        on_end: Callable[[Cell, Columns], None],
        *,
        references: Mapping[str, str] | None = None,
        eager: Mapping[str, str] | None = None,
        num_processes: int = NUM_PROCESSES,
        seed: int = 0,
        now: Callable[[], float] = time.monotonic,
        on_sample: Callable[[Cell, float], None] = lambda cell, share: None,
    ) -> None:
        self.start = start
        self.limits = limits
        self.on_end = on_end
        self.references = references or {}
        self.eager = eager or {}
        self.num_processes = num_processes
        self.random = random.Random(seed)
        self.now = now
        self.on_sample = on_sample
        self.benches: list[Bench] = []
        self.open: dict[str, MeasuredCell] = {}
        self.ended: dict[str, MeasuredCell] = {}
        self.canaries: list[float] = []
        self.cells: dict[str, Cell] = {}

    def run(self, cells: Sequence[Cell]) -> None:
        """Measure cells, group by group."""
        waiting = deque(cells)
        self.cells = {cell.cell_id: cell for cell in cells}
        while waiting:
            # Rounds pair cells of one group only: those of another were at another time.
            self.ended.clear()
            self.benches, self.canaries = list(self.start(self.num_processes)), []
            try:
                self._fill_group(waiting)
                self._sample_group()
            finally:
                for bench in self.benches:
                    bench.close()
                self.open.clear()

    def _fill_group(self, waiting: deque[Cell]) -> None:
        """Prepare cells in the first process until its memory is full, then in the others."""
        while waiting:
            cell = waiting[0]
            found = self._prepare(0, cell)
            if isinstance(found, Ended) and found.status == "oom" and self.open:
                break  # with a group of its own there may be room
            waiting.popleft()
            if isinstance(found, Ended):
                self._end_early(cell, found)
                continue
            self.open[cell.cell_id] = MeasuredCell(cell, StopRule(self.limits), [found])
            if self.benches[0].used_fraction() > FULL_FRACTION:
                break
        for process in range(1, self.num_processes):
            self._prepare_all(process)

    def _prepare_all(self, process: int) -> None:
        """Prepare every open cell in a process; what fails there ends."""
        for state in list(self.open.values()):
            found = self._prepare(process, state.cell)
            if isinstance(found, Ended):
                self._end_early(state.cell, found)
            else:
                state.readies.append(found)

    def _prepare(self, process: int, cell: Cell) -> Ready | Ended:
        try:
            return self.benches[process].prepare(cell, self.limits.time_budget_seconds)
        except WorkerDiedError as death:
            self._replace(process, cell)
            return Ended("failed", str(death))

    def _replace(self, process: int, culprit: Cell) -> None:
        """Start another process for one that died, and prepare there what was ready in it."""
        self.benches[process].close()
        self.benches[process : process + 1] = self.start(1)
        for cell_id, state in list(self.open.items()):
            if cell_id != culprit.cell_id:
                found = self._prepare(process, state.cell)
                if isinstance(found, Ended):
                    self._end_early(state.cell, found)

    def _sample_group(self) -> None:
        """Sample all open cells in rounds until each has ended."""
        number = 0
        while self.open:
            self._sample_round(number)
            number += 1
            if number % self.num_processes == 0:  # as many samples in each process
                for state in list(self.open.values()):
                    reason = state.stop_reason()
                    if reason is not None:
                        self._end(state, reason)

    def _sample_round(self, number: int) -> None:
        process = number % self.num_processes
        order = list(self.open)
        self.random.shuffle(order)
        self.canaries.append(self.benches[process].canary())
        for cell_id in order:
            state = self.open.get(cell_id)
            if state is None:  # it ended with its process
                continue
            began = self.now()
            try:
                sample = self.benches[process].sample(cell_id, state.calls_per_sample)
            except WorkerDiedError as death:
                del self.open[cell_id]
                self._replace(process, state.cell)
                self._end_early(state.cell, Ended("failed", str(death)))
            else:
                state.add(sample, number, process, self.now() - began)
                used = state.spent_seconds / self.limits.time_budget_seconds
                self.on_sample(state.cell, min(1.0, used))

    def _end_early(self, cell: Cell, ended: Ended) -> None:
        self.open.pop(cell.cell_id, None)
        self._drop(cell.cell_id)
        self.on_end(cell, {"status": ended.status, "error": ended.error})

    def _end(self, state: MeasuredCell, stop_reason: str) -> None:
        cell_id = state.cell.cell_id
        canary = canary_columns(self.canaries)
        columns = measured_columns(
            state,
            stop_reason,
            reference=self._partner(self.references.get(cell_id)),
            eager=self._partner(self.eager.get(cell_id)),
        )
        bench = self.benches[state.processes[-1]]
        try:
            columns |= bench.passes(cell_id, columns["median_seconds"])
        except WorkerDiedError as death:
            # What was timed stands; only the passes beside it are lost.
            columns["error"] = f"memory and energy are not known: {death}"
            del self.open[cell_id]
            self._replace(state.processes[-1], state.cell)
        columns["flags"] = [*columns["flags"], *canary_flags(self.canaries)]
        self.open.pop(cell_id, None)
        self.ended[cell_id] = state
        self._drop(cell_id)
        self.on_end(state.cell, {"status": "ok", "error": None} | columns | canary)

    def _partner(self, cell_id: str | None) -> MeasuredCell | None:
        return self.open.get(cell_id or "") or self.ended.get(cell_id or "")

    def _drop(self, cell_id: str) -> None:
        for process, bench in enumerate(self.benches):
            try:
                bench.drop(cell_id)
            except WorkerDiedError:
                self._replace(process, self.cells[cell_id])
