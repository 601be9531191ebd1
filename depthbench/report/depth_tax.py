"""The depth tax: what one more sequential layer costs in time, and what that says of depth.

Over the depths of a network that is the same in all else, time = a + tau L is fitted: a is what
stem, head and call cost, tau what a layer adds. Cells of the family `deep` count; those of `wide`,
which are deep too, serve where depth is set against width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING, Any

from depthbench.report.groups import OPTION_COLUMNS
from depthbench.report.processes import process_times
from depthbench.report.rows import Key, Row, distinguishing, key_of, settings_text
from depthbench.report.statistics import Estimate, sum_of_means
from depthbench.report.values import DepthCost, DepthTax, LayerCost, WidthLaw

if TYPE_CHECKING:
    from depthbench.store import Run

MIN_POINTS = 3
# A form is told only where no point lies further from it.
MAX_RESIDUAL = 0.10

_CELL = ("dataset", "task", "phase", "batch_size", "precision", "mode", "num_threads", "cache")
_CELL_KEYS = (*_CELL, "device", "optimizer")
_STEP = ("momentum", "nesterov", "clip_norm", "label_smoothing")
_SHAPES = ("dataset_file", "vocabulary", "context", "num_classes")
# What must be equal but for depth; of another width, the sizes that follow the width may differ.
_SAME = (*_CELL_KEYS, *OPTION_COLUMNS, *_STEP, *_SHAPES)
_SAME_SHAPE = (*(name for name in _SAME if name not in ("hidden", "heads")), "expansion")
_SAME_GRAPH = tuple(name for name in _SAME if name != "mode")
_MEASURED = ("samples_seconds", "samples_process")


@dataclass(frozen=True, slots=True)
class _Cell:
    """A timed cell: its settings without depth and width, as keys, and its seconds by process.

    `same` is what must be equal but for depth, `shape` also but for width, `graph` but for the
    mode. `wall` is wall time, where graphs were timed.
    """

    same: Key
    shape: Key
    graph: Key
    family: str
    depth: int
    width: int
    seconds: tuple[float, ...]
    wall: tuple[float, ...]
    achieved_flops_per_second: float | None


class _Cells:
    """All timed cells of sequential networks, and the settings behind their keys."""

    def __init__(self, run: Run) -> None:
        self.settings: dict[Key, Row] = {}
        self._keys: dict[Key, Key] = {}
        self.all = [cell for row in _rows(run) if (cell := self._cell(row))]
        # The first of cells that are alike stands for them.
        places = reversed(self.all)
        self.by_shape = {(cell.shape, cell.depth, cell.width): cell for cell in places}
        graphed = [c for c in reversed(self.all) if self.settings[c.same]["mode"] == "cuda_graph"]
        self.graphed = {(cell.graph, cell.depth, cell.width): cell for cell in graphed}

    def _cell(self, row: Row) -> _Cell | None:
        seconds = _times(row, "samples_seconds")
        if not seconds:
            return None
        hidden = row["hidden"]
        row["expansion"] = None if hidden is None else round(hidden / row["width"], 2)
        same = self._key(row, _SAME)
        if same not in self.settings:
            self.settings[same] = {name: row[name] for name in _SAME}
        return _Cell(
            same=same,
            shape=self._key(row, _SAME_SHAPE),
            graph=self._key(row, _SAME_GRAPH),
            family=row["family"],
            depth=row["depth"],
            width=row["width"],
            seconds=seconds,
            wall=_times(row, "wall_samples_seconds"),
            achieved_flops_per_second=row["achieved_flops_per_second"],
        )

    def _key(self, row: Row, names: Sequence[str]) -> Key:
        """Return the values of these settings; equal ones are one object, since cells are many."""
        key = key_of(row, names)
        return self._keys.setdefault(key, key)


def depth_tax(run: Run) -> DepthTax:
    """Return the depth tax of every width and way of timing with three depths or more."""
    cells = _Cells(run)
    by_width: dict[Key, list[_Cell]] = defaultdict(list)
    for cell in cells.all:
        if cell.family == "deep":
            by_width[cell.same, cell.width].append(cell)
    groups = [g for g in by_width.values() if len({cell.depth for cell in g}) >= MIN_POINTS]
    rows = [cells.settings[group[0].same] for group in groups]
    always = ("backbone", "phase", "batch_size")
    shown = [name for name in distinguishing(rows, _SAME, always) if name != "hidden"]
    layers = [_layer(group, cells, shown) for group in groups]
    laws = _width_laws(groups, layers)
    places = {name: place for place, name in enumerate(dict.fromkeys(f.name for f in layers))}
    layers.sort(key=lambda layer: (places[layer.name], layer.width))
    return DepthTax(tuple(layers), tuple(laws))


def _rows(run: Run) -> Iterator[Row]:
    """Yield the timed cells of sequential networks, with the settings of their trials."""
    own = ("trial_id", "family", "status", "depth", "width", "achieved_flops_per_second")
    options = (*OPTION_COLUMNS, *_STEP, *_SHAPES)
    trials = {row["trial_id"]: row for row in run.rows("trials", ("trial_id", *options))}
    nothing = dict.fromkeys(options)
    has_graphs = any(row["mode"] == "cuda_graph" for row in run.rows("timings", ["mode"]))
    measured = (*_MEASURED, "wall_samples_seconds") if has_graphs else _MEASURED
    for cell in run.rows("timings", (*own, "backbone", *_CELL_KEYS, *measured)):
        # A table of an older or another program may not say how large a network is.
        has_size = None not in (cell["depth"], cell["width"])
        if has_size and cell["status"] == "ok" and cell["family"] in ("deep", "wide"):
            row = (trials.get(cell["trial_id"]) or nothing) | cell
            yield row if cell["phase"] == "train_step" else row | dict.fromkeys(_STEP)


def _times(row: Row, samples: str) -> tuple[float, ...]:
    return tuple(process_times(row.get(samples), row["samples_process"])[0].values())


def _layer(group: Sequence[_Cell], cells: _Cells, shown: Sequence[str]) -> LayerCost:
    """Fit one width's times against depth and add what else is known of it."""
    group = sorted(group, key=lambda cell: cell.depth)
    fixed, per_layer, residual = _fit(group)
    deepest = group[-1]
    settings = cells.settings[deepest.same]
    return LayerCost(
        name=_name(settings, shown),
        where={name: settings[name] for name in ("backbone", *_CELL_KEYS)},
        width=deepest.width,
        depths=tuple(dict.fromkeys(cell.depth for cell in group)),
        fixed=fixed,
        per_layer=per_layer,
        largest_residual_fraction=residual,
        is_linear=residual <= MAX_RESIDUAL,
        constant_weights=_first([_depth_cost(cell, cells) for cell in reversed(group)]),
        launch_bound_fraction=_first([_launch_bound(cell, cells) for cell in reversed(group)]),
        achieved_flops_per_second=deepest.achieved_flops_per_second,
    )


