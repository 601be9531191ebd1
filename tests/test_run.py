"""The main job end to end on real digits: rows, resumption, selection, failures."""

import json
import math
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import numpy as np
import pandas as pd
import pytest
import torch

import depthbench
from depthbench import load_suite, read_run, run_suite, store
from depthbench import trial as trial_module
from depthbench.errors import DataError, DepthbenchError, ResultError, SuiteError
from depthbench.expand import expand
from depthbench.record import TABLES
from depthbench.suite import parse_suite
from depthbench.timing.bench import LocalBench
from depthbench.timing.measured import Ended

TINY = """\
suite: tiny
dataset: {name: digits, train_examples: 200, validation_examples: 100}
backbone: mlp
variants:
  - {family: deep, depth: 2, width: match}
  - {family: parallel_shallow, depth: 2, width: match, execution: auto}
budget: {match: total_params, target: 3000, tolerance: 0.1}
train: {lr: [0.001, 0.01], epochs: 2, batch_size: 32}
seeds: 2
timing: {phases: [inference, train_step], batch_sizes: 4, time_budget_seconds: 0.2}
claims:
  - id: same-size
    metric: val_loss
    of: {family: parallel_shallow}
    against: {family: deep}
    expect: {ratio_at_most: 100}
"""


def suite_of(text=TINY, **replacements):
    for old, new in replacements.items():
        text = text.replace(old, new)
    return parse_suite(text, "tiny.yaml")


