import math

import pytest

from depthbench.errors import ResultError
from depthbench.grammar import ClaimSettings
from depthbench.report.claims import check, claims_of, judge
from depthbench.report.verdicts import Bounds, exit_code
from tests.fixtures_results import (
    claim,
    make_run,
    quickstart_run,
    share,
    spread,
    timing_row,
    trial_rows,
)

DEEP = [0.100, 0.104, 0.097, 0.102, 0.099]


def judged(trials=(), timings=(), **settings):
    return judge(ClaimSettings.model_validate(claim(**settings)), make_run(trials, timings))


def two_sides(parallel, deep=DEEP):
    return trial_rows("parallel_shallow", parallel) + trial_rows("deep", deep)


@pytest.mark.parametrize(
    ("factors", "verdict"),
    [
        ([0.90, 0.92, 0.88, 0.91, 0.89], "holds"),
        ([1.20, 1.22, 1.18, 1.25, 1.21], "refuted"),
        ([1.00, 1.10, 0.98, 1.12, 1.03], "undecided"),
        ([1.0] * 5, "holds"),
    ],
)
def test_a_planted_ratio_gets_its_verdict(factors, verdict):
    parallel = [loss * factor for loss, factor in zip(DEEP, factors, strict=True)]
    found = judged(two_sides(parallel))
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(math.prod(factors) ** 0.2)
    assert (found.num_pairs, found.num_strata, found.num_missing) == (5, 1, 0)


def test_a_difference_is_an_arithmetic_mean():
    parallel = [loss + extra for loss, extra in zip(DEEP, [1, 2, 3, 4, 5], strict=True)]
    found = judged(two_sides(parallel), expect={"difference_at_least": 0.5})
    assert found.estimate == pytest.approx(3.0)
    assert found.verdict == "holds"
    # Widened: 3 - 1.2 of the plain percentiles, times sqrt(5/4) and t(4)/z = 1.417.
    assert found.interval[0] == pytest.approx(3 - 1.2 * math.sqrt(1.25) * 1.417, abs=0.35)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.96, 1.04, "holds"),
        (0.95, 1.05, "holds"),
        (1.06, 1.2, "refuted"),
        (0.8, 0.94, "refuted"),
        (0.94, 1.0, "undecided"),
        (0.9, 1.1, "undecided"),
    ],
)
def test_an_interval_is_judged_by_where_it_lies(low, high, verdict):
    assert Bounds(0.95, 1.05, True).judge(low, high) == verdict


def test_pairs_are_drawn_within_the_strata_of_the_other_keys():
    trials = []
    for depth, factor in ((2, 0.5), (8, 2.0)):
        trials += trial_rows("deep", DEEP, depth=depth)
        trials += trial_rows("parallel_shallow", [loss * factor for loss in DEEP], depth=depth)
    found = judged(trials, paired_by=["depth", "seed"], expect={"ratio_within": [0.99, 1.01]})
    assert (found.num_pairs, found.num_strata) == (10, 2)
    assert found.verdict == "holds"  # within each depth there is no spread at all


def test_rows_that_share_a_key_are_averaged_and_it_is_said():
    trials = trial_rows("deep", [1.0] * 3, depth=2) + trial_rows("deep", [3.0] * 3, depth=8)
    trials += trial_rows("parallel_shallow", [2.0] * 3)
    found = judged(trials)
    assert found.estimate == pytest.approx(1.0)
    assert "6 rows of 'against' averaged to 3" in found.reason


def test_failed_and_diverged_trials_are_counted_as_missing():
    statuses = ["ok", "ok", "ok", "diverged", "oom"]
    trials = trial_rows("deep", DEEP) + trial_rows("parallel_shallow", DEEP, statuses=statuses)
    found = judged(trials)
    assert (found.verdict, found.num_pairs, found.num_missing) == ("undecided", 3, 2)
    assert "the survivors alone decide nothing" in found.reason
    assert "2 missing in 'of': 1 diverged and 1 oom" in found.reason
    assert "2 of 5 keys of 'against' have no partner" in found.reason


def test_failed_trials_alone_leave_a_verdict():
    trials = trial_rows("deep", DEEP) + trial_rows(
        "parallel_shallow", DEEP, statuses=["ok", "ok", "ok", "failed", "oom"]
    )
    assert judged(trials).verdict == "holds"


