"""A small residual net learns the part of CIFAR-10 that is here, in about two minutes."""

import pytest

from depthbench import read_run, run_suite
from depthbench.suite import parse_suite
from tests.test_data import REAL_DATA

# Some 75,000 weights, 7,568 images and 10 epochs, each 13 CPU seconds: 0.65 where this was written.
SUITE = """\
suite: cifar-accuracy
dataset: {name: cifar10, allow_partial: true, train_examples: 7568, validation_examples: 500}
variants:
  - {family: deep, backbone: preact, depth: 3, width: 16}
train:
  optimizer: sgd
  lr: 0.1
  weight_decay: 0.0005
  epochs: 10
  batch_size: 64
  schedule: cosine
  augment: flip
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (REAL_DATA / "cifar-10").is_dir(),
        reason="CIFAR-10, or a part of it, is not here: set DEPTHBENCH_DATA",
    ),
]


def test_preact_of_3_blocks_passes_60_percent_on_7568_images(tmp_path):
    summary = run_suite(parse_suite(SUITE, "s.yaml"), out=tmp_path, data_dir=REAL_DATA)
    (trial,) = read_run(summary.folder).trials.itertuples()
    assert trial.status == "ok"
    assert trial.total_params == 77_850
    assert trial.augment == "flip"
    assert trial.train_examples == 7_568
    # Every row says what it was measured on.
    assert trial.data_is_complete == (trial.test_examples == 10_000)
    assert trial.test_accuracy > 0.60
