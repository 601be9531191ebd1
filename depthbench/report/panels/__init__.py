"""All panels of a report, in the order in which a reader meets them.

Adding one: a module with `panels_of`, which returns none where a run has nothing to say of it, and
`draw`, which returns an Altair chart of one panel; and a line in `PANELS`. The chart is drawn from
the panel's rows alone, so that its data table is all that it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from depthbench.report.panels import depth_tax, ranking
from depthbench.report.panels.evidence import Evidence
from depthbench.report.values import Panel


@dataclass(frozen=True, slots=True)
class PanelKind:
    """How panels of one kind are found, and how one of them is drawn."""

    panels_of: Callable[[Evidence], Sequence[Panel]]
    draw: Callable[[Panel], Any]


PANELS: dict[str, PanelKind] = {
    "ranking": PanelKind(ranking.panels_of, ranking.draw),
    "depth_tax": PanelKind(depth_tax.panels_of, depth_tax.draw),
}


def panels_of(evidence: Evidence) -> tuple[Panel, ...]:
    """Return every panel that a run has something to say in."""
    return tuple(panel for kind in PANELS.values() for panel in kind.panels_of(evidence))


def draw(panel: Panel) -> Any:
    """Return the panel's Altair chart, which gives both its interactive and its static form."""
    return PANELS[panel.kind].draw(panel)
