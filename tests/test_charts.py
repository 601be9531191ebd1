import json
import re
import struct
from dataclasses import replace
from itertools import pairwise

import pytest

from depthbench.errors import ResultError
from depthbench.grammar import FAMILY_OPTIONS
from depthbench.report import charts
from depthbench.report.chart_layout import FEW_LETTERS, LETTERS, filling, num_lines
from depthbench.report.charts import png, specification, svg, with_own_ids
from depthbench.report.figures import write_figures
from depthbench.report.panels import PANELS, PanelKind
from depthbench.report.panels.winners import TINTS
from depthbench.report.summary import summarise
from depthbench.report.tables import Heading
from depthbench.report.theme import (
    DARK,
    LIGHT,
    SHAPES,
    contrast,
    css_variables,
    family_place,
    shades,
)
from depthbench.report.values import Panel
from tests.fixtures_results import ladder_run, make_run, quickstart_run, share, trial_rows

FAMILIES = tuple(FAMILY_OPTIONS)
PAIRS = (("deep", 16), ("deep", 4), ("deep", 2), ("wide", 1), ("wide", 2))
LONG = "parallel_shallow (L 16, d 128, residual scale 1/sqrt(L), norm rms, activation gelu)"
HOSTILE = "</text></svg><script>alert(1)</script>\x1b[31m\u202e\n'\"&"


@pytest.fixture(scope="module")
def panels():
    report, ladder = summarise([quickstart_run(), ladder_run()]).runs
    return {panel.kind: panel for panel in (*report.panels, *ladder.panels)}


def panel_of(rows, **facts):
    headings = (Heading("name", "name"), Heading("y", "y", is_number=True))
    texts = tuple((str(row["name"]), str(row["y"])) for row in rows)
    return Panel("planted", "Planted", "", headings, tuple(rows), texts, **facts)


@pytest.fixture
def drawn(monkeypatch):
    """Make panels of the kind `planted` be drawn by a function."""

    def as_drawn(draw):
        monkeypatch.setitem(PANELS, "planted", PanelKind(lambda evidence: (), draw))

    return as_drawn


def dots(panel, **encodings):
    import altair as alt

    chart = alt.Chart(alt.Data(values=list(panel.rows))).mark_point()
    return chart.encode(**({"x": "name:N", "y": "y:Q", "color": "family:N"} | encodings))


