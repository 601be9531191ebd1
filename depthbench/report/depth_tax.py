"""The depth tax: what one more sequential layer costs in time, and what that says of depth.

Over the depths of a network that is the same in all else, time = a + tau L is fitted: a is what
stem, head and call cost, tau what a layer adds. Cells of the family `deep` count; those of `wide`,
which are deep too, serve where depth is set against width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import exp, log
from typing import TYPE_CHECKING, Any

from depthbench.report.groups import OPTION_COLUMNS
from depthbench.report.processes import process_times
from depthbench.report.rows import Key, Row, distinguishing, key_of, records, settings_text
from depthbench.report.statistics import Estimate, combined_means
from depthbench.report.values import DepthCost, DepthTax, LayerCost, WidthLaw

if TYPE_CHECKING:
    from depthbench.store import Run

MIN_POINTS = 3
# A form is told only where no point lies further from it.
MAX_RESIDUAL = 0.10
# A report fits dozens of lines; so many draws leave an end uncertain by 2% of the interval.
NUM_RESAMPLES = 1_999

_CELL = ("dataset", "task", "phase", "batch_size", "precision", "mode", "num_threads", "cache")
_CELL_KEYS = (*_CELL, "device", "optimizer")
_STEP = ("momentum", "nesterov", "clip_norm", "label_smoothing")
_SHAPES = ("dataset_file", "vocabulary", "context", "num_classes")
# What must be equal but for depth; of another width, the sizes that follow the width may differ.
_SAME = (*_CELL_KEYS, *OPTION_COLUMNS, *_STEP, *_SHAPES)
_SAME_SHAPE = (*(name for name in _SAME if name not in ("hidden", "heads")), "expansion")
_MEASURED = ("median_seconds", "samples_seconds", "wall_samples_seconds", "samples_process")


def depth_tax(run: Run) -> DepthTax:
    """Return the depth tax of every width and way of timing with three depths or more."""
    cells = _cells(run)
    deep = [cell for cell in cells if cell["family"] == "deep"]
    by_width = _grouped(deep, (*_SAME, "width"))
    groups = [found for found in by_width if len({cell["depth"] for cell in found}) >= MIN_POINTS]
    rows = [group[0] for group in groups]
    always = ("backbone", "phase", "batch_size")
    shown = [name for name in distinguishing(rows, _SAME, always) if name != "hidden"]
    layers = [_layer(group, cells, shown) for group in groups]
    laws = [
        _width_law([layers[index] for index in found])
        for found in _indices(rows, _SAME_SHAPE)
        if len({rows[index]["width"] for index in found}) >= MIN_POINTS
    ]
    places = {name: place for place, name in enumerate(dict.fromkeys(f.name for f in layers))}
    layers.sort(key=lambda layer: (places[layer.name], layer.width))
    return DepthTax(tuple(layers), tuple(laws))


def _cells(run: Run) -> list[Row]:
    """Return the timed cells of sequential networks, with the settings of their trials."""
    own = ("trial_id", "family", "status", "depth", "width", "achieved_flops_per_second")
    options = (*OPTION_COLUMNS, *_STEP, *_SHAPES)
    trials = {row["trial_id"]: row for row in records(run.trials, ("trial_id", *options))}
    found = []
    for cell in records(run.timings, (*own, "backbone", *_CELL_KEYS, *_MEASURED)):
        if None in (cell["depth"], cell["width"]):  # a table of an older or another program
            continue
        if cell["status"] != "ok" or cell["family"] not in ("deep", "wide"):
            continue
        settings = trials.get(cell["trial_id"]) or dict.fromkeys(options)
        row = settings | cell
        if cell["phase"] != "train_step":
            row |= dict.fromkeys(_STEP)
        hidden = row["hidden"]
        row["expansion"] = None if hidden is None else round(hidden / row["width"], 2)
        row["seconds"] = _times(row, "samples_seconds")
        if row["seconds"]:
            found.append(row)
    return found


def _times(row: Row, samples: str) -> list[float]:
    return list(process_times(row[samples], row["samples_process"])[0].values())


def _grouped(rows: Sequence[Row], columns: Sequence[str]) -> list[list[Row]]:
    return [[rows[index] for index in found] for found in _indices(rows, columns)]


def _indices(rows: Sequence[Row], columns: Sequence[str]) -> list[list[int]]:
    found: dict[Key, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        found[key_of(row, columns)].append(index)
    return list(found.values())


def _layer(group: Sequence[Row], cells: Sequence[Row], shown: Sequence[str]) -> LayerCost:
    """Fit one width's times against depth and add what else is known of it."""
    group = sorted(group, key=lambda cell: cell["depth"])
    fixed, per_layer, residual = _fit(group)
    deepest = group[-1]
    return LayerCost(
        name=_name(deepest, shown),
        where={name: deepest[name] for name in ("backbone", *_CELL_KEYS)},
        width=deepest["width"],
        depths=tuple(dict.fromkeys(cell["depth"] for cell in group)),
        fixed=fixed,
        per_layer=per_layer,
        largest_residual_fraction=residual,
        is_linear=residual <= MAX_RESIDUAL,
        constant_weights=_first([_depth_cost(cell, cells) for cell in reversed(group)]),
        launch_bound_fraction=_first([_launch_bound(cell, cells) for cell in reversed(group)]),
        achieved_flops_per_second=deepest["achieved_flops_per_second"],
    )


