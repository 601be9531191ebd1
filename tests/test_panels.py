"""One contract for every kind of panel: a new one is tested by existing."""

import json
import unicodedata
from dataclasses import asdict

import pytest
from rich.cells import cell_len
from rich.console import Console

from depthbench.report.panels import PANELS, draw
from depthbench.report.panels.evidence import filled
from depthbench.report.render import render
from depthbench.report.render_terminal import MAX_PANEL_ROWS
from depthbench.report.summary import summarise
from depthbench.report.tables import Heading
from tests.fixtures_results import (
    curve_rows,
    make_run,
    quickstart_run,
    spread,
    timing_row,
    trial_rows,
)

HOSTILE = "a|b[bold]c[/bold]\x1b[31m\nd\u202e`</script><b>\"'"
SEEDS = (0.97, 1.0, 1.03)
DEPTHS, WIDTHS = (2, 4, 8, 16), (16, 32, 64, 128)


def network(family, depth, width):
    """Return the trials, the times and the curves of one planted network at two rates."""
    weights = 10 * depth * width
    shape = {"depth": depth, "width": width, "total_params": weights, "forward_flops": 2 * weights}
    shape |= {"output_shape": [10], "budgets": [], "variant_id": f"{family}-{depth}-{width}"}
    losses = [5 * weights**-0.3 * factor for factor in SEEDS]
    trials = trial_rows(family, losses, **shape)
    worse = [1.2 * loss for loss in losses]
    trials += trial_rows(family, worse, lr=0.001, is_selected=False, **shape)
    cell = {"depth": depth, "width": width, "backbone": "mlp", "peak_memory_bytes": 4 * weights}
    times = [timing_row(family, spread(1e-6 * (20 + depth * width)), **cell)]
    curves = [
        row
        for trial, loss in zip(trials, losses, strict=False)
        for split in ("train", "val")
        for row in curve_rows(trial["trial_id"], [3 * loss, 2 * loss, loss], split=split)
    ]
    return trials, times, curves


@pytest.fixture(scope="module")
def everything():
    """Return a run with something to say in every panel, some names of it hostile."""
    shapes = [("deep", depth, width) for depth in DEPTHS for width in WIDTHS]
    shapes += [("wide", 1, width) for width in WIDTHS] + [(HOSTILE, 4, 32)]
    found = [network(*shape) for shape in shapes]
    trials, times, curves = ([row for part in found for row in part[i]] for i in range(3))
    lost = trial_rows("hourglass", [None] * 3, statuses=["failed", "diverged", "unsupported"])
    lost[0]["error"] = HOSTILE
    return make_run(trials + [row | {"budgets": []} for row in lost], times, curves=curves)


@pytest.fixture(scope="module")
def report(everything):
    return summarise([everything]).runs[0]


@pytest.fixture(params=list(PANELS))
def panel(report, request):
    found = [panel for panel in report.panels if panel.kind == request.param]
    assert found, f"the planted run has no {request.param}"
    return found[0]


def test_rows_texts_and_headings_have_one_shape(panel):
    assert len(panel.rows) == len(panel.texts) > 0
    assert all(len(cells) == len(panel.headings) for cells in panel.texts)
    assert 1 <= panel.num_names <= len(panel.headings)
    assert len({heading.key for heading in panel.headings}) == len(panel.headings)


def test_rows_are_values_that_json_has_as_they_are(panel):
    facts = {"rows": list(panel.rows), "texts": [list(cells) for cells in panel.texts]}
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_each_heading_has_its_exact_value_in_some_row(panel):
    derived = {"flat"}  # put together of two values that the rows have
    for heading in panel.headings:
        assert heading.key in derived or any(heading.key in row for row in panel.rows)


def test_what_people_read_is_said_and_tamed(panel):
    lines = [panel.title, panel.finding, *panel.notes]
    lines += [line for heading in panel.headings for line in heading.title.split("\n")]
    lines += [cell for cells in panel.texts for cell in cells]
    assert panel.title
    assert all(unicodedata.category(char)[0] != "C" for line in lines for char in line)


def test_a_panel_of_one_group_says_which(panel, report):
    assert panel.group is None or 0 <= panel.group < len(report.groups)


def test_the_chart_is_drawn_of_the_rows_and_is_valid(panel):
    pytest.importorskip("altair", reason="charts need altair")
    spec = draw(panel).to_dict()
    assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite")
    values = [row for rows in spec.get("datasets", {}).values() for row in rows]
    values += spec.get("data", {}).get("values", [])
    assert values or "values" in json.dumps(spec)
    assert all(row in panel.rows for row in values)


def test_the_same_results_give_the_same_panels(everything, report):
    assert summarise([everything]).runs[0].panels == report.panels


def test_a_run_without_results_has_no_panels():
    assert summarise([make_run((), status="running", num_trials=3)]).runs[0].panels == ()


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_a_run_of_few_seeds_has_panels_without_intervals(num_seeds):
    trials = [
        row
        for family, loss in (("deep", 0.1), ("wide", 0.2))
        for row in trial_rows(family, [loss + 0.01 * seed for seed in range(num_seeds)])
    ]
    panels = summarise([make_run(trials, [])]).runs[0].panels
    assert [panel.kind for panel in panels] == ["ranking", "winners"]
    assert panels[0].rows[0]["low"] is None


@pytest.mark.parametrize("width", [40, 80, 160])
def test_panels_fit_their_terminal(report, width):
    summary = summarise([quickstart_run()])
    for found in (summary, type(summary)((report,))):
        text = render(found, "terminal", Console(width=width, color_system=None))
        assert max(cell_len(line) for line in text.splitlines()) <= width
        assert "\x1b" not in text and "\u202e" not in text


def test_a_long_table_is_cut_on_a_terminal_and_whole_in_markdown_and_json():
    num = MAX_PANEL_ROWS + 7
    trials = [
        row | {"error": f"planted {depth}", "test_loss": None, "val_loss": None}
        for depth in range(1, num + 1)
        for row in trial_rows("deep", [None], depth=depth, statuses=["failed"])
    ]
    summary = summarise([make_run(trials)])
    text = render(summary, "terminal", Console(width=120, color_system=None))
    assert "... 7 more rows; --format json has all." in text
    assert f"planted {MAX_PANEL_ROWS}" in text and f"planted {num}" not in text
    assert f"planted {num} |" in render(summary, "md")
    (panel,) = (p for p in asdict(summary)["runs"][0]["panels"] if p["kind"] == "problems")
    assert len(panel["rows"]) == num


def test_what_did_not_end_well_is_counted_and_told_once():
    trials = trial_rows("wide", [None] * 3, statuses=["oom", "oom", "diverged"])
    summary = summarise([make_run(trials + trial_rows("deep", [0.1, 0.2, 0.3]))])
    (panel,) = (panel for panel in summary.runs[0].panels if panel.kind == "problems")
    assert panel.finding == "3 pieces of work did not end well: 2 oom, 1 diverged."
    for format in ("terminal", "md"):
        assert render(summary, format).count("planted oom") == 1


def test_columns_in_which_nothing_is_known_are_left_out():
    headings = (Heading("a", "a"), Heading("b", "b"), Heading("c", "c"))
    found, texts = filled(headings, [("1", "-", "2"), ("3", "-", "-")])
    assert [heading.key for heading in found] == ["a", "c"]
    assert texts == (("1", "2"), ("3", "-"))
