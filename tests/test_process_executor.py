"""Workers in processes of their own: limits, deaths, shared memory, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from depthbench import machine
from depthbench.executors import ExecutorOptions, Lost, ProcessExecutor, WorkerError
from depthbench.executors.handle import Worker
from depthbench.executors.sharing import SharedValue, read_shared
from tests.fixtures_work import (
    Look,
    Unreadable,
    append,
    fail,
    grow,
    misbehave,
    stay,
    tell_often,
    whoami,
)

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def run(work, items, heard=None, **options):
    told = (lambda item, value: None) if heard is None else lambda *both: heard.append(both)
    with ProcessExecutor(ExecutorOptions(**options)).open(work) as run_items:
        yield from run_items(items, told)


def test_workers_are_fresh_programs_at_the_same_time_with_threads_and_cores_of_their_own(tmp_path):
    found = dict(run(partial(whoami, tmp_path), ["a", "b"], num_workers=2, num_threads=1))
    a, b = found["a"], found["b"]
    assert len({a["process"], b["process"], os.getpid()}) == 3
    assert (a["threads"], a["variable"], a["main"]) == (1, "1", "depthbench.executors.__main__")
    assert os.getsid(0) not in (a["session"], b["session"])
    if len(getattr(os, "sched_getaffinity", lambda _: ())(0)) > 1:
        assert len(a["cpus"]) == len(b["cpus"]) == 1
        assert not a["cpus"] & b["cpus"]


@ON_LINUX
def test_the_tensors_of_the_work_are_in_memory_once_for_all_workers(tmp_path):
    big = torch.ones(16 << 20)  # 64 MiB
    found = dict(run(Look(tmp_path, {"big": big}), ["a", "b"], num_workers=2, num_threads=1))
    small = dict(run(Look(tmp_path, {"big": big[:1].clone()}), ["a", "b"], num_workers=2))
    (_, a, _, _), (_, b, _, _) = found["a"], found["b"]
    assert a["file"] == b["file"]
    for item, (total, facts, own_bytes, _) in found.items():
        assert total == len(big)
        assert int(facts["Rss"].split()[0]) >= 64 << 10
        assert facts["Anonymous"].split() == ["0", "kB"]  # no page is a copy
        assert own_bytes < small[item][2] + (32 << 20)
    assert (found["a"][3], found["b"][3], float(big[0])) == (7, 1, 1)  # who writes has a copy


def test_what_is_shared_keeps_types_views_and_small_things():
    base = torch.arange(12.0).reshape(3, 4)
    value = {
        "view": base[:, 1],
        "turned": base.t(),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "empty": torch.empty(0, 3),
        "learned": torch.nn.Parameter(torch.ones(2)),
        "array": base.numpy()[1:],
        "text": "x",
    }
    shared = SharedValue(value)
    found = read_shared(os.dup(shared.descriptor), shared.spans)
    shared.close()
    assert found["text"] == "x"
    assert (found["array"] == base.numpy()[1:]).all()
    for name in ("view", "turned", "half", "empty", "learned"):
        assert type(found[name]) is type(value[name])
        assert found[name].dtype == value[name].dtype
        assert found[name].stride() == value[name].stride()
        assert torch.equal(found[name], value[name])
    found["turned"][0, 1] = 100
    assert found["view"][1] == 5  # base[1, 1], which is another place
    assert base[1, 0] == 4


def test_of_what_is_told_the_first_and_the_last_are_heard_and_others_now_and_then():
    heard = []
    assert list(run(partial(tell_often, 1000), ["a"], heard)) == [("a", "a")]
    assert heard[0] == ("a", 0)
    assert heard[-1] == ("a", 999)
    assert len(heard) < 100


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("exit", "exit code 3): no room left"),
        ("crash", "killed by SIGSEGV)"),
        ("kill", "killed by SIGKILL)"),
    ],
)
def test_a_worker_that_dies_costs_its_item_and_says_how(item, said):
    found = list(run(misbehave, ["good", item, "fine"], num_workers=1))
    assert [name for name, _ in found] == ["good", item, "fine"]
    assert found[1][1].status == "failed"
    assert said in found[1][1].error
    assert found[0][1] != found[2][1]  # another worker


def test_a_worker_killed_while_the_kernel_ran_out_of_memory_is_out_of_memory(monkeypatch):
    counts = iter(range(100))
    monkeypatch.setattr(machine, "num_oom_kills", lambda: next(counts))
    (_, killed), (_, left) = run(misbehave, ["kill", "exit"])
    assert (killed.status, left.status) == ("oom", "failed")


def test_an_item_past_the_time_limit_is_lost_and_the_others_are_not():
    found = dict(run(misbehave, ["hang", "good", "fine"], num_workers=2, time_limit_seconds=0.3))
    assert found["hang"] == Lost("timeout", "ended after the time limit of 0.3 s")
    assert isinstance(found["good"], int)
    assert isinstance(found["fine"], int)


@ON_LINUX
def test_an_item_past_the_memory_limit_is_lost_and_the_others_are_not():
    found = dict(run(grow, [600 << 20, 8], memory_limit_bytes=500_000_000))
    assert found[8] == 8
    assert found[600 << 20].status == "oom"
    assert "past the memory limit of 0.5 GB" in found[600 << 20].error


def test_a_memory_limit_that_cannot_be_watched_is_refused(monkeypatch):
    monkeypatch.setattr(machine, "own_memory_bytes", lambda process_id: None)
    with pytest.raises(WorkerError, match="--memory-limit"):
        ProcessExecutor(ExecutorOptions(memory_limit_bytes=1 << 30))


def test_no_item_is_run_twice_whatever_happens_to_workers(tmp_path):
    items = ["kill", "a", "exit", "b", "crash", "c"]
    found = list(run(partial(append, tmp_path / "log"), items, num_workers=2))
    assert sorted(item for item, _ in found) == sorted(items)
    assert sorted((tmp_path / "log").read_text().split()) == sorted(items)
    assert {item for item, value in found if isinstance(value, Lost)} == {"kill", "exit", "crash"}


def test_workers_stay_for_the_next_lot_unless_they_died():
    with ProcessExecutor(ExecutorOptions()).open(misbehave) as run_items:
        lots = [dict(run_items(lot, print)) for lot in (["a"], ["b"], ["kill"], ["c"])]
    processes = [found for lot in lots for found in lot.values() if not isinstance(found, Lost)]
    assert processes[0] == processes[1] != processes[2]


def test_workers_that_cannot_start_are_an_error_after_a_few(monkeypatch):
    started = []
    monkeypatch.setattr(
        "depthbench.executors.process.Worker",
        lambda *given: started.append(given) or Worker(*given),
    )
    with pytest.raises(WorkerError, match=r"3 workers in a row .*exit code 9"):
        list(run(Unreadable(), ["a", "b"]))
    assert len(started) == 3


def test_what_the_work_raises_has_the_workers_traceback_as_a_note():
    with pytest.raises(ValueError, match="no") as caught:
        list(run(fail, ["plain"]))
    assert "in fail" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="OddError: very odd"):
        list(run(fail, ["odd"]))


def is_alive(process_id):
    state = re.search(r"State:\s+(\w)", machine.read_text(f"/proc/{process_id}/status") or "")
    return state is not None and state[1] != "Z"


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        os.sched_yield()
    return condition()


@ON_LINUX
def test_closing_ends_what_is_under_way():
    processes = []

    def hear(item, told):
        processes.extend(told)
        raise KeyboardInterrupt

    with ProcessExecutor(ExecutorOptions(num_workers=2)).open(stay) as run_items:
        with pytest.raises(KeyboardInterrupt):
            next(run_items(["a", "b"], hear))
        assert processes
        assert wait_until(lambda: not any(map(is_alive, processes)), 5)


SCRIPT = """\
import os, signal, sys
from depthbench.executors import ExecutorOptions, ProcessExecutor
from tests.fixtures_work import stay

# Shells let what they start in the background ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

def hear(item, told):
    print(*told, flush=True)

# No guard: what is below runs at every import of this file.
print("imported", flush=True)
with ProcessExecutor(ExecutorOptions(num_workers=2)).open(stay) as run_items:
    list(run_items(["a", "b"], hear))
"""


@ON_LINUX
@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, -2)])
def test_however_a_script_ends_its_workers_end_and_nothing_stays(tmp_path, signal_number, code):
    before = set(Path("/dev/shm").iterdir())
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert parent.stdout.readline() == "imported\n"
    processes = [int(word) for _ in range(2) for word in parent.stdout.readline().split()]
    assert len(processes) == 4
    assert all(map(is_alive, processes))
    parent.send_signal(signal_number)
    assert parent.wait() == code
    assert parent.stdout.read() == ""
    parent.stdout.close()
    assert wait_until(lambda: not any(map(is_alive, processes)))
    assert set(Path("/dev/shm").iterdir()) <= before
