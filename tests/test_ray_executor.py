"""Workers of a ray cluster: deaths, limits, shared folders, and nothing left behind."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from depthbench import machine, pieces, read_run, run_suite
from depthbench.executors import (
    Cluster,
    ClusterError,
    ExecutorOptions,
    Lost,
    RayExecutor,
    ray_cluster,
    ray_worker,
)
from depthbench.executors.ray import cause_of_death
from depthbench.suite import parse_suite
from tests.fixtures_work import die_once, facts_of, misbehave, square, stay
from tests.test_process_executor import ON_LINUX, is_alive, wait_until

pytest.importorskip("ray", reason="the extra [ray] is not installed")

TINY = """\
suite: tiny
dataset: {name: digits, train_examples: 200, validation_examples: 100}
backbone: mlp
variants: [{family: deep, depth: [1, 2], width: 8}]
train: {lr: [0.001, 0.01], epochs: 2, batch_size: 32}
seeds: 1
"""


def unheard(item, told):
    pass


def run(work, items, on_told=unheard, cluster=None, **options):
    asked = ExecutorOptions(cluster=cluster or Cluster(), **options)
    with RayExecutor(asked).open(work) as run_items:
        yield from run_items(items, on_told)


def results(summary):
    moving = ("run", "started_at", "train_seconds", "trial_seconds", "num_threads")
    return read_run(summary.folder).trials.drop(columns=list(moving))


def test_an_item_that_ends_its_worker_each_time_is_lost_and_the_others_are_not(ray_here):
    found = dict(run(misbehave, ["kill", "good"]))
    assert isinstance(found["good"], int)
    assert found["kill"].status == "failed"
    assert found["kill"].error.startswith("3 workers ended while they were at it")


def test_an_item_whose_worker_died_is_run_again(ray_here, tmp_path):
    assert list(run(partial(die_once, tmp_path), ["a"])) == [("a", "a")]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_item_past_the_time_limit_is_lost_and_its_process_ends(ray_here):
    heard = []
    found = list(run(stay, ["a"], lambda *both: heard.append(both), time_limit_seconds=0.7))
    assert found == [("a", Lost("timeout", "ended after the time limit of 0.7 s"))]
    [(_, pids)] = heard
    assert wait_until(lambda: not any(map(is_alive, pids)))


def test_closing_ends_what_is_under_way(ray_here):
    heard = []

    def interrupt(item, told):
        heard.append(told)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run(stay, ["a"], interrupt))
    assert wait_until(lambda: not any(map(is_alive, heard[0])))


def test_a_death_has_a_cause():
    from ray import exceptions

    errors = {
        "memory": exceptions.OutOfMemoryError("node is short of memory"),
        "node": exceptions.NodeDiedError("node 1"),
        "result": exceptions.ObjectLostError("0" * 56, None, ""),
        "worker": exceptions.WorkerCrashedError(),
        "setup": exceptions.RuntimeEnvSetupError("no such package"),
    }
    found = {name: cause_of_death(exceptions, error) for name, error in errors.items()}
    same = {name: name for name in ("memory", "node", "worker")}
    assert found == same | {"result": "node", "setup": None}


@ON_LINUX
def test_arrays_of_the_work_lie_in_the_memory_of_a_node_once_and_cannot_be_written(ray_here):
    found = dict(run(partial(facts_of, np.ones(1 << 20)), [1, 2]))
    total, is_writeable, file = found[1]
    assert found[1] == found[2]
    assert (total, is_writeable) == (1 << 20, False)
    assert file[1] != "0"  # mapped from a file, not of the process's own


def test_a_suite_gives_the_same_rows_as_in_this_process(ray_here, tmp_path, monkeypatch):
    suite = parse_suite(TINY, "tiny.yaml")
    local = run_suite(suite, out=tmp_path, run="local", executor="local")
    for name in ("run_cohort", "read_test_set"):
        monkeypatch.setattr(pieces, name, None)  # this process is to do neither
    other = run_suite(suite, out=tmp_path, run="ray", executor="ray")
    assert results(other).equals(results(local))
    assert not list(other.folder.glob(".seen*"))


def test_no_place_for_such_work_is_said_at_once(ray_here):
    with pytest.raises(ClusterError, match=r"no node .* 1 CPUs and 0.5 GPUs"):
        list(run(square, [1], cluster=Cluster(num_gpus=0.5)))


def test_a_node_that_does_not_see_the_folder_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_worker, "_SEEN_SECONDS", 0.0)
    task = ray_worker.Task(0, 1, [], 1, tmp_path / "probe")
    with pytest.raises(ray_worker.BlindNodeError):
        ray_worker.do(task, None)


@pytest.mark.slow
def test_a_node_that_does_not_see_the_folder_ends_the_run(ray_here, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster.Path, "touch", lambda self: None)  # as if it were elsewhere
    with pytest.raises(ClusterError, match=r"cannot see this folder.*--out DIR"):
        list(run(square, [1], cluster=Cluster(shared_folder=tmp_path)))


def test_where_ray_is_not_installed_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'depthbench\[ray\]'"):
        RayExecutor()


def test_a_memory_limit_is_refused():
    with pytest.raises(ClusterError, match="--memory-limit"):
        RayExecutor(ExecutorOptions(memory_limit_bytes=1 << 30))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:10001", "here", ":6379"])
def test_an_address_without_a_cluster_is_refused_at_once(address):
    with pytest.raises(ClusterError, match=f"--address {address}: cannot be joined: .*ray start"):
        ray_cluster.check_address(address)


SCRIPT = """\
from depthbench.executors import ExecutorOptions, RayExecutor
from depthbench.interruption import terminated_like_interrupted
from tests.fixtures_work import stay

def hear(item, told):
    print(*told, flush=True)

with terminated_like_interrupted():
    with RayExecutor(ExecutorOptions()).open(stay) as run_items:
        list(run_items(["a"], hear))
"""


@pytest.mark.slow
@ON_LINUX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_that_is_interrupted_leaves_nothing_of_ray_behind(tmp_path, number):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    before = set(Path("/tmp").glob("depthbench-*"))
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pids = [int(word) for word in parent.stdout.readline().split()]
    raylets = [int(entry.name) for entry in Path("/proc").iterdir() if is_raylet_of(entry, parent)]
    assert raylets
    parent.send_signal(number)
    said, errors = parent.communicate(timeout=60)
    assert said == ""
    assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert "ray" not in errors.splitlines()[0]
    assert wait_until(lambda: not any(map(is_alive, [*pids, *raylets])))
    assert set(Path("/tmp").glob("depthbench-*")) <= before


def is_raylet_of(entry, parent):
    status = machine.read_text(str(entry / "status")) or ""
    return "Name:\traylet\n" in status and f"PPid:\t{parent.pid}\n" in status
