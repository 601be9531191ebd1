import json
from dataclasses import asdict

import pytest

from depthbench.errors import ResultError
from depthbench.report.rows import distinguishing
from depthbench.report.summary import summarise
from tests.fixtures_results import (
    claim,
    make_run,
    quickstart_run,
    share,
    spread,
    timing_row,
    trial_rows,
)

WIDE = [0.081, 0.084, 0.078, 0.083, 0.080]
DEEP = [0.100, 0.104, 0.097, 0.102, 0.099]
NEAR = [0.085, 0.080, 0.082, 0.079, 0.084]


def reported(trials, timings=(), **facts):
    return summarise([make_run(trials, timings, **facts)]).runs[0]


def only_group(trials, timings=(), **facts):
    groups = reported(trials, timings, **facts).groups
    assert len(groups) == 1
    return groups[0]


def row_of(group, family):
    found = [row for row in group.rows if row.family == family]
    assert len(found) == 1
    return found[0]


def test_the_answer_names_the_best_and_what_the_others_are():
    group = summarise([quickstart_run()]).runs[0].groups[0]
    assert group.answer == (
        "At equal total_params (20,000 within 2%) on digits, wide (L 1, d 96) has the lowest "
        "test loss: 0.0812 [0.0783, 0.0841] over 5 seeds; parallel_shallow is "
        "the same as wide within 5%; deep is worse by 23.7% [22.7, 24.6] and hourglass by 49% "
        "[36, 63]; at inference batch 1 wide is 1.3x faster than parallel_shallow."
    )
    verdicts = [row.against_best and row.against_best.verdict for row in group.rows]
    assert verdicts == [None, "same", "worse", "worse"]
    assert [row.rank for row in group.rows] == [1, 2, 3, 4]
    assert group.num_comparisons == 6


def test_a_distance_is_the_geometric_mean_of_paired_ratios():
    group = only_group(trial_rows("wide", [1.0, 2.0, 4.0]) + trial_rows("deep", [2.0, 4.0, 8.0]))
    found = row_of(group, "deep").against_best
    assert (found.value, found.num_seeds) == (pytest.approx(2.0), 3)
    assert "deep is worse by 100.0% [100.0, 100.0]" in group.answer


def test_a_tie_is_the_same():
    group = only_group(trial_rows("wide", WIDE) + trial_rows("deep", WIDE))
    assert "no variant stands out: wide (L 4, d 32) has the lowest" in group.answer
    assert group.answer.endswith("; deep is the same as wide within 5%.")


def test_what_seeds_do_not_tell_apart_is_unresolved_and_not_the_same():
    group = only_group(trial_rows("wide", WIDE) + trial_rows("deep", NEAR))
    assert "no variant stands out" in group.answer
    assert group.answer.endswith("; deep is unresolved.")
    assert "same" not in group.answer.split()


def test_each_verdict_has_its_clause():
    trials = trial_rows("wide", WIDE)
    near = [0.0812, 0.0841, 0.0782, 0.0831, 0.0801]
    for depth in (2, 4, 6):
        trials += trial_rows("hourglass", near, depth=depth)
    for depth, factor in ((1, 1.9), (2, 1.5), (3, 1.7), (4, 2.5)):
        trials += trial_rows("deep", [factor * value for value in near], depth=depth)
    trials += trial_rows("parallel_shallow", [0.2, 0.09, 0.07, 0.2, 0.08])
    answer = only_group(trials).answer
    assert (
        "; hourglass (L 2, d 32), hourglass (L 4, d 32) and hourglass (L 6, d 32) are the same as "
        "wide within 5%; deep (L 2, d 32) is worse by 50." in answer
    )
    assert ", deep (L 3, d 32) by 70." in answer
    assert answer.endswith(" and 2 others by more; parallel_shallow is unresolved.")


def test_the_margin_is_the_readers():
    near = [1.03 * value for value in [0.0812, 0.0841, 0.0782, 0.0831, 0.0801]]
    run = make_run(trial_rows("wide", WIDE) + trial_rows("deep", near))
    answers = [summarise([run], margin=m).runs[0].groups[0].answer for m in (0.05, 0.02)]
    assert answers[0].endswith("deep is the same as wide within 5%.")
    assert "deep is worse by 3" in answers[1]


