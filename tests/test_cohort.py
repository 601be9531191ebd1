"""A member of a cohort follows the training that it would have alone."""

import io

import pytest
import torch

from depthbench.data import load
from depthbench.grammar import DatasetSettings, TaskSettings
from depthbench.models import build_model
from depthbench.models.stacked import CONVOLUTIONS
from depthbench.training import cohort as cohort_module
from depthbench.training import train
from depthbench.training.batches import batches
from depthbench.training.cohort import CohortTraining
from depthbench.training.members import member_batches
from depthbench.training.tasks import task_of
from tests.test_stacked import trials_of
from tests.test_training import FakeClock, make_data, make_network, make_tensors, settings_of

CLASSIFY = task_of(TaskSettings(name="classify"))
RATES = [0.003, 0.01, 0.03]


def cohort_of(rates=RATES, data=None, middle=(), task=CLASSIFY, **settings):
    """Return a training of one network a rate, with seeds 0, 1, ..."""
    own = {key: settings.pop(key) for key in ("clock", "savepoint") if key in settings}
    every = [settings_of(lr=rate, **settings) for rate in rates]
    networks = [make_network(seed, *middle) for seed in range(len(rates))]
    seeds = range(len(rates))
    return CohortTraining(networks, data or make_data(), every, seeds, task=task, **own)


def alone(index, rates=RATES, data=None, middle=(), task=CLASSIFY, **settings):
    network = make_network(index, *middle)
    own = settings_of(lr=rates[index], **settings)
    return network, train(network, data or make_data(), own, index, task=task)


def assert_follows(result, solo):
    """Compare what a member came to with what it came to alone: fp32 rounding over 100 steps."""
    assert (result.status, result.steps_taken) == (solo.status, solo.steps_taken)
    assert result.examples_seen == solo.examples_seen
    assert result.metrics == pytest.approx(solo.metrics, rel=1e-3, abs=1e-5)
    places = [(row["step"], row["split"], row["metric"]) for row in result.curve]
    assert places == [(row["step"], row["split"], row["metric"]) for row in solo.curve]
    values = [row["value"] for row in result.curve]
    assert values == pytest.approx([row["value"] for row in solo.curve], rel=1e-3, abs=1e-5)


