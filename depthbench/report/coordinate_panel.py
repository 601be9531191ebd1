"""What a coordinate check has found of a kind of networks, as a panel, and its chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from depthbench.report.growth import TOLERANCE
from depthbench.report.rows import Row
from depthbench.report.statistics import MIN_SEEDS
from depthbench.report.tables import Heading
from depthbench.report.values import Panel
from depthbench.units import counted

KIND = "coordinates"
_NAMES = (Heading("parametrization", "rule"), Heading("over", "over"))
# Of a small chart, in pixels.
_SIZE = 190


def panels_of(growth: Sequence[Row]) -> tuple[Panel, ...]:
    """Return a panel for each kind of networks, with a row for each curve.

    Args:
        growth: of a check, the rows of one step.
    """
    kinds = dict.fromkeys(row["network"] for row in growth)
    return tuple(_panel([row for row in growth if row["network"] == kind]) for kind in kinds)


def _panel(growth: Sequence[Row]) -> Panel:
    quantities = sorted({row["quantity"]: None for row in growth}, key=lambda name: " of " in name)
    curves: dict[tuple[str, str], list[Row]] = {}
    for found in growth:
        curves.setdefault((found["parametrization"], found["over"]), []).append(found)
    first = growth[0]
    ranges = {f"{row['over']} {row['smallest']} to {row['largest']}": None for row in growth}
    where = [*ranges, f"learning rate {first['lr']:g}", counted(first["num_seeds"], "seed")]
    return Panel(
        kind=KIND,
        title=f"{first['network']}, after {counted(first['step'], 'step')}",
        finding=", ".join(where),
        headings=(
            *_NAMES,
            *(Heading(name, name.replace(" of ", " of\n"), is_number=True) for name in quantities),
        ),
        rows=tuple(
            {"parametrization": rule, "over": over, "curves": found}
            for (rule, over), found in curves.items()
        ),
        texts=tuple(
            (rule, over, *(_text(by_name.get(name)) for name in quantities))
            for (rule, over), found in curves.items()
            for by_name in ({row["quantity"]: row for row in found},)
        ),
        notes=_notes(first["num_seeds"]),
        num_names=len(_NAMES),
    )


def _text(found: Row | None) -> str:
    if found is None:
        return "-"
    if found["exponent"] is None:
        return str(found["verdict"])
    text = f"{found['verdict']} {found['exponent']:z.2f}"
    return text if found["low"] is None else f"{text} ±{found['exponent'] - found['low']:.2f}"


def _notes(num_seeds: int) -> tuple[str, ...]:
    notes = (
        "Exponents of root mean squares over examples and features: of the stream after the last "
        "stage, of the modules' updates, of the logits, and of how far each is from what it was "
        "before training. An exponent is the slope of the logarithm against that of width or "
        "depth; ±: its 95% interval over seeds.",
        f"flat: the interval lies within {TOLERANCE:g} of 0; grows, shrinks: beyond it; "
        "unresolved: neither is shown. How to read it: docs/parametrizations.md",
    )
    few = f"With fewer than {MIN_SEEDS} seeds there is no interval: exponents alone decide."
    return (*notes, few) if num_seeds < MIN_SEEDS else notes


def draw(panel: Panel) -> Any:
    """Return small charts, one a quantity and axis: its size against width or depth."""
    import altair as alt

    points: dict[tuple[str, str], list[Row]] = {}
    for row in panel.rows:
        for found in row["curves"]:
            points.setdefault((found["over"], found["quantity"]), []).extend(
                {"rule": found["parametrization"], "size": size, "value": value}
                for size, value in zip(found["sizes"], found["values"], strict=True)
                if value > 0
            )
    charts = [_small_chart(over, quantity, own) for (over, quantity), own in points.items() if own]
    return alt.concat(*charts, columns=2, spacing=24) if charts else None


def _small_chart(over: str, quantity: str, points: list[Row]) -> Any:
    import altair as alt

    sizes = sorted({point["size"] for point in points})
    scale = alt.Scale(type="log", base=2, nice=False)
    return (
        alt.Chart(alt.Data(values=points))
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=1.5)
        .encode(
            x=alt.X("size:Q", title=over, scale=scale, axis=alt.Axis(values=sizes, grid=False)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(type="log")),
            color=alt.Color("rule:N", title="rule"),
            tooltip=[
                alt.Tooltip("rule:N"),
                alt.Tooltip("size:Q", title=over),
                alt.Tooltip("value:Q", title="root mean square", format=".3g"),
            ],
        )
        .properties(width=_SIZE, height=_SIZE, title=f"{quantity} over {over}")
    )
