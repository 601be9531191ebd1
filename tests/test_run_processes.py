"""The main job with workers: the same rows as in one process, limits as rows, threads that stay."""

import json
from importlib import import_module

from depthbench import known_speeds, pieces, read_run, run_suite, workers
from depthbench.executors import handle, process
from depthbench.executors.cores import usable_cpus
from depthbench.suite import parse_suite
from depthbench.worker_costs import Speed

run_module = import_module("depthbench.run")
TINY = """\
suite: tiny
dataset: {name: digits, train_examples: 200, validation_examples: 100}
backbone: mlp
variants: [{family: deep, depth: [1, 2], width: 8}]
train: {lr: [0.001, 0.01], epochs: 2, batch_size: 32}
seeds: 1
cohort: "off"
"""


def results(summary):
    moving = ("run", "started_at", "train_seconds", "trial_seconds", "num_threads")
    return read_run(summary.folder).trials.drop(columns=list(moving))


def test_workers_train_and_test_and_give_the_same_rows_as_this_process(tmp_path, monkeypatch):
    suite = parse_suite(TINY, "tiny.yaml")
    local = run_suite(suite, out=tmp_path, run="local", executor="local")
    heard, cpus, started, left = [], usable_cpus(), [], []
    for name in ("run_cohort", "read_test_set"):
        monkeypatch.setattr(pieces, name, None)  # this process is to do neither
    monkeypatch.setattr(
        process, "Worker", lambda *given: started.append(handle.Worker(*given)) or started[-1]
    )
    monkeypatch.setattr(
        run_module, "_time", lambda *_: left.extend(w for w in started if w._process.poll() is None)
    )
    both = run_suite(suite, out=tmp_path, run="process", workers=2, progress=Listener(heard))
    assert results(both).equals(results(local))
    assert results(both)["test_loss"].notna().sum() == 2
    assert len(started) == 2  # the same train and test
    assert left == []  # timing shares with nobody
    assert "move" in heard
    assert usable_cpus() == cpus  # those of this process are left as they were
    state = json.loads((both.folder / "run.json").read_text())
    num_threads = max(1, workers.num_shared_cpus() // 2)
    assert state["workers"] == {
        "executor": "process",
        "num_workers": 2,
        "num_threads": num_threads,
        "measured": [],
    }
    assert state["status"] == "finished"


class Listener:
    """Progress that remembers what was called."""

    def __init__(self, heard):
        self.heard = heard

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.heard.append(name)


def test_trials_past_the_time_limit_are_rows_and_the_run_goes_on(tmp_path):
    endless = TINY.replace("epochs: 2", "epochs: 1_000_000").replace("[0.001, 0.01]", "0.01")
    options = {"out": tmp_path, "run": "r", "executor": "process", "workers": 2}
    summary = run_suite(parse_suite(endless, "tiny.yaml"), **options, time_limit=0.5)
    trials = read_run(summary.folder).trials
    assert set(trials["status"]) == {"timeout"}
    assert set(trials["error"]) == {"ended after the time limit of 0.5 s"}
    assert summary.num_failures == 2


def test_the_number_of_workers_is_measured_once_a_run(tmp_path, monkeypatch):
    measured = []

    def measure(trial, context, layouts):
        measured.append(layouts)
        return [Speed(layouts[0].num_workers, layouts[0].num_threads, 1.0)]

    monkeypatch.setattr(workers, "LITTLE_SECONDS", 0.0)
    monkeypatch.setattr(workers, "_MEASURING_SECONDS", 0.0)
    monkeypatch.setattr(workers, "do_pay", lambda item_steps, speeds: True)
    monkeypatch.setattr(workers, "num_shared_cpus", lambda: 2)
    monkeypatch.setattr(known_speeds, "measure_speeds", measure)
    suite = parse_suite(TINY, "tiny.yaml")
    for only in ("lr > 0.002", None):
        summary = run_suite(suite, out=tmp_path, run="r", only=only)
    assert len(measured) == 1
    state = json.loads((summary.folder / "run.json").read_text())
    assert state["workers"]["measured"] == [
        {"num_workers": 2, "num_threads": 1, "steps_per_second": 1.0}
    ]
    assert len(read_run(summary.folder).trials) == 4