def test_q_values_are_over_all_groups_of_a_run():
    one = trial_rows("wide", WIDE) + trial_rows("deep", DEEP)
    other = trial_rows("wide", WIDE, dataset="mnist") + trial_rows("deep", NEAR, dataset="mnist")
    alone = row_of(only_group(one), "deep").against_best
    among = row_of(reported(one + other).groups[0], "deep").against_best
    assert among.p_value == alone.p_value
    assert among.q_value == pytest.approx(2 * alone.q_value)


def test_interquartile_means_stand_beside_means():
    row = only_group(trial_rows("wide", [0.1, 0.2, 0.3, 0.4, 9.0])).rows[0]
    assert row.interquartile_means.keys() == row.metrics.keys()
    found = row.interquartile_means["test_loss"]
    assert (found.value, found.num) == (pytest.approx(0.3), 5)
    assert found.low >= 0.0


@pytest.mark.parametrize(("num", "seeds"), [(1, "1 seed"), (2, "2 seeds")])
def test_one_or_two_seeds_allow_no_verdict(num, seeds):
    group = only_group(trial_rows("wide", WIDE[:num]) + trial_rows("deep", DEEP[:num]))
    assert f"no verdict is possible from {seeds}" in group.answer
    assert "has the lowest" not in group.answer
    assert row_of(group, "wide").metrics["test_loss"].low is None


def test_variants_without_common_seeds_allow_no_verdict():
    deep = trial_rows("deep", [None, None, None, *DEEP[:3]], statuses=["failed"] * 3 + ["ok"] * 3)
    group = only_group(trial_rows("wide", WIDE[:3]) + deep)
    assert "no verdict is possible with fewer than 3 common seeds" in group.answer


def test_a_variant_off_budget_is_marked_and_not_ranked():
    better = trial_rows("wide", [0.01] * 5, budgets=[share(-0.2, is_solved=False)])
    group = only_group(better + trial_rows("deep", DEEP) + trial_rows("hourglass", WIDE))
    wide = row_of(group, "wide")
    assert (wide.rank, wide.is_on_budget, wide.not_ranked_because) == (None, False, "off budget")
    assert "hourglass (L 4, d 32) has the lowest" in group.answer
    assert "Off budget and not ranked: wide (L 4, d 32) -20%." in group.notes


def test_nothing_on_budget_is_no_ranking():
    off = [share(0.5)]
    group = only_group(
        trial_rows("wide", WIDE, budgets=off) + trial_rows("deep", DEEP, budgets=off)
    )
    assert "no variant can be ranked" in group.answer


def test_a_variant_that_diverged_is_shown_so_and_not_ranked():
    statuses = ["ok", "diverged", "ok", "ok", "diverged"]
    group = only_group(
        trial_rows("wide", [0.01] * 5, statuses=statuses)
        + trial_rows("deep", DEEP)
        + trial_rows("hourglass", WIDE)
    )
    wide = row_of(group, "wide")
    assert (wide.rank, wide.num_diverged, wide.num_seeds, wide.num_trials) == (None, 2, 3, 5)
    # With the better numbers it is in the answer, else a note.
    first, _, rest = group.answer.partition(". ")
    assert "hourglass (L 4, d 32) has the lowest test loss: 0.0812" in first
    assert rest == (
        "Lower, but not ranked since it diverged in 2 of 5 seeds: wide (L 4, d 32), 0.0100 over "
        "3 seeds."
    )
    assert group.notes == ()
    worse = only_group(trial_rows("wide", [1.0] * 5, statuses=statuses) + trial_rows("deep", DEEP))
    assert worse.notes == ("wide (L 4, d 32) diverged in 2 of 5 seeds and is not ranked.",)
    assert "not ranked" not in worse.answer