def stable(frame):
    """Return a table without what differs from run to run: times and names."""
    moving = [c for c in frame.columns if c.endswith("seconds") or c in ("run", "started_at")]
    return frame.drop(columns=moving).sort_values("trial_id").reset_index(drop=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    return run_suite(suite_of(), out=out, run="first")


def test_every_trial_is_a_row_with_its_settings_counts_and_metrics(finished):
    run = read_run(finished.folder)
    trials = run.trials
    assert list(trials.columns) == [column.name for column in TABLES["trials"]]
    assert len(trials) == 8
    assert set(trials["status"]) == {"ok"}
    assert trials["data_digest"].nunique() == 1
    assert trials["data_is_official"].all()
    assert (trials["train_examples"] == 200).all()
    assert (trials["steps_taken"] == 2 * math.ceil(200 / 32)).all()
    assert trials["val_loss"].between(0, 3).all()
    assert (trials["budget_error_fraction"].abs() <= 0.1).all()
    assert set(trials["execution_used"].dropna()) <= {"loop", "fused"}
    assert run.run["status"] == "finished"
    assert run.run["environment"]


def test_the_test_set_is_read_only_at_the_best_learning_rate(finished):
    trials = read_run(finished.folder).trials
    for _, group in trials.groupby("variant_id"):
        means = group.groupby("lr")["val_loss"].mean()
        selected = group[group["is_selected"].astype(bool)]
        assert set(selected["lr"]) == {means.idxmin()}
        assert selected["test_accuracy"].notna().all()
        assert group[~group["is_selected"].astype(bool)]["test_loss"].isna().all()


def test_curves_end_at_the_final_metrics(finished):
    run = read_run(finished.folder)
    for trial in run.trials.itertuples():
        curve = run.curves[run.curves["trial_id"] == trial.trial_id]
        last = curve[(curve["split"] == "val") & (curve["metric"] == "loss")].iloc[-1]
        assert last["value"] == trial.val_loss
        assert last["step"] == trial.steps_taken


def test_each_variant_is_timed_once_whatever_its_seeds_and_rates(finished):
    timings = read_run(finished.folder).timings
    assert len(timings) == 2 * 2
    assert set(timings["status"]) == {"ok"}
    low = timings["ci_low_seconds"]  # null where a busy machine left too few samples
    assert (low.isna() | (low <= timings["median_seconds"])).all()
    assert (timings["samples_seconds"].map(len) == timings["num_samples"]).all()
    assert timings.set_index("phase").loc["inference", "optimizer"].isna().all()
    assert set(timings.set_index("phase").loc["train_step", "optimizer"]) == {"adamw"}


def test_weights_are_gone_once_the_test_set_is_read(finished, tmp_path):
    assert not (finished.folder / "weights").exists()
    kept = run_suite(suite_of(), out=tmp_path, run="kept", keep_weights=True, only="seed == 0")
    assert len(list((kept.folder / "weights").glob("*.pt"))) == 4


def test_the_same_suite_gives_bitwise_the_same_numbers(tmp_path):
    suite = suite_of(**{"execution: auto": "execution: fused"})
    tables = [
        stable(read_run(run_suite(suite, out=tmp_path, run=name).folder).trials)
        for name in ("one", "two")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_part_of_a_suite_selects_nothing_until_the_rest_has_run(tmp_path):
    suite = suite_of(**{"execution: auto": "execution: fused"})
    part = run_suite(suite, out=tmp_path, run="r", only="lr < 0.002")
    run = read_run(part.folder)
    assert run.run["status"] == "partial"
    assert run.run["num_trials"] == 8
    assert run.trials["is_selected"].isna().all()
    assert run.trials["test_loss"].isna().all()
    again = run_suite(suite, out=tmp_path, run="r", only="seed == 0")
    assert read_run(again.folder).trials["is_selected"].isna().all()
    resumed = run_suite(suite, out=tmp_path, run="r")
    whole = run_suite(suite, out=tmp_path, run="whole")
    left, right = (stable(read_run(f.folder).trials) for f in (resumed, whole))
    pd.testing.assert_frame_equal(left, right)
    assert read_run(resumed.folder).run["status"] == "finished"


@pytest.mark.parametrize("damage", [b"", b"torn", None])
def test_lost_or_torn_weights_are_trained_again(tmp_path, monkeypatch, damage):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    suite = suite_of(**{"execution: auto": "execution: fused"})
    with monkeypatch.context() as patch:
        patch.setattr("depthbench.pieces.read_test_set", stop)
        with pytest.raises(KeyboardInterrupt):
            run_suite(suite, out=tmp_path, run="r")
    for path in sorted((tmp_path / "tiny" / "r" / "weights").glob("*.pt"))[:5]:
        path.unlink() if damage is None else path.write_bytes(damage)
    resumed = run_suite(suite, out=tmp_path, run="r")
    whole = run_suite(suite, out=tmp_path, run="whole")
    left, right = (stable(read_run(f.folder).trials) for f in (resumed, whole))
    pd.testing.assert_frame_equal(left, right)


def test_a_failure_while_the_test_set_is_read_is_a_row(tmp_path, monkeypatch):
    def no_memory(*args, **kwargs):
        raise MemoryError("no room")

    monkeypatch.setattr(trial_module, "evaluate", no_memory)
    summary = run_suite(suite_of(), out=tmp_path, run="r")
    assert summary.trials_by_status == {"ok": 4, "oom": 4}


def test_the_test_set_is_read_on_as_many_threads_as_the_trial_trained_on(tmp_path, monkeypatch):
    found = {}
    for name in ("train", "evaluate"):
        whole = getattr(trial_module, name)

        def noting(*args, _name=name, _whole=whole, **kwargs):
            found.setdefault(_name, set()).add(torch.get_num_threads())
            return _whole(*args, **kwargs)

        monkeypatch.setattr(trial_module, name, noting)
    monkeypatch.setattr(trial_module, "training_threads", lambda *_: 3)
    run_suite(suite_of(), out=tmp_path, run="r", only="seed == 0")
    run_suite(suite_of(), out=tmp_path, run="r")
    assert found == {"train": {3}, "evaluate": {3}}


def arrays(path, seed):
    random = np.random.RandomState(seed)
    images, labels = random.rand(60, 6, 6).astype("float32"), random.randint(0, 3, 60)
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)


def test_data_that_changes_under_a_run_is_noticed(tmp_path):
    path = tmp_path / "d.npz"
    arrays(path, 0)
    text = TINY.replace("{name: digits, train_examples: 200,", f"{{name: npz, path: {path},")
    suite = parse_suite(text.replace("validation_examples: 100", "num_classes: 3"), "s.yaml")
    run_suite(suite, out=tmp_path, run="r", only="seed == 0")
    first = read_run(tmp_path / "tiny" / "r").trials["data_digest"].iloc[0]
    arrays(path, 1)
    with pytest.raises(ResultError, match="data of this run has changed"):
        run_suite(suite, out=tmp_path, run="r")
    other = run_suite(suite, out=tmp_path, run="other", only="seed == 0")
    assert read_run(other.folder).trials["data_digest"].iloc[0] != first


def test_a_second_call_of_a_finished_run_does_nothing(finished, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr("depthbench.pieces.run_cohort", never)
    monkeypatch.setattr("depthbench.run.time_cells", never)
    monkeypatch.setattr("depthbench.pieces.read_test_set", never)
    monkeypatch.setattr("depthbench.trial.load", never)
    before = read_run(finished.folder).trials
    out, nowhere = finished.folder.parent.parent, "/there/is/no/such/folder"
    run_suite(suite_of(), out=out, run="first", data_dir=nowhere)
    pd.testing.assert_frame_equal(before, read_run(finished.folder).trials)


def test_data_is_read_only_for_what_is_still_to_be_done(tmp_path, monkeypatch):
    text = TINY.replace("dataset: {name: digits,", "dataset: {name: [digits, mnist],")
    real, asked = trial_module.load, []

    def recorded(settings, data_dir):
        asked.append(settings.name)
        return real(settings.model_copy(update={"name": "digits"}), data_dir)

    monkeypatch.setattr(trial_module, "load", recorded)
    text = text.replace("[0.001, 0.01]", "0.01").replace("auto", "loop")
    text = text.replace("width: match", "width: 8")
    suite = parse_suite(text, "t")
    chosen = "dataset == 'digits'"
    run_suite(suite, out=tmp_path, run="r", only=chosen)
    assert set(asked) == {"digits"}
    asked.clear()
    monkeypatch.setattr(trial_module, "build_model", no_room)
    assert run_suite(suite, out=tmp_path, run="r").trials_by_status == {"ok": 4, "oom": 4}
    assert set(asked) == {"mnist"}


def no_room(*args, **kwargs):
    raise MemoryError("no room")


def test_rows_are_in_the_order_of_the_plan_whatever_ended_first(tmp_path):
    suite = suite_of(**{"execution: auto": "execution: fused"})
    planned = [trial.trial_id for trial in expand(suite)]
    run_suite(suite, out=tmp_path, run="r", only="seed == 1 and family != 'deep'")
    run = read_run(run_suite(suite, out=tmp_path, run="r").folder)
    assert run.trials["trial_id"].tolist() == planned
    assert run.curves["trial_id"].drop_duplicates().tolist() == planned
    assert run.timings["family"].tolist() == ["deep"] * 2 + ["parallel_shallow"] * 2
    assert run.timings["phase"].tolist() == ["inference", "train_step"] * 2


def test_a_failed_cell_has_the_columns_of_a_good_one(finished, tmp_path, monkeypatch):
    good = read_run(finished.folder).timings
    ended = Ended("oom", "no room")
    monkeypatch.setattr(LocalBench, "prepare", lambda self, cell, budget: ended)
    suite = suite_of(**{"timing: {": "timing: {threads: [1, 3], "})
    bad = read_run(run_suite(suite, out=tmp_path, run="r", only="seed == 0").folder).timings
    assert set(bad["status"]) == {"oom"}
    assert bad["num_threads"].tolist() == [1, 3] * 4
    settings = ["variant_id", "trial_id", "cell_id", "suite", "run", "family", "backbone", "depth"]
    settings += ["width", "dataset", "task", "phase", "batch_size", "precision", "mode", "cache"]
    settings += ["device", "started_at", "plan_index"]
    assert good[settings].notna().all(axis=None)
    assert bad[settings].notna().all(axis=None)


def test_a_new_question_and_new_claims_are_answered_from_the_old_results(tmp_path):
    suite = suite_of(**{"execution: auto": "execution: fused"})
    first = run_suite(suite, out=tmp_path, run="r", only="seed == 0")
    text = TINY.replace("execution: auto", "execution: fused").replace("same-size", "other")
    other = parse_suite(text + "question: New?\n", "tiny.yaml")
    assert other.suite_hash != suite.suite_hash
    resumed = run_suite(other, out=tmp_path, run="r", only="seed == 0")
    state = read_run(resumed.folder).run
    assert (state["question"], state["claims"][0]["id"]) == ("New?", "other")
    assert (state["suite_hash"], state["suite_text"]) == (other.suite_hash, other.text)
    assert len(read_run(first.folder).trials) == 4


def test_sigterm_stops_a_run_as_an_interrupt_does(tmp_path, monkeypatch):
    def terminated(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("went on")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("depthbench.pieces.run_cohort", terminated)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_suite(suite_of(), out=tmp_path, run="r", only="lr > 0", keep_weights=True)
    assert caught.value.__notes__ == [
        f"finish it with: depthbench run tiny.yaml --run r --out {tmp_path} "
        "--only 'lr > 0' --keep-weights"
    ]
    assert store.read_run_json(tmp_path / "tiny" / "r")["status"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_goes_on_in_a_thread_of_a_notebook(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        options = {"out": tmp_path, "run": "r", "only": "seed == 0 and lr < 0.002"}
        summary = pool.submit(run_suite, suite_of(), **options).result()
    assert summary.trials_by_status == {"ok": 2}


@pytest.mark.parametrize(
    "stage",
    ["pieces.run_cohort", "pieces.read_test_set", "run.store.write_timing_part"],
)
def test_an_interrupted_run_is_finished_by_calling_it_again(stage, finished, tmp_path, monkeypatch):
    real = attrgetter(stage)(depthbench)
    calls = []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    suite = suite_of(**{"execution: auto": "execution: fused"})
    with monkeypatch.context() as patch:
        patch.setattr(f"depthbench.{stage}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_suite(suite, out=tmp_path, run="cut")
    folder = tmp_path / "tiny" / "cut"
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert len(read_run(folder).trials) >= 1
    resumed = run_suite(suite, out=tmp_path, run="cut")
    whole = run_suite(suite, out=tmp_path, run="whole")
    left, right = (stable(read_run(f.folder).trials) for f in (resumed, whole))
    pd.testing.assert_frame_equal(left, right)
    assert len(read_run(resumed.folder).timings) == 4


def test_a_changed_suite_under_an_old_name_is_refused_with_the_difference(finished):
    out = finished.folder.parent.parent
    with pytest.raises(ResultError, match=r"train\.epochs: \[2\.0\] -> \[3\.0\]") as caught:
        run_suite(suite_of(**{"epochs: 2": "epochs: 3"}), out=out, run="first")
    assert "--run NAME" in str(caught.value)


def test_a_failing_trial_is_a_row_and_the_others_go_on(tmp_path, monkeypatch):
    real = trial_module.train

    def failing(model, data, settings, seed, **kwargs):
        if seed == 1 and settings.lr == 0.01:
            raise ValueError("a defect")
        return real(model, data, settings, seed, **kwargs)

    suite = suite_of()
    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "train", failing)
        summary = run_suite(suite, out=tmp_path, run="r")
    assert summary.trials_by_status == {"ok": 6, "failed": 2}
    assert summary.num_failures == 2
    (reason,) = summary.failures
    assert (reason.status, reason.num) == ("failed", 2)
    assert reason.error.startswith("ValueError: a defect")
    assert summary.retry_command.endswith("--retry-failed")
    failed = read_run(summary.folder).trials.query("status == 'failed'")
    assert failed["error"].str.startswith("ValueError: a defect").all()
    assert run_suite(suite, out=tmp_path, run="r").num_failures == 2
    retried = run_suite(suite, out=tmp_path, run="r", retry_failed=True)
    assert retried.trials_by_status == {"ok": 8}
    whole = run_suite(suite, out=tmp_path, run="whole")
    left, right = (stable(read_run(f.folder).trials) for f in (retried, whole))
    assert (left["is_selected"] == right["is_selected"]).all()
    assert (left["test_loss"].notna() == left["is_selected"].astype(bool)).all()


def test_divergence_is_a_result_not_a_failure(tmp_path):
    suite = suite_of(**{"lr: [0.001, 0.01]": "optimizer: sgd, lr: 100000.0"})
    summary = run_suite(suite, out=tmp_path, run="r")
    assert summary.trials_by_status == {"diverged": 4}
    assert summary.num_failures == 0
    trials = read_run(summary.folder).trials
    assert trials["error"].str.contains("step").all()
    assert trials["test_loss"].isna().all()


def test_out_of_memory_is_a_row(tmp_path, monkeypatch):
    def no_memory(*args, **kwargs):
        raise MemoryError("no room")

    monkeypatch.setattr(trial_module, "train", no_memory)
    summary = run_suite(suite_of(), out=tmp_path, run="r")
    assert summary.trials_by_status == {"oom": 8}


def test_missing_data_is_found_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("depthbench.data.download.fetch", None, raising=False)
    suite = suite_of(**{"{name: digits,": "{name: npz, path: none.npz, num_classes: 10,"})
    with pytest.raises((DataError, SuiteError), match=r"none\.npz"):
        run_suite(suite, out=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_names_of_runs_cannot_leave_the_results(tmp_path):
    for name in ("../x", "a/b", "", ".hidden", "-x"):
        with pytest.raises(DepthbenchError, match="name"):
            run_suite(suite_of(), out=tmp_path, run=name)


def test_deep_and_parallel_start_from_the_same_weights_and_data_order(tmp_path):
    text = TINY.replace("depth: 2, width: match", "depth: 1, width: 12").replace("auto", "loop")
    summary = run_suite(parse_suite(text, "t"), out=tmp_path, run="r")
    trials = read_run(summary.folder).trials
    losses = trials.pivot_table(index=["lr", "seed"], columns="family", values="val_loss")
    assert (losses["deep"] == losses["parallel_shallow"]).all()


def test_the_quickstart_plans_what_its_header_says():
    suite = load_suite("suites/quickstart.yaml")
    trials = expand(suite)
    assert len(trials) == 40
    assert "Trials:   40 (4 variants x 2 learning rates x 5 seeds)" in suite.text
    assert all(share.is_on_budget for trial in trials for share in trial.budgets)
