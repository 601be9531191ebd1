"""Time the cells of a suite: what a run does after training, and what calibration repeats."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch

from depthbench.environment import device_name
from depthbench.grammar import TimingSettings
from depthbench.progress import Ending, Progress, Work
from depthbench.record import FAILURES
from depthbench.spec import Trial
from depthbench.suite import Suite
from depthbench.timing.bench import Bench
from depthbench.timing.cells import Cell, cells_of
from depthbench.timing.session import NUM_PROCESSES, Session
from depthbench.timing.stopping import Limits
from depthbench.timing.worker import RemoteBench
from depthbench.trial import execution_key

Row = dict[str, Any]
Start = Callable[[int], Sequence[Bench]]

# By device; others are judged as a CPU is.
DEFAULT_TARGET_PRECISION = {"cpu": 0.01, "cuda": 0.005}
DEFAULT_TIME_BUDGET_SECONDS = 10.0


@dataclass(frozen=True)
class PlannedCell:
    """Hold a cell, how its modules run, and the columns of its row that are known before."""

    cell: Cell
    row: Row


def planned_cells(
    suite: Suite, run: str, trials: Sequence[Trial], executions: Mapping[str, str]
) -> Iterator[PlannedCell]:
    """Yield each cell of these trials once, in plan order.

    Args:
        suite: whose timing section says what is timed.
        run: name of the run.
        trials: the trials whose variants are timed.
        executions: loop or fused, by `execution_key`, for variants that leave it open.
    """
    assert suite.timing is not None
    for place, (cell, trial) in enumerate(cells_of(trials, suite.timing)):
        used = executions.get(execution_key(trial), trial.variant.execution)
        yield PlannedCell(
            replace(cell, variant=replace(cell.variant, execution=used)),
            {
                "suite": suite.name,
                "run": run,
                "trial_id": trial.trial_id,
                "variant_id": trial.variant_id,
                "execution_used": used,
                "family": trial.family,
                "backbone": trial.backbone,
                "depth": trial.depth,
                "width": trial.width,
                "dataset": trial.dataset,
                "task": trial.task,
                "plan_index": place,
                **cell.columns(),
            },
        )


def time_cells(  # noqa: PLR0913 - the last two have defaults
    suite: Suite,
    planned: Sequence[PlannedCell],
    device: str,
    on_row: Callable[[Row], None],
    *,
    progress: Progress,
    is_peak_measured: bool = False,
    start: Start | None = None,
) -> None:
    """Time cells and hand over the row of each as soon as it ends.

    Args:
        suite: whose timing section says how precisely, and whose first variant or budget's
            reference is what others are compared with.
        planned: the cells.
        device: where.
        on_row: takes each finished row.
        progress: hears of each cell that ends.
        is_peak_measured: measure the device's peak FLOP/s where no data sheet is known.
        start: gives benches (default: fresh processes).
    """
    assert suite.timing is not None
    by_id = {item.cell.cell_id: item for item in planned}
    works = {item.cell.cell_id: timing_work(item) for item in planned}
    began = datetime.now(UTC).isoformat(timespec="seconds")
    name = device_name(device)

    def end(cell: Cell, columns: Row) -> None:
        threads = cell.threads or torch.get_num_threads()
        opening = {"started_at": began, "device": name, "num_threads": threads}
        row = by_id[cell.cell_id].row | opening | columns
        on_row(row)
        progress.advance(works[cell.cell_id], (cell_ending(row),))

    references, eager = partners(planned, reference_variant(suite, planned))
    # Compiled code of former runs would make compiling look free.
    with tempfile.TemporaryDirectory(prefix="depthbench-compiled-") as compiled:
        session = Session(
            start or _processes(device, is_peak_measured, compiled),
            limits_of(suite.timing, device),
            end,
            references=references,
            eager=eager,
            num_processes=NUM_PROCESSES,
            on_sample=lambda cell, share: progress.move(works[cell.cell_id], share, None),
        )
        session.run([item.cell for item in planned])


def timing_work(planned: PlannedCell) -> Work:
    """Return a cell as progress hears of it; it ends before its time budget, or with it."""
    row, cell = planned.row, planned.cell
    phase = f"{cell.phase} batch {cell.batch_size}"
    label = f"{row['family']} L {row['depth']} d {row['width']} {phase}"
    return Work(label, shape=cell.cell_id)


def cell_ending(row: Mapping[str, Any]) -> Ending:
    """Return how a cell ended, by its row."""
    return Ending(row["status"], row["status"] in FAILURES)


def limits_of(timing: TimingSettings, device: str) -> Limits:
    """Return when a cell has been measured enough, by the suite or by default."""
    kind = torch.device(device).type
    default = DEFAULT_TARGET_PRECISION.get(kind, DEFAULT_TARGET_PRECISION["cpu"])
    return Limits(
        timing.target_precision or default,
        timing.time_budget_seconds or DEFAULT_TIME_BUDGET_SECONDS,
    )


def _processes(device: str, is_peak_measured: bool, compiled: str) -> Start:
    def start(count: int) -> list[RemoteBench]:
        benches = [
            RemoteBench(
                device,
                NUM_PROCESSES,
                is_peak_measured=is_peak_measured,
                environment={"TORCHINDUCTOR_CACHE_DIR": compiled},
            )
            for _ in range(count)
        ]
        for bench in benches:
            bench.wait_until_ready()
        return benches

    return start


def reference_variant(suite: Suite, planned: Sequence[PlannedCell]) -> str | None:
    """Return the variant_id that times are compared with: a budget's reference, or the first."""
    rows = [item.row for item in planned]
    for reference in (budget.reference for budget in suite.budgets if budget.reference):
        for row in rows:
            shape = (row["family"], row["depth"], row["width"])
            if shape == (reference.family, reference.depth, reference.width):
                return str(row["variant_id"])
    return str(rows[0]["variant_id"]) if rows else None


def partners(
    planned: Sequence[PlannedCell], reference: str | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Return, by cell_id, the reference variant's cell and the cell in mode eager, same else."""
    identities = {item.cell.cell_id: item.cell.identity() for item in planned}
    variants = {item.cell.cell_id: str(item.row["variant_id"]) for item in planned}

    def key(identity: Row, without: str) -> str:
        return json.dumps({k: v for k, v in identity.items() if k != without}, sort_keys=True)

    standards = {
        key(identity, "variant"): cell_id
        for cell_id, identity in identities.items()
        if variants[cell_id] == reference
    }
    eagers = {
        key(identity, "mode"): cell_id
        for cell_id, identity in identities.items()
        if "mode" not in identity
    }
    references = {c: standards.get(key(i, "variant")) for c, i in identities.items()}
    eager = {c: eagers.get(key(i, "mode")) for c, i in identities.items() if "mode" in i}
    return (
        {c: found for c, found in references.items() if found},
        {c: found for c, found in eager.items() if found},
    )
