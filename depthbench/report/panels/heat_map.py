"""Heat maps: the ranking metric over depth and width, for each family that has a grid of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from depthbench.report.answer import metric_name
from depthbench.report.panels.evidence import Evidence, titled
from depthbench.report.rows import Row, join
from depthbench.report.tables import Heading
from depthbench.report.values import Group, Panel, VariantRow
from depthbench.units import format_estimate, significant

_COLUMN = "width_"
_MAX_NAMED = 4
_CELL_WIDTH = 56  # pixels


@dataclass(frozen=True, slots=True)
class _Grid:
    """The variants of one family over depth and width; of some the metric is not known."""

    name: str
    family: str
    cells: dict[tuple[int, int], VariantRow]

    @property
    def depths(self) -> list[int]:
        return sorted({depth for depth, _ in self.cells})

    @property
    def widths(self) -> list[int]:
        return sorted({width for _, width in self.cells})

    @property
    def is_filled(self) -> bool:
        """Say whether more than half of the grid is there: matched widths make but a diagonal."""
        sides = len(self.depths), len(self.widths)
        return min(sides) >= 2 and 2 * len(self.cells) > sides[0] * sides[1]


def panels_of(evidence: Evidence) -> list[Panel]:
    """Return a panel for each group with a family of two depths and two widths or more."""
    found = []
    for place, _, group, metric in evidence.ranked_groups():
        grids = [grid for grid in _grids(group) if grid.is_filled]
        if any(_best(grid, metric) for grid in grids):
            found.append(_panel(grids, metric, evidence.where(place), place))
    return found


def draw(panel: Panel) -> Any:
    """Return a heat map for each family, depth downwards and width to the right."""
    import altair as alt

    columns: list[Any] = [h.key for h in panel.headings if h.key.startswith(_COLUMN)]
    names = list(dict.fromkeys(row["name"] for row in panel.rows))
    maps = [
        _map([row for row in panel.rows if row["name"] == name], columns, name) for name in names
    ]
    return alt.concat(*maps, columns=2) if len(maps) > 1 else maps[0]


def _map(rows: Sequence[Row], columns: list[Any], title: str) -> Any:
    """Return the heat map of one kind of variant; its lowest has the mark that tables have."""
    import altair as alt

    base = (
        alt.Chart(alt.Data(values=list(rows)))
        .transform_fold(columns, as_=["column", "value"])
        .transform_filter("isValid(datum.value)")
        .transform_joinaggregate(lowest="min(value)")
        .transform_calculate(
            width=f"toNumber(substring(datum.column, {len(_COLUMN)}))",
            text="(datum.value == datum.lowest ? '* ' : '') + format(datum.value, '.3g')",
        )
        .encode(
            x=alt.X("width:O", title="width d"),
            y=alt.Y("depth:O", title="depth L"),
            tooltip=["name:N", "depth:O", "width:O", "value:Q"],
        )
    )
    scale = alt.Scale(scheme="viridis")
    cells = base.mark_rect().encode(
        color=alt.Color("value:Q", title=rows[0]["metric_name"], scale=scale)
    )
    # White with a dark edge can be read on every colour of the scale.
    edges = base.mark_text(stroke="black", strokeWidth=2.5, strokeOpacity=0.6).encode(text="text:N")
    numbers = base.mark_text(fill="white").encode(text="text:N")
    width = _CELL_WIDTH * len(columns)
    return alt.layer(cells, edges, numbers, title=title, width=width, height=alt.Step(30))


def _grids(group: Group) -> list[_Grid]:
    found: dict[str, _Grid] = {}
    for row in group.rows:
        name = f"{row.family}, {row.extra}" if row.extra else row.family
        grid = found.setdefault(name, _Grid(name, row.family, {}))
        grid.cells[row.depth, row.width] = row
    return list(found.values())


def _is_known(row: VariantRow, metric: str) -> bool:
    return metric in row.metrics and not row.num_diverged


def _best(grid: _Grid, metric: str) -> VariantRow | None:
    known = [row for row in grid.cells.values() if _is_known(row, metric)]
    return min(known, key=lambda row: row.metrics[metric].value, default=None)


def _panel(grids: Sequence[_Grid], metric: str, where: str, place: int) -> Panel:
    widths = sorted({width for grid in grids for width in grid.widths})
    headings = [Heading("name", "variant"), Heading("depth", "L", is_number=True)]
    headings += [Heading(f"{_COLUMN}{width}", f"d {width}", is_number=True) for width in widths]
    lines = [(grid, depth) for grid in grids for depth in grid.depths]
    return Panel(
        kind="heat_map",
        title=titled(f"Depth and width: {metric_name(metric)}", where),
        finding=_finding(grids, metric),
        headings=tuple(headings),
        rows=tuple(_row(grid, depth, metric) for grid, depth in lines),
        texts=tuple(_texts(grid, depth, widths, metric) for grid, depth in lines),
        notes=("* the lowest of its variants, by the mean over seeds.",),
        num_names=2,
        group=place,
    )


def _row(grid: _Grid, depth: int, metric: str) -> Row:
    row: Row = {"name": grid.name, "family": grid.family, "depth": depth}
    row |= {"metric": metric, "metric_name": metric_name(metric)}
    for width in grid.widths:
        cell = grid.cells.get((depth, width))
        found = cell.metrics[metric] if cell and _is_known(cell, metric) else None
        key = f"{_COLUMN}{width}"
        row[key] = found.value if found else None
        row |= {f"{key}_low": found.low, f"{key}_high": found.high} if found else {}
        row[f"{key}_num_seeds"] = found.num if found else 0
    return row


def _texts(grid: _Grid, depth: int, widths: Sequence[int], metric: str) -> tuple[str, ...]:
    best = _best(grid, metric)
    cells = []
    for width in widths:
        cell = grid.cells.get((depth, width))
        mark = "* " if cell is not None and cell is best else ""
        cells.append(mark + _text(cell, metric))
    return (grid.name, str(depth), *cells)


def _text(cell: VariantRow | None, metric: str) -> str:
    if cell is None:
        return "-"
    if not _is_known(cell, metric):
        return cell.not_ranked_because or "-"
    return significant(cell.metrics[metric].value)


def _finding(grids: Sequence[_Grid], metric: str) -> str:
    parts = [_lowest(grid, metric) for grid in grids[:_MAX_NAMED]]
    return f"The lowest {metric_name(metric)}: {'; '.join(part for part in parts if part)}."


def _lowest(grid: _Grid, metric: str) -> str:
    best = _best(grid, metric)
    if best is None:
        return ""
    found = best.metrics[metric]
    edges = join(list(_edges(grid, best)))
    where = f"{grid.name} at L {best.depth}, d {best.width}"
    value = format_estimate(found.value, found.low, found.high)
    return f"{where}{f' ({edges} given)' if edges else ''}, {value}"


def _edges(grid: _Grid, best: VariantRow) -> Iterator[str]:
    """Yield at which ends of the grid the best lies: beyond them may be better ones."""
    for value, given, ends in (
        (best.depth, grid.depths, ("the shallowest", "the deepest")),
        (best.width, grid.widths, ("the narrowest", "the widest")),
    ):
        if value in (given[0], given[-1]):
            yield ends[0] if value == given[0] else ends[1]