def _name(cell: Row, shown: Sequence[str]) -> str:
    rest = [name for name in shown if name not in ("backbone", "phase", "batch_size")]
    extra = settings_text(cell, rest)
    name = f"{cell['backbone']}, {cell['phase']} batch {cell['batch_size']}"
    return f"{name}, {extra}" if extra else name


def _first(found: Sequence[Any]) -> Any:
    return next((value for value in found if value is not None), None)


def _fit(group: Sequence[Row]) -> tuple[Estimate, Estimate, float]:
    """Return a and tau with their intervals, and the largest residual as a fraction of the time.

    Least squares weighted by 1 / time^2, since noise is a share of the time. Both are weighted sums
    of the mean times of cells, so that their intervals are bootstraps over processes.
    """
    import numpy as np

    times = np.array([np.mean(cell["seconds"]) for cell in group])
    design = np.array([[1.0, cell["depth"]] for cell in group]) / times[:, None]
    weights = np.linalg.pinv(design) / times  # (2, cells): a and tau from the times
    samples = [cell["seconds"] for cell in group]
    fixed, per_layer = (_combined(samples, list(row)) for row in weights)
    fitted = design * times[:, None] @ np.array([fixed.value, per_layer.value])
    return fixed, per_layer, float(np.max(np.abs(fitted / times - 1)))


def _depth_cost(cell: Row, cells: Sequence[Row]) -> DepthCost | None:
    """Return what depth costs at constant weights, where a quarter of it was timed as well."""
    if cell["depth"] % 4:
        return None
    depth, width = cell["depth"] // 4, 2 * cell["width"]
    other = _partner(cells, _SAME_SHAPE, cell, depth=depth, width=width)
    if other is None:
        return None
    ratio = _log_ratio(cell["seconds"], other["seconds"])
    return DepthCost(cell["depth"], cell["width"], depth, width, _mapped(ratio, exp))


def _launch_bound(cell: Row, cells: Sequence[Row]) -> Estimate | None:
    """Return the share of the wall time that a CUDA graph saves: launching, not computing."""
    if cell["mode"] != "eager":
        return None
    same = [name for name in _SAME if name != "mode"]
    key = {"mode": "cuda_graph", "depth": cell["depth"], "width": cell["width"]}
    graphed = _partner(cells, same, cell, **key)
    if graphed is None:
        return None
    wall = [_times(row, "wall_samples_seconds") for row in (graphed, cell)]
    first, second = wall if all(wall) else (graphed["seconds"], cell["seconds"])
    return _mapped(_log_ratio(first, second), lambda value: 1 - exp(value))


def _partner(cells: Sequence[Row], same: Sequence[str], cell: Row, **wanted: Any) -> Row | None:
    names = [name for name in same if name not in wanted]
    key = key_of(cell, names)
    for other in cells:
        is_wanted = all(other[name] == value for name, value in wanted.items())
        if is_wanted and key_of(other, names) == key:
            return other
    return None


def _log_ratio(first: Sequence[float], second: Sequence[float]) -> Estimate:
    return _combined([[log(v) for v in first], [log(v) for v in second]], [1.0, -1.0])


def _combined(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> Estimate:
    return combined_means(samples, weights, num_resamples=NUM_RESAMPLES)


def _mapped(found: Estimate, change: Callable[[float], float]) -> Estimate:
    """Return an estimate on another scale, its ends in order."""
    if found.low is None or found.high is None:
        return Estimate(change(found.value), None, None, found.num)
    low, high = sorted((change(found.low), change(found.high)))
    return Estimate(change(found.value), low, high, found.num)


def _width_law(layers: Sequence[LayerCost]) -> WidthLaw:
    """Fit a power law to what a layer costs at several widths; told only where it fits."""
    import numpy as np

    layers = sorted(layers, key=lambda layer: layer.width)
    widths = tuple(layer.width for layer in layers)
    costs = np.array([layer.per_layer.value for layer in layers])
    if costs.min() <= 0:  # a layer that costs less than nothing is noise
        return WidthLaw(layers[0].name, widths, None, None, None)
    exponent, level = np.polyfit(np.log(widths), np.log(costs), 1)
    residual = float(np.max(np.abs(np.exp(level) * np.array(widths) ** exponent / costs - 1)))
    is_told = residual <= MAX_RESIDUAL
    return WidthLaw(
        name=layers[0].name,
        widths=widths,
        coefficient=float(np.exp(level)) if is_told else None,
        exponent=float(exponent) if is_told else None,
        largest_residual_fraction=residual,
    )