def test_of_several_that_diverged_with_better_numbers_each_is_named():
    trials = trial_rows("wide", [0.01] * 3, statuses=["ok", "diverged", "ok"])
    trials += trial_rows("hourglass", [0.02] * 3, statuses=["diverged", "diverged", "ok"])
    off = [share(-0.2, is_solved=False)]
    trials += trial_rows("preact", [0.02] * 2, statuses=["diverged", "ok"], budgets=off)
    group = only_group(trials + trial_rows("deep", DEEP))
    assert group.answer.endswith(
        "a comparison needs two. Lower, but not ranked: wide (L 4, d 32) diverged in 1 of 3 seeds "
        "and hourglass (L 4, d 32) diverged in 2 of 3 seeds."
    )
    assert group.notes[0] == "preact (L 4, d 32) diverged in 1 of 2 seeds and is not ranked."


def test_the_answer_says_where_trials_of_the_best_failed():
    lost = trial_rows("wide", WIDE, statuses=["ok"] * 4 + ["oom"])
    others = trial_rows("deep", DEEP, statuses=["timeout"] + ["ok"] * 4)
    group = only_group(lost + others + trial_rows("hourglass", NEAR))
    first, _, rest = group.answer.partition(". ")
    assert first.startswith("At equal") and "wide (L 4, d 32) has the lowest test loss" in first
    assert rest == "Of wide (L 4, d 32) 1 of 5 trials failed, so its mean is over the others."


def test_where_nothing_converged_it_is_said():
    trials = trial_rows("wide", [None] * 2, statuses=["diverged"] * 2)
    trials += trial_rows("deep", [None], statuses=["failed"])
    group = only_group(trials)
    assert group.answer.endswith("no variant has a result: 2 trials diverged and 1 trial failed.")
    assert group.metric is None


def test_a_nan_metric_is_no_value():
    group = only_group(trial_rows("wide", [*WIDE[:4], float("nan")]) + trial_rows("deep", DEEP))
    assert row_of(group, "wide").metrics["test_loss"].num == 4
    assert any("wide (L 4, d 32) 4 of 5" in note for note in group.notes)


def test_a_single_variant_is_not_compared():
    group = only_group(trial_rows("deep", DEEP))
    assert "only variant to rank" in group.answer
    assert "0.1004 [0.0972, 0.1039] over 5 seeds" in group.answer


def test_each_budget_and_data_set_has_an_answer_of_its_own():
    small, large = share(target=20_000.0), share(target=80_000.0)
    trials = []
    for dataset in ("digits", "mnist"):
        for width, budget, losses in ((32, small, (WIDE, DEEP)), (64, large, (DEEP, WIDE))):
            for family, values in zip(("wide", "deep"), losses, strict=True):
                trials += trial_rows(family, values, width=width, budgets=[budget], dataset=dataset)
    groups = reported(trials).groups
    assert [(g.dataset, g.budget.target, g.rows[0].family) for g in groups] == [
        ("digits", 20_000.0, "wide"),
        ("digits", 80_000.0, "deep"),
        ("mnist", 20_000.0, "wide"),
        ("mnist", 80_000.0, "deep"),
    ]


def test_without_a_budget_it_is_said_that_sizes_differ():
    group = only_group(
        trial_rows("wide", WIDE, budgets=[], total_params=30_000)
        + trial_rows("deep", DEEP, budgets=[], total_params=10_000)
    )
    assert group.budget is None
    assert group.answer.startswith("Without a budget, on digits, wide")
    assert group.notes[0].startswith("Sizes differ: 10,000 to 30,000 weights")


def test_an_axis_of_trainings_gives_an_answer_each():
    trials = []
    for optimizer in ("adamw", "sgd"):
        for family, losses in (("wide", WIDE), ("deep", DEEP)):
            trials += trial_rows(family, losses, optimizer=optimizer)
    assert [group.training for group in reported(trials).groups] == [
        "optimizer adamw",
        "optimizer sgd",
    ]


DATA_AXES = [
    ("vocabulary", ("bytes", "4096")),
    ("context", (128, 256)),
    ("document_mask", (False, True)),
    ("num_classes", (10, 11)),
    ("noise", (0.1, 0.5)),
    ("train_examples", (100, 1000)),
]


