"""Cohorts in a run: planned once, trained together, repeated bit for bit, split where they fail."""

from contextlib import contextmanager
from functools import partial

import pytest

from depthbench import expand, pieces, read_run, run_suite, store
from depthbench.cohorts import Cohort
from depthbench.executors import Lost
from depthbench.suite import parse_suite

SUITE = """
suite: together
dataset: digits
variants:
  - {family: deep, backbone: mlp, depth: 2, width: 8}
  - {family: deep, backbone: transformer, depth: 1, width: 8, heads: 1}
train: {steps: 30, lr: [0.003, 0.01], batch_size: 16}
seeds: 2
"""
MEASURED = ["status", "val_loss", "train_loss", "val_accuracy", "test_loss", "steps_taken"]


def stacked(trials, *, context, max_members, num_workers):
    if max_members > 1 and trials[0].backbone == "mlp":
        return "loop", max_members
    return None, 1


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr("depthbench.training_plan.best_stacking", stacked)


def suite_of(**changes):
    text = SUITE
    for old, new in changes.items():
        text = text.replace(old, new)
    return parse_suite(text, "together.yaml")


def trials_of(summary):
    return read_run(summary.folder).trials


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    suite = parse_suite(SUITE + "cohort: off\n", "together.yaml")
    return trials_of(run_suite(suite, out=tmp_path_factory.mktemp("alone"), run="r"))


def test_trials_of_a_cohort_come_to_what_they_come_to_alone(tmp_path, alone):
    trials = trials_of(run_suite(suite_of(), out=tmp_path, run="r"))
    assert trials["trial_id"].tolist() == alone["trial_id"].tolist()
    for name in MEASURED[1:]:
        assert trials[name].tolist() == pytest.approx(alone[name].tolist(), rel=1e-3, nan_ok=True)
    sizes = trials.groupby("backbone")["cohort_size"].unique()
    assert (list(sizes["mlp"]), list(sizes["transformer"])) == ([4], [1])
    assert trials[trials["backbone"] == "mlp"]["cohort_id"].nunique() == 1
    assert trials[trials["backbone"] == "transformer"]["cohort_id"].isna().all()
    assert set(alone["cohort_size"]) == {1}


def test_the_plan_is_in_run_json_and_only_grows(tmp_path):
    first = run_suite(suite_of(), out=tmp_path, run="r", only="seed == 0")
    before = store.read_run_json(first.folder)["cohorts"]
    second = run_suite(suite_of(), out=tmp_path, run="r")
    after = store.read_run_json(second.folder)["cohorts"]
    assert after[: len(before)] == before
    assert sum(len(entry["trials"]) for entry in after) == 8


def test_a_lost_trial_is_trained_again_in_its_cohort_bit_for_bit(tmp_path, monkeypatch):
    whole = trials_of(run_suite(suite_of(), out=tmp_path, run="whole"))
    real = store.write_trial_part
    written = []

    def stops(folder, row, curves):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(row["trial_id"])
        real(folder, row, curves)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_trial_part", stops)
        with pytest.raises(KeyboardInterrupt):
            run_suite(suite_of(), out=tmp_path, run="r")
    resumed = trials_of(run_suite(suite_of(), out=tmp_path, run="r"))
    for name in [*MEASURED, "cohort_id"]:
        assert resumed[name].equals(whole[name])


def test_a_cohort_that_fails_is_split_until_the_failure_is_one_trials_own(tmp_path, monkeypatch):
    real, sizes = pieces.run_cohort, []

    def fails(cohort, tell, *, context):
        sizes.append(len(cohort.trials))
        if any(trial.seed == 1 and trial.lr == 0.01 for trial in cohort.trials):
            with monkeypatch.context() as patch:
                patch.setattr("depthbench.trial.build_model", no_room)
                return real(cohort, tell, context=context)
        return real(cohort, tell, context=context)

    monkeypatch.setattr(pieces, "run_cohort", fails)
    summary = run_suite(suite_of(), out=tmp_path, run="r", only="backbone == 'mlp'")
    trials = trials_of(summary)
    bad = trials[trials["status"] != "ok"]
    assert bad[["seed", "lr", "status"]].to_numpy().tolist() == [[1, 0.01, "oom"]]
    assert sizes == [4, 2, 2, 1, 1]
    # The plan has what was trained in the end, and a resumed run begins there.
    planned = store.read_run_json(summary.folder)["cohorts"]
    assert [len(entry["trials"]) for entry in planned] == [2, 1, 1]
    monkeypatch.setattr(pieces, "run_cohort", real)
    again = run_suite(
        suite_of(), out=tmp_path, run="r", only="backbone == 'mlp'", retry_failed=True
    )
    assert trials_of(again)["status"].tolist() == ["ok"] * 4


def no_room(*args, **kwargs):
    raise MemoryError("no room")


class Deadly:
    """Workers of which one dies with whatever holds one trial."""

    executor, num_workers, num_threads = "local", 1, None

    def __init__(self, trial_id):
        self.trial_id, self.sizes = trial_id, []

    def executor_within(self, *limits):
        return self

    @contextmanager
    def open(self, work):
        def run_items(items, on_told):
            for item in items:
                names = [trial.trial_id for trial in item.trials]
                if isinstance(item, Cohort):
                    self.sizes.append(len(names))
                if self.trial_id in names:
                    yield item, Lost("failed", "ended by SIGKILL")
                else:
                    yield item, work(item, partial(on_told, item))

        yield run_items


def test_a_worker_that_dies_with_a_cohort_costs_one_row_and_the_rest_is_trained(
    tmp_path, monkeypatch
):
    suite = suite_of()
    trial = expand(suite)[1]
    deadly = Deadly(trial.trial_id)
    monkeypatch.setattr("depthbench.run.workers_of", lambda work, load: deadly)
    trials = trials_of(run_suite(suite, out=tmp_path, run="r"))
    lost = trials[trials["status"] == "failed"]
    assert lost["trial_id"].tolist() == [trial.trial_id]
    assert lost["error"].tolist() == ["ended by SIGKILL"]
    assert sorted(deadly.sizes) == [1, 1, 1, 1, 1, 1, 2, 2, 4]
    assert trials["status"].tolist().count("ok") == 7
