"""What is predicted of a trial's work is what training then does."""

import pytest
import torch

from depthbench.data import DATASETS, load, sizes_of
from depthbench.expand import expand
from depthbench.grammar import DatasetSettings
from depthbench.suite import parse_suite
from depthbench.training import Tensors, train
from depthbench.training.tensors import PreparedData
from depthbench.workload import examples_of, rough_seconds, rough_step_seconds, workload_of
from tests.test_suite import MINIMAL

SIZE = "dataset: {name: digits, train_examples: 50, validation_examples: 7}"


def trial_of(train_settings, dataset=SIZE):
    text = MINIMAL.replace("{epochs: 1}", train_settings).replace("dataset: digits", dataset)
    return expand(parse_suite(text, "s.yaml"))[0]


def tensors(count):
    return Tensors(torch.randn(count, 1, 8, 8), torch.arange(count) % 10)


@pytest.mark.parametrize(
    "duration",
    [
        "{steps: 7, batch_size: 16}",
        "{steps: 0, batch_size: 16}",
        "{steps: 9, batch_size: 16, evaluations: 4}",
        "{epochs: 3, batch_size: 16}",
        "{epochs: 2.5, batch_size: 16}",
        "{epochs: 2, batch_size: 64, evaluations: 5}",
        "{examples: 120, batch_size: 16}",
        "{examples: 100, batch_size: 25, evaluations: 3}",
    ],
)
def test_steps_and_validations_are_those_of_the_training(duration):
    trial = trial_of(duration)
    work = workload_of(trial)
    sizes = (work.examples.train, work.examples.validation)
    assert sizes == (50, 7)
    splits = (tensors(50), tensors(7), tensors(1))
    data = PreparedData(*splits, (0.0,), (1.0,), "", is_official=False, is_complete=False)
    seen = []
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    result = train(model, data, trial.train, 0, on_evaluation=seen.append)
    assert (work.num_steps, work.num_validations) == (result.steps_taken, len(seen))


def test_sizes_are_those_of_the_data_set():
    settings = DatasetSettings(name="digits", train_examples=100)
    data = load(settings)
    assert sizes_of(settings) == (len(data.train), len(data.validation), len(data.test))


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in ("npz", "text")])
def test_sizes_are_known_or_said_to_be_guessed(name):
    found = examples_of(DatasetSettings(name=name))
    assert min(found.train, found.validation, found.test) > 0
    assert bool(found.guess) == (name == "tinystories")


def test_a_text_of_known_stories_has_more_windows_where_tokens_are_bytes():
    few, many = (
        examples_of(DatasetSettings(name="tinystories", train_examples=1000, vocabulary=words))
        for words in (4096, "bytes")
    )
    assert many.train > 3 * few.train


def test_longer_deeper_and_larger_trials_are_predicted_to_cost_more():
    short, long = (rough_seconds(trial_of(f"{{steps: {n}, batch_size: 16}}")) for n in (10, 20))
    assert 1.5 * short < long <= 2 * short
    one = rough_step_seconds(2, 10**6, 16)
    assert one < rough_step_seconds(4, 10**6, 16)
    assert rough_step_seconds(2, 10**8, 16) < rough_step_seconds(2, 10**8, 32)


def test_a_duration_in_seconds_is_its_own_prediction():
    work = workload_of(trial_of("{seconds: 5}"))
    assert (work.num_steps, work.train_seconds) == (None, 5.0)