@pytest.mark.parametrize(("setting", "values"), DATA_AXES)
def test_each_setting_of_data_and_task_has_an_answer_of_its_own(setting, values):
    trials = []
    for value, losses in zip(values, ((WIDE, DEEP), (DEEP, WIDE)), strict=True):
        for family, found in zip(("wide", "deep"), losses, strict=True):
            trials += trial_rows(family, found, **{setting: value})
    groups = reported(trials).groups
    name = setting.replace("_", " ")
    shown = [str(value).lower() for value in values]
    assert [group.dataset for group in groups] == [f"digits ({name} {text})" for text in shown]
    first = [[row.family for row in group.rows] for group in groups]
    assert first == [["wide", "deep"], ["deep", "wide"]]
    assert all(row.num_seeds == row.num_trials == 5 for group in groups for row in group.rows)
    assert all(f"({name} {text})" in g.answer for g, text in zip(groups, shown, strict=True))


def test_times_stand_with_the_shapes_they_are_of():
    trials = []
    for context in (128, 256):
        shape = {"context": context, "input_shape": [context]}
        for row in trial_rows("deep", DEEP, **shape):
            trials.append(row | {"trial_id": f"{row['trial_id']}-{context}"})
    timings = [
        timing_row("deep", spread(seconds), cell_id=f"c{context}")
        | {"trial_id": f"deep-4-32-digits-0.003-0-{context}"}
        for context, seconds in ((128, 1e-3), (256, 3e-3))
    ]
    groups = reported(trials, timings).groups
    times = [[t.median_seconds for t in group.rows[0].timings] for group in groups]
    assert times == [[1e-3], [3e-3]]


def test_two_trials_of_one_seed_never_stand_for_one_another():
    twice = trial_rows("wide", [0.1]) + trial_rows("wide", [0.9])
    twice[1]["trial_id"] = "another"
    with pytest.raises(ResultError, match=r"wide-4-32-digits-0\.003-0 and another .* seed 0"):
        reported(twice)


def test_a_choice_of_rates_that_is_being_changed_is_provisional():
    trials = trial_rows("wide", WIDE, lr=0.1) + trial_rows("wide", DEEP)
    row = only_group(trials).rows[0]
    assert (row.lr, row.num_seeds) == (0.1, 5)


def test_a_failed_trial_stands_with_the_others_of_its_data():
    trials = trial_rows("wide", WIDE, context=128) + trial_rows("deep", DEEP, context=128)
    trials += trial_rows("wide", WIDE, context=256, train_examples=70)
    trials += trial_rows("deep", [None], context=256, statuses=["oom"], train_examples=None)
    groups = reported(trials).groups
    assert [sorted(row.family for row in group.rows) for group in groups] == [["deep", "wide"]] * 2


def test_a_duration_of_a_variants_own_does_not_split_an_axis_of_training():
    trials = []
    for optimizer in ("adamw", "sgd"):
        for family, epochs in (("wide", 30.0), ("deep", 30.0), ("hourglass", 60.0)):
            trials += trial_rows(family, WIDE, optimizer=optimizer, epochs=epochs)
    groups = reported(trials).groups
    assert [group.training for group in groups] == ["optimizer adamw", "optimizer sgd"]
    assert all(len(group.rows) == 3 for group in groups)
    assert "epochs 60" in row_of(groups[0], "hourglass").full_name


def test_a_variant_beside_the_axis_is_compared_at_each_of_its_points():
    trials = trial_rows("hourglass", WIDE, epochs=None, steps=500)
    for epochs in (5.0, 20.0):
        trials += trial_rows("deep", DEEP, epochs=epochs)
    trials += trial_rows("wide", WIDE, epochs=20.0)
    found = {g.training: sorted(row.family for row in g.rows) for g in reported(trials).groups}
    assert found == {"epochs 5": ["deep", "hourglass"], "epochs 20": ["deep", "hourglass", "wide"]}


