from __future__ import annotations

import gc
import itertools
import random
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from depthbench.grammar import DatasetSettings, TaskSettings, TimingSettings, TrainSettings
from depthbench.record import column_names
from depthbench.spec import Cost, Problem, Trial, Variant, trial_ids, variant_id
from depthbench.timing.bench import LocalBench
from depthbench.timing.cells import Cell, cells_of
from depthbench.timing.clocks import CpuClock, CudaClock
from depthbench.timing.device_state import DeviceState
from depthbench.timing.measured import MeasuredCell, Ready, Sample
from depthbench.timing.session import Session
from depthbench.timing.stopping import Limits, StopRule, relative_half_width
from depthbench.timing.summary import measured_columns
from depthbench.timing.warmup import Warmed
from depthbench.timing.work import PreparedCell, prepare
from tests.fixtures_cuda import SimulatedCuda

PROBLEM = Problem((1, 4, 4), (10,))
VARIANT = Variant("deep", "mlp", depth=1, width=8)
CPU = torch.device("cpu")
LIMITS = Limits(0.01, 10.0)
# What a variant needs to be counted.
COMPLETE = {
    "hidden": 16,
    "activation": "relu",
    "norm": "layer",
    "norm_affine": True,
    "bias": True,
    "residual_scale": 1.0,
    "lift": "trained",
}


class FakeTime:
    """A machine whose time passes only by the calls made, in nanoseconds."""

    def __init__(self, costs_ns, step_ns=1, reading_ns=1):
        self.ns = 0
        self.num_calls = 0
        self._costs = iter(costs_ns)
        self._step_ns = step_ns
        self._reading_ns = reading_ns

    def call(self):
        self.ns += next(self._costs)
        self.num_calls += 1

    def now_ns(self):
        self.ns += self._reading_ns  # reading takes time, too
        return self.ns // self._step_ns * self._step_ns


def constant(cost_ns):
    return itertools.repeat(cost_ns)


class CallBench(LocalBench):
    """A bench whose cells all do the same call, which need not be a network's."""

    def __init__(self, call, clock):
        super().__init__(CPU, clock=clock, monitor=SimpleNamespace(sample=lambda: DeviceState(0.0)))
        self.call = call

    def made(self, cell):
        return PreparedCell(self.call, nullcontext, None, False, 0, None)

    def canary(self):
        return 1e-3

    def passes(self, cell_id, median_seconds):
        return {}


def time_call(call, clock, precision=0.01, budget=10.0):
    """Return the row of a call that is timed in one process, by the clock alone."""
    rows = []
    bench = CallBench(call, clock)
    limits = Limits(precision, budget)
    keep = lambda cell, columns: rows.append(columns)  # noqa: E731
    Session(lambda count: [bench], limits, keep, num_processes=1, now=clock.now).run([make_cell()])
    (row,) = rows
    return row


def time_fake(fake, precision=0.01, budget=10.0):
    return time_call(fake.call, CpuClock(fake.now_ns), precision, budget)


def build_small(variant, problem):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, variant.width), nn.Linear(variant.width, 10))


def make_cell(**settings):
    task, train = TaskSettings(name="classify"), TrainSettings(steps=1)
    base = Cell("id", VARIANT, PROBLEM, "digits", task, train, "inference", 4)
    return replace(base, **settings)


def measure(cell, *, build=build_small, clock=None, limits=LIMITS):
    """Return the row of a real cell, timed in this process."""
    cell = replace(cell, variant=replace(cell.variant, **COMPLETE))
    rows = []
    bench = LocalBench(CPU, build=build, clock=clock)
    keep = lambda cell, columns: rows.append(columns)  # noqa: E731
    settings = {"now": clock.now} if clock else {}
    Session(lambda count: [bench], limits, keep, num_processes=1, **settings).run([cell])
    (row,) = rows
    return row


def measure_fake(cell, cost_ns=10**6, **settings):
    """Measure a real cell by a clock that says each call took the same time."""
    fake = FakeTime(constant(cost_ns))

    class Clock(CpuClock):
        def time_calls(self, call, num_calls):
            call()
            return super().time_calls(fake.call, num_calls)

    return measure(cell, clock=Clock(fake.now_ns), **settings)