def test_a_trial_whose_metric_is_nan_is_missing():
    found = judged(two_sides([*DEEP[:4], float("nan")]))
    assert (found.num_pairs, found.num_missing) == (4, 1)


def test_other_learning_rates_do_not_count():
    worse = trial_rows("parallel_shallow", [9.0] * 5, lr=0.1, is_selected=False)
    assert judged(two_sides(DEEP) + worse, metric="val_loss").estimate == pytest.approx(1.0)


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_fewer_than_three_seeds_leave_a_claim_undecided(num_seeds):
    found = judged(two_sides([0.5] * num_seeds, [1.0] * num_seeds))
    assert found.verdict == "undecided"
    assert found.estimate == pytest.approx(0.5)
    assert found.interval is None
    assert "an interval needs 3 (`seeds: 3` or more in the suite)" in found.reason


def test_seeds_that_failed_are_not_missing_from_the_suite():
    failed = trial_rows("parallel_shallow", [0.5] * 3, statuses=["ok", "ok", "failed"])
    found = judged(failed + trial_rows("deep", [1.0] * 3))
    assert "2 seeds; an interval needs 3" in found.reason
    assert "in the suite" not in found.reason


def test_a_thin_stratum_is_named():
    trials = two_sides(DEEP) + trial_rows("deep", DEEP[:2], depth=9)
    trials += trial_rows("parallel_shallow", DEEP[:2], depth=9)
    found = judged(trials, paired_by=["depth", "seed"])
    assert found.reason.startswith("2 seeds at depth 9")


def test_a_ratio_of_values_that_are_not_positive_is_undecided():
    found = judged(two_sides([0.1, 0.1, 0.0, 0.1, 0.1]))
    assert (found.verdict, found.estimate) == ("undecided", None)
    assert "positive" in found.reason


def test_an_empty_side_is_named_with_what_there_is():
    found = judged(two_sides(DEEP), of={"family": "parallel_shalow"})
    assert found.num_pairs == 0
    assert found.reason.startswith("'of' is empty: no row has family parallel_shalow")
    assert "deep and parallel_shallow" in found.reason
    assert "did you mean parallel_shallow?" in found.reason


def test_sides_that_never_meet_are_told_which_column_keeps_them_apart():
    trials = trial_rows("deep", DEEP, width=32) + trial_rows("parallel_shallow", DEEP, width=64)
    found = judged(trials, paired_by=["width", "seed"])
    assert "width is 64 in 'of' and 32 in 'against'" in found.reason


def test_a_side_without_a_usable_row_says_how_its_trials_ended():
    trials = trial_rows("deep", DEEP)
    trials += trial_rows("parallel_shallow", DEEP, statuses=["diverged"] * 5)
    assert judged(trials).reason == "no usable row in 'of': 5 diverged"


def test_nothing_is_judged_before_learning_rates_are_selected():
    found = judged(trial_rows("deep", DEEP, is_selected=None))
    assert (found.verdict, found.num_pairs) == ("undecided", 0)
    assert "unfinished" in found.reason


def test_filters_take_lists_numbers_flags_and_texts():
    trials = trial_rows("deep", DEEP, depth=2, bias=True, residual_scale="1")
    trials += trial_rows("deep", [2 * loss for loss in DEEP], depth=4, bias=False)
    found = judged(
        trials,
        of={"depth": [4, 6], "lr": 0.003, "bias": False},
        against={"residual_scale": 1.0, "bias": True},
        where={"dataset": ["digits", "mnist"]},
        expect={"ratio_at_least": 1.5},
    )
    assert found.estimate == pytest.approx(2.0)
    assert found.verdict == "holds"


def test_filters_take_lists_as_text_and_none_for_what_is_not_there():
    trials = trial_rows("deep", DEEP, hidden_sizes=None)
    trials += trial_rows("deep", [2 * loss for loss in DEEP], hidden_sizes=[64, 128])
    trials += trial_rows("deep", [3 * loss for loss in DEEP], hidden_sizes=[128, 64])
    for unlike, ratio in (("[64, 128]", 2.0), ("[128, 64]", 3.0)):
        found = judged(
            trials,
            of={"hidden_sizes": unlike},
            against={"hidden_sizes": "none"},
            expect={"ratio_at_least": 1.5},
        )
        assert found.estimate == pytest.approx(ratio)


