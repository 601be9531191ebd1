"""A nightly job fails when something got worse, and only then: six nights with real runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import depthbench

PACKAGE = Path(depthbench.__file__).parent
SUITE = """
suite: nights
question: "Is anything worse?"
dataset: {name: digits, train_examples: 256, validation_examples: 128}
backbone: mlp
variants:
  - {family: deep, depth: 6, width: 32}
  - {family: wide, depth: 1, width: 64}
train: {optimizer: adamw, lr: 0.003, epochs: 1, batch_size: 64}
seeds: 3
timing: {phases: [inference], batch_sizes: [1, 64], threads: 1, time_budget_seconds: 0.4}
claims:
  - id: wide-is-faster
    metric: median_seconds
    of: {family: wide}
    against: {family: deep}
    where: {phase: inference, batch_size: 1}
    expect: {ratio_at_most: 0.9}
"""
# A build in which the deep network does its work four times and forgets three of the results.
SLOWDOWN = """

_as_it_was = Network.forward


def _again_and_again(self, *inputs):
    if len(self.blocks) == 6:
        for _ in range(3):
            _as_it_was(self, *inputs)
    return _as_it_was(self, *inputs)


Network.forward = _again_and_again
"""


@pytest.fixture
def slow_build(tmp_path):
    """Return a folder with a copy of the package whose deep networks are slow."""
    copy = tmp_path / "slow" / "depthbench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "models" / "network.py").open("a") as file:
        file.write(SLOWDOWN)
    return copy.parent


def night(folder, name, build=PACKAGE.parent, threads="1"):
    """Play a night; return its exit code and what it printed."""
    environment = os.environ | {"PYTHONPATH": str(build), "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-m", "depthbench", "nightly", "suite.yaml", "--run", name]
    # Nights of a test are short and the machine is shared: only what takes twice is a regression.
    options = ["--threshold", "0.95", "--format", "json", "--quiet"]
    done = subprocess.run(
        [*command, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def step(told, name):
    return next(found for found in told["steps"] if found["name"] == name)


@pytest.mark.slow
def test_six_nights_end_as_they_should(tmp_path, slow_build):
    (tmp_path / "suite.yaml").write_text(SUITE)

    code, told = night(tmp_path, "n1")
    assert code == 0 and "no baseline yet" in step(told, "baseline")["answer"]
    assert (tmp_path / "results/nights/baseline.txt").read_text().strip() == "n1"

    assert night(tmp_path, "n2")[0] == 0
    code, told = night(tmp_path, "n3")
    assert code == 0 and step(told, "night before")["exit_code"] == 0

    code, told = night(tmp_path, "n4", build=slow_build)
    assert code == 3
    for name in ("baseline", "night before"):
        assert step(told, name)["exit_code"] == 3 and "deep" in step(told, name)["answer"]
    cases = ElementTree.parse(tmp_path / "results/nightly-report/nights/junit.xml").getroot()
    failed = {
        case.get("name") for case in cases.iter("testcase") if case.find("failure") is not None
    }
    assert failed and all("deep" in name for name in failed)

    code, told = night(tmp_path, "n5")
    assert code == 0 and "faster" in step(told, "night before")["answer"]

    code, told = night(tmp_path, "n6", threads="2")
    assert code == 5 and "torch_threads" in step(told, "baseline")["answer"]
    report = (tmp_path / "results/nightly-report/nights/report.html").read_text()
    assert "Is anything worse?" in report
    history = (tmp_path / "results/nightly-report/nights/trend.html").read_text()
    assert "Too few nights: 1 of 8." in history and "5 runs of another environment" in history