def linear(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def mixed(colour, other, share):
    """Return what is seen of a colour of which so much covers another."""
    pairs = ((int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (colour, other))
    parts = (round(share * a + (1 - share) * b) for a, b in zip(*pairs, strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)


def test_contrasts_are_those_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out_from_their_ground(theme):
    for ground in (theme.paper, theme.raised):
        for text in (theme.ink, theme.muted, theme.accent, theme.good, theme.bad, theme.doubtful):
            assert contrast(text, ground) >= 4.5, (text, ground)
    for colour in theme.families:
        assert contrast(colour, theme.paper) >= 3, colour
        assert contrast(theme.ink, mixed(colour, theme.paper, TINTS[1])) >= 4.5, colour


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("family", FAMILIES)
def test_shades_go_evenly_from_one_that_can_be_seen_to_a_strong_one(theme, family):
    found = [contrast(colour, theme.paper) for colour in shades(family, 5, theme)]
    assert found[0] >= 3 and found[-1] >= 2 * found[0]
    assert all(b / a >= 1.15 for a, b in pairwise(found))


# What eyes without one kind of cone see, in linear light.
# Machado, Oliveira and Fernandes 2009, severity 1.
CONES = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def oklab(light):
    red, green, blue = (max(0.0, part) for part in light)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", CONES)
def test_colour_blind_eyes_tell_the_families_apart(theme, eyes):
    def seen(colour):
        light = linear(colour)
        return oklab([sum(a * b for a, b in zip(row, light, strict=True)) for row in CONES[eyes]])

    found = [seen(theme.families[family_place(family)]) for family in FAMILIES]
    for i, first in enumerate(found):
        for second in found[:i]:
            assert sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5 > 0.06


def test_a_theme_has_a_colour_of_its_own_for_each_family_and_one_for_unknown_ones():
    places = [family_place(family) for family in FAMILIES]
    assert len(set(places)) == len(FAMILIES)
    assert family_place("helix") not in places
    assert family_place("helix") == family_place("helix") < len(LIGHT.families)
    assert css_variables(LIGHT).keys() == css_variables(DARK).keys()


def test_a_family_has_one_colour_whichever_others_are_there(drawn):
    drawn(dots)
    for families in (FAMILIES, ("hourglass", "deep"), ("wide",)):
        rows = [{"name": f, "family": f, "y": i} for i, f in enumerate(families)]
        scale = specification(panel_of(rows))["encoding"]["color"]["scale"]
        colours = dict(zip(scale["domain"], scale["range"], strict=True))
        assert colours == {f: LIGHT.families[family_place(f)] for f in families}


def test_variants_of_one_family_are_shades_of_its_colour(drawn):
    drawn(lambda panel: dots(panel, color="name:N"))
    rows = [{"name": f"deep {i}", "family": "deep", "y": i} for i in range(3)]
    rows.append({"name": "wide", "family": "wide", "y": 3})
    scale = specification(panel_of(rows))["encoding"]["color"]["scale"]
    assert scale["domain"] == [row["name"] for row in rows]
    assert scale["range"] == [*shades("deep", 3, LIGHT), LIGHT.families[1]]
    assert len(set(scale["range"])) == 4
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in scale["range"])


def test_shades_of_sizes_go_from_the_smallest_on_and_each_view_may_have_its_own(drawn):
    import altair as alt

    rows = [{"name": i, "family": f, "depth": d, "y": 1} for i, (f, d) in enumerate(PAIRS)]

    def views(panel):
        found = [
            dots(replace(panel, rows=tuple(r for r in panel.rows if r["family"] == f)), color=depth)
            for f in ("deep", "wide")
        ]
        return alt.concat(*found).resolve_scale(color="independent")

    depth = alt.Color("depth:O", title="depth L")
    drawn(views)
    deep, wide = specification(panel_of(rows))["concat"]
    scale = deep["encoding"]["color"]["scale"]
    assert scale == {"domain": [2, 4, 16], "range": shades("deep", 3, LIGHT)}
    assert wide["encoding"]["color"]["scale"]["range"] == shades("wide", 2, LIGHT)
    drawn(lambda panel: dots(panel, color=depth))
    assert "scale" not in specification(panel_of(rows))["encoding"]["color"]  # of two families


def test_each_family_has_a_symbol_in_the_order_of_its_colour(drawn):
    drawn(lambda panel: dots(panel, shape="family:N"))
    rows = [{"name": f, "family": f, "y": 1} for f in reversed(FAMILIES)]
    encoding = specification(panel_of(rows))["encoding"]
    assert encoding["shape"]["scale"]["domain"] == encoding["color"]["scale"]["domain"]
    assert encoding["shape"]["scale"]["range"] == list(SHAPES[: len(FAMILIES)])
    assert len(set(SHAPES)) == len(SHAPES) == len(LIGHT.families)


def test_what_belongs_to_no_family_or_to_several_keeps_the_colours_of_its_chart(drawn):
    import altair as alt

    rows = [{"name": "a", "family": f, "y": 1} for f in FAMILIES]
    drawn(lambda panel: dots(panel, color="name:N"))
    assert "scale" not in specification(panel_of(rows))["encoding"]["color"]
    own = alt.Color("family:N", scale=alt.Scale(range=["#000000"]))
    drawn(lambda panel: dots(panel, color=own))
    assert specification(panel_of(rows))["encoding"]["color"]["scale"] == {"range": ["#000000"]}


def test_charts_of_one_view_fill_their_place_and_others_have_their_width(drawn):
    import altair as alt

    rows = [{"name": f, "family": f, "y": 1} for f in FAMILIES]
    drawn(lambda panel: dots(panel) + dots(panel))
    assert filling(specification(panel_of(rows)))["width"] == "container"
    for draw in (
        lambda panel: dots(panel) | dots(panel),
        lambda panel: dots(panel, column=alt.Column("family:N")),
        lambda panel: dots(panel).facet("family:N"),
        lambda panel: dots(panel).properties(width={"step": 40}),
    ):
        drawn(draw)
        assert filling(specification(panel_of(rows))).get("width") != "container"


def names_down(panel):
    return dots(panel, x="y:Q", y="name:N")


def test_long_names_are_broken_and_never_cut(drawn):
    drawn(names_down)
    rows = [{"name": name, "family": "deep", "y": 1} for name in (LONG, "deep (L 2, d 8)")]
    drawing = svg(specification(panel_of(rows)))
    shown = " ".join(re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", drawing))
    assert all(word in shown for word in LONG.split()) and "…" not in drawing
    spec = specification(panel_of(rows))
    assert num_lines(LONG, LETTERS) == 3
    assert spec["height"]["step"] >= 3 * 12  # pixels
    assert spec["usermeta"]["narrow"]["step"] > spec["height"]["step"]
    assert spec["usermeta"]["narrow"]["letters"] == FEW_LETTERS


@pytest.mark.parametrize(
    ("name", "letters", "lines"),
    [
        ("deep", 18, 1),
        ("deep (L 2, d 8)", 18, 1),
        ("deep (L 16, d 1280)", 18, 2),
        ("x" * 50, 18, 3),
    ],
)
def test_lines_of_a_name(name, letters, lines):
    assert num_lines(name, letters) == lines


def test_names_have_room_in_wider_fonts_than_they_were_measured_in(drawn):
    drawn(names_down)
    name = "deep, a name of 30 letters abc"
    spec = specification(panel_of([{"name": name, "family": "deep", "y": 1}]))
    drawing = svg(spec)
    (moved,) = re.findall(r'transform="translate\(([\d.]+),', drawing)[:1]
    # Wide fonts, such as DejaVu and Verdana, take 7 pixels a letter at 12.
    assert float(moved) >= 7 * len(name)


def test_legends_have_as_many_columns_as_their_names_leave_room_for(drawn):
    drawn(lambda panel: dots(panel, color="name:N"))

    def columns(*names):
        spec = specification(panel_of([{"name": n, "family": n, "y": 1} for n in names]))
        return spec["config"]["legend"]["columns"], spec["usermeta"]["narrow"]["columns"]

    assert columns("a", "b") == (6, 6)
    assert columns("deep", "parallel_shallow") == (4, 2)
    assert columns(LONG, "deep") == (2, 1)


def test_a_panel_without_a_chart_or_rows_has_none(drawn, panels):
    drawn(lambda panel: None)
    nothing = panel_of([{"name": "a", "y": 1}])
    assert specification(nothing) is None
    assert specification(replace(panels["ranking"], rows=(), texts=())) is None


@pytest.mark.parametrize("kind", ["ranking", "depth_tax"])
def test_every_panel_is_drawn_as_svg_and_png_from_one_chart(panels, kind):
    spec = specification(panels[kind])
    drawing = svg(spec)
    assert drawing.startswith("<svg") and "<path" in drawing
    picture = png(spec)
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 1500 and height > 300  # 300 dots an inch
    assert svg(specification(panels[kind])) == drawing


def test_names_of_a_suite_are_text_in_a_chart_and_nothing_else(drawn):
    drawn(lambda panel: dots(panel, color="name:N"))
    rows = [{"name": HOSTILE, "family": HOSTILE, "y": 1.0}, {"name": "b", "family": "b", "y": 2.0}]
    drawing = svg(specification(panel_of(rows)))
    assert "<script" not in drawing and drawing.count("</svg>") == 1
    assert "&lt;script" in drawing
    text = json.dumps(specification(panel_of(rows)), ensure_ascii=False)
    assert "\x1b" not in text and "\u202e" not in text


def test_numbers_that_json_lacks_are_gaps(drawn):
    drawn(dots)
    rows = [{"name": "a", "family": "deep", "y": float("nan")}]
    spec = specification(panel_of([*rows, {"name": "b", "family": "deep", "y": float("inf")}]))
    json.dumps(spec, allow_nan=False)


def test_a_chart_may_read_no_address(drawn):
    import altair as alt

    def fetched(panel):
        return alt.Chart("http://127.0.0.1:9/rows.json").mark_point().encode(x="a:Q")

    drawn(fetched)
    spec = specification(panel_of([{"name": "a", "y": 1}]))
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        svg(spec)


def test_ids_of_a_drawing_become_its_own_and_text_stays():
    drawing = '<svg><clipPath id="c1"/><g clip-path="url(#c1)"><text>url(#c1) id="</text></g></svg>'
    own = with_own_ids(drawing, "p")
    assert own == (
        '<svg><clipPath id="p-c1"/><g clip-path="url(#p-c1)"><text>url(#c1) id="</text></g></svg>'
    )


def test_the_ranking_has_the_verdict_on_each_variant(panels):
    rows = {row["variant"]: row["standing"] for row in panels["ranking"].rows}
    assert rows["wide"] == "best"
    assert rows["parallel_shallow"] == "same"
    assert rows["deep"] == rows["hourglass"] == "worse"


def test_dots_of_the_ranking_are_as_full_as_their_note_says():
    off = trial_rows("hourglass", [0.3, 0.3, 0.31], depth=8, width=56, budgets=[share(0.3)])
    rows = trial_rows("deep", [0.100, 0.101, 0.102], depth=8, width=21)
    rows += trial_rows("wide", [0.200, 0.201, 0.202], depth=1, width=96) + off
    (report,) = summarise([make_run(rows)]).runs
    (panel,) = (panel for panel in report.panels if panel.kind == "ranking")
    assert [row["standing"] for row in panel.rows] == ["best", "worse", "not ranked"]
    drawn = re.findall(r'fill-opacity="([^"]*)"', svg(specification(panel)))
    assert drawn == ["1", "0.25", "0"]


def test_the_ranking_shows_what_is_off_budget_and_nothing_where_there_is_nothing_to_rank():
    trials = trial_rows("deep", [0.1, 0.11, 0.12]) + trial_rows(
        "wide", [0.09, 0.1, 0.1], budgets=[share(0.5)]
    )
    (report,) = summarise([make_run(trials)]).runs
    (panel,) = (panel for panel in report.panels if panel.kind == "ranking")
    assert [row["standing"] for row in panel.rows] == ["best", "not ranked"]
    for trials in ((), trial_rows("deep", [0.1, 0.11])):
        (report,) = summarise([make_run(trials)]).runs
        assert not any(panel.kind == "ranking" for panel in report.panels)


def test_figures_have_names_that_stay_the_same(tmp_path):
    summary = summarise([quickstart_run(run="20261121-1"), ladder_run()])
    first, second = (replace(summary, runs=(report,)) for report in summary.runs)
    files = write_figures(first, tmp_path / "a")
    assert {"ranking.png", "ranking.svg"} <= {path.name for path in files}
    assert [path.name for path in write_figures(second, tmp_path)] == [
        "depth-tax.svg",
        "depth-tax.png",
    ]
    both = {str(path.relative_to(tmp_path)) for path in write_figures(summary, tmp_path)}
    assert "planted-20261121-1/ranking.svg" in both and "planted-ladder/depth-tax.png" in both
    assert (tmp_path / "a" / "ranking.svg").read_text().startswith("<svg")


def test_figures_of_several_groups_are_told_apart_and_hostile_names_stay_in_the_folder(tmp_path):
    trials = []
    for target in (2e4, 4e4):
        for family in ("deep", "wide"):
            trials += trial_rows(
                family,
                [0.1, 0.12, 0.11],
                budgets=[share(target=target)],
                variant_id=f"{family}-{target}",
                dataset="../../x",
            )
    summary = summarise([make_run(trials, suite="../..", run="\x00")])
    files = write_figures(summary, tmp_path / "f")
    assert len(files) == len(set(files)) >= 4
    assert all(path.parent == tmp_path / "f" and path.exists() for path in files)
    assert files[0].name.startswith("ranking-x-total-params-20000")


def test_figures_that_cannot_be_written_are_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="--figures"):
        write_figures(summarise([quickstart_run()]), tmp_path / "file")


def test_charts_are_written_in_a_version_that_draws_them():
    import vl_convert

    assert charts.vega_lite_version() in vl_convert.get_vegalite_versions()
