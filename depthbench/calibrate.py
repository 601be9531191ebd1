"""Time a suite again and again: what the same code differs by is what a change must beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from depthbench import environment
from depthbench.calibration import (
    Calibration,
    NoiseFloor,
    calibration_path,
    effort_of,
    write_calibration,
)
from depthbench.errors import ResultError, SuiteError
from depthbench.expand import expand
from depthbench.interruption import terminated_like_interrupted
from depthbench.progress import Ending, Progress, Quiet, Work
from depthbench.report.floors import MIN_RUNS, false_positives, noise_floors
from depthbench.report.processes import CELL_FACTS, cell_times
from depthbench.report.rows import Row
from depthbench.report.tables import Heading, render_table, to_json
from depthbench.request import resolve_device
from depthbench.spec import Trial
from depthbench.suite import Suite
from depthbench.units import counted, format_fraction, format_seconds

if TYPE_CHECKING:
    from pandas import DataFrame

TimeSuite = Callable[[Suite, Sequence[Trial], str], "DataFrame"]
NUM_RUNS = 12
# Floors for judging a pair come from the other runs.
FEWEST_RUNS = MIN_RUNS + 2

_HEADINGS = (
    Heading("family", "family"),
    Heading("depth", "L", is_number=True),
    Heading("width", "d", is_number=True),
    Heading("phase", "phase"),
    Heading("batch_size", "batch", is_number=True),
    Heading("precision", "precision"),
    Heading("mode", "mode"),
    Heading("num_threads", "threads", is_number=True),
    Heading("seconds", "median", is_number=True),
    Heading("floor", "noise floor", is_number=True),
)
_AXES = ("precision", "mode", "num_threads")


@dataclass(frozen=True)
class Calibrated:
    """A calibration, where it was written, and its cells for people: facts, seconds, floor."""

    calibration: Calibration
    path: Path
    cells: tuple[Row, ...]


def calibrate(
    suite: Suite,
    *,
    num_runs: int = NUM_RUNS,
    out: Path = Path("results"),
    device: str = "auto",
    progress: Progress | None = None,
    time_suite: TimeSuite | None = None,
) -> Calibrated:
    """Time a suite's cells `num_runs` times, and store what they differ by beside its runs.

    Args:
        suite: the suite; only its timing is run, nothing is trained.
        num_runs: how many A/A runs, one after another.
        out: folder of all results.
        device: cpu, cuda, cuda:1, or auto: a GPU where there is one.
        progress: hears of each run that ends.
        time_suite: times all cells once (default: that of `depthbench.run`).

    Raises:
        SuiteError: the suite times nothing, cannot be expanded, or there is no such device.
        ResultError: no cell could be timed, or the result cannot be written.
    """
    if suite.timing is None:
        raise SuiteError(
            f"{suite.source}: has no `timing`, so there is nothing to calibrate; add one, such as "
            "timing: {phases: [inference], batch_sizes: [1]}"
        )
    trials, found = expand(suite), resolve_device(device)
    progress = progress or Quiet()
    time_suite = time_suite or _time_suite()
    path = calibration_path(out, suite.name)
    runs: list[DataFrame] = []
    works = [Work(f"run {index + 1}") for index in range(num_runs)]
    progress.begin("calibrate", works)
    try:
        with terminated_like_interrupted():
            for work in works:
                runs.append(time_suite(suite, trials, found))
                progress.advance(work, (Ending(),))
    except KeyboardInterrupt as error:
        error.add_note(_kept(suite, found, runs, path))
        raise
    finally:
        progress.end()
    return _stored(suite, found, runs, path)


def _kept(suite: Suite, device: str, runs: Sequence[DataFrame], path: Path) -> str:
    """Store what an interrupted calibration has found, if it is enough, and say so."""
    if len(runs) < FEWEST_RUNS:
        return f"{counted(len(runs), 'run')} of {FEWEST_RUNS} that floors need: none are stored"
    _stored(suite, device, runs, path)
    return f"floors from {counted(len(runs), 'run')} are stored: {path}"


def _time_suite() -> TimeSuite:
    from depthbench.run import time_suite

    return time_suite


def _stored(suite: Suite, device: str, runs: Sequence[DataFrame], path: Path) -> Calibrated:
    floors = noise_floors(runs)
    if not floors:
        reasons = {cell.error or cell.status for run in runs for cell in cell_times(run).values()}
        why = f": {sorted(reasons)[0]}" if reasons else ""
        raise ResultError(f"{suite.source}: no cell could be timed in {MIN_RUNS} runs{why}")
    rate = false_positives(runs)
    calibration = Calibration(
        suite=suite.name,
        suite_hash=suite.suite_hash,
        device=device,
        num_runs=len(runs),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment.collect(device, Path(suite.source).parent),
        floors=floors,
        false_positives=asdict(rate) if rate else None,
        effort=effort_of(suite.canonical),
    )
    write_calibration(path, calibration)
    return Calibrated(calibration, path, tuple(_cells(runs, floors)))


def _cells(runs: Sequence[DataFrame], floors: dict[str, NoiseFloor]) -> list[Row]:
    from math import exp
    from statistics import fmean

    cells = {cell_id: cell for run in runs for cell_id, cell in cell_times(run).items()}
    return [
        {"cell_id": cell_id}
        | {name: cell.facts[name] for name in CELL_FACTS}
        | {"seconds": exp(fmean(cell.log_times.values())) if cell.log_times else None}
        | {"floor": floors[cell_id].fraction if cell_id in floors else None, "status": cell.status}
        for cell_id, cell in cells.items()
    ]


def render_calibration(found: Calibrated, format: str = "terminal") -> str:
    """Return each cell's noise floor, and how often the gate calls equal runs different.

    Raises:
        ResultError: there is no such format.
    """
    calibration = found.calibration
    if format == "json":
        facts = asdict(calibration) | {"path": str(found.path)}
        return to_json({k: v for k, v in facts.items() if k != "floors"} | {"cells": found.cells})
    if format == "csv":
        keys = [Heading(key, key) for key in found.cells[0]]
        return render_table(keys, found.cells, format)
    shown = [
        heading
        for heading in _HEADINGS
        if heading.key not in _AXES or len({cell[heading.key] for cell in found.cells}) > 1
    ]
    rows = [
        cell | {"seconds": format_seconds(cell["seconds"]), "floor": format_fraction(cell["floor"])}
        for cell in found.cells
    ]
    table = render_table(
        shown,
        rows,
        format,
        title=f"{calibration.suite}: noise floors from {calibration.num_runs} runs",
        note="95% of pairs of runs of the same code differ by less.",
        num_names=3,
    )
    return f"{table}\n\n{_rate_text(calibration)}\nstored: {found.path}"


def _rate_text(calibration: Calibration) -> str:
    rate = calibration.false_positives
    if rate is None:
        return f"How often the gate errs takes {FEWEST_RUNS} runs or more to say."
    share = rate["num_flagged"] / rate["num_pairs"]
    ends = ", ".join(format_fraction(rate[end]) for end in ("low", "high"))
    return (
        f"Any cell called worse: {rate['num_flagged']} of {rate['num_pairs']} pairs of equal runs, "
        f"{format_fraction(share)} [{ends}]; each pair judged by floors from the other runs."
    )
