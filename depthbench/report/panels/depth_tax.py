"""The panel of the depth tax: what a layer costs at each width, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from depthbench.report.depth_tax import MAX_RESIDUAL
from depthbench.report.panels.evidence import Evidence
from depthbench.report.panels.scales import cost_scale, size_scale
from depthbench.report.rows import Row
from depthbench.report.statistics import Estimate
from depthbench.report.tables import Heading
from depthbench.report.values import DepthCost, DepthTax, LayerCost, Panel, WidthLaw
from depthbench.units import (
    counted,
    format_estimate,
    format_flops,
    format_fraction,
    format_percentages,
    format_seconds,
)

TITLE = "Depth tax: what one more sequential layer costs"
_HEADINGS = (
    Heading("timed", "timed"),
    Heading("width", "d", is_number=True),
    Heading("depths", "L"),
    Heading("per_layer_seconds", "a layer", is_number=True),
    Heading("fixed_seconds", "the rest", is_number=True),
    Heading("quarter_depth_ratio", "against L/4, 2d", is_number=True),
    Heading("launch_bound_fraction", "launching", is_number=True),
    Heading("achieved_flops_per_second", "FLOP/s", is_number=True),
)


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return the panel; none where too few depths were timed."""
    tax = evidence.depth_tax
    if not tax.layers:
        return []
    texts = [_texts(layer) for layer in tax.layers]
    kept = [i for i in range(len(_HEADINGS)) if any(row[i] != "-" for row in texts)]
    return [
        Panel(
            kind="depth_tax",
            title=TITLE,
            finding=_finding(tax.layers),
            headings=tuple(_HEADINGS[i] for i in kept),
            rows=tuple(_row(layer) for layer in tax.layers),
            texts=tuple(tuple(row[i] for i in kept) for row in texts),
            notes=tuple(_notes(tax)),
            num_names=2,
        )
    ]


def draw(panel: Panel) -> Any:
    """Return a chart of what a layer costs against the width, a line for each way of timing."""
    import altair as alt

    rows = panel.rows
    ends = [row[name] for row in rows for name in ("per_layer_low", "per_layer_high")]
    costs = [row["per_layer_seconds"] for row in rows] + ends
    ways = alt.Scale(domain=list(dict.fromkeys(row["timed"] for row in rows)))
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=size_scale(alt.X, "width", [row["width"] for row in rows], "width d"),
        color=alt.Color("timed:N", title=None, scale=ways),
        tooltip=["timed:N", "width:Q", "depths:N", "per_layer_seconds:Q", "fixed_seconds:Q"],
    )
    title = "one more layer"
    bars = base.mark_rule().encode(
        y=cost_scale(alt.Y, "per_layer_low", costs, title, "s"), y2="per_layer_high:Q"
    )
    known = base.transform_filter("datum.per_layer_seconds > 0").encode(
        y=cost_scale(alt.Y, "per_layer_seconds", costs, title, "s")
    )
    dots = known.mark_point(filled=True, size=80, opacity=1).encode(
        shape=alt.Shape("timed:N", title=None, scale=ways)
    )
    shown = bars.transform_filter("datum.per_layer_low > 0")
    return shown + known.mark_line() + dots


def _row(layer: LayerCost) -> Row:
    ratio = layer.constant_weights.ratio if layer.constant_weights else None
    launching = layer.launch_bound_fraction
    return {
        "timed": layer.name,
        "width": layer.width,
        "depths": list(layer.depths),
        "per_layer_seconds": layer.per_layer.value,
        "per_layer_low": layer.per_layer.low,
        "per_layer_high": layer.per_layer.high,
        "fixed_seconds": layer.fixed.value,
        "is_linear": layer.is_linear,
        "quarter_depth_ratio": ratio.value if ratio else None,
        "launch_bound_fraction": launching.value if launching else None,
        "achieved_flops_per_second": layer.achieved_flops_per_second,
    }


def _texts(layer: LayerCost) -> list[str]:
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


def _finding(layers: Sequence[LayerCost]) -> str:
    """Return the cost of a layer in the first of the tables' rows where it is known to be some."""
    for layer in layers:
        cost = layer.per_layer
        if layer.is_linear and cost.low is not None and cost.low > 0:
            rest = layer.fixed.value
            told = format_seconds(rest) if rest > 0 else "nothing that could be told"
            return (
                f"At width {layer.width} ({layer.name}) one more layer costs {_seconds(cost)}; "
                f"all that is not layers, {told}."
            )
    return ""


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


def _notes(tax: DepthTax) -> Iterator[str]:
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
    if tax.num_ways_left_out:
        left_out = counted(tax.num_ways_left_out, "further way")
        yield f"{left_out} of timing not fitted: the run has very many cells."


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
