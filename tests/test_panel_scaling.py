import re

import pytest

from depthbench.report.charts import specification, svg
from tests.fixtures_results import make_run, only_panel, panels_in, spread, timing_row, trial_rows

SEEDS = (0.99, 1.0, 1.01)


def sized(loss_of, sizes=(1_000, 4_000, 16_000, 64_000), family="deep"):
    return [
        row
        for place, size in enumerate(sizes)
        for row in trial_rows(
            family,
            [loss_of(size) * factor for factor in SEEDS],
            width=16 * 2**place,
            total_params=size,
            budgets=[],
        )
    ]


def test_a_loss_that_falls_as_a_power_of_the_weights_is_told_with_its_exponent():
    panel = only_panel(make_run(sized(lambda size: 5 * size**-0.3)), "scaling")
    (row,) = panel.rows
    assert row["weights_exponent"] == pytest.approx(-0.3, abs=1e-3)
    assert row["weights_exponent_low"] < -0.3 < row["weights_exponent_high"]
    assert panel.finding == "Test loss (deep) goes as weights^-0.30."
    assert row["fitted"] == pytest.approx(row["values"], rel=0.01)
    assert row["sizes"] == [1_000, 4_000, 16_000, 64_000]


def test_a_loss_that_does_not_fit_has_no_exponent():
    panel = only_panel(make_run(sized(lambda size: 0.2 + (size == 1_000))), "scaling")
    (row,) = panel.rows
    assert (row["is_told"], row["weights_exponent"], row["coefficient"]) == (False, None, None)
    assert panel.finding == "" and panel.texts[0][-1].startswith("no power law")


def test_a_line_is_drawn_only_where_the_table_tells_a_law():
    def drawn(*losses):
        trials = [
            row
            for family, loss_of in zip(("deep", "wide"), losses, strict=False)
            for row in sized(loss_of, family=family)
        ]
        drawing = svg(specification(only_panel(make_run(trials), "scaling")))
        lines = re.findall(r'class="mark-line.*?</g>', drawing, re.DOTALL)
        dots = re.findall(r'class="mark-symbol role-mark.*?</g>', drawing, re.DOTALL)
        return sum(line.count("<path") for line in lines), sum(dot.count("<path") for dot in dots)

    def bent(size):
        return 0.2 + (size == 1_000)

    def straight(size):
        return 5 * size**-0.3

    assert drawn(straight, bent) == (1, 8)
    assert drawn(bent, bent) == (0, 8)
    assert drawn(straight, straight) == (2, 8)


def test_times_that_no_law_is_told_of_have_no_chart():
    trials, timings = [], []
    for depth in (2, 4, 8, 16):
        trials += trial_rows("deep", [0.1, 0.2, 0.3], depth=depth, total_params=100)
        timings.append(timing_row("deep", spread(1e-4 * (1 + 9 * (depth == 4))), depth=depth))
    panel = only_panel(make_run(trials, timings), "scaling")
    assert [row["is_told"] for row in panel.rows] == [False]
    assert specification(panel) is None


def test_each_family_has_a_law_of_its_own():
    trials = sized(lambda size: 5 * size**-0.3) + sized(lambda size: 2 * size**-0.1, family="wide")
    rows = only_panel(make_run(trials), "scaling").rows
    assert {row["family"]: round(row["weights_exponent"], 3) for row in rows} == {
        "deep": -0.3,
        "wide": -0.1,
    }


def test_times_go_with_depth_and_width():
    trials, timings = [], []
    for depth in (2, 8):
        for width in (16, 64):
            trials += trial_rows("deep", [0.1, 0.2, 0.3], depth=depth, width=width)
            seconds = spread(1e-6 * depth * width**1.5)
            timings.append(timing_row("deep", seconds, depth=depth, width=width))
    panel = only_panel(make_run(trials, timings), "scaling")
    (row,) = panel.rows
    assert row["of"] == "time of inference batch 1"
    assert row["depth_exponent"] == pytest.approx(1.0, abs=1e-6)
    assert row["width_exponent"] == pytest.approx(1.5, abs=1e-6)
    assert panel.finding == "Time of inference batch 1 (deep) goes as L^1.00 d^1.50."


@pytest.mark.parametrize("sizes", [(1_000, 4_000, 16_000), (1_000, 1_500, 2_000, 3_000)])
def test_few_or_close_sizes_are_not_fitted(sizes):
    assert panels_in(make_run(sized(lambda size: size**-0.3, sizes)), "scaling") == []
