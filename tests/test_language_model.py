"""Language modelling: packing, exact metrics, durations, timing, and samples of a run."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthbench import read_run, run_suite
from depthbench.data import load
from depthbench.data.stories import END_OF_TEXT
from depthbench.data.tokens import unigram_entropy
from depthbench.errors import ResultError, SuiteError
from depthbench.expand import expand
from depthbench.grammar import TaskSettings, TrainSettings
from depthbench.sampling import generate, sample_text
from depthbench.spec import Problem
from depthbench.suite import load_suite, parse_suite
from depthbench.timing.cells import cells_of
from depthbench.timing.work import prepare
from depthbench.training import evaluate, train
from depthbench.training.durations import horizon_of
from depthbench.training.tasks import task_of
from depthbench.training.tasks.language_model import IGNORED, document_ids, windows
from tests.test_cli import call
from tests.test_data import REAL_DATA
from tests.test_data_text import settings_of, write

SETTINGS = TaskSettings(name="language_model")
SUITE = """\
suite: words
dataset: {name: text, path: PATH, vocabulary: 300, context: 16}
task: language_model
backbone: transformer
variants: [{family: deep, depth: 1, width: 16}]
train: {tokens: 3200, batch_size: 8, lr: 0.01}
timing: {phases: [inference, train_step], batch_sizes: 2, time_budget_seconds: 0.1}
"""


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DEPTHBENCH_DATA", raising=False)
        for module in ("locate", "token_cache"):
            patch.setattr(f"depthbench.data.{module}.cache_root", lambda: root)
        yield root


class Bigram(nn.Module):
    """Stand in for a decoder: the logits of a token depend on that token alone."""

    def __init__(self, vocabulary):
        super().__init__()
        self.table = nn.Embedding(vocabulary, vocabulary)

    def forward(self, tokens):
        return self.table(tokens if tokens.ndim == 2 else tokens[:, 0])


@pytest.fixture
def dataset(tmp_path):
    return load(settings_of(write(tmp_path)))


def prepared(dataset):
    task = task_of(SETTINGS)
    return task, task.prepare(dataset, torch.device("cpu"))


def test_packing_of_a_hand_worked_stream():
    stream = np.array([9, 1, 2, 9, 3, 4, 5, 9], dtype=np.uint16)
    inputs, targets = windows(stream, 3, 9, is_filled_up=False)
    assert inputs.tolist() == [[9, 1, 2], [9, 3, 4]]
    assert targets.tolist() == [[1, 2, 9], [3, 4, 5]]
    inputs, targets = windows(stream, 3, 9, is_filled_up=True)
    assert inputs.tolist() == [[9, 1, 2], [9, 3, 4], [5, 9, 9]]
    assert targets.tolist() == [[1, 2, 9], [3, 4, 5], [9, IGNORED, IGNORED]]
    assert inputs.dtype == targets.dtype == np.int64


@pytest.mark.parametrize("context", [1, 2, 3, 5, 6, 7, 100])
def test_every_token_but_the_first_is_predicted_once_from_the_one_before(context):
    stream = np.arange(8, dtype=np.uint16)
    inputs, targets = windows(stream, context, 99, is_filled_up=True)
    counted = targets != IGNORED
    assert targets[counted].tolist() == stream[1:].tolist()
    assert inputs[counted].tolist() == stream[:-1].tolist()


def test_a_story_longer_than_the_context_goes_on_in_the_next_window():
    inputs, _ = windows(np.array([9, 1, 2, 3, 4, 5, 9]), 2, 9, is_filled_up=True)
    assert inputs.tolist() == [[9, 1], [2, 3], [4, 5]]
    assert document_ids(inputs, 9).tolist() == [[1, 1], [0, 0], [0, 0]]


def test_document_ids_change_where_a_story_begins_and_nowhere_else(tmp_path):
    masked = load(settings_of(write(tmp_path), document_mask=True))
    plain = load(settings_of(write(tmp_path)))
    data = prepared(masked)[1]
    assert data.train.inputs.shape[1:] == (2, 16)
    tokens, documents = data.train.inputs.unbind(dim=1)
    torch.testing.assert_close(tokens, prepared(plain)[1].train.inputs)
    begins = tokens[:, 1:] == masked.end_of_text
    assert begins.any()
    assert torch.equal(documents[:, 1:] - documents[:, :-1], begins.long())
    # The story of every token, counted over the whole stream, is one in a document of a window.
    story = (tokens.flatten() == masked.end_of_text).cumsum(0).view_as(tokens)
    for row, own in zip(story, documents, strict=True):
        for document in own.unique():
            assert len(row[own == document].unique()) == 1


def test_loss_is_the_mean_over_tokens_and_bits_count_all_bytes_of_the_text(dataset):
    task, data = prepared(dataset)
    torch.manual_seed(0)
    model = Bigram(300)
    metrics = evaluate(model, data.validation, task=task)
    stream = torch.tensor(dataset.validation.tokens.astype(np.int64))
    nats = F.cross_entropy(model(stream[None, :-1])[0].double(), stream[1:], reduction="sum").item()
    assert metrics["loss"] == pytest.approx(nats / (len(stream) - 1), rel=1e-6)
    text = dataset.tokenizer.decode(stream.tolist())
    assert metrics["bits_per_byte"] == pytest.approx(nats / math.log(2) / len(text.encode()))


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_metrics_do_not_depend_on_the_batches(dataset, batch_size):
    task, data = prepared(dataset)
    torch.manual_seed(0)
    model = Bigram(300)
    assert evaluate(model, data.test, batch_size, task=task) == pytest.approx(
        evaluate(model, data.test, task=task), rel=1e-9
    )


def test_evaluation_takes_few_long_windows_at_a_time(dataset):
    _, data = prepared(dataset)
    assert data.validation.evaluation_batch_size * 16 == 4096


def test_a_uniform_model_has_the_same_bits_whatever_the_windows(tmp_path):
    found = {}
    for context in (4, 16, 64):
        task, data = prepared(load(settings_of(write(tmp_path), context=context)))
        model = Bigram(300)
        nn.init.zeros_(model.table.weight)
        found[context] = evaluate(model, data.test, task=task)
        assert found[context]["loss"] == pytest.approx(math.log(300))
    assert len({round(metrics["bits_per_byte"], 6) for metrics in found.values()}) == 1


def test_training_learns_pairs_below_the_unigram_entropy(dataset):
    task, data = prepared(dataset)
    torch.manual_seed(0)
    model = Bigram(300)
    settings = TrainSettings(epochs=12, batch_size=4, lr=0.1)
    result = train(model, data, settings, 0, task=task)
    assert result.status == "ok"
    assert result.metrics["val_loss"] < unigram_entropy(dataset.train.tokens)
    assert set(result.metrics) == {f"{s}_{m}" for s in ("train", "val") for m in METRICS}


METRICS = ("loss", "bits_per_byte")


@pytest.mark.parametrize(
    ("tokens", "num_examples", "num_steps"), [(160, 10, 3), (168, 10, 3), (170, 11, 3), (1, 1, 1)]
)
def test_a_duration_in_tokens_is_the_nearest_number_of_windows(tokens, num_examples, num_steps):
    horizon = horizon_of(TrainSettings(tokens=tokens, batch_size=4), 50, 16)
    assert (horizon.num_examples, horizon.num_steps) == (num_examples, num_steps)
    assert horizon.position(1, 4, 0.0) == 64


def test_synthetic_batches_are_tokens_of_the_problem():
    problem = Problem((8,), (8, 300), vocabulary=300)
    inputs, targets = task_of(SETTINGS).synthetic_batch(problem, 5, torch.Generator())
    assert inputs.shape == targets.shape == (5, 8)
    assert inputs.dtype == targets.dtype == torch.int64
    assert 0 <= int(inputs.min()) <= int(inputs.max()) < 300


@pytest.mark.parametrize("phase", ["inference", "train_step"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_networks_of_tokens_can_be_timed(phase, precision):
    trial = expand(parse_suite(SUITE.replace("PATH", "nowhere.txt"), "s.yaml"))[0]
    timing = parse_suite(
        SUITE.replace("PATH", "x")
        .replace("[inference, train_step]", phase)
        .replace("batch_sizes: 2", f"batch_sizes: 2, precisions: {precision}"),
        "s.yaml",
    ).timing
    ((cell, _),) = cells_of([trial], timing)
    prepared = prepare(cell, torch.device("cpu"), lambda *_: Bigram(300))
    with prepared.active():
        assert isinstance(prepared.call(), torch.Tensor)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: language_model\n", "", "set task: language_model, not classify"),
        ("language_model", "classify", "set task: language_model, not classify"),
        (
            "{name: text, path: PATH, vocabulary: 300, context: 16}",
            "digits",
            "task language_model needs text",
        ),
        (
            "{name: text, path: PATH, vocabulary: 300, context: 16}",
            "{name: digits, document_mask: true}",
            "document_mask applies to text sets, not to digits",
        ),
        ("path: PATH, ", "", "dataset text needs path"),
        ("vocabulary: 300", "vocabulary: 200", "every byte and end-of-text take 257"),
    ],
)
def test_suites_of_text_say_what_does_not_go_together(old, new, message):
    assert old in SUITE
    with pytest.raises(SuiteError, match=message):
        expand(parse_suite(SUITE.replace(old, new), "s.yaml"))


def test_a_setting_of_text_at_its_default_is_no_part_of_an_identity():
    def identity(dataset):
        text = SUITE.replace("{name: text, path: PATH, vocabulary: 300, context: 16}", dataset)
        return expand(parse_suite(text, "s.yaml"))[0].trial_id

    base = identity("{name: text, path: a/t.txt}")
    assert base == identity("{name: text, path: t.txt, vocabulary: 4096, context: 256}")
    assert base == identity("{name: text, path: t.txt, document_mask: false, allow_partial: true}")
    others = ("path: u.txt", "path: t.txt, context: 8", "path: t.txt, vocabulary: bytes")
    others += ("path: t.txt, document_mask: true",)
    assert len({base, *(identity(f"{{name: text, {other}}}") for other in others)}) == 5


def test_samples_draw_only_tokens_that_stand_for_something_and_stop_at_the_end():
    model = Bigram(6)
    nn.init.zeros_(model.table.weight)
    walk = {"context": 3, "num_tokens": 4, "end_of_text": 0}
    with torch.no_grad():
        model.table.weight[:, 5] = 50.0  # never to be drawn
        model.table.weight[:, 0] = -50.0

    def drawn(seed, temperature=1.0, length=50):
        generator = torch.Generator().manual_seed(seed)
        options = {"temperature": temperature, "generator": generator}
        return generate(model, [0], length, **walk, **options)

    assert set(drawn(0)) == {1, 2, 3}
    assert drawn(0) == drawn(0) != drawn(1)
    assert drawn(0, temperature=0.0, length=3) == [1, 1, 1]
    assert len(drawn(0, temperature=1e-300, length=3)) == 3
    with torch.no_grad():
        model.table.weight[1:, 0] = 50.0
    assert drawn(0, temperature=0.0) == [1]


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    suite = folder / "words.yaml"
    suite.write_text(SUITE.replace("PATH", write(folder).name))
    kept = run_suite(suite, out=folder / "results", run="kept", keep_weights=True)
    lost = run_suite(suite, out=folder / "results", run="lost")
    return kept, lost


def test_a_run_on_text_has_its_metrics_and_counts(finished):
    run = read_run(finished[0].folder)
    (trial,) = run.trials.to_dict("records")
    assert trial["status"] == "ok", trial["error"]
    assert (trial["vocabulary"], trial["context"], trial["document_mask"]) == ("300", 16, False)
    assert (trial["train_examples"], trial["validation_examples"]) == (32, 4)
    assert trial["examples_seen"] == 200
    assert trial["duplicate_stories"] == 0
    assert trial["train_tokens"] % 16 == 0
    for split in ("train", "val", "test"):
        assert 0 < trial[f"{split}_loss"] < math.log(300)
        assert trial[f"{split}_bits_per_byte"] > 0
    assert set(run.timings["status"]) == {"ok"}


def test_a_run_can_be_sampled(finished):
    folder = finished[0].folder
    trial = read_run(folder).trials["trial_id"].iloc[0]
    one, two = (sample_text(folder, trial, "once there", seed=3, length=20) for _ in range(2))
    assert one == two
    assert one.startswith("once there")
    assert sample_text(folder, trial[:6], length=5, temperature=0) is not None
    shown = call("sample", folder, trial, "--prompt", "once there", "--seed", 3, "--length", 20)
    assert shown.stdout == one.rstrip("\n") + "\n"


def test_what_cannot_be_sampled_says_why(finished, tmp_path, cache):
    kept, lost = (summary.folder for summary in finished)
    trial = read_run(kept).trials["trial_id"].iloc[0]
    with pytest.raises(ResultError, match=f"has no trial 'zz'; its trials: {trial}"):
        sample_text(kept, "zz")
    with pytest.raises(ResultError, match="--keep-weights"):
        sample_text(lost, trial)
    with pytest.raises(ResultError, match="no such folder"):
        sample_text(tmp_path / "none", trial)
    assert "has no trial" in call("sample", kept, "zz", code=2).stderr
    tokens = cache / "tokens"
    tokens.rename(cache / "away")
    try:
        with pytest.raises(ResultError, match="no longer in the user cache"):
            sample_text(kept, trial)
    finally:
        (cache / "away").rename(tokens)


def test_a_network_of_images_cannot_be_sampled(tmp_path):
    text = """\
