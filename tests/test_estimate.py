"""An estimate counts the work of a suite, reads no data, and says what it stands on."""

import pytest
import torch
from rich.console import Console

from depthbench import data as data_sets
from depthbench import step_times, workers
from depthbench.cohorts import Cohort
from depthbench.errors import SuiteError
from depthbench.estimate import TRIAL_SECONDS, estimate
from depthbench.estimate_table import format_bytes, render_estimate
from depthbench.expand import expand
from depthbench.shape_costs import _rough, shape_of
from depthbench.step_times import Spent, StepTimes, _line, measure_cohort
from depthbench.suite import parse_suite
from depthbench.worker_costs import START_SECONDS
from tests.test_suite import MINIMAL

SUITE = """
suite: planned
dataset: {name: digits, train_examples: 100}
backbone: mlp
variants: [{family: deep, depth: [2, 4], width: [8, 16]}]
train: {steps: 10, lr: [0.001, 0.01, 0.1], batch_size: 20, evaluations: 1}
seeds: 2
"""


class Measure:
    """Stand in for measuring: a step takes one second of the clock, two of CPU."""

    def __init__(self, seconds=lambda cohort: 1.0, build=0.0):
        self.cohorts = []
        self.seconds, self.build = seconds, Spent(build, build)

    def __call__(self, cohort, device):
        self.cohorts.append(cohort)
        step = Spent(self.seconds(cohort), 2.0)
        nothing, width = Spent(), cohort.trials[0].width
        return StepTimes(self.build, step, nothing, nothing, 512, 1000 * width)


def planned(text=SUITE, measure=None, cohorts=None, **settings):
    suite = parse_suite(text, "s.yaml")
    trials = expand(suite)
    measure = measure or Measure()
    cohorts = cohorts and cohorts(trials)
    return estimate(suite, trials, "cpu", measure=measure, cohorts=cohorts, **settings)


def test_each_shape_is_measured_once_whatever_its_seeds_and_rates():
    measure = Measure()
    found = planned(measure=measure)
    assert (found.num_shapes, found.num_measured_shapes) == (4, 4)
    assert len({shape_of(cohort) for cohort in measure.cohorts}) == 4
    assert len(measure.cohorts) == 1 + 4  # the first warms up


def test_a_variant_that_does_not_fit_is_named_with_what_it_takes():
    def no_room(cohort, device):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(SuiteError, match=r"deep L\d d\d+ does not fit.* take \d.*--only"):
        planned(measure=no_room)

    def broken(cohort, device):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        planned(measure=broken)


def test_training_is_steps_times_trials():
    (train, test) = planned().stages
    assert train.wall_seconds == pytest.approx(24 * (10 + TRIAL_SECONDS))
    assert train.cpu_seconds == pytest.approx(24 * (20 + TRIAL_SECONDS))
    assert test.wall_seconds == pytest.approx(4 * 2 * TRIAL_SECONDS)  # one rate, two seeds


def test_a_variant_of_which_not_all_rates_are_run_is_not_tested():
    suite = parse_suite(SUITE, "s.yaml")
    every = expand(suite)
    some = [t for t in every if t.depth == 2 or t.lr == 0.01]
    found = estimate(suite, some, "cpu", measure=Measure(), every_trial=every)
    assert found.stages[1].wall_seconds == pytest.approx(2 * 2 * TRIAL_SECONDS)


def test_workers_share_the_time_but_not_the_work_nor_a_single_trial():
    one, two, many = (planned(num_workers=count).stages for count in (1, 2, 1000))
    start = START_SECONDS
    assert two[0].wall_seconds == pytest.approx(one[0].wall_seconds / 2 + start)
    assert two[0].cpu_seconds == pytest.approx(one[0].cpu_seconds + 2 * start)
    assert many[0].wall_seconds == pytest.approx(10 + TRIAL_SECONDS + start)
    assert two[1].wall_seconds == pytest.approx(one[1].wall_seconds / 2)
    assert two[1].cpu_seconds == one[1].cpu_seconds
    assert many[1].wall_seconds == pytest.approx(TRIAL_SECONDS)


