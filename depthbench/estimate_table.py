"""What `plan --estimate` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from depthbench.report.tables import Heading, render_table
from depthbench.units import counted, format_seconds

if TYPE_CHECKING:
    from rich.console import Console

_HEADINGS = (
    Heading("stage", "stage"),
    Heading("cpu", "CPU time", is_number=True),
    Heading("wall", "time", is_number=True),
)
_BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def render_estimate(
    estimate: Mapping[str, Any], format: str, console: Console | None = None
) -> str:
    """Return a described estimate as a table a stage, and what is to be known of it.

    Args:
        estimate: as `Estimate.describe` has it.
        format: terminal or md.
        console: whose width the terminal format takes (default: standard output's).
    """
    total = {"stage": "total", "is_most": any(stage["is_most"] for stage in estimate["stages"])}
    total |= {key: estimate[key] for key in ("cpu_seconds", "wall_seconds")}
    rows = [
        {
            "stage": stage["stage"],
            "cpu": _time(stage["cpu_seconds"], is_most=stage["is_most"]),
            "wall": _time(stage["wall_seconds"], is_most=stage["is_most"]),
        }
        for stage in (*estimate["stages"], total)
    ]
    threads, workers = estimate["num_threads"], estimate["num_workers"]
    where = f"{estimate['device']}, {counted(threads, 'CPU thread')}, {counted(workers, 'worker')}"
    table = render_table(
        _HEADINGS,
        rows,
        format,
        title=f"Predicted on {where}",
        note=_basis(estimate),
        console=console,
        num_names=1,
    )
    notes = _notes(estimate)
    if format == "terminal":
        width = (console or _console()).width
        notes = [line for note in notes for line in wrap(note, width, subsequent_indent="  ")]
    return "\n".join([table.rstrip("\n"), "", *notes])


def _console() -> Console:
    from rich.console import Console

    return Console()


def _basis(estimate: Mapping[str, Any]) -> str:
    shapes, measured = estimate["num_shapes"], estimate["num_measured_shapes"]
    if shapes == measured:
        return f"From a few steps of {counted(shapes, 'shape')} each, on random data."
    return (
        f"From a few steps of {measured:,} of {shapes:,} shapes, on random data; "
        "the others by their FLOPs."
    )


def _notes(estimate: Mapping[str, Any]) -> list[str]:
    peak, data = estimate["peak_memory_bytes"], format_bytes(estimate["data_bytes"])
    notes = [
        f"Peak memory of a trial: {format_bytes(peak)} ({estimate['peak_memory_of']})",
        f"Data: {data}; Python and PyTorch come on top.",
    ]
    if estimate["num_stacked"]:
        stacked = counted(estimate["num_stacked"], "trial")
        cohorts = counted(estimate["num_cohorts"], "cohort")
        notes.append(f"{stacked} train stacked, in {cohorts}, as was measured faster here.")
    if any(stage["is_most"] for stage in estimate["stages"]):
        notes.append("Timing ends sooner where cells are precise before their time budget.")
    notes += [f"Guessed: {guess}" for guess in estimate["guesses"]]
    return notes


def _time(seconds: float, *, is_most: bool) -> str:
    return ("at most " if is_most else "") + format_seconds(seconds)


def format_bytes(number: int | None) -> str:
    """Return a number of bytes with two or three digits, in a unit that suits it."""
    if number is None:
        return "unknown"
    for size, unit in _BYTES:
        if number >= size:
            amount = number / size
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:,.0f} {unit}"
    return f"{number} B"
