"""What `coordinate-check` prints."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from depthbench.coordinate_check import CoordinateCheck
from depthbench.report.growth import TOLERANCE
from depthbench.report.rows import Row
from depthbench.report.statistics import MIN_SEEDS
from depthbench.report.tables import Heading, render_table, to_json
from depthbench.units import counted

if TYPE_CHECKING:
    from rich.console import Console

_NAMES = (
    Heading("network", "network"),
    Heading("parametrization", "rule"),
    Heading("over", "over"),
)
_KEYS = (
    *("network", "parametrization", "over", "lr", "quantity", "step", "exponent", "low", "high"),
    *("num_seeds", "verdict", "smallest", "largest", "at_smallest", "at_largest"),
)


def render_check(
    check: CoordinateCheck, format: str = "terminal", console: Console | None = None
) -> str:
    """Return a check as text: for people the exponents after the last step, in csv those of all.

    Args:
        check: what was found.
        format: terminal, md, csv, or json, which has the sizes of every network, too.
        console: whose width the terminal format takes (default: standard output's).

    Raises:
        ResultError: there is no such format.
    """
    if format == "json":
        return to_json(
            {
                "suite": check.suite,
                "num_steps": check.num_steps,
                "growth": check.growth,
                "sizes": check.sizes,
            }
        )
    if format == "csv":
        return render_table([Heading(key, key) for key in _KEYS], check.growth, format)
    last = [row for row in check.growth if row["step"] == check.num_steps]
    has_kinds = len({row["network"] for row in last}) > 1
    names = _NAMES if has_kinds else _NAMES[1:]
    quantities = sorted({row["quantity"]: None for row in last}, key=lambda name: " of " in name)
    table = render_table(
        (*names, *(Heading(name, name.replace(" of ", " of\n"), True) for name in quantities)),
        _rows(last),
        format,
        title=f"{check.suite}: coordinates after {counted(check.num_steps, 'step')}",
        note=_note(last, has_kinds=has_kinds),
        console=console,
        num_names=len(names),
    )
    notes = _notes(last)
    if format == "terminal":
        width = console.width if console else _width()
        notes = [line for note in notes for line in wrap(note, width)]
    return "\n".join([table.rstrip("\n"), "", *notes])


def _rows(growth: Sequence[Row]) -> list[Row]:
    """Return a row for each curve, with its quantities beside one another."""
    rows: dict[tuple[str, ...], Row] = {}
    for found in growth:
        curve = {heading.key: found[heading.key] for heading in _NAMES}
        row = rows.setdefault(tuple(curve.values()), curve)
        row[found["quantity"]] = _text(found)
    return list(rows.values())


def _text(found: Row) -> str:
    if found["exponent"] is None:
        return str(found["verdict"])
    text = f"{found['verdict']} {found['exponent']:z.2f}"
    return text if found["low"] is None else f"{text} ±{found['exponent'] - found['low']:.2f}"


def _note(rows: Sequence[Row], *, has_kinds: bool) -> str:
    rates = sorted({row["lr"] for row in rows})
    ranges = {f"{row['over']} {row['smallest']} to {row['largest']}": None for row in rows}
    network = [] if has_kinds else [rows[0]["network"]]
    rate = f"learning rate {' and '.join(f'{rate:g}' for rate in rates)}"
    return ", ".join([*network, *ranges, rate, counted(rows[0]["num_seeds"], "seed")])


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [
        "Exponents of root mean squares over examples and features: of the stream after the last "
        "stage, of the modules' updates, of the logits, and of how far each is from what it was "
        "before training. An exponent is the slope of the logarithm against that of width or "
        "depth; ±: its 95% interval over seeds.",
        f"flat: the interval lies within {TOLERANCE:g} of 0; grows, shrinks: beyond it; "
        "unresolved: neither is shown. How to read it: docs/parametrizations.md",
    ]
    if rows[0]["num_seeds"] < MIN_SEEDS:
        notes.append(f"With fewer than {MIN_SEEDS} seeds there is no interval.")
    return notes


def _width() -> int:
    from rich.console import Console

    return Console().width