@pytest.mark.parametrize(("beside_all", "num_workers"), [(1.0, 8), (0.1, 1)])
def test_as_many_workers_are_predicted_as_a_run_will_choose(monkeypatch, beside_all, num_workers):
    """A worker a core, but where a network is as fast in one process with all threads."""
    monkeypatch.setattr(workers, "num_shared_cpus", lambda: 8)
    monkeypatch.setattr(workers.machine, "available_memory_bytes", lambda: 64 << 30)
    measure = Measure(lambda cohort: 1.0 if torch.get_num_threads() == 1 else beside_all)
    long = SUITE.replace("steps: 10", "steps: 100_000")
    assert planned(long, measure).num_workers == num_workers
    assert planned(SUITE, measure).num_workers == 1


def sixes(trials):
    return [Cohort(tuple(trials[i : i + 6]), "loop") for i in range(0, 24, 6)]


def test_cohorts_are_measured_as_what_they_are():
    measure = Measure(build=12.0)
    found = planned(measure=measure, cohorts=sixes)
    train, test = found.stages
    assert train.wall_seconds == pytest.approx(4 * (12 + 10 + 6 * TRIAL_SECONDS))
    assert test.wall_seconds == pytest.approx(4 * 2 * (12 / 6 + TRIAL_SECONDS))  # each by itself
    assert {len(cohort.trials) for cohort in measure.cohorts} == {6}
    assert found.peak_memory_of.endswith("6 trials as one")
    assert (found.num_stacked, found.num_cohorts) == (24, 4)
    assert "24 trials train stacked, in 4 cohorts" in render_estimate(found.describe(), "md")


def test_trials_are_counted_in_the_cohorts_that_a_run_would_plan(monkeypatch):
    monkeypatch.setattr("depthbench.likely_cohorts.best_stacking", lambda *_, **__: ("loop", 4))
    found = planned()
    assert (found.num_stacked, found.num_cohorts) == (24, 8)
    alone = planned(SUITE + "cohort: off\n")
    assert (alone.num_stacked, alone.num_cohorts) == (0, 0)
    assert "stacked" not in render_estimate(alone.describe(), "md")


def test_timing_is_at_most_its_budget():
    text = SUITE + "timing: {batch_sizes: [1, 8], time_budget_seconds: 3, threads: 1}\n"
    train, test, timing = planned(text).stages
    assert timing.is_most
    assert not train.is_most
    assert not test.is_most
    assert 8 * 3 < timing.wall_seconds < 8 * 5 + 10


def test_a_duration_in_seconds_is_what_a_trial_takes():
    found = planned(SUITE.replace("steps: 10", "seconds: 7"))
    assert found.stages[0].wall_seconds == pytest.approx(24 * (7 + TRIAL_SECONDS))


def test_shapes_that_are_not_measured_follow_their_neighbours_and_the_dearest_is_measured():
    text = SUITE.replace("[2, 4]", "[2, 3, 4, 5, 6, 7, 8, 9]").replace("[8, 16]", "[8, 16, 32]")
    measure = Measure(lambda cohort: 3 * _rough(cohort))
    whole = planned(text, measure, max_shapes=1000)
    part = planned(text, measure, max_shapes=6)
    assert (part.num_shapes, part.num_measured_shapes) == (24, 6)
    assert part.stages[0].wall_seconds == pytest.approx(whole.stages[0].wall_seconds)
    assert part.peak_memory_of == whole.peak_memory_of == "deep L9 d32"


