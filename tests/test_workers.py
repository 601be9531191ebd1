"""Who trains a run: local where little is to do, else what was measured fastest, once."""

from dataclasses import replace
from pathlib import Path

import pytest

from depthbench import expand, workers
from depthbench.executors import Cluster
from depthbench.suite import parse_suite
from depthbench.trial import TrialContext
from depthbench.worker_costs import Layout, Speed, seconds_of
from depthbench.worker_speed import measure_speeds, speeds_here
from depthbench.workers import (
    Asked,
    Workers,
    choose_workers,
    layouts,
    workers_from_json,
)
from depthbench.workload import Load, rough_step_of

TEXT = """\
suite: shared
dataset: {name: digits, train_examples: 1000, validation_examples: 100}
backbone: mlp
variants: [{family: deep, depth: [1, 2, 4], width: 16}]
train: {DURATION, batch_size: 100}
seeds: 2
"""
LONG = "epochs: 100000"


def load_of(duration):
    return Load(expand(parse_suite(TEXT.replace("DURATION", duration), "t")))


@pytest.fixture(scope="module")
def context():
    return TrialContext("s", "r", Path("nowhere"), "cpu", None, {})


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch):
    monkeypatch.setattr(workers, "num_shared_cpus", lambda: 8)
    monkeypatch.setattr(workers.machine, "available_memory_bytes", lambda: 64 << 30)


class Measure:
    """Give speeds by the number of workers, and remember what was asked.

    Args:
        speeds: as measured in workers.
        known: as measured before.
        here: as guessed from steps in this process.
    """

    def __init__(self, speeds=None, *, known=None, here=None):
        self.speeds = {"known": known or {}, "here": here or {}, "measured": speeds or {}}
        self.asked = []

    def __getattr__(self, how):
        return lambda trial, *rest: self.answer(how, trial, rest[-1])

    def answer(self, how, trial, layouts):
        self.asked.append((how, trial, list(layouts)))
        speeds = self.speeds[how]
        if how == "here":
            layouts = (layouts[0], layouts[-1])
        return [
            Speed(layout.num_workers, layout.num_threads, speeds[layout.num_workers])
            for layout in layouts
            if layout.num_workers in speeds
        ]


class unmeasured:  # noqa: N801 - stands where a value does
    """Refuse to tell speeds."""

    @staticmethod
    def known(trial, layouts):
        raise AssertionError("nothing is to be measured")

    here = measured = known


def test_the_fastest_layout_is_chosen_and_all_that_was_measured_is_kept(context):
    measure = Measure({6: 10.0, 4: 30.0, 2: 20.0, 1: 5.0}, here={6: 10.0, 1: 5.0})
    found = choose_workers(Asked(), load_of(LONG), context, measure)
    assert (found.executor, found.num_workers, found.num_threads) == ("process", 4, 2)
    assert [speed.steps_per_second for speed in found.measured] == [10, 30, 20, 5]
    assert [how for how, *_ in measure.asked] == ["known", "here", "measured"]
    for _, trial, tried in measure.asked:
        assert trial.depth == 2  # the median by cost
        assert tried == [Layout(6, 1), Layout(4, 2), Layout(2, 4), Layout(1, 8)]


def test_what_was_measured_before_is_not_measured_again(context):
    measure = Measure(known={6: 10.0, 4: 30.0, 2: 20.0, 1: 5.0})
    assert choose_workers(Asked(), load_of(LONG), context, measure).num_workers == 4
    assert choose_workers(Asked("process"), load_of(LONG), context, measure).num_workers == 4
    assert {how for how, *_ in measure.asked} == {"known"}


