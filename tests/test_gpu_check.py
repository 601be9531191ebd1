"""`make gpu-check` never passes without having measured."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_check.py"


@pytest.fixture
def gpu_check(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("sys.argv", ["gpu_check.py", "--out", str(tmp_path)])
    return module


def test_without_a_device_it_fails_says_why_and_runs_nothing(gpu_check, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(gpu_check, "run_python", lambda *arguments: pytest.fail("ran something"))
    assert gpu_check.main() == 1
    said = capsys.readouterr().err
    assert "nothing was checked" in said
    assert "finds no CUDA device" in said


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 1), (5, 2)])
def test_both_steps_are_run_and_either_one_can_fail_it(gpu_check, monkeypatch, codes, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200 (SXM)")
    commands, left = [], list(codes)

    def run(*arguments):
        commands.append(arguments)
        return left.pop(0)

    monkeypatch.setattr(gpu_check, "run_python", run)
    assert gpu_check.main() == (0 if codes == (0, 0) else 1)
    assert [command[1] for command in commands] == ["pytest", "depthbench"]
    assert commands[1][-1] == str(tmp_path / "gpu-check-nvidia-h200-sxm")


def test_what_it_runs_is_this_python_on_this_repository(gpu_check):
    place = f"import depthbench; assert depthbench.__file__.startswith({str(SCRIPT.parents[1])!r})"
    assert gpu_check.run_python("-c", place) == 0
    assert gpu_check.run_python("-c", "raise SystemExit(3)") == 3
