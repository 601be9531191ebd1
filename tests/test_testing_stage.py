"""The test pass: what a lost worker costs, and how often tables are read."""

from contextlib import contextmanager
from functools import partial

from depthbench import merging, read_run, run_suite
from depthbench.executors import Lost
from depthbench.pieces import Reading
from depthbench.suite import parse_suite

SUITE = """
suite: tested
dataset: {name: digits, train_examples: 64, validation_examples: 40}
backbone: mlp
cohort: off
variants: [{family: deep, depth: [1, 2], width: 8}]
train: {steps: 3, lr: [0.001, 0.01], batch_size: 32}
seeds: SEEDS
"""


def suite_of(num_seeds):
    return parse_suite(SUITE.replace("SEEDS", str(num_seeds)), "tested.yaml")


class Deadly:
    """Workers that die with whatever reads the test set with one of some trials."""

    executor, num_workers, num_threads = "local", 1, None

    def __init__(self, trial_ids):
        self.trial_ids, self.sizes = trial_ids, []

    def executor_within(self, *limits):
        return self

    @contextmanager
    def open(self, work):
        def run_items(items, on_told):
            for item in items:
                names = {trial.trial_id for trial in item.trials}
                is_reading = isinstance(item, Reading)
                if is_reading:
                    self.sizes.append(len(names))
                if is_reading and names & self.trial_ids:
                    yield item, Lost("oom", "ended by SIGKILL")
                else:
                    yield item, work(item, partial(on_told, item))

        yield run_items


def test_a_worker_that_dies_in_a_reading_costs_one_row_and_the_others_are_read(
    tmp_path, monkeypatch
):
    suite = suite_of(8)
    whole = read_run(run_suite(suite, out=tmp_path, run="whole").folder).trials
    best = whole[whole["is_selected"].astype(bool)]
    unlucky = {best["trial_id"].iloc[1]}
    deadly = Deadly(unlucky)
    monkeypatch.setattr("depthbench.run.workers_of", lambda work, load: deadly)
    trials = read_run(run_suite(suite, out=tmp_path, run="r").folder).trials
    assert deadly.sizes == [4, 4, 4, 4, 2, 2, 1, 1]
    lost = trials[trials["status"] != "ok"]
    assert set(lost["trial_id"]) == unlucky
    assert lost[["status", "error"]].to_numpy().tolist() == [["oom", "ended by SIGKILL"]]
    assert lost["test_loss"].isna().all()
    others = ~whole["trial_id"].isin(unlucky)
    assert trials["test_loss"][others].equals(whole["test_loss"][others])


def test_after_sessions_with_only_tables_are_read_as_often_for_many_trials_as_for_few(
    tmp_path, monkeypatch
):
    real, opened = merging.open_table, []
    counts = []
    monkeypatch.setattr(merging, "open_table", lambda path: opened.append(path) or real(path))
    for num_seeds in (1, 8):
        suite, options = suite_of(num_seeds), {"out": tmp_path, "run": f"r{num_seeds}"}
        run_suite(suite, **options, only="lr < 0.002")
        run_suite(suite, **options, only="lr > 0.002 and depth == 1")
        opened.clear()
        summary = run_suite(suite, **options)
        counts.append(len(opened))
        trials = read_run(summary.folder).trials
        assert trials["test_loss"].notna().sum() == 2 * num_seeds
    assert counts[0] == counts[1] > 0
