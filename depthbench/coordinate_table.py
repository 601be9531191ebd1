"""What `coordinate-check` prints."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from depthbench.coordinate_check import CoordinateCheck
from depthbench.report.growth import TOLERANCE
from depthbench.report.rows import Row
from depthbench.report.statistics import MIN_SEEDS
from depthbench.report.tables import Heading, render_table, to_json
from depthbench.units import counted, format_estimate, significant

if TYPE_CHECKING:
    from rich.console import Console

_HEADINGS = (
    Heading("network", "network"),
    Heading("parametrization", "parametrization"),
    Heading("over", "over"),
    Heading("quantity", "size of"),
    Heading("exponent", "exponent", is_number=True),
    Heading("verdict", "verdict"),
    Heading("at_smallest", "at the\nsmallest", is_number=True),
    Heading("at_largest", "at the\nlargest", is_number=True),
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
    table = render_table(
        _HEADINGS if has_kinds else _HEADINGS[1:],
        list(map(_texts, last)),
        format,
        title=f"{check.suite}: coordinates after {counted(check.num_steps, 'step')}",
        note=_note(last, has_kinds=has_kinds),
        console=console,
        num_names=4 if has_kinds else 3,
    )
    notes = _notes(last)
    if format == "terminal":
        width = console.width if console else _width()
        notes = [line for note in notes for line in wrap(note, width)]
    return "\n".join([table.rstrip("\n"), "", *notes])


def _texts(row: Row) -> Row:
    ends = {name: f"{significant(row[name])}" for name in ("at_smallest", "at_largest")}
    sizes = {"over": f"{row['over']} {row['smallest']} to {row['largest']}"}
    exponent = format_estimate(row["exponent"], row["low"], row["high"])
    return row | ends | sizes | {"exponent": exponent}


def _note(rows: list[Row], *, has_kinds: bool) -> str:
    rates = sorted({row["lr"] for row in rows})
    seeds = counted(rows[0]["num_seeds"], "seed")
    network = "" if has_kinds else f"{rows[0]['network']}, "
    return f"{network}learning rate {', '.join(f'{rate:g}' for rate in rates)}, {seeds}"


def _notes(rows: list[Row]) -> list[str]:
    notes = [
        "Sizes are root mean squares over examples and features: of the stream after the last "
        "stage, of the modules' updates of it, of the logits, and of how far each is from what it "
        "was before training.",
        "exponent: the slope of the size's logarithm against the width's or depth's, [..] its 95% "
        "interval over seeds.",
        f"flat: the interval lies within {TOLERANCE:g} of 0; grows, shrinks: beyond it; "
        "unresolved: neither is shown.",
    ]
    if rows[0]["num_seeds"] < MIN_SEEDS:
        notes.append(f"With fewer than {MIN_SEEDS} seeds there is no interval.")
    return notes


def _width() -> int:
    from rich.console import Console

    return Console().width
