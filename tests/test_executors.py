"""One contract for every executor: a new one is tested by being in the table."""

import subprocess
import sys
from functools import partial

import pytest

from depthbench.executors import EXECUTORS, ExecutorOptions
from tests.fixtures_work import divide, refuse, square


@pytest.fixture(params=sorted(EXECUTORS))
def executor(request):
    if request.param == "ray":
        request.getfixturevalue("ray_here")
    return EXECUTORS[request.param](ExecutorOptions())


def unheard(item, told):
    pass


def test_each_item_is_run_once_and_gives_its_result(executor):
    items = [3, 1, 4, 1, 5, 9, 2, 6]
    found = executor.run(square, items, unheard)
    assert sorted(found) == sorted((item, item * item) for item in items)


def test_what_the_work_tells_is_heard_with_its_item(executor):
    heard = []
    list(executor.run(square, [3, 5], lambda item, told: heard.append((item, told))))
    assert sorted(heard) == [(3, 4), (5, 6)]


def test_no_items_give_no_results(executor):
    assert list(executor.run(square, [], unheard)) == []


def test_an_executor_can_be_used_again(executor):
    assert list(executor.run(square, [2], unheard)) == [(2, 4)]
    assert list(executor.run(square, [3], unheard)) == [(3, 9)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_the_work_raises_passes_through(executor, error):
    with pytest.raises(error, match="item 7"):
        list(executor.run(partial(refuse, error), [7], unheard))


def test_results_before_a_failure_are_kept(executor):
    results = executor.run(partial(divide, 12), [3, 0], unheard)
    assert next(results) == (3, 4)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_the_local_executor_starts_an_item_only_when_its_result_is_asked_for():
    started = []

    def work(item, tell):
        started.append(item)
        return item

    results = EXECUTORS["local"](ExecutorOptions()).run(work, [1, 2, 3], unheard)
    assert started == []
    assert next(results) == (1, 1)
    assert started == [1]
    results.close()
    assert started == [1]


def test_executors_import_neither_torch_nor_ray_nor_models():
    code = (
        "import sys, depthbench.executors; "
        "print([m for m in sys.modules if m.startswith(('torch', 'ray', 'depthbench.models'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