def test_settings_that_follow_an_axis_are_none():
    trials = []
    for optimizer, decay in (("adamw", 0.01), ("sgd", 0.0)):
        trials += trial_rows("deep", DEEP, optimizer=optimizer, weight_decay=decay)
        trials += trial_rows("wide", WIDE, optimizer=optimizer, weight_decay=0.0)
    groups = reported(trials).groups
    assert [(g.training, len(g.rows)) for g in groups] == [
        ("optimizer adamw", 2),
        ("optimizer sgd", 2),
    ]


def test_intervals_of_bounded_metrics_stay_in_their_range():
    trials = trial_rows("wide", [0.001, 0.002, 0.2]) + trial_rows("deep", [3.8, 0.1, 0.1])
    metrics = row_of(only_group(trials), "wide").metrics
    assert metrics["test_loss"].low == 0.0
    assert metrics["test_accuracy"].high == 1.0
    assert metrics["test_accuracy"].low < 0.98


@pytest.mark.parametrize(("num", "start"), [(1, "1 seed a variant is"), (2, "2 seeds a variant")])
def test_too_few_seeds_are_told_with_what_to_do_next(num, start):
    (note,) = reported(trial_rows("wide", WIDE[:num]) + trial_rows("deep", DEEP[:num])).notes
    assert note.startswith(start)
    assert "`seeds: 3` or more in the suite" in note
    assert "--set seeds=3" in note


def test_more_seeds_are_no_advice_where_some_failed_or_are_still_to_come():
    lost = trial_rows("wide", [0.1, 0.1, None], statuses=["ok", "ok", "failed"])
    assert reported(lost + trial_rows("deep", DEEP)).notes == ()
    begun = trial_rows("wide", WIDE[:1], is_selected=None) + trial_rows("deep", DEEP)
    assert not any("seeds: 3" in note for note in reported(begun).notes)


def test_a_training_of_a_variants_own_is_compared_with_the_others():
    group = only_group(
        trial_rows("wide", WIDE, optimizer="sgd") + trial_rows("deep", DEEP, optimizer="adamw")
    )
    assert [row.family for row in group.rows] == ["wide", "deep"]


def test_variants_of_one_shape_are_told_apart_by_their_options():
    group = only_group(
        trial_rows("deep", WIDE, variant_id="a", kernel=5)
        + trial_rows("deep", DEEP, variant_id="b", kernel=3)
    )
    assert [row.full_name for row in group.rows] == [
        "deep (L 4, d 32, kernel 5)",
        "deep (L 4, d 32, kernel 3)",
    ]


def test_an_option_for_which_a_width_was_solved_is_named_beside_it():
    group = only_group(
        trial_rows("deep", WIDE, variant_id="a", width=30, hidden=60, layer_scale="0.1")
        + trial_rows("deep", DEEP, variant_id="b", width=32, hidden=64, layer_scale="none")
    )
    assert [row.full_name for row in group.rows] == [
        "deep (L 4, d 30, layer scale 0.1)",
        "deep (L 4, d 32)",
    ]


def test_the_selected_learning_rate_is_shown():
    trials = trial_rows("deep", DEEP, lr=0.1, is_selected=False) + trial_rows("deep", DEEP)
    row = only_group(trials).rows[0]
    assert (row.lr, row.num_lrs, row.num_seeds) == (0.003, 2, 5)


def test_an_unfinished_run_is_ranked_by_validation_at_the_best_rates_so_far():
    trials = trial_rows("wide", WIDE, is_selected=None)
    trials += trial_rows(
        "wide", [0.01, None], lr=0.1, statuses=["ok", "diverged"], is_selected=None
    )
    trials += trial_rows("deep", DEEP, is_selected=None)
    report = reported(trials, status="running", num_trials=20)
    group = report.groups[0]
    assert (report.is_complete, report.num_finished, report.num_trials) == (False, 12, 20)
    assert report.notes[0].startswith("Incomplete: the run is still running")
    assert group.metric == "val_loss"
    assert "lowest validation loss" in group.answer
    assert row_of(group, "wide").lr == 0.003
    assert len(group.notes) == 2


def test_a_test_set_read_in_part_does_not_rank():
    trials = trial_rows("wide", WIDE) + trial_rows("deep", DEEP, test=False)
    assert only_group(trials).metric == "val_loss"


