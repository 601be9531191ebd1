import re

import pytest

from depthbench.report.charts import specification, svg
from depthbench.report.panels.curves import MAX_POINTS, MAX_VARIANTS
from depthbench.report.render import render
from depthbench.report.summary import summarise
from depthbench.report.theme import LIGHT, shades
from tests.fixtures_results import curve_rows, make_run, only_panel, panels_in, trial_rows

LOSSES = [0.10, 0.11, 0.12]


def run_of(curve_of, *, num_seeds=3, family="deep", splits=("val",), **facts):
    trials = trial_rows(family, LOSSES[:num_seeds])
    curves = [
        row
        for trial in trials
        for split in splits
        for row in curve_rows(trial["trial_id"], curve_of(trial["seed"]), split=split, **facts)
    ]
    return make_run(trials, curves=curves)


def test_a_curve_is_the_mean_over_seeds_with_its_interval():
    panel = only_panel(run_of(lambda seed: [3.0 + seed, 2.0 + seed, 1.0 + seed]), "curves")
    assert [row["value"] for row in panel.rows] == pytest.approx([4.0, 3.0, 2.0])
    assert [row["step"] for row in panel.rows] == [10, 20, 30]
    # Student's t for 2 degrees of freedom, times the standard error of 0, 1, 2.
    assert panel.rows[0]["high"] == pytest.approx(4.0 + 4.3027 / 3**0.5, rel=1e-4)
    assert panel.rows[2]["low"] == 0.0  # no loss is less
    assert panel.rows[0]["num_seeds"] == 3


def test_few_seeds_have_a_curve_without_a_band():
    panel = only_panel(run_of(lambda seed: [2.0, 1.0], num_seeds=2), "curves")
    assert panel.rows[0]["low"] is None
    assert any("fewer than 3 seeds" in note for note in panel.notes)


def test_long_curves_are_thinned_and_keep_their_ends():
    panel = only_panel(run_of(lambda seed: [1000.0 - i for i in range(900)]), "curves")
    assert len(panel.rows) == MAX_POINTS
    assert (panel.rows[0]["step"], panel.rows[-1]["step"]) == (10, 9_000)
    assert panel.rows[-1]["value"] == pytest.approx(101.0)


def test_seeds_with_points_at_other_steps_are_averaged_between_their_points():
    trials = trial_rows("deep", LOSSES[:2])
    curves = curve_rows(trials[0]["trial_id"], [4.0, 2.0], every=10)
    curves += curve_rows(trials[1]["trial_id"], [5.0, 4.0, 3.0, 2.0], every=5)
    panel = only_panel(make_run(trials, curves=curves), "curves")
    found = {row["step"]: row["value"] for row in panel.rows}
    assert found == pytest.approx({10: 4.0, 15: 3.0, 20: 2.0})


def test_a_loss_that_rises_again_and_one_that_still_falls_are_named():
    risen = only_panel(run_of(lambda seed: [3.0, 1.0, 2.0]), "curves")
    assert risen.finding == ("The validation loss rises again before the end: deep.")
    falling = only_panel(run_of(lambda seed: [2.0**-i for i in range(20)]), "curves")
    assert falling.finding.startswith("The validation loss still falls at the end")
    flat = only_panel(run_of(lambda seed: [1.0] * 10), "curves")
    assert flat.finding == ""


def test_training_and_validation_are_curves_of_their_own():
    panel = only_panel(run_of(lambda seed: [2.0, 1.0], splits=("train", "val")), "curves")
    assert [row["split"] for row in panel.rows] == ["training"] * 2 + ["validation"] * 2


def test_curves_of_other_learning_rates_and_of_failures_are_left_out():
    trials = trial_rows("deep", LOSSES, statuses=["ok", "ok", "diverged"])
    trials += trial_rows("deep", LOSSES, lr=0.03, is_selected=False)
    curves = [
        row
        for place, trial in enumerate(trials)
        for row in curve_rows(trial["trial_id"], [1.0 if place < 2 else 99.0])
    ]
    (row,) = only_panel(make_run(trials, curves=curves), "curves").rows
    assert (row["value"], row["num_seeds"]) == (1.0, 2)


