"""What pages are made of: tables, and panels with their charts; parts.html.j2 shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from depthbench.report.chart_layout import filling
from depthbench.report.chart_parts import Spec
from depthbench.report.charts import specification, svg, with_own_ids
from depthbench.report.tables import Heading
from depthbench.report.theme import PAGE
from depthbench.report.values import Panel

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a page. `families` has one a row, None where a row is of none.

    `marks` is a class of the style sheet a row, where rows are marked: worse, better, known.
    """

    headings: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    num_names: int
    families: tuple[str | None, ...]
    faint: tuple[bool, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A panel on a page: its chart, where it has one, as it is without scripts and for them."""

    id: str
    panel: Panel
    table: Table
    drawing: Markup | None
    spec: Spec | None


def figure_of(panel: Panel, place: str) -> Figure:
    """Return a panel as a page shows it.

    Args:
        panel: what to show.
        place: an id that no other figure of the page has.
    """
    from markupsafe import Markup

    spec = specification(panel, PAGE)
    return Figure(
        id=place,
        panel=panel,
        table=Table(
            headings=panel.headings,
            rows=panel.texts,
            num_names=panel.num_names,
            families=tuple(_family(row.get("family")) for row in panel.rows),
            faint=tuple(False for _ in panel.rows),
        ),
        # What Vega writes is escaped.
        drawing=None if spec is None else Markup(with_own_ids(svg(spec), place)),
        spec=None if spec is None else filling(spec),
    )


def _family(value: Any) -> str | None:
    return None if value is None else str(value)
