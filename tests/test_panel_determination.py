import pytest

from tests.fixtures_results import make_run, only_panel, panels_in, trial_rows

SEEDS = (0.9, 1.0, 1.1)


def variant(family, weights, loss, *, examples=1_000, **settings):
    return trial_rows(
        family,
        [loss * factor for factor in SEEDS],
        width=weights // 100,
        total_params=weights,
        train_examples=examples,
        output_shape=[10],
        budgets=[],
        **settings,
    )


def test_variants_fall_into_the_bins_of_their_ratio():
    trials = variant("deep", 20_000, 0.4)  # Q = 0.5
    trials += variant("deep", 10_000, 0.3)  # Q = 1: the next bin
    trials += variant("deep", 2_000, 0.2) + variant("deep", 1_500, 0.4)  # 5 and 6.7
    trials += variant("deep", 100, 0.5)  # 100
    panel = only_panel(make_run(trials), "determination")
    found = {row["bin"]: row for row in panel.rows}
    assert list(found) == ["0 to 1", "1 to 3", "3 to 10", "10 or more"]
    assert found["3 to 10"]["val_loss"] == pytest.approx(0.3)
    assert found["3 to 10"]["train_loss"] == pytest.approx(0.15)
    assert (found["3 to 10"]["num_variants"], found["3 to 10"]["num_trials"]) == (2, 6)
    assert found["0 to 1"]["val_loss_low"] < 0.4 < found["0 to 1"]["val_loss_high"]
    assert found["10 or more"]["bin_high"] is None


def test_the_finding_is_which_family_has_the_lower_loss_where():
    trials = variant("deep", 20_000, 2.03) + variant("parallel_shallow", 20_000, 1.32)
    trials += variant("deep", 500, 1.65) + variant("parallel_shallow", 500, 1.69)
    panel = only_panel(make_run(trials), "determination")
    assert panel.finding == (
        "The lowest mean validation loss has parallel_shallow at Q 0 to 1; deep at Q 10 or more."
    )


def test_sizes_of_the_training_set_fall_into_bins_together():
    trials = variant("deep", 20_000, 0.4, examples=1_000)
    trials += [
        row | {"trial_id": f"m{row['trial_id']}"}
        for row in variant("deep", 20_000, 0.2, examples=20_000)
    ]
    panel = only_panel(make_run(trials), "determination")
    assert [row["bin"] for row in panel.rows] == ["0 to 1", "10 or more"]


def test_one_bin_says_nothing():
    trials = variant("deep", 20_000, 0.4) + variant("wide", 20_000, 0.3)
    assert panels_in(make_run(trials), "determination") == []


def test_variants_that_diverged_or_whose_sizes_are_unknown_have_no_bin():
    trials = variant("deep", 20_000, 0.4) + variant("deep", 2_000, 0.3)
    lost = variant("wide", 500, 0.1, statuses=["ok", "diverged", "ok"])
    unknown = [row | {"output_shape": None} for row in variant("hourglass", 500, 0.1)]
    panel = only_panel(make_run(trials + lost + unknown), "determination")
    assert {row["family"] for row in panel.rows} == {"deep"}
