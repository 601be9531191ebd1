from math import log2

import pytest

from tests.fixtures_results import make_run, only_panel, panels_in, trial_rows

RATES = (0.001, 0.003, 0.01, 0.03)


def sweep(losses, *, best, depth=4, statuses=None, **settings):
    """Return the trials of one variant at several rates, the best one selected."""
    return [
        row
        for rate, loss in zip(RATES, losses, strict=True)
        for row in trial_rows(
            "deep",
            [None if loss is None else loss * factor for factor in (0.99, 1.0, 1.01)],
            depth=depth,
            lr=rate,
            is_selected=rate == best,
            statuses=statuses.get(rate) if statuses else None,
            **settings,
        )
    ]


def rates(*sweeps):
    return only_panel(make_run([row for found in sweeps for row in found]), "learning_rates")


def test_the_best_rate_stands_with_its_neighbours_and_its_basin():
    panel = rates(sweep((0.2, 0.102, 0.1, 0.15), best=0.01))
    (row,) = panel.rows
    assert (row["lr"], row["edge"]) == (0.01, "")
    assert row["lower_ratio"] == pytest.approx(1.02)
    assert row["higher_ratio"] == pytest.approx(1.5)
    assert (row["flat_low"], row["flat_high"]) == (0.003, 0.01)
    text = dict(zip([heading.key for heading in panel.headings], panel.texts[0], strict=True))
    assert (text["lower_ratio"], text["higher_ratio"]) == ("+2%", "+50%")
    assert text["flat"] == "0.003 to 0.01"
    assert panel.finding == ""


def test_a_best_rate_at_the_end_of_the_grid_is_flagged():
    panel = rates(sweep((0.4, 0.3, 0.2, 0.1), best=0.03, depth=8))
    assert panel.finding == "The best of deep is the largest given: try larger."
    panel = rates(
        sweep((0.1, 0.3, 0.2, 0.4), best=0.001), sweep((0.1, 0.2, 0.3, 0.4), best=0.001, depth=8)
    )
    assert panel.finding.endswith("are the smallest given: try smaller.")


def test_a_rate_that_diverges_is_no_end_of_the_grid_and_no_part_of_the_basin():
    statuses = {0.03: ["ok", "diverged", "ok"]}
    panel = rates(sweep((0.3, 0.2, 0.1, 0.1), best=0.01, statuses=statuses))
    (row,) = panel.rows
    assert (row["edge"], row["higher_trouble"], row["flat_high"]) == ("", "diverged", 0.01)
    assert "diverged" in panel.texts[0]


def shifts(panel):
    """Return how far the best rate of each variant is said to lie from that of the smallest."""
    return {
        (row["depth"], row["width"]): (row["depth_shift"], row["width_shift"]) for row in panel.rows
    }


def planted(*shapes, activation="relu", **settings):
    """Return sweeps of networks whose best rate is planted: (depth, width, best)."""
    return [
        sweep(
            [0.1 * (1 + abs(RATES.index(rate) - RATES.index(best))) for rate in RATES],
            best=best,
            depth=depth,
            width=width,
            activation=activation,
            **{"variant_id": f"{activation}-{depth}-{width}-{settings.get('norm')}"} | settings,
        )
        for depth, width, best in shapes
    ]


def test_a_rate_that_falls_with_depth_shifts_its_basin_by_the_log_of_the_ratio():
    panel = rates(*planted((2, 32, 0.01), (4, 32, 0.01), (8, 32, 0.003)))
    assert shifts(panel) == {
        (2, 32): (None, None),
        (4, 32): (0.0, None),
        (8, 32): (pytest.approx(log2(0.3)), None),
    }
    assert panel.finding == (
        "Basin shift of deep: over depth -1.7 (from 0.01 at L 2 to 0.003 at L 8, d 32); 4 rates."
    )
    heading = [heading.key for heading in panel.headings].index("depth_shift")
    assert [texts[heading] for texts in panel.texts] == ["-", "0", "-1.7"]


