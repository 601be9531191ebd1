"""`compare` and `check` on the command line: exit codes and formats that builds rely on."""

import json
import os
from xml.etree import ElementTree

import pytest
from typer.main import get_command

from depthbench import store
from depthbench.cli import app
from depthbench.report.compare.runs import CompareOptions
from tests.fixtures_compare import ENVIRONMENT, LOSSES, cells, timed, trials, write_night
from tests.fixtures_results import claim, trial_rows
from tests.test_cli import call


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow, and no use in a test


@pytest.fixture
def baseline(tmp_path):
    return write_night(tmp_path, "before")


def lost(rows, status):
    return [rows[0] | {"status": status, "error": status, "test_loss": None}, *rows[1:]]


def slower(seed=1):
    return cells({"deep": 1.4}, seed=seed)


CASES = {
    "equal": ({"timings": cells(seed=1)}, (), 0),
    "equal, strict": ({"timings": cells(seed=1)}, ("--strict",), 0),
    "faster": ({"timings": cells({"deep": 0.6}, seed=1)}, (), 0),
    "slower": ({"timings": slower()}, (), 3),
    "slower below the threshold": ({"timings": slower()}, ("--threshold", 0.6), 0),
    "slower, not asked": ({"timings": slower()}, ("--metric", "test_loss"), 0),
    "worse": ({"trials_": trials({"deep": [1.0, 1.1, 1.2, 1.0, 1.1]})}, (), 3),
    "worse, not asked": (
        {"trials_": trials({"deep": [1.0, 1.1, 1.2, 1.0, 1.1]})},
        ("--metric", "median_seconds"),
        0,
    ),
    "diverged": ({"trials_": lost(trials(), "diverged")}, (), 3),
    "failed": ({"trials_": lost(trials(), "failed")}, (), 1),
    "failed and slower": ({"trials_": lost(trials(), "oom"), "timings": slower()}, (), 3),
    "unresolved": ({"timings": cells(seed=1, noise=0.15)}, (), 0),
    "unresolved, strict": ({"timings": cells(seed=1, noise=0.15)}, ("--strict",), 4),
    "another machine": ({"environment": ENVIRONMENT | {"cpu_model": "Other 1"}}, (), 5),
    "another machine, allowed": (
        {"environment": ENVIRONMENT | {"cpu_model": "Other 1"}},
        ("--allow", "cpu_model"),
        0,
    ),
    "other data": ({"trials_": trials(data_digest="b" * 64)}, (), 5),
    "other data, allowed": (
        {"trials_": trials(data_digest="b" * 64)},
        ("--allow", "data_digest"),
        0,
    ),
    "nothing in common": (
        {
            "trials_": trial_rows("new", LOSSES["deep"]),
            "timings": [timed("new", 1e-3)],
            "suite": "another",
        },
        (),
        5,
    ),
    "wrong metric": ({}, ("--metric", "speed"), 2),
    "wrong key": ({}, ("--allow", "cpu"), 2),
    "wrong confidence": ({}, ("--confidence", 95), 2),
    "wrong format": ({}, ("--format", "html"), 2),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_planted_gives_its_exit_code(tmp_path, baseline, case):
    planted, options, code = CASES[case]
    candidate = write_night(tmp_path, "after", **planted)
    result = call("compare", baseline, candidate, "--out", tmp_path, *options, code=code)
    assert "Traceback" not in result.stderr
    assert (result.stdout == "") == (code == 2)


def test_every_format_is_written_to_standard_output(tmp_path, baseline):
    candidate = write_night(tmp_path, "after", timings=slower())
    said = {
        format: call("compare", baseline, candidate, "--format", format, code=3).stdout
        for format in ("terminal", "md", "json", "csv", "junit", "github")
    }
    assert said["terminal"].splitlines()[2].startswith("2 of 8 timings are slower")
    assert json.loads(said["json"])["num_by_verdict"]["worse"] == 2
    assert said["csv"].count("\n") == 13
    assert ElementTree.fromstring(said["junit"]).get("failures") == "2"
    assert "<details>" in said["github"] and "<details>" not in said["md"]


def test_a_folder_with_one_run_stands_for_it_and_others_are_refused(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    write_night(before, "one")
    write_night(after, "two", timings=cells(seed=1))
    call("compare", before, after / "planted", "--out", tmp_path)
    write_night(after, "three")
    text = call("compare", before, after, code=2).stderr
    assert "holds 2 runs; name one of them" in text and "three" in text and "two" in text
    (tmp_path / "empty").mkdir()
    assert "holds no run" in call("compare", before, tmp_path / "empty", code=2).stderr
    assert "no such folder" in call("compare", tmp_path / "nowhere", after, code=2).stderr
    call("compare", before, code=2)


def test_a_refusal_names_the_command_that_goes_on(tmp_path, baseline):
    other = ENVIRONMENT | {"cpu_model": "Other 1", "torch_threads": 8}
    candidate = write_night(tmp_path, "after", environment=other)
    text = " ".join(call("compare", baseline, candidate, code=5).stdout.split())
    assert "cpu_model is Planted 3000 in the baseline and Other 1 in the candidate" in text
    command = text[text.index("depthbench compare") :].replace(" ", "")
    for part in (str(baseline), str(candidate), "--allowcpu_model--allowtorch_threads"):
        assert part in command
    call("compare", baseline, candidate, "--allow", "cpu_model", code=5)
    call("compare", baseline, candidate, "--allow", "cpu_model", "--allow", "torch_threads")


def test_a_run_still_being_written_is_compared_as_far_as_it_is(tmp_path, baseline):
    candidate = write_night(tmp_path, "after", trials()[:6], cells(seed=1)[:2], status="running")
    with store.lock_run(store.RunFolder(candidate)):
        text = call("compare", baseline, candidate).stdout
    assert "The candidate is still being written: 6 trials and 2 timings are there." in " ".join(
        text.split()
    )
    assert "was killed before its end" in " ".join(
        call("compare", baseline, candidate).stdout.split()
    )


def test_check_writes_junit_and_a_step_summary(tmp_path):
    claims = [
        claim(id="holds", expect={"ratio_at_most": 1.05}),
        claim(id="refuted", expect={"ratio_at_least": 1.05}),
        claim(id="undecided", expect={"ratio_within": [0.82, 0.822]}),
    ]
    run = write_night(tmp_path, "claimed", claims=claims)
    root = ElementTree.fromstring(call("check", run, "--format", "junit", code=3).stdout)
    found = {case.get("name"): case[0].tag for case in root.iter("testcase")}
    assert found == {"holds": "system-out", "refuted": "failure", "undecided": "skipped"}
    summary = call("check", run, "--format", "github", code=3).stdout
    assert "**Of 3 claims: 1 refuted, 1 undecided and 1 holding.**" in summary
    assert summary.index("| refuted |") < summary.index("| holds |") < summary.index("<details>")


def test_check_without_claims_is_valid_in_every_format(tmp_path):
    run = write_night(tmp_path, "bare")
    for format in ("junit", "github", "md", "json", "csv", "terminal"):
        said = call("check", run, "--format", format, code=5).stdout
        assert said
    assert (
        ElementTree.fromstring(call("check", run, "--format", "junit", code=5).stdout) is not None
    )


def test_the_defaults_of_the_command_are_those_of_the_comparison():
    (command,) = (found for name, found in get_command(app).commands.items() if name == "compare")
    defaults = {parameter.name: parameter.default for parameter in command.params}
    expected = CompareOptions()
    assert defaults["threshold"] == expected.threshold
    assert defaults["confidence"] == expected.confidence
    assert defaults["out"] == expected.out