@pytest.mark.parametrize(
    ("dataset", "backbone", "task"),
    [
        ("mnist", "mlp", "classify"),
        ("mnist", "conv", "denoise"),
        ("cifar10", "mlp", "super_resolution"),
        ("fashion_mnist", "mlp", "prototype"),
        ("cifar100", "preact", "classify"),
        ("{name: tinystories, vocabulary: 512, context: 16}", "transformer", "language_model"),
    ],
)
def test_a_few_steps_are_timed_on_random_data_whatever_is_learned(
    monkeypatch, dataset, backbone, task
):
    def refuse(*arguments):
        raise AssertionError("an estimate reads no data")

    monkeypatch.setattr(data_sets, "load", refuse)
    monkeypatch.setattr("depthbench.trial.load", refuse)
    monkeypatch.setattr("depthbench.step_times.MAX_STEPS", 3)
    depth, width = (3, 8) if backbone == "preact" else (2, 8)
    text = MINIMAL.replace("dataset: digits", f"dataset: {dataset}\ntask: {task}")
    text = text.replace("backbone: mlp", f"backbone: {backbone}")
    text = text.replace("depth: 2, width: 8", f"depth: {depth}, width: {width}")
    (trial,) = expand(parse_suite(text.replace("{epochs: 1}", "{epochs: 1, batch_size: 4}"), "s"))
    found = measure_cohort(Cohort((trial,)), "cpu")
    assert found.step.wall_seconds > 0
    assert found.evaluation(100).wall_seconds > 0
    assert found.peak_bytes is None or found.peak_bytes >= 4 * trial.cost.total_params


@pytest.mark.parametrize("seconds", [(1.0, 8.0), (1.0, 2.0), (1.0, 1.0), (2.0, 1.0), (1.0, 50.0)])
def test_an_evaluation_costs_what_was_measured_and_never_less_than_nothing(seconds):
    small, large = seconds
    batch, example = _line((64, small), (512, large))
    assert min(batch, example) >= 0
    assert batch + 512 * example == pytest.approx(large)


@pytest.mark.parametrize(("backbone", "stacking"), [("mlp", "loop"), ("conv", "grouped")])
def test_a_cohort_is_timed_as_the_one_stacked_network_that_it_is(monkeypatch, backbone, stacking):
    monkeypatch.setattr("depthbench.step_times.MAX_STEPS", 3)
    trials = expand(parse_suite(SUITE.replace("backbone: mlp", f"backbone: {backbone}"), "s.yaml"))
    built = []
    real = step_times.CohortTraining
    monkeypatch.setattr(
        step_times, "CohortTraining", lambda *a, **k: built.append(real(*a, **k)) or built[-1]
    )
    found = measure_cohort(Cohort(tuple(trials[:6]), stacking), "cpu")
    (training,) = built
    assert training.stack.num_members == 6
    assert training.step > 3
    assert found.step.wall_seconds > 0
    assert found.evaluation(100).wall_seconds > 0
    assert found.peak_bytes is None or found.peak_bytes >= 6 * 4 * trials[0].cost.total_params


def test_guessed_sizes_are_named():
    text = SUITE.replace("{name: digits, train_examples: 100}", "tinystories").replace(
        "backbone: mlp", "backbone: transformer\ntask: language_model"
    )
    (guess,) = planned(text.replace("width: [8, 16]", "width: 16, heads: 2")).guesses
    assert guess.startswith("tinystories: ")
    assert planned().guesses == ()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_says_what_it_stands_on(width):
    text = SUITE + "timing: {batch_sizes: 1, time_budget_seconds: 3}\n"
    found = planned(text, max_shapes=2).describe()
    shown = render_estimate(found, "terminal", Console(width=width, color_system=None))
    assert "2 of 4 shapes" in shown
    assert "at most" in shown
    assert "deep L4 d16" in shown
    assert max(map(len, shown.splitlines())) <= width


def test_bytes_have_a_unit_that_suits_them():
    texts = [format_bytes(n) for n in (None, 5, 2048, 5 << 20, 300 << 20, 3 << 30)]
    assert texts == ["unknown", "5 B", "2.0 KiB", "5.0 MiB", "300 MiB", "3.0 GiB"]
