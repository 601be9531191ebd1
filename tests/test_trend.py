import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from depthbench import store
from depthbench.cli import app
from depthbench.errors import NothingToCompareError, ResultError
from depthbench.report.trend.alarms import trend
from depthbench.report.trend.panel import draw, panel_of
from depthbench.report.trend.render import render_trend
from depthbench.report.trend.sparkline import sparkline
from tests.fixtures_history import ENVIRONMENT, SHAPES, write_night, write_nights

SLOW = {(8, 32): 1.08}


def follow(root, **options):
    (found,) = trend(root, **options).suites
    return found


def series_of(suite, name):
    (found,) = [series for series in suite.series if series.name == name]
    return found


@pytest.fixture(scope="module")
def slowed(tmp_path_factory):
    """Give 20 nights of which the last 3 are slower in one cell."""
    root = tmp_path_factory.mktemp("slowed")
    write_nights(root, 17)
    write_nights(root, 3, first=17, slower=SLOW)
    return root


def test_the_answer_names_the_cell_and_by_how_much_and_since_when(slowed):
    found = trend(slowed)
    assert found.exit_code == 3
    (suite,) = found.suites
    assert suite.answer == (
        "1 of 12 series has changed: deep (L 8, d 32) inference batch 1 is 8% slower since "
        "2026-10-18 (3 nights)."
    )
    first = suite.series[0]
    assert (first.verdict, first.is_new, first.num_nights_since) == ("worse", True, 3)
    assert first.change == pytest.approx(0.08, abs=0.012)
    assert first.latest / first.before == pytest.approx(1.08, abs=0.015)
    assert first.since.startswith("2026-10-18")
    assert [found.verdict for found in suite.series[1:]] == ["steady"] * 11


def test_series_are_times_what_they_share_exponents_and_losses(slowed):
    kinds = [series.kind for series in follow(slowed).series]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "time": len(SHAPES),
        "level": 1,
        "exponent": 2,
        "loss": 1,
    }


def test_exponents_are_those_of_the_times(slowed):
    suite = follow(slowed)
    for axis, exponent in (("depth", 0.9), ("width", 1.2)):
        found = series_of(suite, f"exponent of {axis}, mlp, inference batch 1")
        assert np.median(found.values) == pytest.approx(exponent, abs=0.02)


def test_a_loss_is_the_mean_over_seeds(slowed):
    found = series_of(follow(slowed), "test loss of deep (L 4, d 32)")
    assert found.values == pytest.approx([0.11] * 20)


def test_an_alarm_ends_when_the_change_has_been_known_for_the_window(slowed, tmp_path):
    write_nights(tmp_path, 17)
    write_nights(tmp_path, 9, first=17, slower=SLOW)
    assert trend(tmp_path, window=7).exit_code == 3
    known = trend(tmp_path, window=6)
    assert known.exit_code == 0
    (suite,) = known.suites
    assert suite.answer.startswith("None of 12 series has changed lately; 26 nights judged. 1 ")
    assert "known: deep (L 8, d 32)" in suite.answer
    first = suite.series[0]
    assert (first.verdict, first.is_new, first.num_nights_since) == ("worse", False, 9)


def test_a_recovery_is_told_as_better_and_is_no_alarm(tmp_path):
    write_nights(tmp_path, 14)
    write_nights(tmp_path, 5, first=14, slower=SLOW)
    write_nights(tmp_path, 4, first=19)
    found = trend(tmp_path)
    assert found.exit_code == 0
    assert found.suites[0].series[0].verdict == "better"
    assert "faster since 2026-10-20 (4 nights)" in found.suites[0].answer


def test_no_change_is_called_between_environments_and_it_is_said(tmp_path):
    there = ENVIRONMENT | {"versions": {"torch": "2.12.0"}}
    write_nights(tmp_path, 12, environment=there)
    write_nights(tmp_path, 10, first=12, slower=dict.fromkeys(SHAPES, 1.5))
    found = trend(tmp_path)
    assert found.exit_code == 0
    (suite,) = found.suites
    assert (suite.num_nights, len(suite.left_out)) == (10, 12)
    (note,) = [note for note in suite.notes if "environment" in note]
    assert "12 runs" in note and "versions.torch 2.12.0, not 2.13.0" in note
    assert "2026-10-01 to 2026-10-12" in note


