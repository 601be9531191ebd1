"""Workers get cores of their own, as the machine is built."""

import pytest

from depthbench.executors import cores
from depthbench.executors.cores import cores_for, own_cores

# Two packages of two cores; CPU i and i + 4 share a core, as Linux counts them.
PLACES = {cpu: (cpu % 4 // 2, cpu % 2) for cpu in range(8)}
ALL = list(range(8))


def test_threads_get_a_whole_core_each_where_there_are_enough():
    assert cores_for(4, 1, ALL, PLACES) == [[0], [1], [2], [3]]
    assert cores_for(2, 2, ALL, PLACES) == [[0, 1], [2, 3]]


def test_the_two_cpus_of_a_core_go_to_the_same_worker():
    assert cores_for(4, 2, ALL, PLACES) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert cores_for(1, 8, ALL, PLACES) == [[0, 4, 1, 5, 2, 6, 3, 7]]


def test_only_allowed_cpus_are_given():
    assert cores_for(2, 1, [3, 7, 5], PLACES) == [[5], [3]]


def test_no_cpu_is_given_to_two_workers():
    for num_workers in (1, 2, 3, 5, 8):
        given = [cpu for cpus in cores_for(num_workers, 1, ALL, PLACES) for cpu in cpus]
        assert len(given) == len(set(given)) == num_workers


def test_where_there_are_too_few_nobody_is_bound():
    assert cores_for(3, 3, ALL, PLACES) == [[], [], []]
    assert cores_for(2, 1, [], {}) == [[], []]


def test_one_cpu_is_enough_for_one():
    assert cores_for(1, 1, [6], PLACES) == [[6]]


@pytest.mark.parametrize(
    ("quota", "num_workers", "is_bound"), [(None, 4, True), (None, 2, False), (2.0, 4, False)]
)
def test_workers_are_bound_only_where_all_cpus_are_theirs(
    monkeypatch, quota, num_workers, is_bound
):
    monkeypatch.setattr(cores, "usable_cpus", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(cores.machine, "cpu_quota", lambda: quota)
    given = own_cores(num_workers, 1)
    assert len(given) == num_workers
    assert all(bool(cpus) == is_bound for cpus in given)
