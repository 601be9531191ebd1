"""Who trains a run: local where little is to do, else what was measured fastest, once."""

from dataclasses import replace
from pathlib import Path

import pytest

from depthbench import expand, workers
from depthbench.executors import Cluster
from depthbench.suite import parse_suite
from depthbench.trial import TrialContext
from depthbench.worker_speed import Layout, Speed, measure_speeds
from depthbench.workers import (
    Asked,
    Workers,
    choose_workers,
    layouts,
    workers_from_json,
)

TEXT = """\
suite: shared
dataset: {name: digits, train_examples: 1000, validation_examples: 100}
backbone: mlp
variants: [{family: deep, depth: [1, 2, 4], width: 16}]
train: {DURATION, batch_size: 100}
seeds: 2
"""
LONG = "epochs: 100000"


def groups_of(duration):
    trials = expand(parse_suite(TEXT.replace("DURATION", duration), "t"))
    return [(trial,) for trial in trials]


@pytest.fixture(scope="module")
def context():
    return TrialContext("s", "r", Path("nowhere"), "cpu", None, {})


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch):
    monkeypatch.setattr(workers, "num_shared_cpus", lambda: 8)
    monkeypatch.setattr(workers.machine, "available_memory_bytes", lambda: 64 << 30)


class Measure:
    """Give speeds by the number of workers, and remember what was asked."""

    def __init__(self, speeds):
        self.speeds, self.asked = speeds, []

    def __call__(self, group, context, layouts):
        self.asked.append((group, list(layouts)))
        return [
            Speed(layout.num_workers, layout.num_threads, self.speeds[layout.num_workers])
            for layout in layouts
            if layout.num_workers in self.speeds
        ]


def unmeasured(group, context, layouts):
    raise AssertionError("nothing is to be measured")


def test_the_fastest_layout_is_chosen_and_all_that_was_measured_is_kept(context):
    measure = Measure({6: 10.0, 4: 30.0, 2: 20.0, 1: 5.0})
    found = choose_workers(Asked(), groups_of(LONG), context, measure=measure)
    assert (found.executor, found.num_workers, found.num_threads) == ("process", 4, 2)
    assert [speed.steps_per_second for speed in found.measured] == [10, 30, 20, 5]
    ((group, tried),) = measure.asked
    assert group[0].depth == 2  # the median by cost
    assert tried == [Layout(6, 1), Layout(4, 2), Layout(2, 4), Layout(1, 8)]


def test_of_about_equal_speeds_the_fewest_workers_are_chosen(context):
    measure = Measure({6: 100.0, 4: 97.0, 2: 96.0, 1: 90.0})
    assert choose_workers(Asked(), groups_of(LONG), context, measure=measure).num_workers == 2


def test_where_nothing_can_be_measured_there_is_a_worker_a_core(context):
    found = choose_workers(Asked(), groups_of(LONG), context, measure=Measure({}))
    assert found == Workers("process", 6, 1)


def test_a_little_work_stays_in_this_process(context):
    found = choose_workers(Asked(), groups_of("epochs: 10"), context, measure=unmeasured)
    assert found == Workers("local", 1, None)


@pytest.mark.parametrize(("device", "num_cpus"), [("cuda", 8), ("cpu", 1)])
def test_a_gpu_and_a_single_core_are_not_shared(context, monkeypatch, device, num_cpus):
    monkeypatch.setattr(workers, "num_shared_cpus", lambda: num_cpus)
    elsewhere = replace(context, device=device)
    found = choose_workers(Asked(), groups_of(LONG), elsewhere, measure=unmeasured)
    assert found == Workers("local", 1, None)


def test_a_training_that_lasts_a_given_time_has_the_machine_to_itself(context):
    groups = groups_of("seconds: 1000")
    assert choose_workers(Asked(), groups, context, measure=unmeasured).executor == "local"
    found = choose_workers(Asked("process"), groups, context, measure=unmeasured)
    assert found == Workers("process", 1, 8)


def test_a_limit_needs_a_worker_however_little_there_is_to_do(context):
    asked = Asked(has_limit=True)
    found = choose_workers(asked, groups_of("epochs: 1"), context, measure=unmeasured)
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
    assert choose_workers(asked, groups_of(LONG), context, measure=unmeasured) == found


def test_a_resumed_run_has_the_workers_it_began_with_however_little_is_left(context):
    before = Workers("process", 4, 2, (Speed(4, 2, 30.0),))
    recorded = workers_from_json(before.to_json())
    left = groups_of("epochs: 1")[:1]
    assert choose_workers(Asked(), left, context, recorded, unmeasured) == before
    # Another number of workers computes the same where the CPUs suffice.
    asked = Asked(num_workers=3)
    assert choose_workers(asked, left, context, recorded, unmeasured).num_threads == 2
    asked = Asked(num_workers=8)
    assert choose_workers(asked, left, context, recorded, unmeasured).num_threads == 1


def test_memory_and_work_bound_the_number_of_workers(context, monkeypatch):
    monkeypatch.setattr(workers.machine, "available_memory_bytes", lambda: 3 << 30)
    found = choose_workers(Asked(), groups_of(LONG), context, measure=Measure({}))
    assert found.num_workers == 3
    assert choose_workers(Asked(), groups_of(LONG)[:2], context, measure=Measure({})) == Workers(
        "process", 2, 4
    )


def test_all_cpus_are_shared_out_in_each_layout():
    assert layouts(8, 8) == [Layout(8, 1), Layout(4, 2), Layout(2, 4), Layout(1, 8)]
    assert layouts(3, 2) == [Layout(2, 1), Layout(1, 2)]
    assert layouts(1, 1) == [Layout(1, 1)]
    for layout in layouts(48, 48):
        assert layout.num_workers * layout.num_threads <= 48


def test_real_workers_are_measured_with_real_steps(context):
    speeds = measure_speeds(groups_of("epochs: 1")[0], context, [Layout(2, 1), Layout(1, 2)])
    assert [(speed.num_workers, speed.num_threads) for speed in speeds][:1] == [(2, 1)]
    assert all(speed.steps_per_second > 1 for speed in speeds)


def test_a_worker_that_cannot_train_is_measured_as_nothing(context):
    (trial,) = groups_of("epochs: 1")[0]
    broken = replace(trial, variant=replace(trial.variant, width=-1))
    assert measure_speeds((broken,), context, [Layout(1, 1)]) == []


def test_a_cluster_has_as_many_workers_as_places_with_one_thread_each(context, monkeypatch):
    groups = groups_of(LONG)
    monkeypatch.setattr(workers, "count_places", lambda cluster, num_cpus: 40)
    near, far = Cluster(), Cluster("10.0.0.1:6379")
    assert choose_workers(Asked("ray", cluster=near), groups, context) == Workers("ray", 8, 1)
    found = choose_workers(Asked("auto", cluster=far), groups, context)
    assert found == Workers("ray", 40, 1)
    monkeypatch.setattr(workers, "count_places", lambda cluster, num_cpus: 16)
    assert choose_workers(Asked("auto", cluster=far), groups, context, found) == found
    asked = Asked("auto", num_workers=3, cluster=far)
    assert choose_workers(asked, groups, context, found) == Workers("ray", 3, 1)