SETTINGS = {
    "adamw, last batch short": {"epochs": 25},
    "sgd, momentum": {"steps": 100, "optimizer": "sgd", "momentum": 0.9, "evaluations": 5},
    "adam, decay": {"steps": 100, "optimizer": "adam", "weight_decay": 0.1},
    "warmup, cosine": {"steps": 100, "warmup_steps": 10, "schedule": "cosine"},
    "milestones": {"epochs": 25, "schedule": "step", "milestones": (10, 20)},
    "clipped": {"steps": 100, "clip_norm": 0.05},
    "smoothed, best": {"steps": 100, "label_smoothing": 0.1, "checkpoint": "best"},
    "flipped": {"steps": 100, "augment": "flip"},
    "examples": {"examples": 1234},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_each_member_follows_its_training_alone(settings):
    training = cohort_of(**settings)
    results = training.run()
    for index, result in enumerate(results):
        network, solo = alone(index, **settings)
        assert_follows(result, solo)
        for own, expected in zip(
            training.networks[index].parameters(), network.parameters(), strict=True
        ):
            torch.testing.assert_close(own, expected, rtol=1e-2, atol=1e-4)


NETWORKS = {
    "mlp": "family: deep, backbone: mlp, depth: 2, width: 6",
    "batch norm": "family: deep, backbone: mlp, depth: 2, width: 6, norm: batch",
    "fixed lift": "family: hourglass, backbone: mlp, depth: 2, width: 8, lift: fixed",
    "conv": "family: deep, backbone: conv, depth: 1, width: 3, norm: layer",
    "conv, batch norm": "family: deep, backbone: conv, depth: 1, width: 3, norm: batch",
    "preact": "family: deep, backbone: preact, depth: 3, width: 16",
}


@pytest.fixture(scope="module")
def digits():
    data = load(DatasetSettings(name="digits", train_examples=96, validation_examples=50))
    return CLASSIFY.prepare(data, torch.device("cpu"))


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize("variant", NETWORKS.values(), ids=NETWORKS)
def test_networks_of_every_kind_follow_their_trainings_alone(variant, convolution, digits):
    if "mlp" in variant and convolution != CONVOLUTIONS[0]:
        pytest.skip("has no convolution")
    trials = trials_of(variant, dataset="digits", seeds=3)
    # Small plain steps: at a kink of a network, or in a sign, rounding may take another way.
    every = [settings_of(lr=rate / 10, steps=12, optimizer="sgd") for rate in RATES]
    networks = [build_model(trial) for trial in trials]
    seeds = [trial.seed for trial in trials]
    results = CohortTraining(
        networks, digits, every, seeds, task=CLASSIFY, convolution=convolution
    ).run()
    for trial, own, network, result in zip(trials, every, networks, results, strict=True):
        solo = build_model(trial)
        assert_follows(result, train(solo, digits, own, trial.seed, task=CLASSIFY))
        pairs = zip(network.state_dict().values(), solo.state_dict().values(), strict=True)
        for tensor, expected in pairs:
            torch.testing.assert_close(tensor, expected, rtol=1e-2, atol=1e-3)


def test_an_image_task_follows_too(digits):
    task = task_of(TaskSettings(name="denoise", noise=0.3))
    data = load(DatasetSettings(name="digits", train_examples=96, validation_examples=50))
    prepared = task.prepare(data, torch.device("cpu"))
    trials = trials_of(NETWORKS["mlp"] + ", output: identity", "digits", 2, task="denoise")
    every = [settings_of(lr=rate, steps=30) for rate in RATES[:2]]
    networks = [build_model(trial) for trial in trials]
    results = CohortTraining(networks, prepared, every, [0, 1], task=task).run()
    for trial, own, result in zip(trials, every, results, strict=True):
        assert_follows(result, train(build_model(trial), prepared, own, trial.seed, task=task))


def test_in_bf16_a_member_follows_within_its_coarser_rounding():
    for index, result in enumerate(cohort_of(steps=60, precision="bf16").run()):
        solo = alone(index, steps=60, precision="bf16")[1]
        assert result.metrics["val_loss"] == pytest.approx(solo.metrics["val_loss"], rel=0.1)


def test_noise_of_the_task_is_that_of_each_member_alone():
    class Noisy(type(CLASSIFY)):
        is_random = True

        def training_batch(self, inputs, targets):
            return inputs + 0.5 * torch.randn_like(inputs), targets

    task = Noisy()
    for index, result in enumerate(cohort_of(task=task, steps=60).run()):
        assert_follows(result, alone(index, task=task, steps=60)[1])


def test_members_see_the_batches_of_their_seeds():
    tensors = make_tensors(50)
    for together, *each in zip(
        member_batches(tensors, 16, [3, 5], 120),
        batches(tensors, 16, 3, 120),
        batches(tensors, 16, 5, 120),
        strict=True,
    ):
        for part in (0, 1):
            assert torch.equal(together[part], torch.stack([own[part] for own in each]))


def test_divergence_of_one_member_leaves_the_others_bitwise_as_they_were():
    tame = cohort_of(steps=80, optimizer="sgd")
    wild = cohort_of(rates=[0.003, 1e6, 0.03], steps=80, optimizer="sgd")
    calm, stormy = tame.run(), wild.run()
    assert [result.status for result in stormy] == ["ok", "diverged", "ok"]
    assert stormy[1].metrics == {} and "not finite" in stormy[1].error
    assert stormy[1].steps_taken < 80
    for index in (0, 2):
        assert stormy[index].metrics == calm[index].metrics
        assert stormy[index].curve == calm[index].curve
        pairs = zip(
            tame.networks[index].parameters(), wild.networks[index].parameters(), strict=True
        )
        assert all(torch.equal(*pair) for pair in pairs)


def test_a_cohort_that_has_diverged_altogether_stops():
    results = cohort_of(rates=[1e6, 1e6], steps=10_000, optimizer="sgd").run()
    assert [result.status for result in results] == ["diverged", "diverged"]
    assert all(result.steps_taken <= cohort_module.STEPS_BETWEEN_CHECKS for result in results)


def test_the_same_cohort_gives_bitwise_the_same_numbers():
    first, second = (cohort_of(steps=30).run() for _ in range(2))
    assert [result.metrics for result in first] == [result.metrics for result in second]
    assert [result.curve for result in first] == [result.curve for result in second]


class Saved:
    """Keep what is saved, as a file would, and end the training after so many saves."""

    def __init__(self, num_saves):
        self.num_saves = num_saves
        self.content = None

    def load(self):
        return None if self.content is None else torch.load(self.content, weights_only=True)

    def save(self, state):
        self.content = io.BytesIO()
        torch.save(state, self.content)
        self.content.seek(0)
        self.num_saves -= 1
        if self.num_saves == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": "flip"},
        {"checkpoint": "best", "schedule": "cosine", "warmup_steps": 7},
        {"optimizer": "sgd", "momentum": 0.9},
    ],
)
def test_a_cohort_that_was_interrupted_goes_on_bitwise_as_though_it_had_not_been(settings):
    settings = {"steps": 60, "evaluations": 6, **settings}
    whole = cohort_of(**settings).run()
    saved = Saved(2)
    clock = FakeClock(step=cohort_module.SECONDS_BETWEEN_SAVES / 20)
    with pytest.raises(KeyboardInterrupt):
        cohort_of(**settings, savepoint=saved, clock=clock).run()
    training = cohort_of(**settings, savepoint=saved)
    rest = training.run()
    assert training.seconds_before > 0
    assert [result.metrics for result in rest] == [result.metrics for result in whole]
    assert [result.curve for result in rest] == [result.curve for result in whole]


def test_seconds_of_members_sum_to_those_of_the_cohort():
    results = cohort_of(steps=5, clock=FakeClock(step=1.0)).run()
    (alone,) = cohort_of(rates=RATES[:1], steps=5, clock=FakeClock(step=1.0)).run()
    assert [result.train_seconds * 3 for result in results] == pytest.approx(
        [alone.train_seconds] * 3
    )


def test_progress_is_heard_at_each_step():
    heard = []
    cohort_of(steps=10, evaluations=2).run(lambda share, loss: heard.append((share, loss)))
    assert [share for share, _ in heard] == pytest.approx([n / 10 for n in range(1, 11)])
    assert heard[0][1] is None and heard[-1][1] > 0


def test_random_numbers_outside_are_left_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    cohort_of(steps=3, augment="flip").run()
    assert torch.equal(torch.rand(3), expected)
