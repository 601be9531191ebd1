"""The plan of cohorts: every trial once, alike ones together, the same on every resume."""

import pytest

from depthbench.cohorts import max_members, plan_cohorts, read_cohorts, still_waiting
from depthbench.expand import expand
from depthbench.suite import parse_suite

SUITE = """
suite: planned
dataset: digits
variants:
  - {family: deep, backbone: mlp, depth: [1, 2], width: 8}
train: {epochs: 1, lr: [0.001, 0.01], weight_decay: [0, 0.1]}
seeds: 3
"""


def trials_of(**changes):
    text = SUITE
    for old, new in changes.items():
        text = text.replace(old, new)
    return expand(parse_suite(text, "planned.yaml"))


def loop(trials):
    return "loop", 1000


def test_trials_that_differ_in_seed_rate_and_decay_alone_train_together():
    cohorts = plan_cohorts(trials_of(), loop, max_members=100, num_workers=1)
    assert [len(cohort.trials) for cohort in cohorts] == [12, 12]
    assert [{trial.depth for trial in cohort.trials} for cohort in cohorts] == [{1}, {2}]
    assert all(cohort.stacking == "loop" and len(cohort.cohort_id) == 16 for cohort in cohorts)


@pytest.mark.parametrize(
    "change",
    [{"epochs: 1": "epochs: [1, 2]"}, {"epochs: 1": "epochs: 1, batch_size: [32, 64]"}],
)
def test_what_changes_the_steps_sets_trials_apart(change):
    cohorts = plan_cohorts(trials_of(**change), loop, max_members=100, num_workers=1)
    assert [len(cohort.trials) for cohort in cohorts] == [12] * 4


@pytest.mark.parametrize("num_workers", [1, 2, 5, 100])
@pytest.mark.parametrize("most", [1, 2, 5, 8, 100])
def test_every_trial_is_in_one_cohort_of_at_most_so_many(most, num_workers):
    trials = trials_of()
    cohorts = plan_cohorts(trials, loop, most, num_workers)
    names = [trial.trial_id for cohort in cohorts for trial in cohort.trials]
    assert sorted(names) == sorted(trial.trial_id for trial in trials)
    assert max(len(cohort.trials) for cohort in cohorts) <= most
    for cohort in cohorts:
        assert (cohort.stacking is None) == (len(cohort.trials) == 1)


@pytest.mark.parametrize(
    ("num_workers", "sizes"), [(1, [6, 6]), (2, [6, 6]), (4, [3] * 4), (100, [3] * 4)]
)
def test_cohorts_are_alike_in_size_and_leave_no_worker_idle(num_workers, sizes):
    trials = trials_of(**{"depth: [1, 2]": "depth: 1"})
    cohorts = plan_cohorts(trials, loop, 8, num_workers)
    assert [len(cohort.trials) for cohort in cohorts] == sizes


def test_trials_that_are_faster_alone_train_alone():
    cohorts = plan_cohorts(trials_of(), lambda trials: (None, 1), 8, 2)
    assert [len(cohort.trials) for cohort in cohorts] == [1] * 24
    assert {cohort.cohort_id for cohort in cohorts} == {None}


def test_a_training_for_seconds_is_never_shared():
    def unasked(trials):
        raise AssertionError("asked")

    trials = trials_of(**{"epochs: 1": "seconds: 5"})
    assert {len(c.trials) for c in plan_cohorts(trials, unasked, 8, 2)} == {1}


def test_a_plan_is_read_back_as_it_was_made():
    trials = trials_of()
    cohorts = plan_cohorts(trials, loop, 5, 1)
    assert read_cohorts([cohort.to_json() for cohort in cohorts], trials) == cohorts


def test_a_cohort_with_one_trial_to_do_is_done_whole():
    cohorts = plan_cohorts(trials_of(), loop, 6, 1)
    assert still_waiting(cohorts, {cohorts[1].trials[2].trial_id}) == [cohorts[1]]
    assert still_waiting(cohorts, set()) == []


def test_halves_have_all_members_and_names_of_their_own():
    (cohort, *_) = plan_cohorts(trials_of(), loop, 3, 1)
    first, second = cohort.halves()
    assert first.trials + second.trials == cohort.trials
    assert (first.stacking, second.stacking) == (None, "loop")
    assert second.cohort_id not in (None, cohort.cohort_id)


def test_a_gpu_takes_more_members_than_a_cpu():
    assert max_members("cuda:1") > max_members("cpu") > 1
    assert max_members("meta") == max_members("cpu")


@pytest.mark.parametrize("num_workers", [2, 4, 100])
def test_where_shapes_are_many_their_cohorts_stay_large(num_workers):
    trials = trials_of(**{"depth: [1, 2]": f"depth: {list(range(1, 101))}"})
    sizes = {len(c.trials) for c in plan_cohorts(trials, loop, 8, num_workers)}
    assert sizes == {6}


def test_a_shape_that_has_no_room_for_more_has_smaller_cohorts():
    cohorts = plan_cohorts(trials_of(), lambda trials: ("loop", 3), 8, 1)
    assert {len(cohort.trials) for cohort in cohorts} == {3}


def test_a_shape_of_steps_is_asked_about_once_whatever_its_schedule():
    asked = []

    def choose(trials):
        asked.append(trials[0])
        return "loop", 8

    trials = trials_of(**{"epochs: 1": "epochs: [1, 2], schedule: [constant, cosine]"})
    cohorts = plan_cohorts(trials, choose, 8, 1)
    assert len(asked) == 2  # the two depths
    assert {len({(t.train.epochs, t.train.schedule) for t in c.trials}) for c in cohorts} == {1}
