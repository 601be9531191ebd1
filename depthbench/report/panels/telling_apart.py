"""How variants are told apart in a chart: a family by its colour, then by depth and by width.

Stronger shades of a family's colour are deeper, thicker lines wider. Where one plot cannot hold
that, each family has a plot of its own, on the same axes as the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from depthbench.report.rows import Row
from depthbench.report.theme import in_order

_TITLES = {"depth": "depth L", "width": "width d", "extra": "options"}
# What a legend calls a variant in which no option is set.
_NO_OPTIONS = "defaults"
_THIN, _THICK = 1.0, 3.5  # pixels


@dataclass(frozen=True, slots=True)
class Lines:
    """What the lines of one plot differ in: what shades stand for, and what thickness does.

    Attributes:
        shade: a column of the rows, told by a legend; empty where the plot has one variant.
        others: columns that thickness stands for; none where shades tell all lines apart.
        values: what lines have of them, from thin to thick.
    """

    shade: str
    others: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    def color(self) -> Any:
        """Return the encoding of shades."""
        import altair as alt

        if not self.shade:
            return alt.Color("family:N", legend=None)
        kind = "O" if self.shade in ("depth", "width") else "N"
        return alt.Color(f"{self.shade}:{kind}", title=_TITLES.get(self.shade))

    def on(self, chart: Any) -> Any:
        """Return a chart of lines that are told apart."""
        import altair as alt

        chart = chart.encode(color=self.color())
        if not self.others:
            return chart
        scale = alt.Scale(domain=list(self.values), range=_thicknesses(len(self.values)))
        text = " + ', ' + ".join(f"datum.{name}" for name in self.others)
        title = ", ".join(_TITLES[name] for name in self.others)
        legend = alt.Legend(symbolType="stroke")
        return chart.transform_calculate(others=f"'' + {text}").encode(
            strokeWidth=alt.StrokeWidth("others:N", title=title, scale=scale, legend=legend)
        )


def plots(rows: Sequence[Row], draw: Callable[[Sequence[Row], Lines, str], Any]) -> Any:
    """Return one plot where a colour tells all variants apart, else one for each family.

    Args:
        rows: with variant, family, depth, width and extra.
        draw: returns a plot of rows, given how their lines are told apart and its title; its axes
            must not depend on which rows these are.
    """
    import altair as alt

    rows = [row | {"extra": row["extra"] or _NO_OPTIONS} for row in rows]
    families = _by_family(rows)
    if not has_several(rows):
        return draw(rows, Lines("family"), "")
    if len(families) == 1:
        return draw(rows, lines_of(rows), "")
    drawn = [draw(families[name], lines_of(families[name]), name) for name in in_order(families)]
    chart = alt.concat(*drawn, columns=2, spacing=24)
    return chart.resolve_scale(color="independent", strokeWidth="independent")


def has_several(rows: Sequence[Row]) -> bool:
    """Say whether some family has several variants, so that its colour does not tell them apart."""
    return any(len({row["variant"] for row in found}) > 1 for found in _by_family(rows).values())


def lines_of(rows: Sequence[Row]) -> Lines:
    """Return how the variants of one family are told apart: by what of them differs."""
    names = [name for name in _TITLES if len({row[name] for row in rows}) > 1]
    if not names:
        return Lines("")
    others = tuple(name for name in names[1:] if _tells_more(rows, names[0], name))
    values = sorted({tuple(row[name] for name in others) for row in rows})
    return Lines(names[0], others, tuple(", ".join(map(str, found)) for found in values))


def color_of(rows: Sequence[Row], channel: Callable[..., Any] | None = None) -> Any:
    """Return the colour of the marks of rows: the family's; the depth's where there is one family.

    Args:
        rows: with family and depth.
        channel: alt.Color, where it is not given.
    """
    import altair as alt

    channel = channel or alt.Color
    if len({row["family"] for row in rows}) > 1:
        return channel("family:N", title=None)
    return channel("depth:O", title=_TITLES["depth"])


def symbol_of(rows: Sequence[Row]) -> Any:
    """Return the symbol of the marks of rows: the family's, where its colour is not told."""
    import altair as alt

    if len({row["family"] for row in rows}) > 1:
        return alt.Shape("family:N", title=None)
    return alt.value("circle")


def _thicknesses(num: int) -> list[float]:
    return [_THIN + (_THICK - _THIN) * place / max(1, num - 1) for place in range(num)]


def _by_family(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["family"]].append(row)
    return found


def _tells_more(rows: Sequence[Row], shade: str, name: str) -> bool:
    """Say whether variants of one shade differ in this, too: at a budget width follows depth."""
    found: dict[Any, set[Any]] = defaultdict(set)
    for row in rows:
        found[row[shade]].add(row[name])
    return any(len(values) > 1 for values in found.values())
