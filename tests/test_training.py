from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthbench.errors import TrialError
from depthbench.grammar import TrainSettings
from depthbench.training import evaluate, is_out_of_memory, prepare, train
from depthbench.training.batches import batches, check_batches, stream_seed
from depthbench.training.durations import horizon_of
from depthbench.training.evaluation import evaluation_batch_size
from depthbench.training.optimizers import build_optimizer
from depthbench.training.schedules import LearningRate, learning_rate_factor
from depthbench.training.tensors import PreparedData, Tensors, pixel_statistics


@dataclass
class Split:
    images: np.ndarray
    labels: np.ndarray


@dataclass
class Images:
    train: Split
    validation: Split
    test: Split
    digest: str = "0" * 64
    is_official: bool = True
    is_complete: bool = True


class FakeClock:
    """Seconds that pass only when told, or by a fixed amount a reading."""

    def __init__(self, step=0.0):
        self.seconds = 0.0
        self.step = step

    def __call__(self):
        self.seconds += self.step
        return self.seconds


def make_tensors(count, seed=0, num_classes=4):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(num_classes, 1, 4, 4, generator=torch.Generator().manual_seed(99))
    targets = torch.randint(num_classes, (count,), generator=generator)
    inputs = centres[targets] + 0.3 * torch.randn(count, 1, 4, 4, generator=generator)
    return Tensors(inputs, targets)


def make_data(num_train=100, num_validation=40):
    splits = make_tensors(num_train), make_tensors(num_validation, 1), make_tensors(20, 2)
    return PreparedData(*splits, (0.0,), (1.0,), "0" * 64, True, True)


def make_network(seed=0, *middle):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.ReLU(), *middle, nn.Linear(16, 4))


def settings_of(**settings):
    return TrainSettings(**({"batch_size": 32, "lr": 0.01} | settings))


def points(result, split, metric):
    rows = [r for r in result.curve if r["split"] == split and r["metric"] == metric]
    return [(row["step"], row["value"]) for row in rows]


# --- data -----------------------------------------------------------------------------------------


def test_standardisation_uses_the_training_images_only():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 100, (300, 3, 5, 5), dtype=np.uint8)
    high = rng.integers(200, 255, (50, 3, 5, 5), dtype=np.uint8)
    labels = np.zeros(300, np.int64)
    data = prepare(
        Images(Split(low, labels), Split(high, labels[:50]), Split(high, labels[:50])), "cpu"
    )
    scaled = low.astype(np.float64) / 255
    assert data.pixel_mean == pytest.approx(scaled.mean(axis=(0, 2, 3)), rel=1e-12)
    assert data.pixel_std == pytest.approx(scaled.std(axis=(0, 2, 3)), rel=1e-12)
    assert data.train.inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert data.train.inputs.std().item() == pytest.approx(1, abs=1e-2)
    assert data.validation.inputs.mean().item() > 2
    assert data.train.inputs.dtype == torch.float32
    assert data.train.targets.dtype == torch.int64
    assert (data.digest, data.is_official, data.is_complete) == ("0" * 64, True, True)


def test_bytes_and_the_same_floats_are_standardised_alike():
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 3, 3), dtype=np.uint8)
    floats = (images / 255).astype(np.float32)
    labels = np.zeros(40, np.int64)
    first, second = (
        prepare(Images(*[Split(found, labels)] * 3), "cpu").train.inputs
        for found in (images, floats)
    )
    assert torch.allclose(first, second, atol=1e-5)


def test_a_constant_channel_is_shifted_but_not_scaled():
    images = np.full((5000, 2, 2, 2), 0.1, np.float32)
    images[:, 1] = np.random.default_rng(0).random((5000, 2, 2))
    data = prepare(Images(*[Split(images, np.zeros(5000, np.int64))] * 3), "cpu")
    assert data.pixel_std[0] == 1.0
    assert data.pixel_std[1] != 1.0
    assert data.train.inputs[:, 0].abs().max().item() < 1e-6


def test_prepare_leaves_the_callers_arrays_alone_even_read_only_ones():
    images = np.random.default_rng(0).random((20, 1, 2, 2)).astype(np.float32)
    before = images.copy()
    images.setflags(write=False)
    data = prepare(Images(*[Split(images, np.zeros(20, np.int64))] * 3), "cpu")
    assert np.array_equal(images, before)
    assert not np.allclose(data.train.inputs.numpy(), before)


def test_statistics_over_many_chunks_equal_those_at_once():
    images = np.random.default_rng(0).integers(0, 256, (9000, 1, 2, 2), dtype=np.uint8)
    mean, std = pixel_statistics(images)
    assert mean == pytest.approx([images.mean() / 255], rel=1e-12)
    assert std == pytest.approx([images.std() / 255], rel=1e-12)