def test_without_seeds_the_pairs_themselves_are_drawn():
    trials = []
    for depth, factor in ((2, 0.88), (4, 0.9), (8, 0.92)):
        trials += trial_rows("deep", [1.0], depth=depth)
        trials += trial_rows("parallel_shallow", [factor], depth=depth)
    found = judged(trials, paired_by=["depth"])
    assert (found.num_pairs, found.num_strata, found.verdict) == (3, 1, "holds")
    assert found.interval == pytest.approx((0.846, 0.956), abs=0.005)


def test_the_order_of_rows_does_not_change_a_judgement():
    trials = two_sides([loss * 1.03 for loss in DEEP[:4]] + [0.2])
    assert judged(trials) == judged(trials[::-1])


def cells(families, **facts):
    rows = []
    for family, seconds in families.items():
        rows += [timing_row(family, spread(seconds * batch), batch_size=batch) for batch in (1, 8)]
    return [row | facts for row in rows]


TIMED = {
    "metric": "median_seconds",
    "where": {"phase": "inference"},
    "expect": {"ratio_at_most": 0.5},
}


def test_times_are_paired_cell_by_cell_and_their_samples_drawn_again():
    found = judged(timings=cells({"parallel_shallow": 1e-3, "deep": 4e-3}), **TIMED)
    assert found.verdict == "holds"
    assert found.num_pairs == 2
    assert found.estimate == pytest.approx(0.25)
    assert 0.24 < found.interval[0] < 0.25 < found.interval[1] < 0.26


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(3e-3, "refuted"), (2e-3, "undecided"), (1e-3, "holds")]
)
def test_a_planted_time_gets_its_verdict(seconds, verdict):
    timings = cells({"parallel_shallow": seconds, "deep": 4e-3})
    assert judged(timings=timings, **TIMED).verdict == verdict


@pytest.mark.parametrize(
    ("metric", "ratio"),
    [("mean_seconds", 0.25), ("p95_seconds", 0.25), ("examples_per_second", 4.0)],
)
def test_other_statistics_of_the_samples_can_be_claimed(metric, ratio):
    timings = cells({"parallel_shallow": 1e-3, "deep": 4e-3})
    for row in timings:
        row[metric] = 1.0
    found = judged(timings=timings, **(TIMED | {"metric": metric}))
    assert found.estimate == pytest.approx(ratio)
    assert found.interval is not None


def test_too_few_samples_leave_a_time_undecided():
    timings = [timing_row(f, [1e-3] * 5) for f in ("parallel_shallow", "deep")]
    found = judged(timings=timings, **TIMED)
    assert found.verdict == "undecided"
    assert "only 5 samples" in found.reason


def test_a_number_without_samples_is_drawn_over_its_pairs():
    timings = cells({"parallel_shallow": 1e-3, "deep": 4e-3}, peak_memory_bytes=1000)
    found = judged(timings=timings, **(TIMED | {"metric": "peak_memory_bytes"}))
    assert (found.verdict, found.estimate) == ("undecided", pytest.approx(1.0))
    assert "needs 3 pairs" in found.reason


def test_a_setting_that_tells_the_sides_apart_does_not_pair_them():
    rows = [
        timing_row("deep", spread(seconds), mode=mode)
        for mode, seconds in (("eager", 4e-3), ("compile", 1e-3))
    ]
    sides = {"of": {"mode": "compile"}, "against": {"mode": "eager"}}
    assert judged(timings=rows, **(TIMED | sides)).estimate == pytest.approx(0.25)


def test_a_time_can_be_chosen_by_a_column_of_its_trial():
    trials = trial_rows("deep", DEEP, norm="none") + trial_rows("wide", DEEP, norm="layer")
    timings = cells({"deep": 4e-3, "wide": 1e-3})
    sides = {"of": {"norm": "layer"}, "against": {"norm": "none"}}
    found = judged(trials, timings, **(TIMED | sides))
    assert found.estimate == pytest.approx(0.25)


def test_doubtful_timings_are_told():
    timings = cells({"parallel_shallow": 1e-3, "deep": 4e-3})
    timings[0]["flags"] = ["noisy"]
    assert "1 of 4 timings are flagged as doubtful" in judged(timings=timings, **TIMED).reason


def test_a_failed_cell_is_missing_and_no_timings_are_said():
    timings = cells({"parallel_shallow": 1e-3, "deep": 4e-3})
    timings[0] |= {"status": "oom", "median_seconds": None, "samples_seconds": None}
    found = judged(timings=timings, **TIMED)
    assert (found.num_pairs, found.num_missing) == (1, 1)
    assert "no timings" in judged(**TIMED).reason


