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


def run(executor, work, items, on_told=unheard):
    with executor.open(work) as run_items:
        yield from run_items(items, on_told)


def test_each_item_is_run_once_and_gives_its_result(executor):
    items = [3, 1, 4, 1, 5, 9, 2, 6]
    found = run(executor, square, items)
    assert sorted(found) == sorted((item, item * item) for item in items)


def test_what_the_work_tells_is_heard_with_its_item(executor):
    heard = []
    list(run(executor, square, [3, 5], lambda item, told: heard.append((item, told))))
    assert sorted(heard) == [(3, 4), (5, 6)]


def test_no_items_give_no_results(executor):
    assert list(run(executor, square, [])) == []


def test_an_executor_can_be_used_again(executor):
    assert list(run(executor, square, [2])) == [(2, 4)]
    assert list(run(executor, square, [3])) == [(3, 9)]


def test_lots_of_items_are_run_one_after_another(executor):
    heard = []
    with executor.open(square) as run_items:
        lots = [dict(run_items(lot, lambda *told: heard.append(told))) for lot in ([3], [], [5])]
    assert lots == [{3: 9}, {}, {5: 25}]
    assert heard == [(3, 4), (5, 6)]


def test_a_lot_that_is_left_in_the_middle_leaves_no_item_to_the_next(executor):
    with executor.open(square) as run_items:
        first = run_items([1, 2, 3, 4, 5, 6], unheard)
        next(first)
        first.close()
        assert sorted(run_items([7, 8], unheard)) == [(7, 49), (8, 64)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_the_work_raises_passes_through(executor, error):
    with pytest.raises(error, match="item 7"):
        list(run(executor, partial(refuse, error), [7]))


def test_results_before_a_failure_are_kept(executor):
    results = run(executor, partial(divide, 12), [3, 0])
    assert next(results) == (3, 4)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_the_local_executor_starts_an_item_only_when_its_result_is_asked_for():
    started = []

    def work(item, tell):
        started.append(item)
        return item

    results = run(EXECUTORS["local"](ExecutorOptions()), work, [1, 2, 3])
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
