import json

import numpy as np
import pandas as pd
import pytest

from depthbench import run as running
from depthbench.calibrate import calibrate, render_calibration
from depthbench.calibration import calibration_path, effort_of, load_floors, read_calibration
from depthbench.errors import ResultError, SuiteError
from depthbench.record import column_names
from depthbench.store import find_runs, read_run
from depthbench.suite import parse_suite
from depthbench.timing.cells import cells_of
from tests.fixtures_results import timing_row
from tests.test_cli import call
from tests.test_run import TINY


def noisy(level=0.02):
    """Return a stand-in for `time_suite` whose runs differ by a level, and its calls."""
    calls = []

    def time_suite(suite, trials, device):
        generator = np.random.default_rng(len(calls))
        calls.append((suite.name, len(trials), device))
        rows = []
        for cell, trial in cells_of(trials, suite.timing):
            shifts = np.repeat(generator.normal(0, level, 3), 4)
            facts = {"cell_id": cell.cell_id, "samples_process": [0] * 4 + [1] * 4 + [2] * 4}
            facts |= {"phase": cell.phase, "batch_size": cell.batch_size}
            row = timing_row(trial.family, list(1e-3 * np.exp(shifts)), depth=trial.depth)
            rows.append(row | facts)
        return pd.DataFrame(rows, columns=list(column_names("timings"))).convert_dtypes()

    return time_suite, calls


@pytest.fixture
def suite():
    return parse_suite(TINY, "tiny.yaml")


def test_floors_are_stored_beside_the_runs_with_where_they_hold(suite, tmp_path):
    time_suite, calls = noisy()
    found = calibrate(suite, num_runs=6, out=tmp_path, device="cpu", time_suite=time_suite)
    assert len(calls) == 6 and {call[2] for call in calls} == {"cpu"}
    assert found.path == calibration_path(tmp_path, suite.name) and found.path.exists()
    stored = read_calibration(found.path)
    assert stored == found.calibration
    assert stored.num_runs == 6 and stored.environment["device_type"] == "cpu"
    assert stored.floors and all(0 < floor.fraction < 0.2 for floor in stored.floors.values())
    assert stored.false_positives["num_pairs"] == 15
    assert find_runs(tmp_path) == ()  # it is no run


def test_floors_hold_in_a_comparable_environment_alone(suite, tmp_path):
    found = calibrate(suite, num_runs=5, out=tmp_path, device="cpu", time_suite=noisy()[0])
    here, effort = found.calibration.environment, effort_of(suite.canonical)
    assert load_floors(tmp_path, suite.name, here, effort) == (found.calibration.floors, None)
    floors, why = load_floors(tmp_path, suite.name, here | {"cpu_model": "another"}, effort)
    assert floors == {} and "cpu_model" in why and "another" in why
    floors, why = load_floors(tmp_path, "other", here, effort)
    assert floors == {} and "depthbench calibrate" in why


def test_floors_of_cells_that_were_timed_less_or_more_do_not_hold(suite, tmp_path):
    found = calibrate(suite, num_runs=5, out=tmp_path, device="cpu", time_suite=noisy()[0])
    here = found.calibration.environment
    longer = effort_of(parse_suite(TINY, "tiny.yaml", ["timing.time_budget_seconds=2"]).canonical)
    floors, why = load_floors(tmp_path, suite.name, here, longer)
    assert floors == {}
    assert "time_budget_seconds 0.2 there and time_budget_seconds 2 here" in why
    stored = json.loads(found.path.read_text())
    del stored["effort"]  # as older versions wrote it
    found.path.write_text(json.dumps(stored))
    assert load_floors(tmp_path, suite.name, here, longer)[0] == found.calibration.floors


def test_a_run_after_a_calibration_has_its_floors(suite, tmp_path):
    calibrate(suite, num_runs=5, out=tmp_path, device="cpu", time_suite=noisy()[0])
    floors = read_calibration(calibration_path(tmp_path, suite.name)).floors
    summary = running.run_suite(suite, out=tmp_path, run="r", device="cpu", only="seed == 0")
    timings = read_run(summary.folder).timings
    assert summary.num_failures == 0 and len(timings) == len(floors)
    for cell_id, floor in zip(timings["cell_id"], timings["noise_floor_fraction"], strict=True):
        assert floor == floors[cell_id].fraction


def test_more_noise_makes_higher_floors(suite, tmp_path):
    levels = []
    for level in (0.01, 0.04):
        found = calibrate(suite, num_runs=5, out=tmp_path, device="cpu", time_suite=noisy(level)[0])
        levels.append(min(floor.fraction for floor in found.calibration.floors.values()))
    assert levels[1] > 2 * levels[0]


@pytest.mark.parametrize("text", ["", "[]", '{"floors": 3}', '{"floors": {"a": "x"}}'])
def test_a_broken_file_is_refused_with_what_to_do(tmp_path, text):
    path = calibration_path(tmp_path, "tiny")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ResultError, match="depthbench calibrate SUITE"):
        load_floors(tmp_path, "tiny", {}, {})


def test_a_suite_without_timing_and_cells_that_cannot_be_timed_are_refused(suite, tmp_path):
    text = "".join(line for line in TINY.splitlines(True) if not line.startswith("timing"))
    with pytest.raises(SuiteError, match="timing"):
        calibrate(parse_suite(text, "tiny.yaml"), out=tmp_path)
    time_suite, _ = noisy()

    def failing(*args):
        return time_suite(*args).assign(status="unsupported", error="no such device")

    with pytest.raises(ResultError, match="no such device"):
        calibrate(suite, num_runs=5, out=tmp_path, device="cpu", time_suite=failing)
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_each_floor_and_the_rate(tmp_path, monkeypatch):
    time_suite, calls = noisy()
    monkeypatch.setattr(running, "time_suite", time_suite, raising=False)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    out = tmp_path / "results"
    arguments = ("calibrate", path, "--runs", 5, "--out", out, "--device", "cpu")
    found = json.loads(call(*arguments, "--format", "json").stdout)
    assert len(calls) == 5 and found["num_runs"] == 5
    assert all(cell["floor"] > 0 and cell["phase"] for cell in found["cells"])
    for format in ("terminal", "md", "csv"):
        text = call(*arguments, "--format", format, "--quiet").stdout
        assert text.count("inference") >= len(found["cells"]) // 2
    text = call(*arguments).stdout
    assert "noise floors from 5 runs" in text and "of 10 pairs of equal runs" in text
    assert "stored:" in text
    call(*arguments[:2], "--runs", 4, code=2)


def test_a_calibration_of_too_few_runs_for_a_rate_says_so(suite, tmp_path):
    found = calibrate(suite, num_runs=3, out=tmp_path, device="cpu", time_suite=noisy()[0])
    assert found.calibration.false_positives is None
    assert "takes 5 runs" in render_calibration(found)


@pytest.mark.parametrize(("num_done", "is_stored"), [(2, False), (5, True)])
def test_what_an_interrupt_leaves_is_stored_if_it_is_enough(suite, tmp_path, num_done, is_stored):
    time_suite, calls = noisy()

    def interrupted(*args):
        if len(calls) == num_done:
            raise KeyboardInterrupt
        return time_suite(*args)

    with pytest.raises(KeyboardInterrupt) as caught:
        calibrate(suite, num_runs=8, out=tmp_path, device="cpu", time_suite=interrupted)
    (note,) = caught.value.__notes__
    assert f"{num_done} runs" in note
    assert calibration_path(tmp_path, suite.name).exists() is is_stored
