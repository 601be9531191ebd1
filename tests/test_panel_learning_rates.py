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


def test_a_rate_that_falls_with_depth_is_said_to():
    panel = rates(
        sweep((0.3, 0.2, 0.1, 0.2), best=0.01, depth=2),
        sweep((0.3, 0.1, 0.2, 0.3), best=0.003, depth=8),
    )
    assert panel.finding == (
        "The best rate of deep falls with depth, from 0.01 at L 2 to 0.003 at L 8."
    )


def test_losses_are_those_of_validation_at_every_rate():
    (row,) = rates(sweep((0.2, 0.102, 0.1, 0.15), best=0.01)).rows
    assert row["losses"] == pytest.approx([0.2, 0.102, 0.1, 0.15])
    assert row["lrs"] == list(RATES)


def test_one_rate_has_no_panel():
    assert panels_in(make_run(trial_rows("deep", [0.1, 0.2, 0.3])), "learning_rates") == []
