"""The tasks on images: what networks see, what is measured, and the published hourglass recipe."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthbench import expand, load_suite, read_run, run_suite
from depthbench.data import problem_of
from depthbench.data.base import Split
from depthbench.errors import DataError, SuiteError
from depthbench.grammar import DatasetSettings, TaskSettings, TrainSettings
from depthbench.models import build_model
from depthbench.spec import Problem
from depthbench.suite import parse_suite
from depthbench.training import evaluate, train
from depthbench.training.arithmetic import forked_random
from depthbench.training.checkpoints import Checkpoint, learned_tensors
from depthbench.training.curves import Evaluation
from depthbench.training.tasks import TASKS, task_of
from depthbench.training.tasks.images import psnr_db
from tests.fixtures_networks import images, seeded, variant_of
from tests.test_data import REAL_DATA

CPU = torch.device("cpu")
IMAGE_TASKS = ("denoise", "super_resolution", "prototype")
PUBLISHED = "norm: batch, norm_affine: false, bias: false, head_norm: false, output: sigmoid"


def task_named(name, **settings):
    return task_of(TaskSettings(name=name, **settings))


def make_dataset(num_train=40, num_other=24, num_classes=4, dtype=np.uint8, side=8):
    rng = np.random.default_rng(0)

    def split(num):
        pixels = rng.integers(0, 256, (num, 1, side, side), dtype=np.uint8)
        pixels = pixels if dtype == np.uint8 else (pixels / 255).astype(dtype)
        return Split(pixels, np.arange(num, dtype=np.int64) % num_classes)

    return SimpleNamespace(
        name="made",
        train=split(num_train),
        validation=split(num_other),
        test=split(num_other),
        num_classes=num_classes,
        digest="0" * 64,
        is_official=False,
        is_complete=True,
    )


def scaled(split):
    return torch.tensor(split.images).float() / 255


class Constant(nn.Module):
    """Return the same image, or the inputs plus a constant, whatever is learned."""

    def __init__(self, shift):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(float(shift)))

    def forward(self, x):
        return x + self.shift


# --- what a network sees --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("name", IMAGE_TASKS)
def test_images_are_in_0_to_1_and_not_standardised(name, dtype):
    dataset = make_dataset(dtype=dtype)
    data = task_named(name).prepare(dataset, CPU)
    expected = torch.tensor(dataset.train.images).float() / (255 if dtype == np.uint8 else 1)
    assert torch.equal(data.train.inputs, expected)
    assert (data.pixel_mean, data.pixel_std) == ((0.0,), (1.0,))
    assert (data.digest, data.is_official, data.is_complete) == ("0" * 64, False, True)
    assert len(data.validation) == len(data.test) == 24


@pytest.mark.parametrize("name", IMAGE_TASKS)
def test_floats_outside_0_to_1_are_refused(name):
    dataset = make_dataset(dtype=np.float32)
    dataset.test = Split(dataset.test.images * 16, dataset.test.labels)
    with pytest.raises(DataError, match=r"made: its images go from 0 to 1[56].* need them in"):
        task_named(name).prepare(dataset, CPU)


def test_noise_has_the_deviation_asked_for_and_is_clamped():
    torch.manual_seed(0)
    grey = torch.full((200, 1, 16, 16), 0.5)
    noisy, target = task_named("denoise", noise=0.1).training_batch(grey, grey)
    assert target is grey
    assert (noisy - 0.5).std().item() == pytest.approx(0.1, rel=0.02)
    black = torch.zeros(200, 1, 16, 16)
    noisy, _ = task_named("denoise").training_batch(black, black)
    assert (noisy.min().item(), noisy.max().item() <= 1) == (0.0, True)
    # Half of all draws are clamped to 0; the others are half normal: 0.25 sqrt(2 / pi) on average.
    assert (noisy == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    mean = noisy[noisy > 0].mean().item()
    assert mean == pytest.approx(0.25 * math.sqrt(2 / math.pi), rel=0.01)


def test_training_noise_is_fresh_for_each_batch_and_from_the_seeded_global_stream():
    task, clean = task_named("denoise"), torch.full((4, 1, 8, 8), 0.5)

    def two_batches():
        with forked_random(CPU, 7):
            return [task.training_batch(clean, clean)[0] for _ in range(2)]

    (first, second), again = two_batches(), two_batches()
    assert not torch.equal(first, second)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


def test_evaluations_see_the_same_noise_in_every_call_and_for_every_seed():
    dataset = make_dataset()
    with forked_random(CPU, 1):
        first = task_named("denoise").prepare(dataset, CPU)
    with forked_random(CPU, 2):
        second = task_named("denoise").prepare(dataset, CPU)
    assert torch.equal(first.validation.inputs, second.validation.inputs)
    assert torch.equal(first.test.inputs, second.test.inputs)
    assert torch.equal(first.evaluated_train().inputs, second.evaluated_train().inputs)
    # Written down when the seeds were chosen: other noise moves every result there is.
    noise = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(2_510_017_961))
    expected = (scaled(dataset.validation) + 0.25 * noise).clamp(0, 1)
    assert torch.allclose(first.validation.inputs, expected, atol=1e-6)
    assert torch.equal(first.validation.targets, scaled(dataset.validation))
    noises = [
        split.inputs[:20] - split.targets[:20]
        for split in (first.validation, first.test, first.evaluated_train())
    ]
    assert not torch.equal(noises[0], noises[1])
    assert not torch.equal(noises[0], noises[2])


def test_super_resolution_inputs_are_torchs_bicubic_halves():
    dataset = make_dataset()
    task = task_named("super_resolution")
    data = task.prepare(dataset, CPU)
    full = scaled(dataset.validation)
    halved = F.interpolate(full, scale_factor=0.5, mode="bicubic", align_corners=False)
    assert data.validation.inputs.shape == (24, 1, 4, 4)
    assert torch.allclose(data.validation.inputs, halved, atol=1e-6)
    assert torch.equal(data.validation.targets, full)
    low, high = task.training_batch(full, full)
    assert torch.equal(low, data.validation.inputs)
    assert torch.equal(high, full)


def test_a_halved_pixel_is_the_cubic_of_its_neighbours_by_hand():
    # Halving puts each new pixel half way between two old ones, where the cubic convolution with
    # a = -0.75 weighs its four neighbours -3/32, 19/32, 19/32, -3/32.
    row = torch.tensor([0.0, 0.25, 0.5, 1.0, 0.75, 0.5, 0.25, 0.125])
    image = row.repeat(8, 1)[None, None]  # (1, 1, 8, 8), alike in all rows
    halved = task_named("super_resolution").degraded(image)
    by_hand = -3 / 32 * 0.25 + 19 / 32 * 0.5 + 19 / 32 * 1.0 - 3 / 32 * 0.75
    assert halved[0, 0, 1, 1].item() == pytest.approx(by_hand, abs=1e-6)


def test_prototypes_are_the_first_training_image_of_each_class_for_all_splits():
    dataset = make_dataset()
    labels = np.array([2, 0, 0, 3, 1] + [0] * 35, np.int64)
    dataset.train = Split(dataset.train.images, labels)
    task = task_named("prototype")
    data = task.prepare(dataset, CPU)
    clean = scaled(dataset.train)
    assert torch.equal(task.prototypes, clean[[1, 4, 0, 3]])
    inputs, targets = task.training_batch(clean[:3], data.train.targets[:3])
    assert torch.equal(inputs, clean[:3])
    assert torch.equal(targets, clean[[0, 1, 1]])
    assert data.test.targets.tolist() == dataset.test.labels.tolist()


def test_a_class_without_training_images_has_no_prototype():
    dataset = make_dataset()
    dataset.train = Split(dataset.train.images[:2], np.array([0, 2], np.int64))
    with pytest.raises(DataError, match=r"no training image of class 1 among 2.*train_examples"):
        task_named("prototype").prepare(dataset, CPU)


def test_augmenting_a_training_batch_moves_input_and_target_alike():
    clean = torch.rand(3, 1, 8, 8)
    flipped = clean.flip(3)
    low, high = task_named("super_resolution").training_batch(flipped, clean)
    assert torch.equal(high, flipped)
    assert low.shape == (3, 1, 4, 4)
    _, target = task_named("denoise").training_batch(flipped, clean)
    assert torch.equal(target, flipped)


# --- what is measured -----------------------------------------------------------------------------


@pytest.mark.parametrize(("mse", "expected"), [(1.0, 0.0), (0.01, 20.0), (0.0625, 12.0412)])
def test_psnr_of_a_known_error(mse, expected):
    assert psnr_db(mse) == pytest.approx(expected, abs=1e-4)


def test_psnr_of_no_error_is_infinite_and_of_no_number_none():
    assert psnr_db(0.0) == math.inf
    assert math.isnan(psnr_db(math.nan))
    metrics = task_named("denoise").metrics({"loss": 0.0, "count": 4.0})
    assert metrics == {"loss": 0.0}  # null in the results: an infinite value would say "diverged"


def test_psnr_is_that_of_the_whole_split_not_a_mean_over_batches():
    data = task_named("super_resolution").prepare(make_dataset(num_other=4), CPU)
    task = task_named("super_resolution")
    targets = data.validation.targets
    # Two examples are off by 0.1 and two by 0.3: the mean MSE is 0.05, 13.01 dB; batches of two
    # would have 20 dB and 10.46 dB, 15.23 dB on average.
    offsets = torch.tensor([0.1, 0.1, 0.3, 0.3])[:, None, None, None]
    first = task.sums(targets[:2] + offsets[:2], targets[:2])
    second = task.sums(targets[2:] + offsets[2:], targets[2:])
    whole = task.metrics({name: (first[name] + second[name]).item() for name in first})
    assert whole["loss"] == pytest.approx(0.05, rel=1e-5)
    assert whole["psnr_db"] == pytest.approx(13.0103, abs=1e-4)
    by_batch = [
        task.metrics({name: value.item() for name, value in sums.items()})["psnr_db"]
        for sums in (first, second)
    ]
    assert sum(by_batch) / 2 == pytest.approx(15.2288, abs=1e-3)


def test_metrics_do_not_depend_on_the_batch_size():
    task = task_named("denoise")
    data = task.prepare(make_dataset(), CPU)
    found = [evaluate(Constant(0.1), data.test, size, task=task) for size in (1, 7, 24)]
    for metrics in found[1:]:
        assert metrics == pytest.approx(found[0], rel=1e-12)
    assert found[0]["psnr_db"] == pytest.approx(-10 * math.log10(found[0]["loss"]), rel=1e-12)


def test_the_training_loss_is_the_mean_over_all_pixels():
    task = task_named("denoise")
    outputs, targets = torch.rand(2, 5, 3, 8, 8)
    loss = task.loss(outputs, targets, TrainSettings(steps=1))
    assert loss.item() == pytest.approx((outputs - targets).pow(2).mean().item(), rel=1e-6)
    sums = task.sums(outputs, targets)
    assert (sums["loss"] / sums["count"]).item() == pytest.approx(loss.item(), rel=1e-6)


def test_prototype_accuracy_counts_outputs_nearest_to_their_own():
    dataset = make_dataset(num_classes=3)
    black, grey, white = np.zeros(64), np.full(64, 128), np.full(64, 255)
    planted = np.stack([black, grey, white]).astype(np.uint8).reshape(3, 1, 8, 8)
    dataset.train = Split(planted, np.array([0, 1, 2], np.int64))
    task = task_named("prototype")
    task.prepare(dataset, CPU)
    values = [0.1, 0.3, 0.9, 0.6, 0.7]  # nearest to the prototypes 0, 1, 2, 1, 1
    outputs = torch.tensor(values)[:, None, None, None].expand(5, 1, 8, 8)
    sums = task.sums(outputs, torch.tensor([0, 0, 2, 1, 2]))
    metrics = task.metrics({name: value.item() for name, value in sums.items()})
    assert metrics["accuracy"] == pytest.approx(3 / 5)
    half = 128 / 255
    squares = [0.1**2, 0.3**2, 0.1**2, (0.6 - half) ** 2, 0.3**2]
    assert metrics["loss"] == pytest.approx(sum(squares) / 5, rel=1e-5)
    assert metrics["psnr_db"] == pytest.approx(-10 * math.log10(sum(squares) / 5), rel=1e-5)


def test_training_metrics_are_measured_on_degraded_images():
    task = task_named("denoise")
    data = task.prepare(make_dataset(), CPU)
    settings = TrainSettings(steps=0)
    result = train(Constant(0.0), data, settings, seed=0, task=task)
    noisy = data.evaluated_train()
    mse = (noisy.inputs - noisy.targets).pow(2).mean().item()
    assert result.metrics["train_loss"] == pytest.approx(mse, rel=1e-5)
    assert result.metrics["train_loss"] > 0.01


@pytest.mark.parametrize("name", sorted(TASKS.keys() & {*IMAGE_TASKS, "classify"}))
def test_synthetic_batches_have_the_shapes_of_the_problem(name):
    problem = Problem((1, 8, 8), (4,) if name == "classify" else (1, 8, 8))
    task = task_named(name)
    inputs, targets = task.synthetic_batch(problem, 3, torch.Generator().manual_seed(0))
    outputs = torch.rand(3, *problem.output_shape)
    assert inputs.shape == (3, 1, 8, 8)
    assert task.loss(outputs, targets, TrainSettings(steps=1)).shape == ()


# --- problems -------------------------------------------------------------------------------------


def test_problems_map_images_to_images():
    digits = DatasetSettings(name="digits")
    shapes = {
        name: problem_of(digits, TaskSettings(name=name)) for name in ("classify", *IMAGE_TASKS)
    }
    assert shapes == {
        "classify": Problem((1, 8, 8), (10,)),
        "denoise": Problem((1, 8, 8), (1, 8, 8)),
        "super_resolution": Problem((1, 4, 4), (1, 8, 8)),
        "prototype": Problem((1, 8, 8), (1, 8, 8)),
    }


def test_images_with_an_odd_side_cannot_be_halved(tmp_path):
    arrays = {f"x_{s}": np.zeros((9, 5, 4), np.uint8) for s in ("train", "test")}
    labels = {f"y_{s}": np.arange(9) % 3 for s in ("train", "test")}
    np.savez(tmp_path / "odd.npz", **arrays, **labels)
    own = DatasetSettings(name="npz", path=str(tmp_path / "odd.npz"))
    with pytest.raises(DataError, match="have 5 x 4 pixels, and an odd side has no half"):
        problem_of(own, TaskSettings(name="super_resolution"))
    assert problem_of(own, TaskSettings(name="denoise")).input_shape == (1, 5, 4)


# --- the published recipe -------------------------------------------------------------------------


def suite_of(variant, *more, task="denoise", train="{epochs: 1}", dataset="digits"):
    return "\n".join(
        [
            f"suite: tasks\ndataset: {dataset}\ntask: {task}\ntrain: {train}",
            f"backbone: {{name: mlp, {PUBLISHED}}}",
            f"variants: [{variant}]",
            *more,
        ]
    )


def trials_of(text):
    return expand(parse_suite(text, "s.yaml"))


@pytest.mark.parametrize(
    ("shape", "weights"),
    [
        ("depth: 4, width: 785, hidden: 115", 1_953_080),
        ("depth: 2, width: 785, hidden: 115", 1_591_980),
    ],
)
def test_the_published_hourglass_has_as_many_weights_as_published(shape, weights):
    mnist = "mnist"
    (trial,) = trials_of(suite_of(f"{{family: hourglass, {shape}}}", dataset=mnist))
    assert trial.cost.total_params == weights
    assert sum(w.numel() for w in build_model(trial).parameters()) == weights


def test_super_resolution_networks_count_their_smaller_input():
    (trial,) = trials_of(
        suite_of(
            "{family: hourglass, depth: 2, width: 785, hidden: 115}",
            task="super_resolution",
            dataset="mnist",
        )
    )
    assert trial.cost.total_params == 1_130_400  # as published: 26.432 dB at 1.13M


def test_the_conventional_block_is_the_same_class_with_more_inside():
    (trial,) = trials_of(
        suite_of("{family: deep, depth: 1, width: 784, hidden: 785}", dataset="mnist")
    )
    assert trial.cost.total_params == 2 * 784 * 784 + 2 * 784 * 785  # 2.46M


def test_without_a_head_norm_the_head_is_one_linear_layer_and_a_sigmoid():
    (trial,) = trials_of(suite_of("{family: hourglass, depth: 1, width: 16, hidden: 4}"))
    model = build_model(trial).eval()
    x = torch.rand(5, 1, 8, 8)
    weights = dict(model.named_parameters())
    z = x.flatten(1) @ weights["stem.lift.weight"].T
    h = z / math.sqrt(1 + 1e-5)  # batch norm as it starts: mean 0, variance 1
    z = z + torch.relu(h @ weights["blocks.0.up.weight"].T) @ weights["blocks.0.down.weight"].T
    y = torch.sigmoid(z @ weights["head.0.linear.weight"].T).view(5, 1, 8, 8)
    assert len(weights) == 4
    assert torch.allclose(model(x), y, atol=1e-5)


@pytest.mark.parametrize("family", ["deep", "parallel_shallow", "hourglass"])
@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_heads_without_norm_and_with_sigmoid_exist_for_all(backbone, family):
    problem = Problem((1, 8, 8), (1, 8, 8))
    options = {"norm": "layer", "head_norm": False, "output": "sigmoid"}
    network = seeded(variant_of(backbone, family, **options), problem)
    outputs = network(images(problem=problem) * 10)
    assert outputs.shape == (8, 1, 8, 8)
    assert (outputs >= 0).all() and (outputs <= 1).all()
    assert not [name for name, _ in network.head.named_parameters() if "norm" in name]


def test_the_options_at_their_defaults_change_no_identity():
    plain = variant_of("mlp")
    assert plain == variant_of("mlp", head_norm=True, output="identity")
    assert "head_norm" not in plain.identity()
    assert "output" not in plain.identity()
    assert variant_of("mlp", head_norm=False).identity()["head_norm"] is False
    assert variant_of("conv", head_norm=False).identity() == variant_of("conv").identity()


def test_noise_at_its_default_changes_no_identity():
    variant = "{family: hourglass, depth: 1, width: 16, hidden: 4}"
    (plain,) = trials_of(suite_of(variant))
    (given,) = trials_of(suite_of(variant, task="{name: denoise, noise: 0.25}"))
    (other,) = trials_of(suite_of(variant, task="{name: denoise, noise: 0.5}"))
    (last,) = trials_of(suite_of(variant, train="{epochs: 1, checkpoint: last}"))
    (best,) = trials_of(suite_of(variant, train="{epochs: 1, checkpoint: best}"))
    assert plain.trial_id == given.trial_id == last.trial_id
    assert len({plain.trial_id, other.trial_id, best.trial_id}) == 3
    assert (plain.describe()["noise"], other.describe()["noise"]) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            suite_of("{family: deep, depth: 1, width: 8}", task="classify"),
            "output: sigmoid is for images",
        ),
        (
            suite_of(
                "{family: deep, depth: 1, width: 8, output: identity}",
                task="{name: classify, noise: 0.1}",
            ),
            "noise applies to denoise, not to classify",
        ),
        (
            suite_of(
                "{family: deep, depth: 1, width: 8}", train="{epochs: 1, label_smoothing: 0.1}"
            ),
            "label_smoothing has no labels in task denoise",
        ),
    ],
)
def test_what_a_task_cannot_have_is_a_mistake_of_the_suite(text, message):
    with pytest.raises(SuiteError, match=message):
        parse_suite(text, "s.yaml")


# --- the weights that count -----------------------------------------------------------------------


def evaluation(step, loss):
    return Evaluation(step, 0.0, 0.0, None, {"loss": loss})


def test_the_best_checkpoint_brings_back_weights_and_buffers_at_the_lowest_loss():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    best, last = (Checkpoint(which, learned_tensors(network)) for which in ("best", "last"))
    for step, loss in enumerate([math.nan, 3.0, 1.0, 1.0, 2.0]):
        with torch.no_grad():
            network[0].weight.fill_(step)
            network[1].running_mean.fill_(step)
        best.consider(evaluation(step, loss))
        last.consider(evaluation(step, loss))
    assert last.restore().step == 4
    assert network[0].weight.unique().item() == 4
    assert best.restore().step == 2
    assert network[0].weight.unique().item() == 2
    assert network[1].running_mean.unique().item() == 2


def test_training_ends_with_the_best_weights_and_their_metrics():
    task = task_named("denoise")
    data = task.prepare(make_dataset(), CPU)
    # A rate this high walks away from the optimum, so the first evaluations are the best.
    settings = TrainSettings(lr=0.3, steps=20, batch_size=8, evaluations=20)
    found = {}
    for which in ("last", "best"):
        model = Constant(0.0)
        found[which] = train(
            model, data, settings.model_copy(update={"checkpoint": which}), seed=0, task=task
        )
        again = evaluate(model, data.validation, task=task)
        assert found[which].metrics["val_loss"] == again["loss"]
        assert found[which].metrics["val_psnr_db"] == again["psnr_db"]
    losses = [r["value"] for r in found["best"].curve if (r["split"], r["metric"]) == VAL_LOSS]
    assert found["best"].metrics["val_loss"] == min(losses)
    assert found["last"].metrics["val_loss"] == losses[-1] > min(losses)
    assert found["best"].curve == found["last"].curve


VAL_LOSS = ("val", "loss")


# --- end to end -----------------------------------------------------------------------------------


def test_all_image_tasks_run_from_suite_to_report(tmp_path):
    text = suite_of(
        "{family: hourglass, depth: 2, width: 65, hidden: 16}, "
        "{family: parallel_shallow, depth: 2, width: 4, backbone: "
        "{name: conv, output: sigmoid}}",
        "timing: {phases: train_step, batch_sizes: 4, time_budget_seconds: 0.02}",
        task="[denoise, super_resolution, prototype]",
        train="{epochs: 4, lr: 0.01, batch_size: 64, schedule: linear, checkpoint: best}",
    )
    text = text.replace("dataset: digits", "dataset: {name: npz, path: PATH}")
    rng = np.random.default_rng(0)
    arrays = {}
    for split, number in (("train", 600), ("test", 100)):
        arrays[f"y_{split}"] = np.arange(number) % 10
        patterns = np.random.RandomState(0).uniform(0, 255, (10, 8, 8))[arrays[f"y_{split}"]]
        arrays[f"x_{split}"] = (patterns * rng.uniform(0.7, 1, (number, 1, 1))).astype(np.uint8)
    np.savez(tmp_path / "blobs.npz", **arrays)
    summary = run_suite(
        parse_suite(text.replace("PATH", str(tmp_path / "blobs.npz")), "s.yaml"), out=tmp_path
    )
    results = read_run(summary.folder)
    trials = results.trials
    assert set(trials["status"]) == {"ok"}
    assert set(trials["task"]) == set(IMAGE_TASKS)
    assert set(results.timings["status"]) == {"ok"}
    for split in ("train", "val", "test"):
        expected = -10 * np.log10(trials[f"{split}_loss"])
        assert np.allclose(trials[f"{split}_psnr_db"], expected)
        with_accuracy = trials[trials[f"{split}_accuracy"].notna()]
        assert set(with_accuracy["task"]) == {"prototype"}
    mlps = trials[(trials["backbone"] == "mlp") & (trials["task"] == "prototype")]
    assert (mlps["test_accuracy"] > 0.8).all()
    curves = results.curves
    assert {"loss", "psnr_db", "accuracy"} == set(curves["metric"])


@pytest.mark.parametrize("name", ["hourglass-mnist", "shallow-again"])
def test_the_suites_of_the_two_papers_load_and_plan(name):
    suite = load_suite(Path(__file__).parents[1] / "suites" / f"{name}.yaml")
    trials = expand(suite)
    assert suite.claims
    assert all(claim.source for claim in suite.claims)
    if name == "shallow-again":
        by_shape = {}
        for trial in trials:
            key = (trial.depth, trial.width, trial.variant.kernel, trial.lr, trial.seed)
            by_shape.setdefault(key, {})[trial.family] = trial.cost
        for costs in by_shape.values():
            assert costs["deep"] == costs["parallel_shallow"]


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real MNIST is not here")
def test_the_published_hourglass_denoises_mnist_as_published(tmp_path):
    """24.247 dB on validation after 30 epochs of batches of 128 (official records)."""
    variant = "{family: hourglass, depth: 4, width: 785, hidden: 115}"
    recipe = "{lr: 0.003, epochs: 30, batch_size: 128, schedule: linear, checkpoint: best}"
    text = suite_of(variant, dataset="mnist", train=recipe)
    summary = run_suite(parse_suite(text, "s.yaml"), out=tmp_path, data_dir=REAL_DATA)
    (trial,) = read_run(summary.folder).trials.itertuples()
    assert trial.data_is_official
    assert (trial.total_params, trial.train_examples) == (1_953_080, 50_000)
    assert abs(trial.val_psnr_db - 24.247) < 0.3