def test_values_that_are_not_numbers_are_no_points():
    panel = only_panel(run_of(lambda seed: [2.0, float("nan"), float("inf"), 1.0]), "curves")
    assert [row["step"] for row in panel.rows] == [10, 40]


def test_of_many_variants_the_first_are_drawn_and_it_is_said():
    trials = [
        r for depth in range(1, MAX_VARIANTS + 3) for r in trial_rows("deep", LOSSES, depth=depth)
    ]
    curves = [row for trial in trials for row in curve_rows(trial["trial_id"], [2.0, 1.0])]
    panel = only_panel(make_run(trials, curves=curves), "curves")
    assert len({row["variant"] for row in panel.rows}) == MAX_VARIANTS
    assert any(f"first {MAX_VARIANTS} of {MAX_VARIANTS + 2}" in note for note in panel.notes)


def strokes(panel):
    """Return how each line of a panel's chart is drawn: colour, width, dashes, a list a plot."""
    drawing = svg(specification(panel))
    plots = re.split("(?=mark-group role-scope concat)", drawing)
    return [
        [
            (re.search(r'stroke="([^"]*)"', path), re.search(r'stroke-width="([^"]*)"', path))
            for group in re.findall(r'class="mark-line role-mark.*?</g>', plot, re.DOTALL)
            for path in re.findall("<path[^>]*>", group)
        ]
        for plot in plots
    ]


def test_variants_of_a_family_are_told_apart_and_so_are_families():
    trials = [
        row
        for family in ("deep", "wide")
        for depth in (2, 4, 8)
        for width in (16, 32)
        for row in trial_rows(family, LOSSES, depth=depth, width=width)
    ]
    curves = [row for trial in trials for row in curve_rows(trial["trial_id"], [2.0, 1.0])]
    plots = [
        {(colour[1], width[1]) for colour, width in found}
        for found in strokes(only_panel(make_run(trials, curves=curves), "curves"))
        if found
    ]
    assert [len(plot) for plot in plots] == [6, 6]
    assert not {colour for colour, _ in plots[0]} & {colour for colour, _ in plots[1]}
    assert all(len({width for _, width in plot}) == 2 for plot in plots)


def test_one_variant_a_family_is_one_plot_in_the_families_colours():
    trials = trial_rows("deep", LOSSES, depth=8, width=21) + trial_rows("wide", LOSSES, depth=1)
    curves = [row for trial in trials for row in curve_rows(trial["trial_id"], [2.0, 1.0])]
    (plot,) = strokes(only_panel(make_run(trials, curves=curves), "curves"))
    assert {colour[1] for colour, _ in plot} == set(LIGHT.families[:2])


def test_options_that_alone_differ_are_shades():
    trials = [
        row
        for activation in ("relu", "gelu", "tanh")
        for row in trial_rows("deep", LOSSES, activation=activation, variant_id=activation)
    ]
    curves = [row for trial in trials for row in curve_rows(trial["trial_id"], [2.0, 1.0])]
    (plot,) = strokes(only_panel(make_run(trials, curves=curves), "curves"))
    assert {colour[1] for colour, _ in plot} == set(shades("deep", 3, LIGHT))


def test_people_read_the_finding_and_machines_the_points():
    run = run_of(lambda seed: [3.0, 1.0, 2.0])
    for format in ("terminal", "md"):
        text = render(summarise([run]), format)
        assert "Learning curves" in text and "3 rows; --format json has all" in text
        assert "| validation |" not in text


def test_a_run_without_curves_has_no_panel():
    assert panels_in(make_run(trial_rows("deep", LOSSES)), "curves") == []