# --- order ----------------------------------------------------------------------------------------


def numbered(count):
    return Tensors(torch.arange(count).float().reshape(count, 1, 1, 1), torch.arange(count))


def sizes_and_order(count, batch_size, seed, num_examples):
    found = list(batches(numbered(count), batch_size, seed, num_examples))
    order = [int(target) for _, targets in found for target in targets]
    assert order == [int(value) for inputs, _ in found for value in inputs.flatten()]
    return [len(targets) for _, targets in found], order


def test_each_epoch_has_every_example_once_and_keeps_the_short_batch():
    sizes, order = sizes_and_order(10, 4, 0, 20)
    assert sizes == [4, 4, 2, 4, 4, 2]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


def test_the_order_depends_on_the_seed_and_on_nothing_else():
    torch.manual_seed(1)
    first = sizes_and_order(50, 8, 3, 100)[1]
    torch.manual_seed(2)
    assert sizes_and_order(50, 8, 3, 100)[1] == first
    assert sizes_and_order(50, 16, 3, 100)[1] == first
    assert sizes_and_order(50, 8, 4, 100)[1] != first
    assert stream_seed(3, "order") != stream_seed(3, "noise")


def test_the_order_of_a_seed_never_changes_between_versions():
    assert stream_seed(0, "order") == 1294077219095703350
    assert sizes_and_order(8, 8, 0, 8)[1] == [5, 6, 7, 0, 3, 4, 1, 2]


def test_exactly_as_many_examples_as_asked_are_seen():
    assert sizes_and_order(10, 4, 0, 15)[0] == [4, 4, 2, 4, 1]
    assert sizes_and_order(10, 64, 0, 25)[0] == [10, 10, 5]


@pytest.mark.parametrize(
    ("duration", "num_steps", "num_examples"),
    [
        ({"steps": 7}, 7, 32 + 32 + 32 + 4 + 32 + 32 + 32),
        ({"epochs": 2.0}, 8, 200),
        ({"epochs": 1.5}, 6, 150),
        ({"epochs": 0.001}, 1, 1),
        ({"examples": 130}, 5, 130),
        ({"examples": 5}, 1, 5),
        ({"steps": 0}, 0, 0),
    ],
)
def test_each_duration_is_kept_exactly(duration, num_steps, num_examples):
    settings = settings_of(**duration)
    assert horizon_of(settings, 100).num_steps == num_steps
    result = train(make_network(), make_data(100), settings, seed=0)
    assert (result.steps_taken, result.examples_seen) == (num_steps, num_examples)
    assert result.status == "ok"
    assert result.curve[-1]["step"] == num_steps
    assert result.curve[-1]["epoch"] == num_examples / 100


def test_seconds_end_by_the_clock():
    clock = FakeClock(step=0.25)
    settings = settings_of(seconds=10.0, schedule="linear", evaluations=2)
    result = train(make_network(), make_data(), settings, seed=0, clock=clock)
    assert 30 <= result.steps_taken <= 40
    assert 10.0 <= result.train_seconds <= 11.0
    assert len(points(result, "val", "loss")) == 2


def test_tokens_and_missing_durations_are_refused_with_what_is_allowed():
    with pytest.raises(TrialError, match="epochs, examples or seconds"):
        train(make_network(), make_data(), settings_of(tokens=10), seed=0)
    with pytest.raises(TrialError, match="found none"):
        horizon_of(settings_of(), 10)
    with pytest.raises(TrialError, match="found steps, epochs"):
        horizon_of(settings_of(steps=1, epochs=1.0), 10)


@pytest.mark.parametrize(
    ("duration", "batch_size", "is_refused"),
    [
        ({"epochs": 1.0}, 33, True),  # 100 = 3 * 33 + 1
        ({"epochs": 1.0}, 32, False),
        ({"epochs": 1.0}, 1, True),
        ({"examples": 101}, 50, True),
        ({"examples": 33}, 32, True),
        ({"examples": 50}, 33, False),
        ({"epochs": 1.0}, 1000, False),
        ({"steps": 3}, 33, False),
        ({"steps": 4}, 33, True),
        ({"seconds": 1.0}, 33, True),
    ],
)
def test_batch_norm_over_a_single_example_is_refused_before_training(
    duration, batch_size, is_refused
):
    horizon = horizon_of(settings_of(batch_size=batch_size, **duration), 100)
    check_batches(make_network(), horizon)
    network = make_network(0, nn.BatchNorm1d(16))
    if is_refused:
        with pytest.raises(TrialError, match="single example"):
            check_batches(network, horizon)
    else:
        check_batches(network, horizon)