# --- protocol -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost_ns", [2_000, 150_000, 3_000_000, 200_000_000])
def test_a_known_cost_is_measured_within_a_tenth_of_a_percent(cost_ns):
    row = time_fake(FakeTime(constant(cost_ns)))
    assert row["median_seconds"] == pytest.approx(cost_ns * 1e-9, rel=1e-3)
    assert row["mean_seconds"] == pytest.approx(cost_ns * 1e-9, rel=1e-3)
    assert row["examples_per_second"] == pytest.approx(4 / (cost_ns * 1e-9), rel=1e-3)
    assert row["flags"] == []
    assert row["stop_reason"] == "precision"
    assert row["calls_per_sample"] * cost_ns >= 4e6


def test_every_call_is_accounted_for():
    fake = FakeTime(constant(100_000))
    row = time_fake(fake)
    sampled = row["num_samples"] * row["calls_per_sample"]
    rewarmed = 100 * row["num_samples"]  # 10 ms before each sample
    assert fake.num_calls == row["num_warmup_calls"] + sampled + rewarmed


def test_a_slow_first_call_is_reported_and_warm_up_waits_until_calls_are_steady():
    slow_start = [10**9] + [int(3e6 * 0.8**i) + 10**6 for i in range(60)]
    row = time_fake(FakeTime(itertools.chain(slow_start, constant(10**6))))
    assert row["first_call_seconds"] == pytest.approx(1.0, rel=1e-3)
    assert "not_steady" not in row["flags"]
    assert max(row["samples_seconds"]) < 1.02e-3


def test_a_cell_that_keeps_getting_faster_is_measured_and_flagged():
    falling = (int(1e8 * 0.97**i) + 10**6 for i in itertools.count())
    assert "not_steady" in time_fake(FakeTime(falling), budget=3.0)["flags"]


def test_a_coarse_clock_gets_longer_blocks():
    fine = time_fake(FakeTime(constant(50_000)))
    coarse = time_fake(FakeTime(constant(50_000), step_ns=100_000, reading_ns=100))
    assert fine["calls_per_sample"] == 80
    assert coarse["calls_per_sample"] * 50_000 >= 1000 * 100_000
    assert coarse["flags"] == []
    assert coarse["median_seconds"] == pytest.approx(50e-6, rel=2e-3)


def test_a_clock_too_coarse_for_the_budget_is_flagged():
    fake = FakeTime(constant(50_000), step_ns=10_000_000, reading_ns=1000)
    assert "clock_coarse" in time_fake(fake, budget=1.0)["flags"]


def test_the_step_of_a_clock_is_seen_even_when_it_is_far_longer_than_a_reading():
    assert CpuClock(
        FakeTime([], step_ns=1_000_000, reading_ns=100).now_ns
    ).step_seconds() == pytest.approx(1e-3)
    assert 0 < CpuClock().step_seconds() < 1e-3


# --- stopping -------------------------------------------------------------------------------------


def noisy(spread, seed=0, mean_ns=10**7):
    rng = random.Random(seed)
    return (max(1, int(mean_ns * rng.lognormvariate(0, spread))) for _ in itertools.count())


def test_sampling_stops_at_the_precision_asked_for():
    loose = time_fake(FakeTime(noisy(0.02)), precision=0.02)
    tight = time_fake(FakeTime(noisy(0.02)), precision=0.005)
    assert loose["stop_reason"] == tight["stop_reason"] == "precision"
    assert relative_half_width(loose["samples_seconds"]) <= 0.02
    assert relative_half_width(tight["samples_seconds"]) <= 0.005
    assert tight["num_samples"] > loose["num_samples"] >= 8


def test_sampling_stops_when_the_noise_has_stopped_changing():
    row = time_fake(FakeTime(noisy(0.3)), precision=1e-4, budget=200.0)
    assert row["stop_reason"] == "stable"
    assert row["num_samples"] > 64
    assert relative_half_width(row["samples_seconds"]) > 1e-4