def test_the_other_axis_is_held_and_shifts_at_its_sizes_are_a_range():
    panel = rates(
        *planted((2, 16, 0.01), (8, 16, 0.003), (2, 64, 0.003), (8, 64, 0.003)),
    )
    assert shifts(panel)[8, 64] == (0.0, 0.0)
    assert shifts(panel)[8, 16] == (pytest.approx(log2(0.3)), None)
    assert shifts(panel)[2, 64] == (None, pytest.approx(log2(0.3)))
    assert panel.finding == (
        "Basin shift of deep: over depth -1.7 to 0 (L 2 to 8, at 2 widths); over width -1.7 to 0 "
        "(d 16 to 64, at 2 depths); 4 rates."
    )


def test_widths_that_follow_depth_at_a_budget_are_said_to():
    panel = rates(*planted((2, 64, 0.01), (8, 32, 0.003)))
    assert "L 8, widths following); 4 rates." in panel.finding


def test_best_rates_at_the_end_of_the_grid_bound_a_shift_or_leave_it_unknown():
    bounded = rates(*planted((2, 32, 0.03), (8, 32, 0.01)))
    assert "over depth at most -1.6" in bounded.finding
    assert bounded.rows[1]["depth_shift_doubt"] == "at most"
    deeper = rates(*planted((2, 32, 0.01), (8, 32, 0.03)))
    assert "over depth at least +1.6" in deeper.finding
    unknown = rates(*planted((2, 32, 0.03), (8, 32, 0.03)))
    assert "over depth unknown, since best rates lie at an end of the grid" in unknown.finding
    assert "grid end" in unknown.texts[1]


def test_two_rates_are_too_coarse_to_tell_a_shift():
    sweeps = [
        [row for row in found if row["lr"] in (0.003, 0.01)]
        for found in planted((2, 32, 0.01), (8, 32, 0.003))
    ]
    panel = rates(*sweeps)
    assert panel.rows[1]["depth_shift_num_rates"] == 2
    assert "too coarse" in panel.texts[1]
    assert "2 rates in common are too few to tell how far the best one shifts" in panel.finding
    assert "Basin shift" not in panel.finding


def test_backbones_are_never_mixed():
    panel = rates(
        *planted((2, 32, 0.01), (4, 32, 0.003)),
        *planted((8, 64, 0.001), (16, 64, 0.001), backbone="conv", hidden=None),
    )
    assert "Basin shift of deep, mlp: over depth -1.7 (from 0.01 at L 2" in panel.finding
    assert "Basin shift of deep, conv: over depth unknown" in panel.finding


def test_kinds_of_a_family_have_shifts_of_their_own():
    panel = rates(
        *planted((2, 32, 0.01), (8, 32, 0.003)),
        *planted((2, 32, 0.01), (8, 32, 0.01), activation="gelu"),
    )
    assert "Basin shift of deep, activation relu: over depth -1.7" in panel.finding
    assert "Basin shift of deep, activation gelu: over depth 0 " in panel.finding


def test_of_many_kinds_the_finding_says_how_many_more_the_table_has():
    few = ("relu", "gelu", "silu", "tanh", "identity")
    shapes = ((2, 32, 0.01), (8, 32, 0.003))
    five = [found for name in few for found in planted(*shapes, activation=name)]
    assert "The table has" not in rates(*five).finding
    more = [found for name in few[:3] for found in planted(*shapes, activation=name, norm="rms")]
    finding = rates(*five, *more).finding
    assert finding.count("Basin shift of") == 6
    assert "The table has the shifts of 2 more kinds." in finding


def test_losses_are_those_of_validation_at_every_rate():
    (row,) = rates(sweep((0.2, 0.102, 0.1, 0.15), best=0.01)).rows
    assert row["losses"] == pytest.approx([0.2, 0.102, 0.1, 0.15])
    assert row["lrs"] == list(RATES)


def test_one_rate_has_no_panel():
    assert panels_in(make_run(trial_rows("deep", [0.1, 0.2, 0.3])), "learning_rates") == []
