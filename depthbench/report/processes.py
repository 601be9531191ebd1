"""What each process of a timed cell says: the unit in which times are independent.

Samples of one process are alike; those of another process of the same network lie up to 8% away.
So intervals and tests stand on one number a process, and on their logs, since noise is a share
of the time.

That number is a low quantile, the quiet time: what a call takes when the machine leaves it alone.
Noise on a shared machine only adds, in bursts, and with the share of disturbed samples the median
wanders between the quiet time and the disturbed one, and so do all quantiles but the lowest;
docs/log.md has how far.

Source:
    Chen and Revels 2016, "Robust benchmarking in noisy environments" (the minimum). Here a quantile
    just above it, so that of many samples not a single one decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, log
from typing import TYPE_CHECKING, Any

from depthbench.report.rows import Row, records

if TYPE_CHECKING:
    from pandas import DataFrame

# What makes two cells comparable, apart from the network.
CELL_KEYS = (
    "dataset",
    "task",
    "optimizer",
    "phase",
    "batch_size",
    "precision",
    "mode",
    "num_threads",
    "cache",
    "device",
)
# What tells people which cell is meant, in the order in which it is said.
CELL_FACTS = ("family", "backbone", "depth", "width", *CELL_KEYS)
# Of the samples of a process: low enough to be quiet while nearly all are disturbed.
QUIET_QUANTILE = 0.02
# Without the processes of its samples a cell is split, in order, into so many blocks.
NUM_BLOCKS = 3
CELL_COLUMNS = (
    "cell_id",
    *CELL_FACTS,
    "status",
    "error",
    "samples_seconds",
    "samples_process",
    "flags",
    "canary_median_seconds",
)


@dataclass(frozen=True, slots=True)
class CellTimes:
    """One timed cell: the log of the quiet time of each process, by process.

    Where `is_by_process` is False, blocks of samples of one process, or of unknown ones, stand in
    for processes, and differ less than processes do. `num_unusable` of its samples are no times.
    """

    cell_id: str
    facts: Row
    status: str
    error: str
    log_times: Mapping[int, float]
    is_by_process: bool
    flags: tuple[str, ...]
    canary_seconds: float | None
    num_unusable: int = 0

    @property
    def is_usable(self) -> bool:
        """Say whether there are two processes or more, so that they have a spread."""
        return self.status == "ok" and len(self.log_times) > 1


def cell_times(timings: DataFrame) -> dict[str, CellTimes]:
    """Return the cells of a table of timings by their id, in the table's order."""
    return cells_of(records(timings, CELL_COLUMNS))


def cells_of(rows: Iterable[Row]) -> dict[str, CellTimes]:
    """Return the cells of rows that have `CELL_COLUMNS`, by their id, in their order."""
    return {row["cell_id"]: _cell(row) for row in rows}


def _cell(row: Row) -> CellTimes:
    samples = row["samples_seconds"] or ()
    times, is_by_process = process_times(samples, row["samples_process"])
    return CellTimes(
        cell_id=row["cell_id"],
        facts={name: row[name] for name in CELL_FACTS},
        status=str(row["status"]),
        error=" ".join(str(row["error"] or "").split()),
        log_times={process: log(value) for process, value in times.items()},
        is_by_process=is_by_process,
        flags=tuple(row["flags"] or ()),
        canary_seconds=row["canary_median_seconds"],
        num_unusable=sum(value is None or not 0 < value < inf for value in samples),
    )


def process_times(
    samples: Sequence[float] | None, processes: Sequence[Any] | None
) -> tuple[dict[int, float], bool]:
    """Return the quiet time of each process in seconds, and whether they are of processes at all.

    Args:
        samples: seconds a call, in the order in which they were taken.
        processes: the process of each sample; None or NaN in tables that do not have it.
    """
    positive = [value for value in samples or () if value is not None and 0 < value < inf]
    if processes is not None and _is_told(processes, samples or ()):
        by_process: dict[int, list[float]] = defaultdict(list)
        for value, process in zip(samples or (), processes, strict=True):
            if value is not None and 0 < value < inf:
                by_process[int(process)].append(value)
        if len(by_process) > 1:
            return {key: quiet_time(found) for key, found in sorted(by_process.items())}, True
    ends = [round(len(positive) * block / NUM_BLOCKS) for block in range(NUM_BLOCKS + 1)]
    blocks = [positive[first:last] for first, last in pairwise(ends)]
    return {index: quiet_time(block) for index, block in enumerate(blocks) if block}, False


def _is_told(processes: Sequence[Any], samples: Sequence[float]) -> bool:
    """Say whether each sample has a process."""
    return len(processes) == len(samples) and all(
        process is not None and process == process
        for process in processes  # NaN is not itself
    )


def quiet_time(samples: Sequence[float]) -> float:
    """Return the low quantile of samples that stands for an undisturbed call."""
    ordered = sorted(samples)
    place = QUIET_QUANTILE * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
