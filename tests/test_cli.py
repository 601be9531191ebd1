"""One test a command, and the exit codes that scripts rely on."""

import csv
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from depthbench.cli import app
from depthbench.errors import DataError
from tests.test_run import TINY
from tests.test_suite import MINIMAL

COMMANDS = (
    *("run", "plan", "report", "check", "trend", "calibrate", "coordinate-check", "sample", "runs"),
    *("families", "datasets", "schema", "doctor", "init"),
)


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output + result.stderr
    return result


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    suite = folder / "tiny.yaml"
    suite.write_text(TINY)
    out = folder / "results"
    result = call("run", suite, "--out", out, "--run", "one", "--format", "json", "--quiet")
    return suite, out, json.loads(result.stdout)


def test_help_names_every_command():
    text = call("--help").stdout
    assert all(command in text for command in COMMANDS)
    for command in (*COMMANDS, "compare"):
        assert "Usage:" in call(command, "--help").stdout


def test_run_prints_a_summary_for_machines(results):
    _, out, summary = results
    assert summary["num_trials"] == 8
    assert summary["trials_by_status"] == {"ok": 8}
    assert Path(summary["folder"]) == out / "tiny" / "one"


def test_plan_estimates_on_demand_and_changes_no_other_key(results):
    suite, _, _ = results
    asked = ("plan", suite, "--only", "seed == 0 and family == 'deep'", "--format", "json")
    plan = json.loads(call(*asked).stdout)
    found = json.loads(call(*asked, "--estimate", "--workers", 2, "--device", "cpu").stdout)
    predicted = found.pop("estimate")
    assert found == plan
    assert predicted["num_workers"] == 2
    assert predicted["wall_seconds"] > 0
    assert predicted["stages"][0]["stage"] == "train"
    assert "no-such" in call(*asked, "--estimate", "--device", "no-such", code=2).stderr


def test_plan_json_is_the_documented_object(results):
    suite, _, _ = results
    plan = json.loads(call("plan", suite, "--format", "json").stdout)
    assert plan["suite"] == "tiny"
    assert plan["num_trials"] == len(plan["trials"]) == 8
    needed = (
        "trial_id family backbone dataset task depth width seed lr total_params trainable_params "
        "body_params forward_flops budget_error_fraction"
    )
    assert set(needed.split()) <= plan["trials"][0].keys()


def test_plan_is_a_table_for_people_and_csv_has_a_line_a_trial(results):
    suite, _, _ = results
    assert "8 trials of 2 variants" in call("plan", suite).stdout
    assert (
        len(list(csv.DictReader(io.StringIO(call("plan", suite, "--format", "csv").stdout)))) == 8
    )
    chosen = call("run", suite, "--dry-run", "--only", "seed == 0", "--set", "train.lr=0.1").stdout
    assert "2 trials of 2 variants" in chosen


def test_report_answers_in_every_format(results):
    _, out, _ = results
    assert "deep" in call("report", "--out", out).stdout
    assert json.loads(call("report", out / "tiny" / "one", "--format", "json").stdout)
    assert "|" in call("report", out / "tiny", "--format", "md").stdout
    assert list(csv.DictReader(io.StringIO(call("report", "--out", out, "--format", "csv").stdout)))
    call("report", "--out", out, "--margin", "0.01")
    assert "above 0 and below 1" in call("report", "--out", out, "--margin", "2", code=2).stderr
    page = call("report", "--out", out, "--format", "html", "--figures", out.parent / "figures")
    assert page.stdout.startswith("<!doctype html>") and page.stdout.isascii()
    assert "figures to" in page.stderr and (out.parent / "figures" / "ranking.svg").exists()


def test_check_judges_and_exits_by_the_verdict(results):
    _, out, _ = results
    assert call("check", "--out", out, code=0).stdout
    # Two seeds allow no verdict, which --strict does not accept.
    call("check", "--out", out, "--strict", code=4)


def test_runs_lists_what_is_there(results):
    _, out, _ = results
    assert "one" in call("runs", "--out", out).stdout
    (row,) = json.loads(call("runs", "--out", out, "--format", "json").stdout)
    assert row["suite"] == "tiny"


def test_families_and_datasets_and_doctor_and_schema_describe_themselves(tmp_path):
    assert "parallel_shallow" in call("families").stdout
    names = {row["name"] for row in json.loads(call("datasets", "--format", "json").stdout)}
    assert {"digits", "mnist", "fashion_mnist"} <= names
    found = json.loads(call("doctor", "--out", tmp_path, "--format", "json").stdout)
    assert {"depthbench", "PyTorch", "data: digits", "data: mnist"} <= {
        row["name"] for row in found
    }
    assert json.loads(call("schema").stdout)["title"] == "Suite"


def test_doctor_exits_1_at_a_problem(tmp_path):
    blocked = tmp_path / "results"
    blocked.write_text("a file")
    assert "PROBLEM" in call("doctor", "--out", blocked, code=1).stdout


