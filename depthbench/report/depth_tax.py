"""The depth tax: what one more sequential layer costs in time, and what that says of depth.

Over the depths of a network that is the same in all else, time = a + tau L is fitted: a is what
stem, head and call cost, tau what a layer adds. Cells of the family `deep` count; those of `wide`,
which are deep too, serve where depth is set against width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean
from typing import TYPE_CHECKING, Any

from depthbench.report.option_texts import OPTION_COLUMNS, option_texts
from depthbench.report.processes import process_times
from depthbench.report.rows import Key, Row, distinguishing, key_of, settings_text
from depthbench.report.statistics import Estimate, sum_of_means
from depthbench.report.values import DepthCost, DepthTax, LayerCost, WidthLaw

if TYPE_CHECKING:
    from depthbench.store import Run

MIN_POINTS = 3
# A form is told only where no point lies further from it.
MAX_RESIDUAL = 0.10
# Of more cells than this only the first ways of timing are fitted: nobody reads thousands of lines.
MAX_CELLS, MAX_WAYS = 100_000, 24

_CELL = ("dataset", "task", "phase", "batch_size", "precision", "mode", "num_threads", "cache")
_CELL_KEYS = (*_CELL, "device", "optimizer")
# How a cell was timed, and on what.
_KIND = ("backbone", *_CELL_KEYS)
_STEP = ("momentum", "nesterov", "clip_norm", "label_smoothing")
_SHAPES = ("dataset_file", "vocabulary", "context", "num_classes")
_NETWORK_OPTIONS = tuple(name for name in OPTION_COLUMNS if name != "backbone")
# What its trial says of the network and of a step.
_OPTIONS = (*_NETWORK_OPTIONS, *_STEP, *_SHAPES)
# What a name begins with, and what it says of timing and data where that tells cells apart.
_NAMED = ("backbone", "phase", "batch_size")
_TOLD = (*(name for name in _CELL_KEYS if name not in _NAMED), *_STEP, *_SHAPES)
# Of another width, the sizes that follow the width may differ.
_FOLLOW_WIDTH = ("hidden", "heads")
# What says whether a cell counts, besides its kind.
_TESTED = ("status", "family", "depth", "width")
_MEASURED: tuple[str, ...] = ("samples_seconds", "samples_process")


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
    """All timed cells of sequential networks, and the settings behind their keys.

    Settings are numbered, and keys made of numbers: cells may be a million.
    """

    def __init__(self, run: Run) -> None:
        self._numbers: dict[Key, int] = {}
        self._rows: list[Row] = []
        self._options = {
            row["trial_id"]: row for row in run.rows("trials", ("trial_id", *_OPTIONS))
        }
        self._keys_of_options: dict[tuple[str, bool], tuple[int, int]] = {}
        self._ways: set[Key] = set()
        self.ways_left_out: set[Key] = set()
        self._max_ways = MAX_WAYS if run.tables.num_rows("timings") > MAX_CELLS else None
        self.all = [cell for row in self._timed(run) if (cell := self._cell(row))]
        # The first of cells that are alike stands for them.
        places = reversed(self.all)
        self.by_shape = {(cell.shape, cell.depth, cell.width): cell for cell in places}
        graphed = [c for c in reversed(self.all) if self.settings(c)["mode"] == "cuda_graph"]
        self.graphed = {(cell.graph, cell.depth, cell.width): cell for cell in graphed}

    def settings(self, cell: _Cell) -> Row:
        """Return what a cell shares with those that differ from it in depth alone."""
        kind, options = cell.same
        return self._rows[options] | self._rows[kind]

    def _timed(self, run: Run) -> Iterator[Row]:
        """Yield the timed cells of sequential networks, of the ways of timing that are fitted."""
        measured = _MEASURED
        if any("cuda_graph" in found["mode"] for found in run.columns("timings", ["mode"])):
            measured = (*measured, "wall_samples_seconds")
        columns = (*_TESTED, *_KIND, "trial_id", "achieved_flops_per_second", *measured)
        return run.rows("timings", columns, (*_TESTED, *_KIND), self._is_fitted)

    def _is_fitted(
        self, status: str, family: str, depth: int | None, width: int | None, *kind: Any
    ) -> bool:
        """Say whether a cell counts; a table of another program may not say its network's size."""
        is_sequential = status == "ok" and family in ("deep", "wide")
        return is_sequential and None not in (depth, width) and self._has_room_for(kind)

    def _cell(self, row: Row) -> _Cell | None:
        seconds = _times(row, "samples_seconds")
        if not seconds:
            return None
        kind = self._number(row, _KIND)
        is_step = row["phase"] == "train_step"
        options, of_any_width = self._options_of(row["trial_id"], is_step=is_step)
        of_any_mode = self._number(row, _KIND, without=("mode",))
        hidden, width = self._rows[options]["hidden"], row["width"]
        expansion = None if hidden is None else round(hidden / width, 2)
        return _Cell(
            same=(kind, options),
            shape=(kind, of_any_width, expansion),
            graph=(of_any_mode, options),
            family=row["family"],
            depth=row["depth"],
            width=width,
            seconds=seconds,
            wall=_times(row, "wall_samples_seconds"),
            achieved_flops_per_second=row["achieved_flops_per_second"],
        )

    def _has_room_for(self, kind: Key) -> bool:
        """Say whether a way of timing is one of those that are fitted."""
        if kind not in self._ways:
            if self._max_ways is not None and len(self._ways) == self._max_ways:
                self.ways_left_out.add(kind)
                return False
            self._ways.add(kind)
        return True

    def _options_of(self, trial_id: str, *, is_step: bool) -> tuple[int, int]:
        """Return the numbers of a trial's options: all, and those that do not follow the width."""
        key = trial_id, is_step
        if key not in self._keys_of_options:
            row = self._options.get(trial_id) or dict.fromkeys(_OPTIONS)
            row = row if is_step else row | dict.fromkeys(_STEP)
            rest = self._number(row, _OPTIONS, without=_FOLLOW_WIDTH)
            self._keys_of_options[key] = self._number(row, _OPTIONS), rest
        return self._keys_of_options[key]

    def _number(self, row: Row, names: Sequence[str], without: Sequence[str] = ()) -> int:
        """Return the number of these settings, the same for equal ones."""
        key = key_of(row, [n for n in names if n not in without] if without else names)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._rows)
            self._rows.append({name: row[name] for name in names if name not in without})
        return number