def test_noise_that_keeps_growing_is_never_stable():
    growing = (int(10**7 * (1 + 0.02 * i * (i % 2))) for i in itertools.count())
    row = time_fake(FakeTime(growing), precision=1e-4, budget=5.0)
    assert row["stop_reason"] == "time_budget"


def test_sampling_stops_when_the_time_is_up_with_at_least_one_sample():
    row = time_fake(FakeTime(constant(4 * 10**9)), budget=10.0)
    assert row["stop_reason"] == "time_budget"
    assert 1 <= row["num_samples"] < 8
    assert "few_samples" in row["flags"]
    assert row["ci_low_seconds"] is None
    assert row["ci_high_seconds"] is None
    assert row["median_seconds"] == pytest.approx(4.0, rel=1e-3)


def test_the_budget_counts_the_calls_that_warm_a_cell_again():
    fake = FakeTime(noisy(0.3, mean_ns=10**6))
    row = time_fake(fake, precision=1e-9, budget=0.5)
    assert row["stop_reason"] == "time_budget"
    assert 0.1 < sum(row["samples_seconds"]) * row["calls_per_sample"] < 0.2


def test_a_few_quiet_milliseconds_are_not_believed():
    rule = StopRule(Limits(0.01, 100.0, min_sampling_seconds=0.1))
    for _ in range(8):
        rule.add(1e-3)
    assert rule.reason(elapsed_seconds=1.0, sampled_seconds=0.04) is None
    assert rule.reason(elapsed_seconds=1.0, sampled_seconds=0.1) == "precision"


# --- summary --------------------------------------------------------------------------------------


def row_of(samples, *, is_steady=True, step_seconds=1e-9, batch_size=18):
    """Return the columns of samples that are given, by three processes in turn."""
    warmed = Warmed(1.0, 1.0, 10, 20, is_steady, step_seconds)
    measured = MeasuredCell(make_cell(batch_size=batch_size), StopRule(Limits(0.01, 10.0)))
    measured.readies.append(Ready(warmed, 1, None, False))
    for number, seconds in enumerate(samples):
        measured.add(Sample(seconds, seconds, ()), number, number % 3, seconds)
    return measured_columns(measured, "precision")