# --- schedule -------------------------------------------------------------------------------------


def factor(settings, progress, position=0.0):
    return learning_rate_factor(settings, 10**6, progress, 0.0, position)


def test_schedules_have_their_textbook_values():
    assert factor(settings_of(steps=1), 0.9) == 1.0
    linear, cosine = settings_of(schedule="linear"), settings_of(schedule="cosine")
    assert [factor(linear, p) for p in (0.0, 0.25, 0.5, 1.0)] == [1.0, 0.75, 0.5, 0.0]
    expected = [1.0, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5, 0.0]
    assert [factor(cosine, p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(expected)


def test_the_step_schedule_decays_at_each_milestone_in_the_durations_unit():
    settings = settings_of(epochs=4.0, schedule="step", milestones=(1.0, 2.5), gamma=0.1, lr=1.0)
    rate = LearningRate(settings, horizon_of(settings, 64))  # two steps an epoch
    rates = [rate.at(step, step * 32, 0.0) for step in range(8)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_warm_up_is_linear_and_decay_covers_the_steps_after_it():
    settings = settings_of(steps=12, schedule="linear", warmup_steps=4, lr=1.0)
    rate = LearningRate(settings, horizon_of(settings, 100))
    rates = [rate.at(step, 0, 0.0) for step in range(12)]
    assert rates == pytest.approx(
        [0.25, 0.5, 0.75, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )


def test_decay_over_seconds_starts_where_the_warm_up_ended():
    settings = settings_of(seconds=10.0, schedule="linear", warmup_steps=2, lr=1.0)
    rate = LearningRate(settings, horizon_of(settings, 100))
    rates = [rate.at(step, 0, step * 1.0) for step in range(10)]
    assert rates == pytest.approx([0.5, 1.0, *[(8 - passed) / 8 for passed in range(8)]])


# --- optimisation ---------------------------------------------------------------------------------

PLAIN = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01),
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.01),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("optimizer", PLAIN)
def test_training_equals_a_plain_pytorch_loop(optimizer):
    data, network, twin = make_data(), make_network(), make_network()
    result = train(network, data, settings_of(optimizer=optimizer, epochs=3.0), seed=5)
    plain = PLAIN[optimizer](twin.parameters())
    losses = []
    for inputs, targets in batches(data.train, 32, 5, 300):
        loss = F.cross_entropy(twin(inputs), targets)
        plain.zero_grad()
        loss.backward()
        plain.step()
        losses.append(loss.item() * len(targets))
    for weight, twin_weight in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(weight, twin_weight, atol=1e-6)
    means = [sum(losses[i : i + 4]) / 100 for i in (0, 4, 8)]
    assert [value for _, value in points(result, "train", "loss")] == pytest.approx(means, rel=1e-5)


def test_weights_that_are_not_trainable_stay_as_they_were():
    network = make_network()
    network[1].weight.requires_grad_(False)
    before = network[1].weight.clone()
    train(network, make_data(), settings_of(steps=5, weight_decay=0.1), seed=0)
    assert torch.equal(network[1].weight, before)


def test_weight_decay_defaults_to_what_pytorch_does():
    found = {
        name: build_optimizer(make_network(), settings_of(optimizer=name)).param_groups[0]
        for name in PLAIN
    }
    assert {name: group["weight_decay"] for name, group in found.items()} == {
        "adamw": 0.01,
        "adam": 0.0,
        "sgd": 0.0,
    }
    assert all(group["fused"] for group in found.values())
    changed = build_optimizer(make_network(), settings_of(weight_decay=0.5)).param_groups[0]
    assert changed["weight_decay"] == 0.5


def test_sgd_without_momentum_is_plain_gradient_descent():
    optimizer = build_optimizer(make_network(), settings_of(optimizer="sgd", momentum=0.0))
    assert optimizer.param_groups[0]["nesterov"] is False


def test_sgd_takes_weights_that_later_steps_alone_have_gradients_of():
    late, early = (torch.nn.Linear(1, 1, bias=False) for _ in range(2))
    optimizer = build_optimizer(torch.nn.Sequential(late, early), settings_of(optimizer="sgd"))
    plain = torch.optim.SGD([late.weight.detach().clone()], lr=0.01, momentum=0.9, nesterov=True)
    (weight,) = plain.param_groups[0]["params"]
    for step in range(3):
        late.weight.grad = torch.ones(1, 1) if step else None
        early.weight.grad = torch.ones(1, 1)
        weight.grad = None if late.weight.grad is None else late.weight.grad.clone()
        optimizer.step()
        plain.step()
    assert torch.equal(late.weight, weight)


def test_clipping_bounds_the_norm_of_all_gradients_together():
    def moved_by(clip_norm):
        network = make_network()
        before = torch.cat([w.detach().flatten().clone() for w in network.parameters()])
        settings = settings_of(optimizer="sgd", momentum=0.0, lr=1.0, steps=1, clip_norm=clip_norm)
        train(network, make_data(), settings, seed=0)
        after = torch.cat([w.detach().flatten() for w in network.parameters()])
        return (after - before).norm().item()

    assert moved_by(0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved_by(None) > 0.1
    assert moved_by(1000.0) == pytest.approx(moved_by(None), rel=1e-6)


def test_label_smoothing_changes_the_training_loss_and_no_metric():
    plain = train(make_network(), make_data(), settings_of(steps=1, lr=1e-6), seed=0)
    smooth = train(
        make_network(), make_data(), settings_of(steps=1, lr=1e-6, label_smoothing=0.5), seed=0
    )
    assert points(plain, "train", "loss") != points(smooth, "train", "loss")
    assert plain.metrics["train_loss"] == pytest.approx(smooth.metrics["train_loss"], rel=1e-3)


def test_bf16_learns_with_weights_in_float32_and_differs_from_fp32():
    network = make_network()
    low = train(network, make_data(), settings_of(epochs=10.0, precision="bf16"), seed=0)
    full = train(make_network(), make_data(), settings_of(epochs=10.0), seed=0)
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert low.metrics["val_accuracy"] > 0.9
    assert low.metrics["val_loss"] != full.metrics["val_loss"]
    assert low.metrics["val_loss"] == pytest.approx(full.metrics["val_loss"], rel=0.2)


@pytest.mark.parametrize("optimizer", PLAIN)
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_every_optimizer_and_schedule_learns(optimizer, schedule):
    settings = settings_of(optimizer=optimizer, schedule=schedule, epochs=15.0, warmup_steps=5)
    result = train(make_network(), make_data(), settings, seed=0)
    assert result.metrics["val_accuracy"] > 0.9
    assert result.metrics["train_loss"] < 0.8


# --- evaluation and curves ------------------------------------------------------------------------


def test_evaluation_is_the_mean_over_examples_whatever_the_batches():
    network, tensors = make_network(), make_tensors(101)
    with torch.no_grad():
        logits = network(tensors.inputs)
        loss = F.cross_entropy(logits.double(), tensors.targets).item()
        accuracy = (logits.argmax(1) == tensors.targets).double().mean().item()
    for batch_size in (1, 7, 100, 101, 512):
        found = evaluate(network, tensors, batch_size)
        assert found["loss"] == pytest.approx(loss, rel=1e-6)
        assert found["accuracy"] == accuracy


def test_convolutions_are_evaluated_in_small_batches_on_a_cpu_unless_the_task_says():
    tensors = make_tensors(600)
    linear, convolution = nn.Linear(4, 2), nn.Sequential(nn.Conv2d(1, 4, 3))
    assert evaluation_batch_size(linear, tensors) == 512
    assert evaluation_batch_size(convolution, tensors) == 128
    told = replace(tensors, evaluation_batch_size=7)
    assert evaluation_batch_size(convolution, told) == 7
    away = replace(tensors, inputs=tensors.inputs.to("meta"))
    assert evaluation_batch_size(convolution, away) == 512


def test_evaluation_leaves_the_network_as_it_was():
    network = make_network(0, nn.BatchNorm1d(16), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = evaluate(network, make_tensors(50))
    assert network.training
    assert network[3].training
    assert first == evaluate(network, make_tensors(50))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    evaluate(network.eval(), make_tensors(50))
    assert not network.training


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"epochs": 3.0}, [4, 8, 12]),
        ({"epochs": 2.5}, [4, 8, 10]),
        ({"steps": 10}, [4, 8, 10]),
        ({"steps": 3}, [3]),
        ({"epochs": 3.0, "evaluations": 1}, [12]),
        ({"steps": 10, "evaluations": 5}, [2, 4, 6, 8, 10]),
        ({"steps": 10, "evaluations": 3}, [4, 7, 10]),
        ({"steps": 3, "evaluations": 100}, [1, 2, 3]),
        ({"steps": 0}, [0]),
    ],
)
def test_validations_are_one_an_epoch_or_evenly_spaced_and_include_the_end(settings, steps):
    result = train(make_network(), make_data(100), settings_of(**settings), seed=0)
    assert [step for step, _ in points(result, "val", "loss")] == steps
    assert [step for step, _ in points(result, "val", "accuracy")] == steps
    assert [step for step, _ in points(result, "train", "loss")] == [s for s in steps if s]


