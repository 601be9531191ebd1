"""Show the depth tax to people: a row a width, and what follows from them in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from depthbench.report.depth_tax import MAX_RESIDUAL
from depthbench.report.statistics import Estimate
from depthbench.report.tables import (
    Heading,
    markdown,
    markdown_table,
    plain_line,
    rich_table,
    split_columns,
)
from depthbench.report.values import DepthCost, DepthTax, LayerCost, WidthLaw
from depthbench.units import (
    format_estimate,
    format_flops,
    format_fraction,
    format_percentages,
    format_seconds,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

TITLE = "Depth tax: what one more sequential layer costs"
_HEADINGS = (
    Heading("timed", "timed"),
    Heading("width", "d", is_number=True),
    Heading("depths", "L"),
    Heading("per_layer", "a layer", is_number=True),
    Heading("fixed", "the rest", is_number=True),
    Heading("constant_weights", "against L/4, 2d", is_number=True),
    Heading("launch_bound", "launching", is_number=True),
    Heading("flops", "FLOP/s", is_number=True),
)
_NUM_NAMES = 2


def depth_tax_parts(tax: DepthTax, width: int) -> Iterator[RenderableType]:
    """Yield what a terminal of a width shows of the depth tax; nothing where there is none."""
    from rich.text import Text

    if not tax.layers:
        return
    headings, cells = _table(tax.layers)
    yield Text()
    yield Text(TITLE, style="bold")
    for index, columns in enumerate(split_columns(headings, cells, width, _NUM_NAMES)):
        part = [[row[column] for column in columns] for row in cells]
        if index:
            yield Text()
        yield rich_table([headings[column] for column in columns], part, width=width)
    for line in _lines(tax):
        yield Text(plain_line(line), style="dim")


def depth_tax_markdown(tax: DepthTax) -> str:
    """Return the same as Markdown, empty where there is none."""
    if not tax.layers:
        return ""
    headings, cells = _table(tax.layers)
    lines = "\n".join(f"- {markdown(line)}" for line in _lines(tax))
    return f"## {TITLE}\n\n{markdown_table(headings, cells)}\n\n{lines}"


def _table(layers: Sequence[LayerCost]) -> tuple[list[Heading], list[list[str]]]:
    """Return headings and cells, without columns in which nothing is known."""
    rows = [_cells(layer) for layer in layers]
    kept = [i for i in range(len(_HEADINGS)) if any(row[i] != "-" for row in rows)]
    return [_HEADINGS[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _cells(layer: LayerCost) -> list[str]:
    doubt = "" if layer.is_linear else " ~"
    return [
        layer.name,
        str(layer.width),
        ", ".join(str(depth) for depth in layer.depths),
        _seconds(layer.per_layer) + doubt,
        format_seconds(layer.fixed.value),
        _ratio(layer.constant_weights),
        _share(layer.launch_bound_fraction),
        format_flops(layer.achieved_flops_per_second),
    ]


def _seconds(found: Estimate) -> str:
    """Return a cost with its interval, or how much it is at most where it may be nothing."""
    if found.low is not None and found.low <= 0:
        return f"at most {format_seconds(found.high)}"
    return format_seconds(found.value, (found.low, found.high))


def _ratio(found: DepthCost | None) -> str:
    if found is None:
        return "-"
    ratio = found.ratio
    return f"{format_estimate(ratio.value, ratio.low, ratio.high)}x"


def _share(found: Estimate | None) -> str:
    return "-" if found is None else format_percentages(found.value, found.low, found.high)


def _lines(tax: DepthTax) -> Iterator[str]:
    yield "Time = the rest + (a layer) L; the interval is over processes, 95%."
    bent = [layer.largest_residual_fraction for layer in tax.layers if not layer.is_linear]
    if bent:
        limit, worst = format_fraction(MAX_RESIDUAL), format_fraction(max(bent))
        yield f"~ not a straight line: a depth lies more than {limit} off it, at most {worst}."
    if any(layer.constant_weights for layer in tax.layers):
        yield "Against L/4, 2d: time over that of about as many weights in a quarter of the depth."
    if any(layer.launch_bound_fraction for layer in tax.layers):
        yield "Launching: the share of the wall time that a CUDA graph saves."
    for law in tax.width_laws:
        yield _law(law)


def _law(law: WidthLaw) -> str:
    widths = ", ".join(str(width) for width in law.widths)
    if law.largest_residual_fraction is None:
        return f"{law.name}: at some of the widths {widths} a layer costs nothing measurable."
    if law.exponent is None:
        return (
            f"{law.name}: a layer's cost at widths {widths} is no power of the width "
            f"(off by up to {format_fraction(law.largest_residual_fraction)})."
        )
    return f"{law.name}: a layer costs as width^{law.exponent:.2f} (widths {widths})."