def test_measured_columns_of_hand_worked_samples():
    row = row_of([9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    assert row["median_seconds"] == row["mean_seconds"] == 5.0
    assert (row["ci_low_seconds"], row["ci_high_seconds"]) == (2.0, 8.0)
    assert (row["p5_seconds"], row["p95_seconds"]) == pytest.approx((1.4, 8.6))
    assert (row["p1_seconds"], row["p99_seconds"]) == pytest.approx((1.08, 8.92))
    assert (row["p25_seconds"], row["p75_seconds"]) == (3.0, 7.0)
    assert row["mad_seconds"] == 2.0
    assert row["examples_per_second"] == 3.6
    assert row["samples_seconds"][0] == 9.0  # in order, none dropped
    assert row["samples_process"] == [0, 1, 2] * 3
    assert row["num_samples"] == 9
    assert row["flags"] == ["noisy", "unlike_processes"]


def test_each_flag_names_one_doubt():
    quiet = [1.0] * 21
    assert row_of(quiet)["flags"] == []
    assert row_of([1.0] * 3)["flags"] == ["few_samples"]
    assert row_of([1.0, 1.0, 1.0, 1.2, 1.2, 1.2] * 4)["flags"] == ["noisy"]
    assert row_of([1.0] * 20 + [1.0, 1.0, 1.2] * 20)["flags"] == ["unlike_processes"]
    assert row_of(quiet, is_steady=False)["flags"] == ["not_steady"]
    assert row_of(quiet, step_seconds=0.011)["flags"] == ["clock_coarse"]


# --- CUDA, with a stand-in for torch.cuda ---------------------------------------------------------


def test_a_session_runs_on_the_cuda_clock():
    cuda = SimulatedCuda(launch=5e-6)
    clock = CudaClock(torch.device("cuda"), cuda, cuda.now)
    row = time_call(lambda: cuda.kernel(1e-6), clock, 0.005)
    assert row["stop_reason"] == "precision"
    assert row["samples_seconds"] == pytest.approx([1e-6] * row["num_samples"])
    assert row["wall_median_seconds"] > 4e-6  # the host launches more slowly than the device works
    assert row["calls_per_sample"] == pytest.approx(4_000, rel=0.01)
    assert row["first_call_seconds"] == pytest.approx(6e-6)


# --- work -----------------------------------------------------------------------------------------


def test_inference_runs_in_eval_and_inference_mode_on_inputs_of_the_problem():
    seen = {}

    class Probe(nn.Linear):
        def forward(self, inputs):
            seen.update(shape=inputs.shape, dtype=inputs.dtype, training=self.training)
            seen["inference"] = torch.is_inference_mode_enabled()
            return super().forward(inputs.flatten(1))

    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        cell = make_cell(batch_size=3, precision=precision)
        prepared = prepare(cell, CPU, lambda variant, problem: Probe(16, 10))
        with prepared.active():
            output = prepared.call()
        assert output.dtype == seen["dtype"] == dtype
        assert seen["shape"] == (3, 1, 4, 4)
        assert seen["inference"]
        assert not seen["training"]
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_train_step_moves_the_weights_of_a_network_in_training_mode(precision):
    built = []

    def build(variant, problem):
        built.append(build_small(variant, problem))
        return built[-1]

    prepared = prepare(make_cell(phase="train_step", precision=precision), CPU, build)
    with prepared.active():
        before = [weight.detach().clone() for weight in built[0].parameters()]
        losses = [float(prepared.call()) for _ in range(50)]
    assert built[0].training
    assert losses[-1] < losses[0]
    for weight, old in zip(built[0].parameters(), before, strict=True):
        assert weight.dtype == torch.float32
        assert not torch.equal(weight, old)


def test_threads_random_numbers_and_garbage_collection_are_restored():
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    other = 2 if threads == 1 else 1

    def build(variant, problem):
        assert torch.get_num_threads() == other
        return build_small(variant, problem)

    prepared = prepare(make_cell(threads=other), CPU, build)
    assert torch.get_num_threads() == threads
    with pytest.raises(KeyError), prepared.active():
        prepared.call()
        assert torch.get_num_threads() == other
        assert not gc.isenabled()
        raise KeyError
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    assert gc.isenabled()


def test_what_cannot_be_timed_is_a_row_that_says_why():
    for settings, words in (
        ({"cache": "cold"}, "cold"),
        ({"precision": "tf32"}, "use fp32"),
        ({"mode": "cuda_graph"}, "CUDA graphs"),
        ({"phase": "decode"}, "no next token"),
    ):
        row = measure(make_cell(**settings))
        assert row["status"] == "unsupported"
        assert words in row["error"]


# --- measure --------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["inference", "train_step"])
def test_a_measured_row_has_known_columns_that_agree_with_each_other(phase):
    row = measure_fake(make_cell(phase=phase), cost_ns=10**6)
    assert set(row) <= set(column_names("timings"))
    assert row["status"] == "ok"
    assert row["error"] is None
    assert row["median_seconds"] == pytest.approx(1e-3, rel=1e-3)
    assert row["num_samples"] == len(row["samples_seconds"]) >= 8
    assert row["calls_per_sample"] == 4
    assert row["num_threads"] == torch.get_num_threads()
    assert row["peak_memory_bytes"] is None
    assert row["stop_reason"] == "precision"


def test_limits_are_those_asked_for():
    row = measure_fake(make_cell(), cost_ns=2 * 10**8, limits=Limits(0.01, 1.0))
    assert row["stop_reason"] == "time_budget"
    assert sum(row["samples_seconds"]) * row["calls_per_sample"] < 1.3


def test_the_number_of_threads_is_recorded():
    assert measure_fake(make_cell(threads=1))["num_threads"] == 1


def test_a_real_cell_is_measured_by_the_real_clock():
    row = measure(make_cell(), limits=Limits(0.01, 0.3))
    assert row["status"] == "ok"
    assert 1e-7 < row["median_seconds"] < 1.0
    assert row["median_seconds"] * row["calls_per_sample"] > 1e-3
    assert row["samples_seconds"]


def test_running_out_of_memory_and_failing_are_rows():
    row = measure(make_cell(), build=lambda variant, problem: nn.Linear(10**8, 10**8))
    assert row["status"] == "oom"
    assert "memory" in row["error"]
    row = measure(make_cell(), build=lambda variant, problem: nn.Linear(3, 10))
    assert row["status"] == "failed"
    assert "shapes" in row["error"]


# --- cells ----------------------------------------------------------------------------------------


def make_trial(width=8, seed=0, dataset="digits", **train):
    settings = TrainSettings(**({"steps": 1} | train))
    variant = replace(VARIANT, width=width)
    data, task = DatasetSettings(name=dataset), TaskSettings(name="classify")
    return Trial(
        trial_id=trial_ids(variant, data, task, settings, [seed])[0],
        variant_id=variant_id(variant),
        variant=variant,
        dataset_settings=data,
        task_settings=task,
        train=settings,
        seed=seed,
        problem=PROBLEM,
        cost=Cost(1, 1, 1, 1, 1),
    )


def test_seeds_and_learning_rates_share_a_cell_which_names_their_first_trial():
    trials = [make_trial(lr=lr, seed=seed) for lr in (0.1, 0.2) for seed in range(3)]
    cells = list(cells_of(trials, TimingSettings(phases=["inference", "train_step"])))
    assert [cell.phase for cell, _ in cells] == ["inference", "train_step"]
    assert {trial.trial_id for _, trial in cells} == {trials[0].trial_id}


def test_axes_multiply_and_each_cell_has_an_id_of_its_own():
    timing = TimingSettings(
        phases=["inference", "train_step"],
        batch_sizes=[1, 128],
        precisions=["fp32", "bf16"],
        threads=[1, 2],
    )
    trials = [make_trial(width, dataset=name) for width in (8, 9) for name in ("digits", "mnist")]
    cells = [cell for cell, _ in cells_of(trials, timing)]
    assert len(cells) == len({cell.cell_id for cell in cells}) == 2 * 2 * 2 * 2 * 4
    assert {cell.threads for cell in cells} == {1, 2}
    assert cells == [cell for cell, _ in cells_of(trials, timing)]


def test_optimizers_share_inference_but_not_the_train_step():
    trials = [make_trial(optimizer="adamw"), make_trial(optimizer="sgd")]
    cells = [
        cell for cell, _ in cells_of(trials, TimingSettings(phases=["inference", "train_step"]))
    ]
    assert [cell.columns()["optimizer"] for cell in cells] == [None, "adamw", "sgd"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("optimizer", "sgd"),
        ("momentum", 0.5),
        ("nesterov", False),
        ("clip_norm", 1.0),
        ("label_smoothing", 0.1),
    ],
)
def test_what_changes_the_work_of_a_step_makes_another_train_step_but_not_inference(setting, value):
    default = TrainSettings(steps=1)
    assert getattr(default, setting) != value
    trials = [make_trial(), make_trial(**{setting: value})]
    timing = TimingSettings(phases=["inference", "train_step"])
    cells = [cell for cell, _ in cells_of(trials, timing)]
    assert [cell.phase for cell in cells] == ["inference", "train_step", "train_step"]
    assert cells[1].identity()["train"] == {}
    assert cells[2].identity()["train"] == {setting: value}
    assert len({cell.cell_id for cell in cells}) == 3


def test_a_cells_columns_are_columns_of_the_table_and_its_id_never_changes():
    cell, _ = next(cells_of([make_trial()], TimingSettings()))
    assert set(cell.columns()) <= set(column_names("timings"))
    assert cell.columns()["cell_id"] == cell.cell_id == "4c828a1ef2787add"