def depth_tax(run: Run) -> DepthTax:
    """Return the depth tax of every width and way of timing with three depths or more."""
    cells = _Cells(run)
    by_width: dict[Key, list[_Cell]] = defaultdict(list)
    for cell in cells.all:
        if cell.family == "deep":
            by_width[cell.same, cell.width].append(cell)
    groups = [g for g in by_width.values() if len({cell.depth for cell in g}) >= MIN_POINTS]
    names = _names({group[0].same: group[0] for group in groups}, cells)
    layers = [_layer(group, cells, names[group[0].same]) for group in groups]
    laws = _width_laws(groups, layers)
    places = {name: place for place, name in enumerate(dict.fromkeys(f.name for f in layers))}
    layers.sort(key=lambda layer: (places[layer.name], layer.width))
    return DepthTax(tuple(layers), tuple(laws), len(cells.ways_left_out))


def _times(row: Row, samples: str) -> tuple[float, ...]:
    if row.get(samples) is None:
        return ()
    return tuple(process_times(row[samples], row["samples_process"])[0].values())


def _layer(group: Sequence[_Cell], cells: _Cells, name: str) -> LayerCost:
    """Fit one width's times against depth and add what else is known of it."""
    group = sorted(group, key=lambda cell: cell.depth)
    fixed, per_layer, residual = _fit(group)
    deepest = group[-1]
    settings = cells.settings(deepest)
    return LayerCost(
        name=name,
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


def _names(found: Mapping[Key, _Cell], cells: _Cells) -> dict[Key, str]:
    """Return names of what differs in more than depth and width: mlp, inference batch 1."""
    rows = [
        cells.settings(cell) | {"family": cell.family, "depth": cell.depth, "width": cell.width}
        for cell in found.values()
    ]
    shown = distinguishing(rows, _TOLD, always=_NAMED)[len(_NAMED) :]
    names = {}
    for key, row, options in zip(found, rows, option_texts(rows, _NETWORK_OPTIONS), strict=True):
        call = f"{row['phase']} batch {row['batch_size']}"
        extra = (options, settings_text(row, shown))
        names[key] = ", ".join(filter(None, (row["backbone"], call, *extra)))
    return names


def _first(found: Sequence[Any]) -> Any:
    return next((value for value in found if value is not None), None)


def _fit(group: Sequence[_Cell]) -> tuple[Estimate, Estimate, float]:
    """Return a and tau with their intervals, and the largest residual as a fraction of the time.

    Least squares weighted by 1 / time^2, since noise is a share of the time. Both are weighted sums
    of the mean times of cells, and have such a sum's interval.
    """
    times = [fmean(cell.seconds) for cell in group]
    weights = [1 / time**2 for time in times]
    points = list(zip(weights, (cell.depth for cell in group), strict=True))
    moments = [sum(weight * depth**power for weight, depth in points) for power in range(3)]
    scale = moments[0] * moments[2] - moments[1] ** 2
    samples = [cell.seconds for cell in group]
    fixed = sum_of_means(samples, [w * (moments[2] - moments[1] * x) / scale for w, x in points])
    slope = sum_of_means(samples, [w * (moments[0] * x - moments[1]) / scale for w, x in points])
    fitted = [fixed.value + slope.value * depth for _, depth in points]
    residual = max(abs(value / time - 1) for value, time in zip(fitted, times, strict=True))
    return fixed, slope, residual


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
    if graphed is None or cells.settings(cell)["mode"] != "eager":
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
