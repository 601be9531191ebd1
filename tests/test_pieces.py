"""Readings of the test set are worth handing out, and enough for all workers."""

import pytest

from depthbench import expand
from depthbench.pieces import plan_readings
from depthbench.suite import parse_suite

TEXT = """
suite: pieces
dataset: {name: digits, train_examples: 100, validation_examples: 100}
backbone: mlp
variants: [{family: deep, depth: [1, 2], width: WIDTH}]
train: {steps: 1}
seeds: SEEDS
"""


def trials_of(num_seeds, width=4):
    text = TEXT.replace("WIDTH", str(width)).replace("SEEDS", str(num_seeds))
    return expand(parse_suite(text, "t"))


@pytest.mark.parametrize("num_seeds", [1, 7, 200])
@pytest.mark.parametrize("num_workers", [1, 3, 1000])
def test_each_trial_is_in_one_reading_in_the_order_of_the_plan(num_seeds, num_workers):
    trials = trials_of(num_seeds)
    readings = plan_readings(trials, num_workers)
    assert [trial for reading in readings for trial in reading.trials] == list(trials)


def test_cheap_trials_are_read_together_but_each_worker_has_several_readings():
    trials = trials_of(200)
    sizes = [len(reading.trials) for reading in plan_readings(trials, 2)]
    assert min(sizes[:-1]) > 10
    assert len(sizes) >= 2 * 4
    assert len(plan_readings(trials[:16], 4)) == 16


def test_a_trial_that_takes_long_is_a_reading():
    assert {len(reading.trials) for reading in plan_readings(trials_of(20, width=4096), 1)} == {1}


def test_nothing_to_test_is_no_reading():
    assert plan_readings([], 2) == []


def test_halves_have_all_trials():
    (reading,) = plan_readings(trials_of(1)[:1], 1)
    reading = type(reading)(trials_of(3)[:5])
    left, right = reading.halves()
    assert left.trials + right.trials == reading.trials
    assert len(left.trials) == 2