def test_a_run_without_a_finished_trial_says_so():
    report = reported((), status="running", num_trials=7)
    assert report.groups == ()
    assert report.notes == ("No trial has finished yet: 0 of 7.",)


def test_times_stand_with_the_variants_they_are_of():
    trials = trial_rows("wide", WIDE) + trial_rows("deep", DEEP)
    timings = [
        timing_row("wide", spread(1e-3)),
        timing_row("deep", spread(2e-3)),
        timing_row("deep", [], batch_size=128, status="oom", median_seconds=None),
    ]
    group = only_group(trials, timings)
    assert [t.median_seconds for t in row_of(group, "wide").timings] == [1e-3]
    assert [t.status for t in row_of(group, "deep").timings] == ["ok", "oom"]


def test_only_a_train_step_depends_on_the_optimizer():
    trials = trial_rows("wide", WIDE, optimizer="adamw", lr=0.003)
    trials += trial_rows("wide", WIDE, optimizer="sgd", lr=0.03)
    timings = [
        timing_row("wide", spread(1e-3)),
        timing_row("wide", spread(2e-3), phase="train_step"),
        timing_row("wide", spread(3e-3), phase="train_step", cell_id="s", optimizer="sgd")
        | {"trial_id": "wide-4-32-digits-0.03-0"},
    ]
    first, second = (group.rows[0].timings for group in reported(trials, timings).groups)
    assert [t.median_seconds for t in first] == [1e-3, 2e-3]
    assert [t.median_seconds for t in second] == [1e-3, 3e-3]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("momentum", 0.5), ("nesterov", False), ("clip_norm", 1.0), ("label_smoothing", 0.1)],
)
def test_a_train_step_of_other_settings_is_not_this_variants(setting, value):
    trials = trial_rows("wide", WIDE) + trial_rows("wide", WIDE, lr=0.03, **{setting: value})
    timings = [
        timing_row("wide", spread(1e-3)),
        timing_row("wide", spread(2e-3), phase="train_step"),
        timing_row("wide", spread(3e-3), phase="train_step", cell_id="s")
        | {"trial_id": "wide-4-32-digits-0.03-0"},
    ]
    groups = reported(trials, timings).groups
    found = {
        group.rows[0].lr: [t.median_seconds for t in group.rows[0].timings] for group in groups
    }
    assert found == {0.003: [1e-3, 2e-3], 0.03: [1e-3, 3e-3]}


def test_settings_of_cells_are_named_only_where_they_differ():
    trials = trial_rows("wide", WIDE)
    timings = [timing_row("wide", spread(1e-3), precision=p, cell_id=p) for p in ("fp32", "bf16")]
    labels = [t.label for t in only_group(trials, timings).rows[0].timings]
    assert labels == ["inference batch 1, precision fp32", "inference batch 1, precision bf16"]


def test_alike_failures_are_counted_together_with_their_reason():
    trials = trial_rows("wide", [None] * 3, statuses=["oom"] * 3) + trial_rows("deep", DEEP)
    timings = [timing_row("deep", [], status="failed", error="boom\n\tat x")]
    trials_lost, cell_lost = reported(trials, timings).problems
    assert (trials_lost.num, trials_lost.status, trials_lost.reason) == (3, "oom", "planted oom")
    assert cell_lost.what == "timing deep (L 4, d 32), inference batch 1"
    assert cell_lost.reason == "boom at x"


def test_claims_stand_with_their_verdicts():
    report = reported(
        trial_rows("parallel_shallow", DEEP) + trial_rows("deep", DEEP), claims=[claim()]
    )
    assert [found.verdict for found in report.claims] == ["holds"]


def test_what_has_no_number_of_the_test_set_is_counted_where_validation_ranks():
    trials = trial_rows("wide", WIDE) + trial_rows("deep", DEEP)
    for row in trials[:2]:
        row["test_loss"] = float("nan")
    group = only_group(trials)
    assert "lowest validation loss" in group.answer
    assert group.notes[0].startswith("Ranked by validation, since 2 of 10 trials have no number")