@pytest.mark.parametrize(
    ("verdicts", "facts", "code"),
    [
        (["holds"], {}, 0),
        (["holds", "undecided"], {}, 0),
        (["undecided"], {"is_strict": True}, 4),
        (["undecided"], {"is_strict": True, "num_failed": 1}, 1),
        (["refuted", "undecided"], {"is_strict": True, "num_failed": 1}, 3),
        ([], {"is_empty": True, "num_failed": 1}, 5),
    ],
)
def test_the_first_exit_code_that_applies_wins(verdicts, facts, code):
    assert exit_code(verdicts, **facts) == code


def test_check_judges_all_claims_of_all_runs():
    judgements, code = check([quickstart_run(), quickstart_run(run="r2")])
    assert [found.verdict for found in judgements] == ["holds", "refuted", "undecided"] * 2
    assert [found.run for found in judgements] == ["r1"] * 3 + ["r2"] * 3
    assert code == 3


def test_check_finds_nothing_to_judge_without_claims_or_pairs():
    assert check([make_run(two_sides(DEEP))]) == ([], 5)
    judgements, code = check([make_run(two_sides(DEEP), claims=[claim(of={"family": "wide"})])])
    assert (len(judgements), code) == (1, 5)


def test_check_tells_of_failed_trials_and_of_strictness():
    failed = trial_rows("wide", [None], statuses=["failed"])
    holds = make_run(two_sides(DEEP) + failed, claims=[claim()])
    assert check([holds])[1] == 1
    open_claim = claim(expect={"ratio_at_most": 1.05})
    noisy = [loss * f for loss, f in zip(DEEP, [1, 1.1, 0.98, 1.12, 1.03], strict=True)]
    undecided = make_run(two_sides(noisy), claims=[open_claim])
    assert check([undecided])[1] == 0
    assert check([undecided], is_strict=True)[1] == 4


def test_a_claim_that_cannot_be_read_names_its_file():
    with pytest.raises(ResultError, match=r"run\.json: claims: .*metric"):
        claims_of(make_run(claims=[{"id": "x", "of": {}, "against": {}, "expect": {}}]))


def test_tables_of_numpy_types_are_judged_alike():
    run = make_run(two_sides(DEEP), claims=[claim()])
    other = make_run(run.trials.to_dict("records"), claims=[claim()])
    assert check([other]) == check([run])


def off_and_on():
    return trial_rows("parallel_shallow", DEEP, budgets=[share(0.3, is_solved=False)]) + trial_rows(
        "deep", DEEP
    )


def test_rows_off_budget_are_noted_in_the_verdict():
    found = judged(off_and_on())
    assert found.verdict == "holds"
    assert "5 of 10 rows are off budget" in found.reason
    assert "off budget" not in judged(two_sides(DEEP)).reason


def test_timings_of_variants_off_budget_are_noted_too():
    timings = [timing_row("parallel_shallow", spread(1e-4)), timing_row("deep", spread(2e-4))]
    found = judged(off_and_on(), timings, metric="median_seconds")
    assert "1 of 2 rows is off budget" in found.reason


def test_a_row_counts_as_off_budget_by_the_budget_that_the_claim_names():
    shares = [share(0.5, target=10_000.0), share(0.001, target=20_000.0)]
    trials = trial_rows("parallel_shallow", DEEP, budgets=shares)
    trials += trial_rows("deep", DEEP, budgets=shares)
    assert "off budget" not in judged(trials).reason
    assert "10 of 10 rows are off" in judged(trials, where={"budget_target": 10_000.0}).reason
    assert "off budget" not in judged(trials, where={"budget_target": 20_000.0}).reason


def test_a_claim_about_times_sees_every_budget_of_a_variant():
    shares = [share(target=10_000.0), share(target=20_000.0)]
    trials = trial_rows("parallel_shallow", DEEP, budgets=shares)
    trials += trial_rows("deep", DEEP, budgets=shares)
    timings = [timing_row("parallel_shallow", spread(1e-4)), timing_row("deep", spread(2e-4))]
    for target in (10_000.0, 20_000.0):
        found = judged(trials, timings, metric="median_seconds", where={"budget_target": target})
        assert (found.verdict, found.num_pairs) == ("holds", 1)
