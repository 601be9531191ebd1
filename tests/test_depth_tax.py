import json

import numpy as np
import pytest

from depthbench.report.depth_tax import depth_tax
from depthbench.report.render import render
from depthbench.report.summary import summarise
from tests.fixtures_results import make_run, quickstart_run, timing_row, trial_rows


def cell(seconds, *, noise=0.0, seed=0, family="deep", **facts):
    """Return a cell of three processes of four samples each, around a time."""
    generator = np.random.default_rng(seed)
    processes = np.repeat([0, 1, 2], 4)
    shifts = generator.normal(0, noise, 3)[processes]
    samples = seconds * np.exp(shifts + generator.normal(0, noise / 4, 12))
    row = timing_row(family, list(samples), backbone="mlp", **facts)
    return row | {"samples_process": list(processes)}


def ladder(time_of, depths=(2, 4, 8, 16), width=32, **facts):
    return [
        cell(time_of(depth), depth=depth, width=width, seed=depth + 100 * width, **facts)
        for depth in depths
    ]


def test_a_planted_cost_of_a_layer_is_found_inside_its_interval():
    run = make_run((), ladder(lambda depth: 1e-3 + 2e-4 * depth, noise=0.01))
    (found,) = depth_tax(run).layers
    assert found.per_layer.low < 2e-4 < found.per_layer.high
    assert found.fixed.low < 1e-3 < found.fixed.high
    assert found.per_layer.high - found.per_layer.low < 0.5e-4
    assert found.depths == (2, 4, 8, 16) and found.is_linear


def test_the_interval_holds_the_cost_about_as_often_as_it_says():
    hits = 0
    for seed in range(60):
        rows = [
            cell(1e-3 + 2e-4 * depth, noise=0.03, seed=1000 * seed + depth, depth=depth)
            for depth in (2, 4, 8, 16)
        ]
        (found,) = depth_tax(make_run((), rows)).layers
        hits += found.per_layer.low <= 2e-4 <= found.per_layer.high
    assert hits >= 53


def test_two_depths_are_no_line_and_other_families_are_none():
    line = {"noise": 0.01}
    assert depth_tax(make_run((), ladder(float, depths=(1, 2), **line))).layers == ()
    others = ladder(float, depths=(1, 2, 3), family="parallel_shallow", **line)
    assert depth_tax(make_run((), others)).layers == ()


def test_cells_that_differ_in_anything_but_depth_are_not_fitted_together():
    rows = ladder(float, depths=(1, 2, 3))
    rows[2]["num_threads"] = 1
    assert depth_tax(make_run((), rows)).layers == ()
    trials = [
        row
        for depth in (1, 2, 3)
        for row in trial_rows("deep", [0.1], depth=depth, norm="rms" if depth == 3 else "layer")
    ]
    assert depth_tax(make_run(trials, ladder(float, depths=(1, 2, 3)))).layers == ()


def test_times_that_bend_are_said_to_be_no_line():
    run = make_run((), ladder(lambda depth: 1e-4 * depth**3))
    (found,) = depth_tax(run).layers
    assert not found.is_linear and found.largest_residual_fraction > 0.10
    assert "not a straight line" in render(summarise([run]), "md")


def test_depth_is_set_against_a_quarter_of_it_at_twice_the_width():
    rows = ladder(lambda depth: 1e-3 * depth, width=16, noise=0.01)
    rows.append(cell(2e-3, depth=4, width=32, noise=0.01, family="wide", seed=9))
    (found,) = depth_tax(make_run((), rows)).layers
    pair = found.constant_weights
    assert (pair.depth, pair.width, pair.against_depth, pair.against_width) == (16, 16, 4, 32)
    assert pair.ratio.low < 8 < pair.ratio.high
    (alone,) = depth_tax(make_run((), rows[:-1])).layers
    assert alone.constant_weights is None


def test_the_share_of_launching_is_that_of_the_wall_time():
    rows = ladder(lambda depth: 1e-3 * depth)
    graphed = ladder(lambda depth: 0.9e-3 * depth, mode="cuda_graph")
    for row, wall in ((rows[-1], 0.04), (graphed[-1], 0.01)):
        row["wall_samples_seconds"] = [wall] * 12
    found = {f.where["mode"]: f for f in depth_tax(make_run((), rows + graphed)).layers}
    assert found["eager"].launch_bound_fraction.value == pytest.approx(0.75)
    assert found["cuda_graph"].launch_bound_fraction is None


def test_a_power_of_the_width_is_told_where_it_fits_and_only_there():
    def at(costs):
        rows = [row for w, c in costs.items() for row in ladder(lambda d, c=c: c * d, width=w)]
        (law,) = depth_tax(make_run((), rows)).width_laws
        return law

    law = at({16: 1e-4, 32: 4e-4, 64: 16e-4})
    assert law.exponent == pytest.approx(2.0) and law.widths == (16, 32, 64)
    law = at({16: 1e-4, 32: 4e-4, 64: 5e-4})
    assert law.exponent is None and law.largest_residual_fraction > 0.10
    assert at({16: 1e-4, 32: -0.5e-5 + 1e-4, 64: 1e-3}).exponent is None


def test_the_report_has_the_depth_tax_in_every_format_that_people_and_machines_read():
    rows = ladder(lambda depth: 1e-3 + 2e-4 * depth, noise=0.01)
    for row in rows:
        row["achieved_flops_per_second"] = 3e9
    summary = summarise([make_run((), rows)])
    section = json.loads(render(summary, "json"))["runs"][0]["depth_tax"]
    assert section["layers"][0]["per_layer"]["value"] == pytest.approx(2e-4, rel=0.2)
    assert section["layers"][0]["launch_bound_fraction"] is None
    for format in ("terminal", "md"):
        text = render(summary, format)
        assert "Depth tax" in text and "3.00G" in text and "2, 4, 8, 16" in text
        assert "launching" not in text  # nothing is known of it


def test_a_run_without_depths_says_nothing_of_the_depth_tax():
    for format in ("terminal", "md"):
        assert "Depth tax" not in render(summarise([quickstart_run()]), format)


def test_a_cost_that_may_be_nothing_is_told_by_its_upper_end_alone():
    run = make_run((), ladder(lambda depth: 1e-3, noise=0.02))
    (found,) = depth_tax(run).layers
    assert found.per_layer.low <= 0 < found.per_layer.high
    assert "at most" in render(summarise([run]), "md")
