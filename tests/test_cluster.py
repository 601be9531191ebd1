"""A real cluster of two nodes on this machine, one of which is killed while it trains."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from depthbench import read_run, run_suite
from depthbench.executors import Cluster, ExecutorOptions, RayExecutor, count_places
from depthbench.executors import ray as ray_executor
from depthbench.progress import Quiet
from depthbench.suite import parse_suite
from tests.fixtures_work import gpus_seen
from tests.test_process_executor import ON_LINUX, is_alive, wait_until
from tests.test_ray_executor import results

pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = [pytest.mark.slow, ON_LINUX]

SIX = """\
suite: six
dataset: {name: digits, train_examples: 500, validation_examples: 100}
backbone: mlp
variants: [{family: deep, depth: 4, width: 32}]
train: {lr: 0.003, epochs: 100, batch_size: 32}
seeds: 6
cohort: off
"""


class KillOnce(Quiet):
    """Progress that ends a node as soon as two trainings are under way: one is on that node."""

    def __init__(self, kill):
        self.under_way, self.kill = set(), kill

    def move(self, work, share, loss):
        self.under_way.add(work.label)
        if len(self.under_way) == 2 and self.kill:
            kill, self.kill = self.kill, None
            kill()

    def advance(self, work, endings):
        self.under_way.discard(work.label)


def children_of(process_id):
    tasks = Path(f"/proc/{process_id}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


@pytest.fixture
def cluster():
    from ray import cluster_utils

    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    cluster.shutdown()


def test_a_run_whose_node_is_killed_ends_with_the_rows_of_a_local_one(
    cluster, tmp_path, monkeypatch
):
    node = cluster.add_node(num_cpus=1)
    deaths, died = [], ray_executor._Tasks._died
    monkeypatch.setattr(
        ray_executor._Tasks,
        "_died",
        lambda self, place, error: deaths.append(type(error).__name__) or died(self, place, error),
    )

    def kill():
        raylet = node.all_processes["raylet"][0].process.pid
        doomed = [raylet, *children_of(raylet)]
        for process_id in doomed:
            os.kill(process_id, signal.SIGKILL)
        assert len(doomed) > 1
        assert wait_until(lambda: not any(map(is_alive, doomed)))

    suite = parse_suite(SIX, "six.yaml")
    local = run_suite(suite, out=tmp_path, run="local", executor="local")
    progress = KillOnce(kill)
    far = run_suite(
        suite, out=tmp_path, run="far", address=cluster.address, device="cpu", progress=progress
    )
    assert progress.kill is None
    assert deaths
    assert results(far).equals(results(local))
    assert set(read_run(far.folder).trials["status"]) == {"ok"}
    assert cluster.head_node.any_processes_alive()  # it is left running


def test_workers_share_a_gpu_and_are_told_which(cluster, tmp_path):
    cluster.add_node(num_cpus=4, num_gpus=1)  # as far as ray can tell
    cluster_given = Cluster(cluster.address, num_gpus=0.5)
    executor = RayExecutor(ExecutorOptions(cluster=cluster_given))
    with executor.open(partial(gpus_seen, tmp_path)) as run_items:
        found = dict(run_items(["a", "b"], lambda *told: None))
    assert found == {"a": "0", "b": "0"}
    assert count_places(cluster_given, 1) == 2