@pytest.mark.parametrize(
    ("status", "words"),
    [("failed", "ended with an error"), ("interrupted", "was interrupted"), ("odd", "is odd")],
)
def test_a_run_that_has_not_finished_says_what_became_of_it(status, words):
    report = reported(trial_rows("deep", DEEP), status=status, num_trials=20)
    assert report.notes[0].startswith(f"Incomplete: the run {words}; 5 of 20 trials are done.")


def test_incomplete_data_is_said():
    report = reported(trial_rows("wide", WIDE, data_is_complete=False))
    assert any("Incomplete data: digits" in note for note in report.notes)


def test_the_summary_is_made_of_plain_values():
    facts = asdict(summarise([quickstart_run()]))
    assert json.loads(json.dumps(facts))["runs"][0]["suite"] == "planted"


def test_equal_results_give_equal_summaries():
    run = quickstart_run()
    assert summarise([run]) == summarise([run])


def test_few_columns_tell_rows_apart():
    rows = [{"a": 1, "b": 1, "c": 5}, {"a": 1, "b": 2, "c": 6}, {"a": 1, "b": 2, "c": 6}]
    assert distinguishing(rows, ("a", "b", "c")) == ["b"]
    assert distinguishing(rows[:1], ("a", "b", "c")) == []


def test_runs_of_different_data_are_told_apart():
    first = make_run(trial_rows("wide", WIDE, data_digest="a" * 64))
    second = make_run(trial_rows("wide", WIDE, data_digest="b" * 64))
    for report, digest in zip(summarise([first, second]).runs, "ab", strict=True):
        assert any(
            note.startswith("Data differ: digits") and digest * 12 in note for note in report.notes
        )
    for report in summarise([first, first]).runs:
        assert not any("Data differ" in note for note in report.notes)


def test_trials_of_one_run_on_different_data_are_noted():
    trials = trial_rows("wide", WIDE, data_digest="a" * 64)
    trials += trial_rows("deep", DEEP, data_digest="b" * 64)
    (note,) = reported(trials).notes
    assert "in the trials of this run" in note


def answer_with(*timings, wide=WIDE, deep=DEEP):
    trials = trial_rows("wide", wide) + trial_rows("deep", deep)
    return only_group(trials, timings).answer


def test_the_answer_says_what_the_best_costs_in_time():
    times = (timing_row("wide", spread(2e-3)), timing_row("deep", spread(1e-3)))
    assert answer_with(*times).endswith("; at inference batch 1 wide is 2.0x slower than deep.")
    swapped = answer_with(*times, wide=DEEP, deep=WIDE)
    assert swapped.endswith("; at inference batch 1 deep is 2.0x faster than wide.")


def test_times_whose_intervals_meet_are_not_separated():
    times = (timing_row("wide", spread(1.005e-3)), timing_row("deep", spread(1e-3)))
    assert answer_with(*times).endswith("wide and deep are not separated in time.")


def test_close_times_that_are_separated_show_that_they_differ():
    times = (
        timing_row("wide", spread(1.02e-3, 0.001)),
        timing_row("deep", spread(1e-3, 0.001)),
    )
    assert "wide is 1.020x slower than deep" in answer_with(*times)


def test_times_in_doubt_are_said_to_be():
    times = (
        timing_row("wide", spread(2e-3), flags=["noisy"]),
        timing_row("deep", spread(1e-3)),
    )
    assert answer_with(*times).endswith("2.0x slower than deep (times in doubt).")


def test_inference_counts_before_a_training_step():
    both = [
        timing_row(family, spread(seconds), phase=phase)
        for family, seconds in (("wide", 2e-3), ("deep", 1e-3))
        for phase in ("train_step", "inference")
    ]
    assert "at inference batch 1" in answer_with(*both)
    assert "at train_step batch 1" in answer_with(*both[::2])


def test_an_answer_without_shared_times_says_nothing_of_time():
    assert "batch" not in answer_with()
    assert "batch" not in answer_with(timing_row("wide", spread(1e-3)))
    lost = timing_row("deep", [], status="oom", median_seconds=None)
    assert "batch" not in answer_with(timing_row("wide", spread(1e-3)), lost)