def test_a_night_elsewhere_does_not_end_the_history(tmp_path):
    write_nights(tmp_path, 9)
    write_night(tmp_path, 9, environment=ENVIRONMENT | {"torch_threads": 1})
    write_nights(tmp_path, 5, first=10)
    assert follow(tmp_path).num_nights == 14


def test_runs_that_are_not_judged_are_told_and_why(tmp_path):
    write_nights(tmp_path, 8)
    write_night(tmp_path, 8, name="stopped", status="interrupted")
    write_night(tmp_path, 9, name="died", status="running")
    torn = write_night(tmp_path, 10, name="torn")
    torn.table("timings").write_bytes(b"PAR1 nothing")
    lost = write_night(tmp_path, 11, name="lost")
    lost.table("trials").unlink()
    garbled = write_night(tmp_path, 12, name="garbled")
    garbled.run_json.write_text("{")
    undated = write_night(tmp_path, 13, name="undated")
    store.write_run_json(undated, {"suite": "planted", "status": "finished"})
    suite = follow(tmp_path)
    assert suite.num_nights == 8
    problems = {night.folder.rpartition("/")[2]: night.problem for night in suite.left_out}
    assert problems["stopped"] == "unfinished: interrupted"
    assert problems["died"] == "unfinished: killed"
    assert "timings.parquet: not a readable table" in problems["torn"]
    assert "trials.parquet: missing" in problems["lost"]
    assert "not readable JSON" in problems["garbled"]
    assert "does not say when it began" in problems["undated"]
    for name in problems:
        assert any(name in note for note in suite.notes), name


def test_too_few_nights_are_no_alarm_and_told(tmp_path):
    write_nights(tmp_path, 1)
    found = trend(tmp_path)
    assert (found.exit_code, found.suites[0].answer) == (0, "Too few nights: 1 of 8.")
    write_nights(tmp_path, 3, first=1, slower=SLOW)
    assert trend(tmp_path).suites[0].answer == "Too few nights: 4 of 8."


def test_a_cell_that_is_gone_is_told(tmp_path):
    write_nights(tmp_path, 9)
    folder = write_night(tmp_path, 9)
    folder.table("timings").unlink()
    store.write_timing_part(folder, {"cell_id": "other", "status": "failed", "variant_id": "v"})
    suite = follow(tmp_path)
    assert any("No value in the newest night" in note for note in suite.notes)
    assert series_of(suite, "deep (L 8, d 32) inference batch 1").latest is None


def test_gaps_between_nights_are_told(tmp_path):
    write_nights(tmp_path, 6)
    write_nights(tmp_path, 6, first=16)
    (note,) = follow(tmp_path).notes
    assert note == "1 gap between nights, the longest 2026-10-06 to 2026-10-17."


def test_each_suite_is_followed_by_itself(slowed, tmp_path):
    write_nights(tmp_path, 9, suite="one")
    write_nights(tmp_path, 9, suite="two")
    assert [suite.suite for suite in trend(tmp_path).suites] == ["one", "two"]
    assert follow(tmp_path, suite="two").suite == "two"
    with pytest.raises(NothingToCompareError, match=r"no run of suite three; there are .* one and"):
        trend(tmp_path, suite="three")


def test_nothing_to_follow_is_an_error_of_its_own(tmp_path):
    with pytest.raises(NothingToCompareError, match="holds no run"):
        trend(tmp_path)
    with pytest.raises(ResultError, match="no such folder"):
        trend(tmp_path / "nowhere")
    write_night(tmp_path, 0, status="interrupted")
    with pytest.raises(NothingToCompareError, match="unfinished"):
        trend(tmp_path)


