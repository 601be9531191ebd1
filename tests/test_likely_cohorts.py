"""The cohorts of an estimate: as a run plans them, with fewer shapes measured."""

from depthbench import expand
from depthbench.cohorts import plan_cohorts
from depthbench.likely_cohorts import likely_cohorts
from depthbench.suite import parse_suite

SUITE = """
suite: likely
dataset: {name: digits, train_examples: 100}
backbone: [mlp, conv]
variants: [{family: deep, depth: [1, 2, 3, 4, 5, 6, 7, 8], width: 8}]
train: {DURATION, lr: [0.001, 0.01, 0.1], batch_size: 20}
seeds: 4
"""


def trials_of(duration="steps: [1000, 2000]"):
    return expand(parse_suite(SUITE.replace("DURATION", duration), "s.yaml"))


class Choose:
    """Stack shallow multilayer perceptrons alone, and remember what was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, group):
        self.asked.append((group[0].backbone, group[0].depth))
        return ("loop", 6) if group[0].backbone == "mlp" and group[0].depth < 4 else (None, 1)


def test_where_all_shapes_are_measured_the_plan_is_that_of_a_run():
    trials, choose = trials_of(), Choose()
    found = likely_cohorts(trials, "cpu", 2, choose=choose, max_shapes=100)
    assert found == plan_cohorts(trials, Choose(), 8, 2)
    assert sorted(choose.asked) == [(name, d) for name in ("conv", "mlp") for d in range(1, 9)]


def test_a_shape_that_is_not_measured_is_as_the_nearest_of_its_kind():
    choose = Choose()
    found = likely_cohorts(trials_of(), "cpu", 1, choose=choose, max_shapes=4)
    assert sorted(choose.asked) == [("conv", 1), ("conv", 8), ("mlp", 1), ("mlp", 8)]
    stacked = {(c.trials[0].backbone, c.trials[0].depth) for c in found if c.stacking}
    assert stacked == {("mlp", depth) for depth in (1, 2, 3)}  # in FLOPs, 4 is nearer to 8


def test_what_cannot_train_together_is_not_measured():
    choose = Choose()
    found = likely_cohorts(trials_of("seconds: 9"), "cpu", 1, choose=choose)
    assert {len(cohort.trials) for cohort in found} == {1}
    assert choose.asked == []


def test_real_steps_decide_and_no_data_is_read(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("an estimate reads no data")

    monkeypatch.setattr("depthbench.trial.load", refuse)
    trials = [t for t in trials_of("steps: 100_000") if t.depth == 1]
    found = likely_cohorts(trials, "cpu", 1)
    assert sum(len(cohort.trials) for cohort in found) == len(trials)
    assert {cohort.stacking for cohort in found} <= {"loop", "grouped", None}
