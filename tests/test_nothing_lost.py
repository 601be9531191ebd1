"""No signal costs a run more than the trial in flight: it ends with the table of a quiet run."""

import random
import shutil
import signal
import time

import pytest

from depthbench import expand, load_suite, read_run, store
from tests.fixtures_struck import Strikable, assert_same_run, strike

# Each executor that is tested here is one word.
EXECUTORS = ("local", pytest.param("process", marks=pytest.mark.slow))
# What the process executor does elsewhere: only this process is struck.
IN_WORKERS = ("weights",)
NUM_TRIALS = 12
# Timing in processes of its own takes long to start, wherever a run was killed.
KILLS = {True: 40, False: 6}


def struck_here(moments, executor):
    return [m for m in moments if executor == "local" or m["pattern"] not in IN_WORKERS]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_run_killed_at_every_kind_of_moment_ends_as_a_quiet_one(
    strikable, quiet, tmp_path, executor
):
    options = ("--executor", executor)
    moments = [
        strike("fsync", ".run.json.*", 1),  # run.json is being made
        strike("fsync", "weights", 3),  # weights have their name, their trial has no part
        strike("replace", "trial-*.parquet", 3),  # a part is whole and has no name
        strike("fsync", ".trial-*", NUM_TRIALS),  # a test result is being written
        strike("replace", "curves.parquet", 1),  # one merged table is new, the others are old
        strike("unlink", "trial-*.parquet", 5),  # tables are new, some parts are gone
        strike("replace", "cell-*.parquet", 2),
        strike("replace", "timings.parquet", 1),
        strike("unlink", "*.pt", 1),
        strike("replace", "run.json", 2),  # all is done, and run.json does not say so yet
    ]
    for moment in struck_here(moments, executor):
        code, said = strikable.run(tmp_path, *options, strikes=[moment])
        assert code == -signal.SIGKILL, (moment, said)
    code, said = strikable.run(tmp_path, *options)
    assert code == 0, said
    assert_same_run(tmp_path, quiet)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_killed_run_of_cohorts_ends_as_a_quiet_one_of_the_same_plan(
    strikable, tmp_path, executor
):
    options = ("--executor", executor, "--set", "cohort=auto")
    planned = strike("fsync", ".trial-*", 1)  # run.json has its plan of cohorts by now
    code, said = strikable.run(tmp_path / "struck", *options, strikes=[planned])
    assert code == -signal.SIGKILL, said
    # Which cohorts are worth it is measured, and differs from time to time: this is the plan now.
    folder = store.RunFolder(tmp_path / "struck" / "tiny" / "r")
    state = store.read_run_json(folder)
    names = [name for cohort in state["cohorts"] for name in cohort["trials"]]
    of_depth = {t.trial_id: t.depth for t in expand(load_suite(strikable.suite))}
    both = ([name for name in names if of_depth[name] == depth] for depth in (1, 2))
    state["cohorts"] = [{"trials": trials, "stacking": "loop"} for trials in both]
    store.write_run_json(folder, state)
    shutil.copytree(tmp_path / "struck", tmp_path / "quiet")
    moments = [
        strike("fsync", "weights", 3),  # some members have their weights, none its part
        strike("replace", "trial-*.parquet", 2),  # one member has its part, the others have not
        strike("fsync", ".trial-*", NUM_TRIALS),
    ]
    for moment in struck_here(moments, executor):
        code, said = strikable.run(tmp_path / "struck", *options, strikes=[moment])
        assert code == -signal.SIGKILL, (moment, said)
    for out in ("struck", "quiet"):
        code, said = strikable.run(tmp_path / out, *options)
        assert code == 0, said
    assert_same_run(tmp_path / "struck", tmp_path / "quiet")
    assert read_run(folder).trials.cohort_id.value_counts().tolist() == [6, 6]


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("are_benches_here", [True, False])
def test_kills_at_random_moments_change_no_table(tmp_path, executor, are_benches_here):
    chance = random.Random(0)
    strikable = Strikable(tmp_path, are_benches_here=are_benches_here)
    options = ("--executor", executor)
    strikable.run(tmp_path / "first", "--dry-run")  # what runs share is loaded by now
    began = time.monotonic()
    code, said = strikable.run(tmp_path / "quiet", *options)
    quiet_seconds = time.monotonic() - began
    assert code == 0, said
    num_kills = num_runs = 0
    while num_kills < KILLS[are_benches_here]:
        out = tmp_path / f"{num_runs}"
        code, said = strikable.run(out, *options, seconds=chance.uniform(0, quiet_seconds))
        assert code in (0, -signal.SIGKILL), said
        num_kills += code != 0
        if code == 0:
            assert_same_run(out, tmp_path / "quiet")
            num_runs += 1
    code, said = strikable.run(out, *options)
    assert code == 0, said
    assert_same_run(out, tmp_path / "quiet")
    strikable.close()


INTERRUPTS = {
    "in training": [strike("replace", "trial-*.parquet", 3, "SIGINT")],
    "by SIGTERM": [strike("replace", "trial-*.parquet", 3, "SIGTERM")],
    "in the test pass": [strike("fsync", ".trial-*", NUM_TRIALS + 2, "SIGINT")],
    "in the merge": [strike("replace", "curves.parquet", 1, "SIGINT")],
    "twice": [
        strike("replace", "trial-*.parquet", 3, "SIGINT"),
        strike("replace", "run.json", 1, "SIGINT"),
    ],
}


QUICK = ("in training", "twice")


@pytest.mark.parametrize(
    "when",
    [when if when in QUICK else pytest.param(when, marks=pytest.mark.slow) for when in INTERRUPTS],
)
def test_an_interrupted_run_exits_130_says_how_to_go_on_and_does(strikable, quiet, tmp_path, when):
    code, said = strikable.run(tmp_path, strikes=INTERRUPTS[when])
    assert code == 130, said
    assert "interrupted; what was finished is kept" in said
    assert f"finish it with: depthbench run {strikable.suite} --run r --out {tmp_path}" in said
    assert "Traceback" not in said
    assert read_run(tmp_path / "tiny" / "r").corrupt_parts == ()
    code, said = strikable.run(tmp_path)
    assert code == 0, said
    assert_same_run(tmp_path, quiet)


def test_an_interrupt_of_the_last_words_ends_the_program_at_once(strikable, tmp_path):
    strikes = [
        strike("replace", "trial-*.parquet", 3, "SIGINT"),
        strike("print", "*interrupted*", 1, "SIGINT"),
    ]
    code, said = strikable.run(tmp_path, "--quiet", strikes=strikes)
    assert (code, said) == (130, "")
    assert len(read_run(tmp_path / "tiny" / "r").trials) == 2


def test_a_second_process_on_a_run_is_refused(strikable, quiet):
    with store.lock_run(store.RunFolder(quiet / "tiny" / "r")):
        code, said = strikable.run(quiet)
    assert code == 2
    assert "another process is writing this run" in said
    assert "--run NAME" in said
    assert "Traceback" not in said
