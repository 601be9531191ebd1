"""Benches in processes of their own: the same answers, and deaths that say why."""

import sys

import pandas as pd
import pytest

from depthbench import expand
from depthbench.run import time_suite
from depthbench.suite import parse_suite
from depthbench.timing.measured import Ended, Ready
from depthbench.timing.worker import RemoteBench, WorkerDiedError
from depthbench.timing_stage import planned_cells

SUITE = """\
suite: cells
dataset: digits
backbone: {BACKBONE}
variants: [{family: deep, depth: [1, 2], width: 8}]
train: {epochs: 1}
timing: {phases: [inference, train_step], batch_sizes: 1, time_budget_seconds: 0.5}
"""


def suite_of(backbone="mlp"):
    return parse_suite(SUITE.replace("{BACKBONE}", backbone), "s.yaml")


def cells_of(suite):
    return [item.cell for item in planned_cells(suite, "r", expand(suite), {})]


@pytest.fixture(scope="module")
def bench():
    bench = RemoteBench("cpu", 3)
    bench.wait_until_ready()
    yield bench
    bench.close()


def test_a_bench_elsewhere_prepares_samples_and_passes(bench):
    first, *_ = cells_of(suite_of())
    ready = bench.prepare(first, 1.0)
    assert isinstance(ready, Ready)
    sample = bench.sample(first.cell_id, ready.warmed.calls_per_sample)
    assert 0 < sample.device_seconds < 1
    assert bench.canary() > 0
    assert bench.passes(first.cell_id, sample.device_seconds)["call_flops"] > 0
    assert 0 < bench.used_fraction() < 1
    bench.drop(first.cell_id)


def test_what_cannot_be_done_is_an_answer(bench):
    suite = suite_of()
    timing = suite.timing.model_copy(update={"precisions": ("tf32",)})
    first, *_ = cells_of(parse_suite(SUITE.replace("{BACKBONE}", "mlp"), "s.yaml"))
    assert timing.precisions == ("tf32",)
    from dataclasses import replace

    found = bench.prepare(replace(first, precision="tf32"), 1.0)
    assert found == Ended("unsupported", found.error)
    assert "CPU" in found.error or "cpu" in found.error


def test_prints_of_a_block_do_not_come_between_the_answers(tmp_path, monkeypatch):
    (tmp_path / "loud_blocks.py").write_text(
        "from torch import nn\n"
        "def loud(width, hidden):\n"
        "    print('building')\n"
        "    return nn.Linear(width, width)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    first, *_ = cells_of(suite_of("{import: 'loud_blocks:loud'}"))
    bench = RemoteBench("cpu", 1)
    bench.wait_until_ready()
    assert isinstance(bench.prepare(first, 0.2), Ready)
    bench.close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
        ("raise SystemExit('no room left')", r"exit code 1\): no room left"),
    ],
)
def test_a_process_that_dies_says_how_and_what_it_said_last(code, message):
    bench = RemoteBench("cpu", 1, command=(sys.executable, "-c", code))
    with pytest.raises(WorkerDiedError, match=message):
        bench.wait_until_ready()
    bench.close()


@pytest.mark.processes
def test_a_suite_is_timed_in_three_fresh_processes():
    suite = suite_of()
    rows = time_suite(suite, expand(suite), "cpu")
    assert isinstance(rows, pd.DataFrame)
    assert rows["status"].tolist() == ["ok"] * 4
    assert set(rows["num_processes"]) == {3}
    for processes in rows["samples_process"]:
        assert set(processes) == {0, 1, 2}
    references = rows.set_index("cell_id")["reference_cell_id"]
    assert set(references) == set(rows[rows["depth"] == 1]["cell_id"])
    assert (rows[rows["depth"] == 1]["ratio_to_reference"] == 1).all()