def test_final_metrics_are_those_of_the_whole_splits_at_the_end():
    network, data = make_network(), make_data()
    result = train(network, data, settings_of(epochs=2.0), seed=0)
    training, validation = evaluate(network, data.train), evaluate(network, data.validation)
    assert result.metrics == {
        "train_loss": training["loss"],
        "train_accuracy": training["accuracy"],
        "val_loss": validation["loss"],
        "val_accuracy": validation["accuracy"],
    }
    assert points(result, "val", "loss")[-1][1] == validation["loss"]


def test_time_spent_in_validation_is_not_training_time():
    clock = FakeClock(step=0.0)
    seen = []

    def on_evaluation(evaluation):
        clock.seconds += 100.0
        seen.append((evaluation.step, evaluation.progress))

    settings = settings_of(epochs=2.0, evaluations=4)
    result = train(
        make_network(), make_data(), settings, seed=0, clock=clock, on_evaluation=on_evaluation
    )
    assert seen == [(2, 0.25), (4, 0.5), (6, 0.75), (8, 1.0)]
    assert result.train_seconds == 0.0


@pytest.mark.parametrize("duration", [{"epochs": 3.0}, {"steps": 10}, {"seconds": 12.0}])
def test_who_hears_of_each_step_changes_nothing(duration):
    heard = []
    silent, watched = (
        train(
            make_network(),
            make_data(),
            settings_of(**duration),
            seed=0,
            clock=FakeClock(step=1.0),
            **options,
        )
        for options in ({}, {"on_progress": lambda *given: heard.append(given)})
    )
    assert watched == silent
    shares = [share for share, _ in heard]
    assert len(shares) == watched.steps_taken
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1
    losses = [value for _, value in points(watched, "val", "loss")]
    assert heard[0][1] is None
    assert {loss for _, loss in heard[1:]} <= {None, *losses}
    assert heard[-1][1] in losses