suite: tiny
dataset: {name: digits, train_examples: 20, validation_examples: 20}
backbone: mlp
variants: [{family: deep, depth: 1, width: 4}]
train: {steps: 1}
"""
    summary = run_suite(parse_suite(text, "t"), out=tmp_path, run="r", keep_weights=True)
    trial = read_run(summary.folder).trials["trial_id"].iloc[0]
    with pytest.raises(ResultError, match="learned classify on digits, which is no text"):
        sample_text(summary.folder, trial)


def test_the_suite_on_tinystories_plans_what_its_header_says():
    suite = load_suite("suites/tinystories.yaml")
    trials = expand(suite)
    assert f"Trials:   {len(trials)} " in suite.text
    assert all(share.is_on_budget for trial in trials for share in trial.budgets)
    assert {trial.task for trial in trials} == {"language_model"}


LEARNING = """\
suite: stories
dataset:
  name: tinystories
  file: TinyStories-train-head-lowercase.txt
  allow_partial: true
  vocabulary: 2048
  context: 128
task: language_model
backbone: transformer
variants: [{family: deep, depth: 4, width: 96}]
train: {tokens: 4000000, batch_size: 8, lr: 0.004, schedule: cosine, warmup_steps: 30}
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL_DATA / "tinystories").is_dir(), reason="tinystories is not here: DEPTHBENCH_DATA"
)
def test_a_decoder_of_4_layers_learns_english(tmp_path):
    summary = run_suite(
        parse_suite(LEARNING, "s.yaml"),
        out=tmp_path,
        run="r",
        data_dir=REAL_DATA,
        keep_weights=True,
    )
    (trial,) = read_run(summary.folder).trials.to_dict("records")
    (planned,) = expand(parse_suite(LEARNING, "s.yaml"))
    dataset = load(planned.dataset_settings, REAL_DATA)
    assert trial["val_loss"] < 0.75 * unigram_entropy(dataset.train.tokens)
    text = sample_text(
        summary.folder, trial["trial_id"], "once upon a time", length=120, temperature=0.5
    )
    known = set(dataset.tokenizer.decode(dataset.train.tokens.tolist()).split())
    words = text.replace(END_OF_TEXT, " ").split()
    assert len(words) > 20
    assert sum(word in known for word in words) > 0.9 * len(words), json.dumps(text)
