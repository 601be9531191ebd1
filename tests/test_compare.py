"""Planted changes between two runs get the verdicts and the exit codes they ought to."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from scipy.stats import false_discovery_control, ttest_rel

from depthbench import environment
from depthbench.calibration import Calibration, NoiseFloor, calibration_path, write_calibration
from depthbench.errors import ResultError
from depthbench.report.compare.changes import VERDICTS, Change
from depthbench.report.compare.runs import CompareOptions, compare_runs
from depthbench.report.gate import ALPHA, MARGIN
from depthbench.report.statistics import MIN_SEEDS
from tests.fixtures_compare import ENVIRONMENT, FAMILIES, LOSSES, cells, night, timed, trials
from tests.fixtures_results import trial_rows

SCATTER = (1.01, 0.99, 1.005, 0.995, 1.0)


def compared(baseline=None, candidate=None, tmp_path="/nowhere", **options):
    return compare_runs(
        baseline or night(),
        candidate or night(timings=cells(seed=1)),
        CompareOptions(**({"out": tmp_path} | options)),
    )


def scaled(factor, family="deep"):
    pairs = zip(LOSSES[family], SCATTER, strict=True)
    return {family: [loss * factor * scatter for loss, scatter in pairs]}


def verdicts(found, kind):
    return {
        (change.facts["family"], change.what): change.verdict
        for change in found.changes
        if change.kind == kind
    }


def of_family(found, family, kind="quality"):
    return [c for c in found.changes if (c.kind, c.facts["family"]) == (kind, family)]


def test_equal_runs_are_the_same():
    found = compared()
    assert found.count("same") == len(found.changes) == 2 * 4 + 4
    assert found.answer == "Times are the same; quality is the same."
    assert found.exit_code() == found.exit_code(is_strict=True) == 0


def test_a_planted_slowdown_is_worse_and_nothing_else_is():
    found = compared(candidate=night(timings=cells({"deep": 1.3}, seed=1)))
    assert {key[0] for key, verdict in verdicts(found, "time").items() if verdict == "worse"} == {
        "deep"
    }
    assert found.count("worse") == 2 and found.count("same") == 10
    assert found.answer.startswith("2 of 8 timings are slower, the worst by 3")
    assert found.answer.endswith("; quality is the same.")
    worst = max(found.changes, key=lambda change: change.change_fraction)
    assert worst.full_name in found.answer
    assert worst.low_fraction < 0.3 < worst.high_fraction
    assert worst.candidate / worst.baseline == pytest.approx(1 + worst.change_fraction)
    assert found.exit_code() == 3


def test_a_planted_speedup_is_better_and_no_error():
    found = compared(candidate=night(timings=cells({"wide": 0.7}, seed=1)))
    assert found.count("better") == 2
    assert "2 of 8 timings are faster, the best by 30%" in found.answer
    assert found.exit_code(is_strict=True) == 0


def test_what_noise_hides_is_unresolved_and_an_error_only_if_strict():
    loud = {"noise": 0.15}
    found = compared(night(timings=cells(**loud)), night(timings=cells(seed=1, **loud)))
    assert found.count("unresolved", kind="time") > 0 and not found.count("worse", "better")
    assert "no timing is slower or faster for sure: of 8 timings" in found.answer.lower()
    assert (found.exit_code(), found.exit_code(is_strict=True)) == (0, 4)


def test_calibrated_floors_hold_a_change_back_and_are_named(tmp_path):
    slower = night(timings=cells({"deep": 1.15}, seed=1))
    assert (
        "planted is not calibrated; `depthbench calibrate SUITE`"
        in compared(candidate=slower, tmp_path=tmp_path).floors
    )
    floors = {row["cell_id"]: NoiseFloor(0.4, 20.0) for row in cells()}
    calibration = Calibration("planted", "h", "cpu", 12, "2026-01-01", ENVIRONMENT, floors)
    write_calibration(calibration_path(tmp_path, "planted"), calibration)
    found = compared(candidate=slower, tmp_path=tmp_path)
    assert found.count("worse") == 0 and found.exit_code() == 0
    assert "Noise floors of 40% to 40%" in found.floors and found.floors in found.notes
    assert {change.threshold_fraction for change in found.changes if change.kind == "time"} == {0.4}


@pytest.mark.parametrize(
    ("factor", "verdict", "code"),
    [(1.2, "worse", 3), (0.8, "better", 0), (1.01, "same", 0)],
)
def test_a_planted_change_of_quality_gets_its_verdict(factor, verdict, code):
    found = compared(candidate=night(trials(scaled(factor))))
    (change,) = of_family(found, "deep")
    assert change.verdict == verdict
    assert change.change_fraction == pytest.approx(factor - 1, abs=0.002)
    assert change.metric == "test_loss" and change.num_candidate == 5
    assert found.count("same", kind="quality") == 3 + (verdict == "same")
    assert found.exit_code() == code
    if verdict != "same":
        assert f"quality is {verdict} in 1 of 4 variants, by 20%: deep (L 4, d 32)" in found.answer


def test_the_p_value_of_quality_is_that_of_a_paired_t_test_of_logs():
    import numpy as np

    found = compared(candidate=night(trials(scaled(1.2))))
    (change,) = of_family(found, "deep")
    expected = ttest_rel(np.log(scaled(1.2)["deep"]), np.log(LOSSES["deep"]))
    assert change.p_value == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(change.confidence)
    assert change.low_fraction == pytest.approx(np.expm1(low))
    assert change.high_fraction == pytest.approx(np.expm1(high))


def test_q_values_are_over_times_and_quality_together():
    found = compared(candidate=night(trials(scaled(1.02)), cells({"deep": 1.02}, seed=1)))
    tested = [change for change in found.changes if change.p_value is not None]
    assert {change.kind for change in tested} == {"time", "quality"}
    expected = false_discovery_control([change.p_value for change in tested])
    assert [change.q_value for change in tested] == pytest.approx(list(expected))


def test_what_is_likely_among_so_many_does_not_look_sure_by_its_interval():
    loud = {"noise": 0.04}
    slower = night(timings=cells({"deep": 1.12}, seed=4, **loud))
    found = compared(night(timings=cells(**loud)), slower)
    tested = [change for change in found.changes if change.q_value is not None]
    likely = [change for change in tested if change.q_value >= ALPHA]
    assert any(change.p_value < 0.05 for change in likely)  # sure if it stood alone
    assert all(change.low_fraction <= 0 <= change.high_fraction for change in likely)
    assert {change.confidence for change in likely} == {1 - ALPHA / len(tested)}


def test_scattered_seeds_are_unresolved():
    losses = {"deep": [0.08, 0.13, 0.09, 0.12, 0.09]}
    (change,) = of_family(compared(candidate=night(trials(losses))), "deep")
    assert change.verdict == "unresolved" and change.q_value > 0.04
    assert change.low_fraction < 0 < change.high_fraction


def test_of_an_accuracy_more_is_better():
    found = compared(
        candidate=night([row | {"test_accuracy": 0.6 + 0.001 * row["seed"]} for row in trials()]),
        metrics=("test_accuracy",),
    )
    assert {change.verdict for change in found.changes} == {"worse"}
    assert all(change.change_fraction < 0 for change in found.changes)
    assert "Quality is worse in 4 of 4 variants, the worst by 39%: wide" in found.answer
    swapped = compared(
        night([row | {"test_accuracy": 0.6 + 0.001 * row["seed"]} for row in trials()]),
        night(),
        metrics=("test_accuracy",),
    )
    assert {change.verdict for change in swapped.changes} == {"better"}


def test_equal_values_are_the_same_whatever_the_number_of_seeds():
    one = [row for row in trials() if row["seed"] == 0]
    found = compared(night(one), night(one, cells(seed=1)))
    quality = [change for change in found.changes if change.kind == "quality"]
    assert {change.verdict for change in quality} == {"same"}
    assert {change.p_value for change in quality} == {None}
    assert {change.reason for change in quality} == {"equal to the last bit in 1 seed"}


def test_a_single_seed_that_differs_decides_nothing():
    one = [row for row in trials() if row["seed"] == 0]
    other = [row for row in trials(scaled(2.0)) if row["seed"] == 0]
    found = compared(night(one), night(other, cells(seed=1)))
    (change,) = of_family(found, "deep")
    assert change.verdict == "unresolved" and change.low_fraction is None
    assert change.reason == "1 seed in common; a verdict needs 3 (`seeds: 3` or more)"
    assert found.exit_code(is_strict=True) == 4


def test_a_single_process_is_compared_by_blocks_and_says_so():
    single = [row | {"samples_process": [0] * 18} for row in cells()]
    found = compared(night(timings=single), night(timings=single))
    assert any("not of several processes" in note for note in found.notes)
    assert found.count("same", kind="time") == 8


def with_status(rows, family, status, seeds=(0,), **facts):
    return [
        row | {"status": status, "error": f"planted {status}", "test_loss": None, "val_loss": None}
        if (row["family"], row.get("seed")) in {(family, seed) for seed in seeds}
        and facts.items() <= row.items()
        else row
        for row in rows
    ]


def test_diverged_where_it_was_ok_is_worse():
    found = compared(candidate=night(with_status(trials(), "deep", "diverged", (1, 3))))
    (change,) = of_family(found, "deep")
    assert (change.verdict, change.reason) == ("worse", "candidate: diverged in 2 seeds")
    # That the other seeds are as good as ever shall not look like a finding.
    assert (change.low_fraction, change.high_fraction, change.confidence) == (None, None, None)
    assert found.answer.endswith(
        "4 variants, deep (L 4, d 32), test loss (candidate: diverged in 2 seeds)."
    )
    assert found.answer.startswith(
        "2 trials that were ok now diverge: deep (L 4, d 32), lr 0.003, seed 1 and deep"
    )
    assert found.exit_code() == 3


def test_a_divergence_at_a_rate_that_is_not_chosen_counts_too():
    rates = trials() + [
        row | {"trial_id": f"{row['trial_id']}-fast", "is_selected": False, "test_loss": None}
        for row in trials(lr=0.1)
    ]
    found = compared(night(rates), night(with_status(rates, "deep", "diverged", (2,), lr=0.1)))
    assert found.count("worse") == 0
    assert [ending.name for ending in found.endings] == ["deep (L 4, d 32), lr 0.1, seed 2"]
    assert found.exit_code() == 3


@pytest.mark.parametrize("status", ["oom", "failed", "timeout", "unsupported"])
def test_a_new_failure_is_told_first_and_is_exit_1(status):
    lost = night(with_status(trials(), "wide", status, (0,)))
    found = compared(candidate=lost)
    assert found.answer.startswith("1 trial that was ok now fails: wide (L 4, d 32), lr 0.003, se")
    assert found.endings[0].error == f"planted {status}"
    (change,) = of_family(found, "wide")
    assert change.verdict == "unresolved" and f"{status} in 1 seed" in change.reason
    assert (found.exit_code(), found.exit_code(is_strict=True)) == (1, 1)


def test_a_cell_that_fails_now_is_exit_1_and_3_where_another_is_slower():
    def lost(rows):
        facts = {"status": "oom", "error": "no\nmemory", "samples_seconds": []}
        return [rows[0] | facts, *rows[1:]]

    found = compared(candidate=night(timings=lost(cells(seed=1))))
    assert found.answer.startswith("1 timing that was ok now fails: deep (L 4, d 32), inference b")
    assert found.endings[0].error == "no memory" and found.exit_code() == 1
    slower = lost(cells({"wide": 1.3}, seed=1))
    assert compared(candidate=night(timings=slower)).exit_code() == 3


def test_all_lost_is_a_failure_and_not_nothing_to_compare():
    lost = [row | {"status": "failed", "samples_seconds": []} for row in cells()]
    found = compared(candidate=night([], lost), metrics=("quiet_seconds",))
    assert found.num_compared == 0 and found.exit_code() == 1


def test_what_works_again_is_told_and_no_error():
    broken = [cells()[0] | {"status": "failed", "samples_seconds": []}, *cells()[1:]]
    baseline = night(with_status(trials(), "wide", "diverged"), broken)
    found = compared(baseline, night(timings=cells(seed=1)))
    assert found.exit_code(is_strict=True) == 0
    assert any("2 that did not end well are ok now" in note for note in found.notes)
    assert any("1 seed without a value in the baseline" in note for note in found.notes)


def test_what_never_worked_is_neither_lost_nor_unresolved():
    def unsupported(rows):
        facts = {"status": "unsupported", "error": "no CUDA", "samples_seconds": []}
        return [*rows, rows[0] | facts | {"cell_id": "graphed", "mode": "cuda_graph"}]

    found = compared(night(timings=unsupported(cells())), night(timings=unsupported(cells(seed=1))))
    assert found.count("unmatched") == 1 and not found.endings
    assert found.exit_code(is_strict=True) == 0
    assert "1 timing did not end well in either run." in found.notes


def test_what_only_one_run_has_is_listed_whole():
    some = [row for row in trials() if row["family"] != "wide"]
    more = [*cells(seed=1), timed("deep", 1e-3, batch_size=128)]
    found = compared(candidate=night(some, more, suite="other"))
    assert [(a.kind, a.side) for a in found.alone] == [("timing", "candidate")] + [
        ("trial", "baseline")
    ] * 5
    (note,) = (note for note in found.notes if note.startswith("Only in the baseline"))
    assert "5 trials (wide (L 4, d 32), lr 0.003, seed 0" in note and "2 more" in note
    assert any("The suites differ: planted and other" in note for note in found.notes)
    assert of_family(found, "wide")[0].reason == "no trial in common"
    assert found.exit_code(is_strict=True) == 0


def test_nothing_in_common_is_exit_5():
    others = [timed("deep", 1e-3, batch_size=7)]
    found = compared(candidate=night(trial_rows("new", LOSSES["deep"]), others))
    assert found.answer == "Nothing was compared: the runs have no result in common."
    assert found.exit_code() == 5


def test_another_environment_is_refused_with_what_differs_and_the_command():
    other = ENVIRONMENT | {"torch_threads": 4, "versions": {"torch": "3.0"}, "kernel": "new"}
    found = compared(candidate=night(environment=other))
    assert found.is_refused and found.exit_code() == 5 and found.changes == ()
    assert "torch_threads is 2 in the baseline and 4 in the candidate" in found.answer
    assert "versions.torch is 2.9.0 in the baseline and 3.0 in" in found.answer
    (command,) = (note for note in found.notes if "depthbench compare" in note)
    assert command.endswith("--allow versions.torch --allow torch_threads")
    half = compared(candidate=night(environment=other), allowed=("torch_threads",))
    assert half.is_refused and "torch_threads" not in half.answer
    whole = compared(
        candidate=night(environment=other), allowed=("torch_threads", "versions.torch")
    )
    assert not whole.is_refused and whole.exit_code() == 0
    assert any(
        note.startswith("Allowed to differ: versions.torch (2.9.0, 3.0)") for note in whole.notes
    )


def test_facts_that_move_between_boots_are_no_part_of_it():
    other = ENVIRONMENT | {"kernel": "x", "os": "y", "memory_bytes": 1, "git_commit": "z"}
    assert compared(candidate=night(environment=other)).exit_code() == 0
    assert "kernel" not in environment.COMPARABLE_KEYS


def test_a_run_that_does_not_say_where_it_was_made_is_compared_and_noted():
    found = compared(baseline=night(environment=None))
    assert found.exit_code() == 0
    assert any("baseline does not say on which machine" in note for note in found.notes)


def test_other_data_leave_quality_incomparable_while_times_go_on():
    other = night(trials(scaled(2.0), data_digest="b" * 64), cells({"wide": 1.3}, seed=1))
    found = compared(candidate=other)
    assert found.exit_code() == 5
    assert found.count("worse", kind="time") == 2
    assert {change.verdict for change in found.changes if change.kind == "quality"} == {"unmatched"}
    assert any("digits aaaaaaaaaaaa in the baseline" in note for note in found.notes)
    allowed = compared(candidate=other, allowed=("data_digest",))
    assert allowed.exit_code() == 3 and allowed.count("worse", kind="quality") == 1
    assert compared(candidate=other, metrics=("median_seconds",)).exit_code() == 3


def test_data_that_only_one_run_knows_the_digest_of_are_compared():
    assert compared(candidate=night(trials(data_digest=None))).exit_code() == 0


def test_a_nan_is_no_value_and_the_other_seeds_alone_decide_nothing():
    rows = trials()
    rows[1] = rows[1] | {"test_loss": float("nan")}
    found = compared(candidate=night(rows))
    (change,) = of_family(found, "deep")
    assert change.verdict == "unresolved"
    assert (
        change.reason == "candidate: no test loss in 1 seed; the other seeds alone decide nothing"
    )
    assert json.loads(json.dumps(asdict(found), allow_nan=False))


def test_without_a_test_loss_validation_is_compared_and_it_is_said():
    rows = [row | {"test_loss": None} for row in trials(scaled(1.3))]
    found = compared(candidate=night(rows))
    (change,) = of_family(found, "deep")
    assert (change.metric, change.verdict) == ("val_loss", "worse")
    assert any("has no test loss; compared by validation" in note for note in found.notes)


def test_another_choice_of_learning_rate_is_told():
    def rates(chosen):
        return [
            row | {"is_selected": is_chosen} | ({} if is_chosen else {"test_loss": None})
            for lr in (0.003, 0.01)
            for is_chosen in (lr == chosen,)
            for row in trial_rows("deep", LOSSES["deep"], lr=lr)
        ]

    found = compared(night(rates(0.003), []), night(rates(0.01), []))
    (change,) = found.changes
    assert (change.metric, change.verdict, change.facts["lr"]) == ("val_loss", "same", 0.003)
    assert "the best learning rate was 0.003 and is 0.01; compared at 0.003" in change.notes


def test_values_that_are_not_positive_are_compared_by_their_difference():
    def shifted(by):
        return [row | {"test_psnr_db": -1.0 + 0.01 * row["seed"] + by} for row in trials()]

    found = compared(night(shifted(0)), night(shifted(-0.5)), metrics=("test_psnr_db",))
    (change, *_) = found.changes
    assert change.verdict == "worse"
    assert change.change_fraction == pytest.approx(-0.5 / 0.98)
    zero = compared(
        night([row | {"test_loss": 0.0} for row in trials()]), night(), metrics=("test_loss",)
    )
    assert {change.verdict for change in zero.changes} == {"worse"}


def test_changes_beyond_any_number_are_still_a_verdict():
    huge = {"deep": [1e300, 1e-300, 1e300, 1e300, 1e300]}
    (change,) = of_family(compared(candidate=night(trials(huge))), "deep")
    assert change.verdict == "unresolved"


def test_up_and_down_are_balanced_by_the_geometric_mean():
    found = compared(
        candidate=night(timings=cells({"deep": 2.0, "wide": 0.5}, seed=0)),
        metrics=("median_seconds",),
    )
    (balance,) = found.balances
    assert (balance.num_up, balance.num_down, balance.num_equal) == (2, 2, 4)
    assert balance.mean_change_fraction == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("metrics", "kinds", "columns"),
    [
        ((), {"time", "quality"}, {"quiet_seconds", "test_loss"}),
        (("quiet_seconds",), {"time"}, {"quiet_seconds"}),
        (("median_seconds",), {"time"}, {"quiet_seconds"}),
        (("val_loss", "test_accuracy"), {"quality"}, {"val_loss", "test_accuracy"}),
    ],
)
def test_metrics_choose_what_is_compared(metrics, kinds, columns):
    found = compared(metrics=metrics)
    assert {change.kind for change in found.changes} == kinds
    assert {change.metric for change in found.changes} == columns


def test_threshold_and_confidence_are_heeded():
    slower = night(timings=cells({"deep": 1.15}, seed=1))
    assert compared(candidate=slower).count("worse") == 2
    assert compared(candidate=slower, threshold=0.3).count("worse") == 0
    worse = night(trials(scaled(1.2)))
    assert compared(candidate=worse).count("worse") == 1
    assert compared(candidate=worse, confidence=1 - 1e-12).count("worse") == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": ("test_los",)}, "did you mean test_loss"),
        ({"metrics": ("p95_seconds",)}, "quiet_seconds, median_seconds"),
        ({"allowed": ("cpu",)}, "allowed are arch"),
        ({"threshold": -0.1}, "--threshold -0.1"),
        ({"threshold": float("nan")}, "--threshold nan"),
        ({"confidence": 1.0}, "--confidence 1"),
        ({"confidence": 0.0}, "--confidence 0"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(options, said):
    with pytest.raises(ResultError, match=r"^--") as caught:
        CompareOptions(**options)
    assert said in str(caught.value) and caught.value.exit_code == 2


def test_unfinished_runs_are_compared_as_far_as_they_are():
    part = night(trials()[:7], cells(seed=1)[:3], status="running")
    found = compared(candidate=part)
    assert found.exit_code() == 0
    assert (
        "The candidate was killed before its end: 7 trials and 3 timings are there." in found.notes
    )
    assert sum(alone.side == "baseline" for alone in found.alone) == 13 + 5


@pytest.mark.parametrize(("num_cells", "code"), [(3, 0), (0, 5)])
def test_an_unfinished_run_without_any_time_of_the_baseline_is_not_comparable(num_cells, code):
    part = night(trials(), cells(seed=1)[:num_cells], status="interrupted")
    assert compared(candidate=part).exit_code() == code
    whole = night(trials(), cells(seed=1)[:num_cells])
    assert compared(candidate=whole).exit_code() == 0  # finished: its suite may time less


def test_a_changed_suite_and_another_version_are_told():
    notes = compared(candidate=night(suite_hash="other", depthbench="0.2.0")).notes
    assert any("suite has changed" in note for note in notes)
    assert any("depthbench 0.1.0 and 0.2.0" in note for note in notes)


def test_an_id_that_is_there_twice_is_refused():
    with pytest.raises(ResultError, match=r"trials\.parquet: trial_id .* is twice"):
        compared(candidate=night([*trials(), trials()[0]]))
    with pytest.raises(ResultError, match=r"timings\.parquet: a row has no cell_id"):
        compared(candidate=night(timings=[cells()[0] | {"cell_id": None}]))


def test_variants_are_named_by_what_tells_them_apart():
    both = [
        row
        for norm in ("layer", "rms")
        for row in trial_rows("deep", LOSSES["deep"], variant_id=f"deep-{norm}", norm=norm)
    ]
    found = compared(night(both, []), night(both, []))
    assert [change.name for change in found.changes] == [
        "deep (L 4, d 32, norm layer)",
        "deep (L 4, d 32, norm rms)",
    ]
    same = [
        row
        for name in ("aaaaaaaaaa", "bbbbbbbbbb")
        for row in trial_rows("deep", LOSSES["deep"], variant_id=name)
    ]
    found = compared(night(same, []), night(same, []))
    assert [change.name[-10:] for change in found.changes] == ["[aaaaaaaa]", "[bbbbbbbb]"]


def test_every_order_of_exit_codes_is_that_of_the_house():
    worse = with_status(trials(scaled(1.3)), "wide", "oom")
    everything = compared(candidate=night(worse, cells(seed=1, noise=0.15)))
    assert everything.count("unresolved") and everything.count("worse")
    assert everything.exit_code(is_strict=True) == 3
    other = night(worse, environment=ENVIRONMENT | {"arch": "arm64"})
    assert compared(candidate=other).exit_code(is_strict=True) == 5
    failed = night(with_status(trials(), "wide", "oom"), cells(seed=1, noise=0.15))
    assert compared(candidate=failed).exit_code(is_strict=True) == 1


def test_a_change_is_a_plain_value():
    found = compared()
    assert isinstance(found.changes[0], Change)
    facts = json.loads(json.dumps(asdict(found)))
    assert len(facts["changes"]) == len(FAMILIES) * 3
    assert found == compared()


def test_the_page_on_comparing_has_the_numbers_of_the_code():
    page = (Path(__file__).parents[1] / "docs" / "compare.md").read_text(encoding="utf-8")
    assert f"q is below {ALPHA:g}, and the change is beyond {MARGIN:.0%}" in page
    assert f"fewer than {MIN_SEEDS} seeds" in page
    assert f"`--threshold {CompareOptions().threshold:g}`" in page
    assert f"`--confidence {CompareOptions().confidence:g}`" in page
    for verdict in VERDICTS:
        assert f"`{verdict}`" in page


def test_what_the_candidate_lacks_is_said_first_and_counts_where_it_is_strict():
    whole = compared(candidate=night(trials(), cells(seed=1)))
    assert whole.num_missing() == 0
    found = compared(candidate=night(trials(), cells(seed=1)[:-2], status="interrupted"))
    assert found.answer.startswith(
        "The candidate is not finished (interrupted); 2 timings of the baseline are missing"
    )
    assert found.exit_code() == 0 and found.exit_code(is_strict=True) == 4
