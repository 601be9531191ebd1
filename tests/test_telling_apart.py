"""How the lines of a chart are told apart where variants differ in options."""

from depthbench.report.panels.telling_apart import plots


def row(extra, depth=4):
    name = f"deep, {extra}"
    return {"variant": name, "family": "deep", "depth": depth, "width": 32, "extra": extra}


def test_a_legend_names_the_variant_without_options_too():
    drawn = []

    def draw(rows, lines, title):
        drawn.append((rows, lines))

    plots([row("", 2), row("", 8), row("mup", 2), row("mup", 8)], draw)
    [(rows, lines)] = drawn
    assert [found["extra"] for found in rows] == ["defaults", "defaults", "mup", "mup"]
    assert (lines.shade, lines.values) == ("depth", ("defaults", "mup"))