# --- divergence -----------------------------------------------------------------------------------


def test_an_exploding_loss_ends_training_as_diverged():
    settings = settings_of(optimizer="sgd", lr=1e6, steps=500, evaluations=1)
    result = train(make_network(0, nn.Linear(16, 16)), make_data(), settings, seed=0)
    assert result.status == "diverged"
    assert result.steps_taken == 50
    assert "step 50" in result.error
    assert "1e+06" in result.error
    assert result.metrics == {}


def test_a_last_step_that_breaks_the_weights_is_diverged():
    class Breaking(nn.Module):
        """Fine in training, not finite in evaluation."""

        def forward(self, stream):
            return stream if self.training else stream * math.nan

    result = train(make_network(0, Breaking()), make_data(), settings_of(steps=3), seed=0)
    assert result.status == "diverged"
    assert "final loss" in result.error
    assert result.metrics == {}
    assert math.isnan(points(result, "val", "loss")[-1][1])


# --- determinism ----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_call_gives_bitwise_the_same_numbers(precision):
    settings = settings_of(epochs=3.0, precision=precision, schedule="cosine", clip_norm=1.0)
    first, second = (
        train(make_network(0, nn.Dropout(0.2)), make_data(), settings, seed=7) for _ in range(2)
    )
    assert first.curve == second.curve
    assert first.metrics == second.metrics
    other = train(make_network(0, nn.Dropout(0.2)), make_data(), settings, seed=8)
    assert other.curve != first.curve


def test_global_random_numbers_neither_matter_nor_change():
    results = []
    for state in (1, 2):
        torch.manual_seed(state)
        expected = torch.random.get_rng_state()
        network = make_network(0, nn.Dropout(0.5))
        results.append(train(network, make_data(), settings_of(steps=5), seed=0).metrics)
        assert torch.equal(torch.random.get_rng_state(), expected)
    assert results[0] == results[1]


def test_out_of_memory_is_told_from_other_failures():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_a_gpu_is_repeatable_and_close_to_the_cpu():
    def on(device):
        data = make_data()
        moved = [
            Tensors(split.inputs.to(device), split.targets.to(device))
            for split in (data.train, data.validation, data.test)
        ]
        placed = PreparedData(*moved, (0.0,), (1.0,), "", True, True)
        return train(make_network().to(device), placed, settings_of(epochs=3.0), seed=0)

    first, second = on("cuda"), on("cuda")
    assert first.curve == second.curve
    assert first.metrics["val_loss"] == pytest.approx(on("cpu").metrics["val_loss"], rel=1e-3)
