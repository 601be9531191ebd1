import json
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

from depthbench import environment, machine
from depthbench.environment import COMPARABLE_KEYS, Check, collect, differences, doctor


def checks_by_name(**arguments):
    return {check.name: check for check in doctor(**arguments)}


def test_the_facts_are_json_and_say_what_runs_here():
    facts = collect("cpu")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["python"].startswith(facts["python_minor"])
    assert facts["num_cpus"] >= 1
    assert facts["versions"]["numpy"]
    assert facts["device_type"] == "cpu"


def test_two_collections_on_one_machine_are_comparable():
    assert differences(collect("cpu"), collect("cpu")) == {}


def test_every_comparable_key_is_collected():
    facts = collect("cpu")
    assert all(environment._fact(facts, key) is not ... for key in COMPARABLE_KEYS)


@pytest.mark.parametrize("key", COMPARABLE_KEYS)
def test_a_change_of_any_comparable_key_is_named_with_both_values(key):
    before, after = collect("cpu"), collect("cpu")
    *path, last = key.split(".")
    place = after
    for name in path:
        place = place[name]
    old, place[last] = place[last], "another"
    assert differences(before, after) == {key: (old, "another")}


def test_the_facts_name_no_host_since_results_are_published():
    assert "hostname" not in collect("cpu")
    assert socket.gethostname() not in collect("cpu").values()


def test_what_varies_between_boots_does_not_make_runs_incomparable():
    before = collect("cpu")
    after = before | {"kernel": "0", "container": "x", "git_commit": "0" * 40}
    assert differences(before, after) == {}


def test_a_key_that_an_older_record_lacks_tells_nothing():
    facts = collect("cpu")
    older = {key: value for key, value in facts.items() if key not in ("cpu_quota", "versions")}
    assert differences(older, facts | {"cpu_quota": 1.5}) == {}
    assert differences({}, facts) == {}


def test_a_known_value_against_a_null_is_a_difference():
    facts = collect("cpu")
    assert differences(facts | {"gpu_name": None}, facts | {"gpu_name": "H200"}) == {
        "gpu_name": (None, "H200")
    }


def test_the_number_of_a_gpu_is_no_difference():
    assert differences(collect("cuda:0"), collect("cuda:1")) == {}


def test_collecting_does_not_load_torch():
    code = (
        "import sys; from depthbench.environment import collect; facts = collect('cpu'); "
        "print('torch' in sys.modules, facts['torch_threads'], bool(facts['versions']['torch']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None", "True"]


def fake_torch(num_threads=3, is_available=True):
    properties = types.SimpleNamespace(name="NVIDIA H200", total_memory=150_000_000_000)
    cuda = types.SimpleNamespace(
        is_available=lambda: is_available,
        get_device_properties=lambda device: properties,
        device_count=lambda: 2,
    )
    return types.SimpleNamespace(
        get_num_threads=lambda: num_threads,
        cuda=cuda,
        version=types.SimpleNamespace(cuda="12.8"),
    )


def test_a_loaded_torch_tells_threads_and_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch())
    monkeypatch.setattr(machine, "gpu_driver", lambda: "550.54.15")
    facts = collect("cuda:1")
    assert facts["torch_threads"] == 3
    assert (facts["gpu_name"], facts["num_gpus"]) == ("NVIDIA H200", 2)
    assert (facts["cuda_version"], facts["gpu_driver"]) == ("12.8", "550.54.15")
    assert collect("cpu")["gpu_name"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19", "535.104.05"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build",
            "570.86.15",
        ),
    ],
)
def test_the_gpu_driver_is_read_from_the_kernel(monkeypatch, text, expected):
    monkeypatch.setattr(machine, "read_text", lambda path: text)
    assert machine.gpu_driver() == expected


def test_without_a_driver_it_is_unknown(monkeypatch):
    monkeypatch.setattr(machine, "read_text", lambda path: None)
    monkeypatch.setattr(machine, "command_output", lambda *command: None)
    assert machine.gpu_driver() is None


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor : 0\nmodel name\t: AMD EPYC 9654 96-Core Processor\n", "AMD EPYC 9654 96-Core"),
        ("processor : 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "ARM 0x41 part 0xd0c"),
    ],
)
def test_the_processor_is_named_on_x86_and_arm(monkeypatch, cpuinfo, expected):
    monkeypatch.setattr(machine, "read_text", lambda path: cpuinfo)
    assert machine.cpu_model().startswith(expected)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({}, None),
    ],
)
def test_a_containers_share_of_cpus_is_read(monkeypatch, files, expected):
    monkeypatch.setattr(machine, "read_text", files.get)
    assert machine.cpu_quota() == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1073741824\n", 1 << 30), ("max\n", None), (f"{1 << 62}\n", None)]
)
def test_a_containers_memory_is_read(monkeypatch, text, expected):
    monkeypatch.setattr(machine, "read_text", lambda path: text)
    assert machine.memory_limit_bytes() == expected


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_the_commit_of_the_suites_folder_and_its_changes_are_recorded(tmp_path):
    git(tmp_path, "init", "-q")
    suite = tmp_path / "suite.yaml"
    suite.write_text("suite: a\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    facts = collect("cpu", tmp_path)
    assert len(facts["git_commit"]) == 40
    assert facts["git_is_changed"] is False
    suite.write_text("suite: b\n")
    assert collect("cpu", tmp_path)["git_is_changed"] is True


def test_a_folder_outside_git_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    facts = collect("cpu", tmp_path)
    assert (facts["git_commit"], facts["git_is_changed"]) == (None, None)


def test_a_missing_command_is_unknown():
    assert machine.command_output("depthbench-no-such-command") is None


def test_the_clock_has_a_step():
    assert 0 < machine.clock_step_seconds() < 0.1


def test_the_doctor_finds_this_machine_usable(tmp_path):
    checks = checks_by_name(results=tmp_path / "results")
    assert {"Python", "PyTorch", "device", "threads", "clock", "results", "disk"} <= checks.keys()
    assert checks["Python"].is_ok
    assert checks["results"].is_ok
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_names_a_results_folder_that_is_a_file(tmp_path):
    results = tmp_path / "results"
    results.write_text("a file")
    check = checks_by_name(results=results)["results"]
    assert check.is_ok is False
    assert "--out" in check.advice
    assert results.read_text() == "a file"


def test_the_doctor_names_a_device_that_is_not_here(tmp_path):
    check = checks_by_name(results=tmp_path, device="cuda:99")["device"]
    assert check.is_ok is False
    assert check.found.startswith("cuda:99: ")
    assert "--device cpu" in check.advice


def test_the_doctor_warns_of_more_threads_than_cpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(num_threads=8))
    monkeypatch.setattr(machine, "num_usable_cpus", lambda: 4)
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1.5)
    check = environment._check_threads()
    assert check.is_ok is False
    assert check.advice == "OMP_NUM_THREADS=1"


def test_the_doctor_warns_of_a_full_disk(monkeypatch, tmp_path):
    usage = types.SimpleNamespace(total=1, used=1, free=1000)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: usage)
    assert environment._check_disk(tmp_path).is_ok is False


def test_the_doctor_warns_of_a_coarse_clock(monkeypatch):
    monkeypatch.setattr(machine, "clock_step_seconds", lambda: 0.015)
    assert environment._check_clock().is_ok is False


def test_the_doctor_passes_on_what_the_caller_found_about_data(tmp_path):
    digits = Check("data set digits", True, "complete")
    assert checks_by_name(results=tmp_path, data_checks=[digits])["data set digits"] == digits