def speeds_that_take(load, seconds_of_workers):
    """Return speeds at which so many workers, by their number, take so many seconds."""
    step = sorted(map(rough_step_of, load.train))[len(load.train) // 2]
    steps = [seconds / step for seconds in load.rough_seconds()]
    return {
        number: seconds_of(steps, Speed(number, 1, 1.0)) / seconds
        for number, seconds in seconds_of_workers.items()
    }


def test_known_speeds_under_which_starting_workers_does_not_pay_start_none(context):
    load = load_of(LONG)
    measure = Measure(known=speeds_that_take(load, {6: 30.0, 2: 33.0, 1: 34.0}))
    assert choose_workers(Asked(), load, context, measure) == Workers("local", 1, None)
    measure = Measure(known=speeds_that_take(load, {6: 25.0, 2: 33.0, 1: 34.0}))
    assert choose_workers(Asked(), load, context, measure).num_workers == 6
    assert {how for how, *_ in measure.asked} == {"known"}


def test_where_a_guess_says_that_workers_do_not_pay_none_is_started_to_measure(context):
    load = load_of(LONG)
    measure = Measure(here=speeds_that_take(load, {6: 30.0, 1: 34.0}))
    assert choose_workers(Asked(), load, context, measure) == Workers("local", 1, None)
    assert [how for how, *_ in measure.asked] == ["known", "here"]


def test_where_measuring_would_take_a_share_of_the_training_there_is_a_worker_a_core(context):
    load = load_of(LONG)
    measure = Measure(here=speeds_that_take(load, {6: 20.0, 1: 100.0}))
    assert choose_workers(Asked(), load, context, measure) == Workers("process", 6, 1)
    assert [how for how, *_ in measure.asked] == ["known", "here"]


def test_a_guess_that_workers_pay_is_given_up_where_measuring_says_they_do_not(context):
    load = load_of(LONG)
    here = speeds_that_take(load, {6: 200.0, 1: 1000.0})
    measure = Measure(speeds_that_take(load, {6: 999.0, 1: 1000.0}), here=here)
    assert choose_workers(Asked(), load, context, measure) == Workers("local", 1, None)
    # Of slow networks, a process with all threads is not measured in time: it is as fast as this.
    measure = Measure(known=speeds_that_take(load, {6: 999.0}), here=here)
    assert choose_workers(Asked(), load, context, measure) == Workers("local", 1, None)
    measure = Measure(known=speeds_that_take(load, {6: 500.0}), here=here)
    assert choose_workers(Asked(), load, context, measure).executor == "process"


def test_of_about_equal_speeds_the_fewest_workers_are_chosen(context):
    measure = Measure({6: 100.0, 4: 97.0, 2: 96.0, 1: 50.0})
    assert choose_workers(Asked(), load_of(LONG), context, measure).num_workers == 2


def test_where_nothing_can_be_measured_there_is_a_worker_a_core(context):
    assert choose_workers(Asked(), load_of(LONG), context, Measure()) == Workers("process", 6, 1)


def test_a_little_work_stays_in_this_process(context):
    found = choose_workers(Asked(), load_of("epochs: 10"), context, unmeasured)
    assert found == Workers("local", 1, None)


@pytest.mark.parametrize(("device", "num_cpus"), [("cuda", 8), ("cpu", 1)])
def test_a_gpu_and_a_single_core_are_not_shared(context, monkeypatch, device, num_cpus):
    monkeypatch.setattr(workers, "num_shared_cpus", lambda: num_cpus)
    elsewhere = replace(context, device=device)
    found = choose_workers(Asked(), load_of(LONG), elsewhere, unmeasured)
    assert found == Workers("local", 1, None)


def test_a_training_that_lasts_a_given_time_has_the_machine_to_itself(context):
    load = load_of("seconds: 1000")
    assert choose_workers(Asked(), load, context, unmeasured).executor == "local"
    found = choose_workers(Asked("process"), load, context, unmeasured)
    assert found == Workers("process", 1, 8)


def test_a_limit_needs_a_worker_however_little_there_is_to_do(context):
    asked = Asked(has_limit=True)
    found = choose_workers(asked, load_of("epochs: 1"), context, unmeasured)
    assert found == Workers("process", 6, 1)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Asked(num_workers=2), Workers("process", 2, 4)),
        (Asked(num_workers=1), Workers("local", 1, None)),
        (Asked("process", 1), Workers("process", 1, 8)),
        (Asked("process", 20), Workers("process", 20, 1)),
        (Asked("local"), Workers("local", 1, None)),
    ],
)
def test_what_the_user_asks_for_wins_unmeasured(context, asked, found):
    assert choose_workers(asked, load_of(LONG), context, unmeasured) == found