def test_every_format_has_the_answer_or_the_numbers(slowed):
    found = trend(slowed)
    facts = json.loads(render_trend(found, "json"))
    assert facts["exit_code"] == 3
    first = facts["suites"][0]["series"][0]
    assert (first["verdict"], len(first["values"])) == ("worse", 20)
    rows = list(csv.DictReader(io.StringIO(render_trend(found, "csv"))))
    assert len(rows) == 12
    assert (rows[0]["suite"], rows[0]["verdict"], rows[0]["kind"]) == ("planted", "worse", "time")
    assert json.loads(rows[0]["values"]) == first["values"]
    for text in (
        render_trend(found, "md"),
        render_trend(found, "terminal", Console(width=130, color_system=None)),
    ):
        assert "1 of 12 series has changed" in text
        assert set("▁▂▃▄▅▆▇█") & set(text)
    with pytest.raises(ResultError, match="no such format"):
        render_trend(found, "yaml")


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_shows_each_series_in_one_place(slowed, width):
    found = trend(slowed)
    text = render_trend(found, "terminal", Console(width=width, color_system=None))
    assert all(len(line) <= width for line in text.splitlines())
    assert all(word in text for word in ("verdict", "change", "since", "latest", "nights"))
    assert sum(line.startswith("series") for line in text.splitlines()) == 1
    panel = panel_of(found.suites[0])
    for series in panel.texts:
        assert all(told in text for told in series[1:] if told != "-")


def test_a_terminal_too_narrow_for_a_line_of_nights_shows_them_in_a_table_of_their_own(slowed):
    text = render_trend(trend(slowed), "terminal", Console(width=30, color_system=None))
    assert all(len(line) <= 30 for line in text.splitlines())
    assert sum(line.startswith("series") for line in text.splitlines()) > 1


def test_an_output_without_blocks_gets_plain_bars(slowed):
    console = Console(width=130, color_system=None)
    text = render_trend(trend(slowed), "terminal", console, encoding="ascii")
    assert not set("▁▂▃▄▅▆▇█") & set(text)
    assert set("-:=+x") & set(text)


def test_names_from_files_command_no_terminal_and_are_no_markup(tmp_path):
    write_nights(tmp_path, 8)
    bad = "evil\x1b[2J<b>|"
    write_night(tmp_path, 8, status=bad)
    found = trend(tmp_path)
    assert "\x1b" not in render_trend(found, "terminal", Console(width=200, color_system=None))
    text = render_trend(found, "md")
    assert "\x1b" not in text and "<b>" not in text


def test_the_panel_has_every_night_and_draws_from_its_rows_alone(slowed):
    panel = panel_of(follow(slowed))
    assert len(panel.rows) == len(panel.texts) == 12
    assert all(len(text) == len(panel.headings) for text in panel.texts)
    assert len(panel.rows[0]["nights"]) == len(panel.rows[0]["values"]) == 20
    pytest.importorskip("altair")
    chart = draw(panel).to_dict()
    assert len(chart["concat"]) == 12


def test_a_sparkline_has_a_bar_a_value_and_shows_gaps():
    assert sparkline([0.0, None, 1.0]) == "▁·█"
    assert sparkline([0.0, None, 1.0], is_ascii=True) == "_?#"
    assert sparkline([None, None]) == "··"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([0.0, 0.01], least_span=1.0) == "▄▅"
    assert sparkline([]) == ""


def test_the_command_exits_as_it_says(slowed, tmp_path):
    runner = CliRunner()
    result = runner.invoke(app, ["trend", str(slowed)])
    assert result.exit_code == 3
    assert "has changed" in result.stdout
    assert runner.invoke(app, ["trend", str(slowed), "--format", "json"]).exit_code == 3
    assert runner.invoke(app, ["trend", str(tmp_path)]).exit_code == 5
    assert runner.invoke(app, ["trend", str(tmp_path / "nowhere")]).exit_code == 2
    assert runner.invoke(app, ["trend", str(slowed), "--suite", "other"]).exit_code == 5
    write_nights(tmp_path, 2)
    assert runner.invoke(app, ["trend", str(tmp_path)]).exit_code == 0