def _name(settings: Row, shown: Sequence[str]) -> str:
    rest = [name for name in shown if name not in ("backbone", "phase", "batch_size")]
    extra = settings_text(settings, rest)
    name = f"{settings['backbone']}, {settings['phase']} batch {settings['batch_size']}"
    return f"{name}, {extra}" if extra else name


def _first(found: Sequence[Any]) -> Any:
    return next((value for value in found if value is not None), None)


def _fit(group: Sequence[_Cell]) -> tuple[Estimate, Estimate, float]:
    """Return a and tau with their intervals, and the largest residual as a fraction of the time.

    Least squares weighted by 1 / time^2, since noise is a share of the time. Both are weighted sums
    of the mean times of cells, and have such a sum's interval.
    """
    import numpy as np

    times = np.array([np.mean(cell.seconds) for cell in group])
    design = np.array([[1.0, cell.depth] for cell in group]) / times[:, None]
    weights = np.linalg.pinv(design) / times  # (2, cells): a and tau from the times
    samples = [cell.seconds for cell in group]
    fixed, per_layer = (sum_of_means(samples, row.tolist()) for row in weights)
    fitted = design * times[:, None] @ np.array([fixed.value, per_layer.value])
    return fixed, per_layer, float(np.max(np.abs(fitted / times - 1)))


def _depth_cost(cell: _Cell, cells: _Cells) -> DepthCost | None:
    """Return what depth costs at constant weights, where a quarter of it was timed as well."""
    if cell.depth % 4:
        return None
    depth, width = cell.depth // 4, 2 * cell.width
    other = cells.by_shape.get((cell.shape, depth, width))
    if other is None:
        return None
    ratio = _log_ratio(cell.seconds, other.seconds)
    return DepthCost(cell.depth, cell.width, depth, width, _mapped(ratio, exp))


def _launch_bound(cell: _Cell, cells: _Cells) -> Estimate | None:
    """Return the share of the wall time that a CUDA graph saves: launching, not computing."""
    graphed = cells.graphed.get((cell.graph, cell.depth, cell.width))
    if graphed is None or cells.settings[cell.same]["mode"] != "eager":
        return None
    has_wall = graphed.wall and cell.wall
    pair = (graphed.wall, cell.wall) if has_wall else (graphed.seconds, cell.seconds)
    return _mapped(_log_ratio(*pair), lambda value: 1 - exp(value))


def _log_ratio(first: Sequence[float], second: Sequence[float]) -> Estimate:
    return sum_of_means([[log(v) for v in first], [log(v) for v in second]], [1.0, -1.0])


def _mapped(found: Estimate, change: Callable[[float], float]) -> Estimate:
    """Return an estimate on another scale, its ends in order."""
    if found.low is None or found.high is None:
        return Estimate(change(found.value), None, None, found.num)
    low, high = sorted((change(found.low), change(found.high)))
    return Estimate(change(found.value), low, high, found.num)


def _width_laws(
    groups: Sequence[Sequence[_Cell]], layers: Sequence[LayerCost]
) -> Iterator[WidthLaw]:
    """Yield the power law of each way of timing that has three widths or more."""
    by_shape: dict[Key, list[LayerCost]] = defaultdict(list)
    for group, layer in zip(groups, layers, strict=True):
        by_shape[group[0].shape].append(layer)
    for found in by_shape.values():
        if len({layer.width for layer in found}) >= MIN_POINTS:
            yield _width_law(found)


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
