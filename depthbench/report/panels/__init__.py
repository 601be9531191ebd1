"""All panels of a report, in the order in which a reader meets them.

Adding one: a module with `panels_of`, which returns none where a run has nothing to say of it, and
`draw`, which returns an Altair chart of one panel; and a line in `PANELS`. The chart is drawn from
the panel's rows alone, so that its data table is all that it shows; what is of a family has its
colour from the row's `family`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from depthbench.report import coordinate_panel
from depthbench.report.panels import (
    curves,
    depth_tax,
    determination,
    frontier,
    heat_map,
    learning_rates,
    problems,
    ranking,
    scaling,
    winners,
)
from depthbench.report.panels.evidence import Evidence
from depthbench.report.tables import plain_line, plain_lines
from depthbench.report.trend import panel as trend_panel
from depthbench.report.values import Panel


@dataclass(frozen=True, slots=True)
class PanelKind:
    """How panels of one kind are found, and how one of them is drawn."""

    panels_of: Callable[[Evidence], Sequence[Panel]]
    draw: Callable[[Panel], Any]


# As a reader asks: who leads, does that change with the budget, at what cost; then, after the
# claims, what depth and width do to the loss and to time, and how that goes on; then what speaks
# against it: unsuitable rates, too short a training, networks that can but overfit, failures.
PANELS: dict[str, PanelKind] = {
    "ranking": PanelKind(ranking.panels_of, ranking.draw),
    "winners": PanelKind(winners.panels_of, winners.draw),
    "frontier": PanelKind(frontier.panels_of, frontier.draw),
    "heat_map": PanelKind(heat_map.panels_of, heat_map.draw),
    "depth_tax": PanelKind(depth_tax.panels_of, depth_tax.draw),
    "scaling": PanelKind(scaling.panels_of, scaling.draw),
    "learning_rates": PanelKind(learning_rates.panels_of, learning_rates.draw),
    "curves": PanelKind(curves.panels_of, curves.draw),
    "determination": PanelKind(determination.panels_of, determination.draw),
    "problems": PanelKind(problems.panels_of, problems.draw),
}
# Those that belong to the answer; claims come after them.
LEADING = ("ranking", "winners", "frontier")

# Panels that are of many runs, or of none, and so of other evidence, have their charts here.
CHARTS_OF_MANY_RUNS: dict[str, Callable[[Panel], Any]] = {
    trend_panel.KIND: trend_panel.draw,
    coordinate_panel.KIND: coordinate_panel.draw,
}


def panels_of(evidence: Evidence) -> tuple[Panel, ...]:
    """Return every panel that a run has something to say in, its text tamed."""
    return tuple(_tamed(panel) for kind in PANELS.values() for panel in kind.panels_of(evidence))


def parted(panels: Sequence[Panel]) -> tuple[list[Panel], list[Panel]]:
    """Return the panels that come before a report's claims, and those after them.

    The ranking, whose numbers are those of a group's table, is in neither: it stands with that.
    """
    others = [panel for panel in panels if not panel.is_of_group_table]
    return (
        [panel for panel in others if panel.kind in LEADING],
        [panel for panel in others if panel.kind not in LEADING],
    )


def draw(panel: Panel) -> Any:
    """Return the panel's Altair chart, which gives both its interactive and its static form."""
    kind = PANELS.get(panel.kind)
    return kind.draw(panel) if kind else CHARTS_OF_MANY_RUNS[panel.kind](panel)


def _tamed(panel: Panel) -> Panel:
    """Return a panel whose texts are lines in which nothing commands a terminal; rows are exact."""
    return replace(
        panel,
        title=plain_line(panel.title),
        finding=plain_line(panel.finding),
        headings=tuple(replace(h, title=plain_lines(h.title)) for h in panel.headings),
        texts=tuple(tuple(plain_line(cell) for cell in row) for row in panel.texts),
        notes=tuple(plain_line(note) for note in panel.notes),
    )