def test_a_resumed_run_has_the_workers_it_began_with(context):
    before = Workers("process", 4, 2, (Speed(4, 2, 30.0), Speed(1, 8, 10.0)))
    recorded = workers_from_json(before.to_json())
    load = load_of(LONG)
    assert choose_workers(Asked(), load, context, unmeasured, recorded) == before
    # Another number of workers computes the same where the CPUs suffice.
    asked = Asked(num_workers=3)
    assert choose_workers(asked, load, context, unmeasured, recorded).num_threads == 2
    asked = Asked(num_workers=8)
    assert choose_workers(asked, load, context, unmeasured, recorded).num_threads == 1


def test_of_a_resumed_run_a_little_is_done_here_with_the_threads_it_began_with(context):
    recorded = Workers("process", 4, 2, (Speed(4, 2, 30_000.0), Speed(1, 8, 10_000.0)))
    slow = Workers("process", 4, 2, (Speed(4, 2, 10.0), Speed(1, 8, 1.0)))
    load = load_of("epochs: 1")
    assert choose_workers(Asked(), load, context, unmeasured, slow) == slow
    for left in (load, Load(load_of(LONG).train[:1])):
        found = choose_workers(Asked(), left, context, unmeasured, recorded)
        assert found == Workers("local", 1, 2)
        asked = Asked(has_limit=True)
        assert choose_workers(asked, left, context, unmeasured, recorded) == recorded
    unknown = replace(recorded, measured=())
    assert choose_workers(Asked(), load, context, unmeasured, unknown).executor == "local"
    assert choose_workers(Asked(), load_of(LONG), context, unmeasured, unknown) == unknown


def test_memory_and_work_bound_the_number_of_workers(context, monkeypatch):
    monkeypatch.setattr(workers.machine, "available_memory_bytes", lambda: 3 << 30)
    load = load_of(LONG)
    assert choose_workers(Asked(), load, context, Measure()).num_workers == 3
    two = choose_workers(Asked(), Load(load.train[:2]), context, Measure())
    assert two == Workers("process", 2, 4)


def test_all_cpus_are_shared_out_in_each_layout():
    assert layouts(8, 8) == [Layout(8, 1), Layout(4, 2), Layout(2, 4), Layout(1, 8)]
    assert layouts(3, 2) == [Layout(2, 1), Layout(1, 2)]
    assert layouts(1, 1) == [Layout(1, 1)]
    for layout in layouts(48, 48):
        assert layout.num_workers * layout.num_threads <= 48


def test_real_workers_are_measured_with_real_steps(context):
    trial, layouts = load_of("epochs: 1").train[0], [Layout(2, 1), Layout(1, 2)]
    speeds = measure_speeds(trial, context, layouts)
    assert [(speed.num_workers, speed.num_threads) for speed in speeds][:1] == [(2, 1)]
    assert all(speed.steps_per_second > 1 for speed in speeds)
    guessed = speeds_here(trial, context, layouts)
    assert [(speed.num_workers, speed.num_threads) for speed in guessed] == [(2, 1), (1, 2)]
    assert all(speed.steps_per_second > 1 for speed in guessed)


def test_a_worker_that_cannot_train_is_measured_as_nothing(context):
    trial = load_of("epochs: 1").train[0]
    broken = replace(trial, variant=replace(trial.variant, width=-1))
    assert measure_speeds(broken, context, [Layout(1, 1)]) == []
    assert speeds_here(broken, context, [Layout(1, 1)]) == []


def test_a_cluster_has_as_many_workers_as_places_with_one_thread_each(context, monkeypatch):
    load = load_of(LONG)
    monkeypatch.setattr(workers, "count_places", lambda cluster, num_cpus: 40)
    near, far = Cluster(), Cluster("10.0.0.1:6379")
    assert choose_workers(Asked("ray", cluster=near), load, context, unmeasured) == Workers(
        "ray", 8, 1
    )
    found = choose_workers(Asked("auto", cluster=far), load, context, unmeasured)
    assert found == Workers("ray", 40, 1)
    monkeypatch.setattr(workers, "count_places", lambda cluster, num_cpus: 16)
    assert choose_workers(Asked("auto", cluster=far), load, context, unmeasured, found) == found
    asked = Asked("auto", num_workers=3, cluster=far)
    assert choose_workers(asked, load, context, unmeasured, found) == Workers("ray", 3, 1)