def test_init_writes_a_suite_that_plans(tmp_path):
    path = tmp_path / "mine.yaml"
    call("init", path)
    assert "trials" in call("plan", path).stdout
    assert "exists already" in call("init", path, code=2).stderr


def test_a_wrong_suite_is_a_message_and_exit_2(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(MINIMAL.replace("depth", "dpth"))
    result = call("plan", path, code=2)
    assert f"{path}:4:27: unknown key 'dpth'" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert "No such file" in call("run", tmp_path / "none.yaml", code=2).stderr


def test_wrong_use_is_exit_2(results):
    suite, out, _ = results
    call("run", code=2)
    call("run", suite, "--nonsense", code=2)
    call("report", out / "nowhere", code=2)
    call("run", suite, "--out", out, "--executor", "slurm", code=2)
    call("run", suite, "--out", out, "--device", "quantum", code=2)
    call("plan", suite, "--only", "depth = 3", code=2)


def test_a_refuted_claim_is_exit_3_and_no_claim_is_exit_5(tmp_path, results):
    refuted = TINY.replace("ratio_at_most: 100", "ratio_at_least: 100").replace(
        "seeds: 2", "seeds: 4"
    )
    for text, code in ((refuted, 3), (TINY[: TINY.index("claims")], 5)):
        path, out = tmp_path / f"{code}.yaml", tmp_path / f"out{code}"
        path.write_text(text.replace("lr: [0.001, 0.01]", "lr: 0.01"))
        call("run", path, "--out", out, "--quiet")
        call("check", "--out", out, code=code)


def test_failed_trials_are_exit_1(tmp_path, monkeypatch):
    def failing(*args, **kwargs):
        raise ValueError("a defect")

    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    monkeypatch.setattr("depthbench.trial.train", failing)
    call("run", path, "--out", tmp_path, "--quiet", "--only", "seed == 0", code=1)


def test_an_interrupt_is_exit_130(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    monkeypatch.setattr("depthbench.pieces.run_cohort", interrupted)
    result = call("run", path, "--out", tmp_path, "--run", "r", code=130)
    assert f"finish it with: depthbench run {path} --run r --out {tmp_path}" in result.stderr


def test_a_dry_run_refuses_what_a_run_refuses(results):
    suite, out, _ = results
    for options in (
        ("--executor", "slurm"),
        ("--device", "quantum"),
        ("--only", "depth > 100"),
        ("--run", "../x"),
        ("--executor", "local", "--workers", 3),
        ("--executor", "local", "--time-limit", 3),
        ("--run", "one", "--set", "train.epochs=9"),
    ):
        said = [
            call("run", suite, "--out", out, *options, *more, code=2).stderr
            for more in ((), ("--dry-run",))
        ]
        assert said[0] == said[1] != ""
    assert "8 trials" in call("run", suite, "--out", out, "--run", "one", "--dry-run").stdout


def test_one_of_a_thing_is_told_in_the_singular(results):
    suite, _, _ = results
    chosen = "seed == 0 and lr > 0.002 and family == 'deep'"
    assert "1 trial of 1 variant" in call("plan", suite, "--only", chosen).stdout


def test_a_message_of_several_lines_is_one_error(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(MINIMAL.replace("depth", "dpth").replace("mlp", "mpl"))
    lines = call("plan", path, code=2).stderr.splitlines()
    assert len(lines) > 1
    assert [line.startswith("error: ") for line in lines] == [True] + [False] * (len(lines) - 1)


def test_quiet_leaves_standard_error_to_errors(tmp_path, monkeypatch):
    def noisy(*args, **kwargs):
        sys.stderr.write("a bar of a download")
        logging.getLogger("pooch").warning("downloading")
        raise DataError("no data here")

    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    monkeypatch.setattr("depthbench.trial.load", noisy)
    result = call("run", path, "--out", tmp_path, "--quiet", code=2)
    assert result.stderr == "error: no data here\n"


def shell(command, **environment):
    command = command.replace("depthbench", f"{sys.executable} -m depthbench")
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["families", "--help", "plan {suite} --format json"])
def test_output_that_cannot_be_written_is_a_message(results, command):
    done = shell(f"depthbench {command.format(suite=results[0])} > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


def test_a_locale_without_our_characters_is_no_traceback(results):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = shell(f"depthbench report --out {results[1]}", **ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xb1" in done.stdout


def test_standard_output_of_a_run_is_json_alone(results):
    suite, out, _ = results
    done = shell(f"depthbench run {suite} --out {out} --run one --format json", FORCE_COLOR="1")
    assert json.loads(done.stdout)["trials_by_status"] == {"ok": 8}
    assert done.returncode == 0


def test_a_closed_pipe_is_no_traceback(results):
    suite, _, _ = results
    command = f"{sys.executable} -m depthbench plan {suite} --format json | head -c 10"
    found = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, env=os.environ
    )
    assert found.stdout.startswith('{"suite"')
    assert "Traceback" not in found.stderr


def test_output_to_a_pipe_has_no_colour(results):
    _, out, _ = results
    assert "\x1b" not in call("report", "--out", out).stdout
