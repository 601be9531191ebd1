import pytest

from tests.fixtures_results import (
    make_run,
    only_panel,
    panels_in,
    share,
    spread,
    timing_row,
    trial_rows,
)

LOW = [0.081, 0.084, 0.078, 0.083, 0.080]
HIGH = [0.100, 0.104, 0.097, 0.102, 0.099]
HIGHER = [0.121, 0.118, 0.125, 0.119, 0.122]


def winners(trials, timings=()):
    return only_panel(make_run(trials, timings), "winners")


def two_budgets(small, large):
    trials = []
    for width, target, losses in ((32, 20_000.0, small), (64, 80_000.0, large)):
        for family, values in zip(("wide", "deep"), losses, strict=True):
            trials += trial_rows(family, values, width=width, budgets=[share(target=target)])
    return trials


def exact(family, seconds, **facts):
    return timing_row(family, spread(seconds, 0.0), **facts)


def test_a_winner_that_flips_between_budgets_is_the_finding():
    panel = winners(two_budgets((HIGH, LOW), (LOW, HIGH)))
    assert panel.finding == (
        "The winner flips: at equal total_params deep up to 20,000, wide above."
    )
    assert [(row["level"], row["family"]) for row in panel.rows] == [
        (20_000.0, "deep"),
        (80_000.0, "wide"),
    ]
    assert [row["certainty"] for row in panel.rows] == ["clear", "clear"]
    assert [row["has_flipped"] for row in panel.rows] == [False, True]
    assert panel.group is None


def test_one_winner_everywhere_is_said_to_be_one():
    panel = winners(two_budgets((LOW, HIGH), (LOW, HIGH)))
    assert panel.finding == "wide wins wherever a winner is clear: under 2 of 2 budgets."


def test_a_tie_is_no_finding():
    panel = winners(trial_rows("wide", LOW) + trial_rows("deep", LOW))
    (row,) = panel.rows
    assert row["certainty"] == "unresolved" and 0.4 < row["probability"] < 0.6
    assert panel.finding == "No winner is clear under any of these budgets."
    assert panel.texts[0][4].startswith("~ ")


@pytest.mark.parametrize("num", [1, 2])
def test_few_seeds_give_no_probability(num):
    panel = winners(trial_rows("wide", LOW[:num]) + trial_rows("deep", HIGH[:num]))
    (row,) = panel.rows
    assert (row["probability"], row["certainty"]) == (None, "too few seeds")
    assert "3 seeds" in panel.finding


def test_the_winner_by_time_is_among_those_that_are_no_slower():
    trials = trial_rows("wide", LOW) + trial_rows("deep", HIGH) + trial_rows("hourglass", HIGHER)
    times = [exact("wide", 4e-3), exact("deep", 1e-3), exact("hourglass", 9e-4)]
    panel = winners(trials, times)
    assert panel.finding == (
        "The winner flips: at equal total_params wide; by time of inference batch 1 deep up to "
        "1.00 ms, wide above."
    )
    by_time = [row for row in panel.rows if not row["is_equal"]]
    assert [(row["family"], row["num_candidates"]) for row in by_time] == [
        ("hourglass", 1),
        ("deep", 2),
        ("wide", 3),
    ]
    assert by_time[0]["certainty"] == "alone"
    assert panel.group == 0


def test_without_a_budget_the_weights_are_what_is_afforded():
    trials = trial_rows("wide", LOW, budgets=[], total_params=30_000)
    trials += trial_rows("deep", HIGH, budgets=[], total_params=10_000)
    panel = winners(trials)
    assert [(row["basis"], row["level"]) for row in panel.rows] == [
        ("weights", 10_000.0),
        ("weights", 30_000.0),
    ]


def test_variants_of_a_clear_family_may_share_its_win():
    trials = trial_rows("deep", HIGH)
    for depth in (1, 2):
        trials += trial_rows("wide", LOW, depth=depth)
    (row,) = winners(trials).rows
    assert row["probability"] < 0.975 < row["label_probability"] and row["certainty"] == "clear"


def test_among_one_family_the_depths_are_told_apart():
    trials = trial_rows("deep", LOW, depth=2) + trial_rows("deep", HIGH, depth=8)
    assert winners(trials).finding.startswith("L 2 wins")


def test_levels_are_few_and_those_of_variants():
    seconds = [1e-3 * 1.2**place for place in range(20)]
    trials, times = [], []
    for place, value in enumerate(seconds):
        trials += trial_rows("deep", [v - 0.001 * place for v in HIGH], depth=place + 1)
        times.append(exact("deep", value, depth=place + 1))
    rows = [row for row in winners(trials, times).rows if not row["is_equal"]]
    assert 3 <= len(rows) <= 5
    assert [row["num_candidates"] for row in rows] == sorted(row["num_candidates"] for row in rows)
    assert rows[-1]["num_candidates"] == 20


def test_a_variant_that_diverged_or_is_off_budget_does_not_win_its_budget():
    diverged = ["ok", "diverged", "ok", "ok", "ok"]
    trials = trial_rows("wide", [0.01] * 5, statuses=diverged)
    trials += trial_rows("hourglass", [0.02] * 5, budgets=[share(0.3)])
    trials += trial_rows("deep", LOW) + trial_rows("deep", HIGH, depth=8)
    (row,) = winners(trials).rows
    assert row["variant"] == "deep (L 4, d 32)" and row["num_candidates"] == 2


def test_one_variant_alone_has_no_map():
    assert panels_in(make_run(trial_rows("deep", LOW)), "winners") == []


def test_a_budget_of_one_kind_is_no_win_of_it():
    trials = trial_rows("deep", HIGH, depth=2) + trial_rows("deep", HIGHER, depth=3)
    trials += trial_rows("wide", LOW)
    times = [
        exact("deep", 1e-3, depth=2),
        exact("deep", 2e-3, depth=3),
        exact("wide", 4e-3),
    ]
    panel = winners(trials, times)
    by_time = [row for row in panel.rows if not row["is_equal"]]
    assert [row["certainty"] for row in by_time] == ["alone", "alone", "clear"]
    assert by_time[1]["probability"] > 0.9
    assert "flips" not in panel.finding and panel.finding.startswith("wide wins")
    texts = [text[5] for row, text in zip(panel.rows, panel.texts, strict=True)]
    assert [text for text in texts if text == "alone"] == ["alone"]
