"""Networks learn as well as they should: on the real, whole MNIST, where it is present."""

import pytest

from depthbench import read_run, run_suite
from depthbench.suite import parse_suite
from tests.test_data import REAL_DATA

SUITE = """\
suite: mnist-accuracy
dataset: mnist
variants:
  - {family: deep, backbone: mlp, depth: 2, width: match}
budget: {match: total_params, target: 100000, tolerance: 0.03}
train: {lr: 0.003, epochs: 5, batch_size: 128, schedule: cosine}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not REAL_DATA.is_dir(), reason="the real MNIST is not here: set DEPTHBENCH_DATA"
    ),
]


def accuracy(text, tmp_path):
    summary = run_suite(parse_suite(text, "s.yaml"), out=tmp_path, data_dir=REAL_DATA)
    (trial,) = read_run(summary.folder).trials.itertuples()
    assert trial.data_is_official
    assert trial.data_is_complete
    assert (trial.train_examples, trial.test_examples) == (50_000, 10_000)
    return trial


def test_a_deep_mlp_of_100k_weights_passes_97_percent_in_5_epochs(tmp_path):
    trial = accuracy(SUITE, tmp_path)
    assert abs(trial.total_params / 100_000 - 1) < 0.03
    assert trial.test_accuracy > 0.97


def test_a_conv_net_passes_98_5_percent_in_5_epochs(tmp_path):
    text = SUITE.replace(
        "backbone: mlp, depth: 2, width: match", "backbone: conv, depth: 2, width: 16"
    )
    assert accuracy(text, tmp_path).test_accuracy > 0.985
