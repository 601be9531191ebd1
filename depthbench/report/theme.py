"""One look for pages and charts: colours, fonts, sizes. Each family has the same colour everywhere.

The first colours are near to Okabe and Ito's, darker on white paper and lighter on dark, so that
every one stands out from its ground by 3:1 or more (WCAG 2.2, 1.4.11), and those of the families
differ in lightness or hue to colour-blind eyes, too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from depthbench.grammar import FAMILY_OPTIONS

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
# Of a chart's plot, in pixels, where the chart does not say.
WIDTH, HEIGHT = 600, 300
# Of each plot where a chart has several: two fit beside one another.
SMALL_WIDTH, SMALL_HEIGHT = 270, 200
# The strongest shade of a family is its colour mixed with so much ink; the palest has as much paper
# as leaves it this contrast.
_STRONGEST, _LEAST_CONTRAST = 0.5, 3.0
# Symbols of families, in the order of their colours: what the eye does not tell by colour.
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as CSS writes them.

    `families` has one a family in the order of the grammar; the others there are shared by families
    that the grammar does not know.
    """

    paper: str
    raised: str
    ink: str
    muted: str
    line: str
    accent: str
    good: str
    bad: str
    doubtful: str
    families: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    raised="#f5f6f8",
    ink="#1a1d21",
    muted="#575e68",
    line="#dfe2e7",
    accent="#0b5cad",
    good="#17693a",
    bad="#b3261e",
    doubtful="#855800",
    families=(
        "#004f9e",
        "#c24a00",
        "#008062",
        "#cc63a0",
        "#742111",
        "#2e1957",
        "#5b5f66",
        "#6b3fa0",
    ),
)
DARK = Theme(
    paper="#14161a",
    raised="#1d2026",
    ink="#e8eaed",
    muted="#a3aab4",
    line="#343941",
    accent="#7db7f5",
    good="#6fd08c",
    bad="#ff8f85",
    doubtful="#f0b84a",
    families=(
        "#5b9bf0",
        "#ff8f4d",
        "#35d0a0",
        "#ffb3de",
        "#cf5959",
        "#6d59cf",
        "#a9b0ba",
        "#b79cf0",
    ),
)
# The colours of a page, which its reader's light or dark decides on.
PAGE = Theme(
    paper="var(--paper)",
    raised="var(--raised)",
    ink="var(--ink)",
    muted="var(--muted)",
    line="var(--line)",
    accent="var(--accent)",
    good="var(--good)",
    bad="var(--bad)",
    doubtful="var(--doubtful)",
    families=tuple(f"var(--family-{place})" for place in range(len(LIGHT.families))),
)


def css_variables(theme: Theme) -> dict[str, str]:
    """Return the values of a theme by the names that `PAGE` knows them by."""
    found = {
        field.name: getattr(theme, field.name)
        for field in fields(theme)
        if field.name != "families"
    }
    for place, colour in enumerate(theme.families):
        pale, strong = _ends(place, theme)
        found |= {f"family-{place}": colour, f"pale-{place}": pale, f"strong-{place}": strong}
    return found


def family_place(family: str) -> int:
    """Return which of a theme's colours is a family's."""
    known = list(FAMILY_OPTIONS)
    if family in known:
        return known.index(family)
    num_shared = len(LIGHT.families) - len(known)
    return len(known) + zlib.crc32(family.encode("utf-8", "replace")) % num_shared


def in_order(families: Iterable[str]) -> list[str]:
    """Return families once each: those of the grammar in its order, then others as they come."""
    found = list(dict.fromkeys(families))
    known = [family for family in FAMILY_OPTIONS if family in found]
    return known + [family for family in found if family not in FAMILY_OPTIONS]


def shades(family: str, num: int, theme: Theme) -> list[str]:
    """Return colours for so many variants of one family, from pale to strong; one is the family's.

    Every one stands out from the paper by 3:1 or more.
    """
    place = family_place(family)
    if num == 1:
        return [theme.families[place]]
    pale, strong = _ends(place, theme)
    return [_mixed(pale, strong, 1 - index / (num - 1)) for index in range(num)]


def _ends(place: int, theme: Theme) -> tuple[str, str]:
    """Return the palest and the strongest shade of a colour of the theme."""
    if theme is PAGE:
        return f"var(--pale-{place})", f"var(--strong-{place})"
    colour = theme.families[place]
    mixtures = (_mixed(colour, theme.paper, share / 100) for share in range(101))
    pale = next((m for m in mixtures if contrast(m, theme.paper) >= _LEAST_CONTRAST), colour)
    return pale, _mixed(colour, theme.ink, _STRONGEST)


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, written in hex: 1 to 21 (WCAG 2.2, 1.4.3)."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (part / 255 for part in _channels(colour))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(colour: str, other: str, share: float) -> str:
    """Return a mixture with so much of the first colour."""
    if share in (0, 1):
        return colour if share else other
    if not (_is_hex(colour) and _is_hex(other)):
        return f"color-mix(in srgb, {colour} {100 * share:.0f}%, {other})"
    parts = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in parts)


def _is_hex(colour: str) -> bool:
    return re.fullmatch("#[0-9a-f]{6}", colour) is not None


def _channels(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def chart_config(theme: Theme, *, is_one_view: bool = True) -> dict[str, Any]:
    """Return a theme as Vega-Lite's configuration, for a chart of one view or of several."""
    text = {
        "labelColor": theme.muted,
        "titleColor": theme.ink,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 190,
    }
    lines = {"domainColor": theme.line, "gridColor": theme.line, "tickColor": theme.line}
    return {
        "background": "transparent" if theme is PAGE else theme.paper,
        "font": FONT,
        "aria": False,  # a page names the whole chart, and its table holds what it shows
        "view": {
            "stroke": None,
            "continuousWidth": WIDTH if is_one_view else SMALL_WIDTH,
            "continuousHeight": HEIGHT if is_one_view else SMALL_HEIGHT,
            "discreteWidth": WIDTH if is_one_view else SMALL_WIDTH,
            "step": 26,
        },
        "axis": text | lines | {"titlePadding": 8, "labelSeparation": 6},
        "axisDiscrete": {"labelAngle": 0},
        "legend": text
        | {
            "orient": "top",
            "titleOrient": "left",
            "titlePadding": 10,
            "symbolSize": 80,
            "symbolOpacity": 1,
            "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 4}},
        },
        "header": text,
        "title": {
            "color": theme.ink,
            "subtitleColor": theme.muted,
            "fontSize": 13,
            "fontWeight": "normal",
            "anchor": "start",
            "frame": "group",
        },
        "mark": {"color": theme.accent},
        # No width of lines here, which would outdo a chart that tells lines apart by it; it is 2.
        "point": {"size": 60, "filled": True},
        "rule": {"color": theme.muted, "strokeWidth": 1.5},
        "text": {"color": theme.ink, "fontSize": 12},
        "style": {
            "faint": {"color": theme.muted, "strokeWidth": 1, "strokeDash": [3, 3]},
            "halo": {"stroke": theme.paper, "strokeWidth": 3},  # behind text on lines
        },
        "range": {
            "category": list(theme.families),
            "heatmap": {"scheme": "viridis"},
            "ramp": {"scheme": "viridis"},
            "diverging": {"scheme": "blueorange"},
        },
    }
