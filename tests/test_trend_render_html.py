import json
import re

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from depthbench.cli import app
from depthbench.report.charts import specification, svg
from depthbench.report.panels import CHARTS_OF_MANY_RUNS, PANELS
from depthbench.report.theme import DARK, LIGHT
from depthbench.report.trend.alarms import trend
from depthbench.report.trend.panel import MAX_DRAWN, panel_of
from depthbench.report.trend.render import render_trend
from tests.fixtures_history import write_night, write_nights
from tests.test_report_html import Page

# A minute of browsers and pages.
pytestmark = pytest.mark.slow

SLOW, FAST = {(8, 32): 1.08}, {(2, 16): 0.9}
HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }}\x1b[2J\u202e"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Give 21 nights with an alarm; one of them lacks the cell that is slower."""
    root = tmp_path_factory.mktemp("slowed")
    write_nights(root, 8)
    timings = write_night(root, 8).table("timings")
    there = pq.read_table(timings)
    is_other = pc.or_(pc.not_equal(there["depth"], 8), pc.not_equal(there["width"], 32))
    pq.write_table(there.filter(is_other), timings)
    write_nights(root, 8, first=9)
    write_nights(root, 4, first=17, slower=SLOW)
    write_night(root, 30, status="interrupted", name="stopped")
    return trend(root)


@pytest.fixture(scope="module")
def html(found):
    return render_trend(found, "html")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def tables(page):
    return [table["text"] for table in page.all("table")]


def test_the_answer_comes_first_then_what_is_not_judged_the_series_and_the_nights(page, found):
    (suite,) = found.suites
    text = page.text()
    order = [suite.suite, suite.answer, suite.notes[0], "steady", "Night by night"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert page.all("p", class_="answer alarm")
    assert [row["tag"] for row in page.elements if "worse" in row.get("class", "").split()] == [
        "tr"
    ]


def test_a_page_of_a_trend_is_one_file_that_asks_for_nothing(page, html):
    assert html.isascii()
    for element in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert element.get(name, "#").startswith(("#", "data:")), element


def test_the_charts_table_has_every_night_of_every_series(page, found):
    (suite,) = found.suites
    series, nights = tables(page)
    assert all(told.name in series for told in suite.series)
    assert all(night.run in nights for night in suite.nights)
    assert nights.index(suite.nights[-1].run) < nights.index(suite.nights[0].run)
    (drawing,) = page.all("div", class_="static")
    assert all(told.name.split(",")[0] in drawing["text"] for told in suite.series)


def test_a_night_without_a_value_is_a_gap_of_the_line(page):
    (text,) = [e["text"] for e in page.all("script", type="application/json")]
    first = json.loads(text)["concat"][0]
    points = first["layer"][0]["data"]["values"]
    assert len(points) == 21
    assert [row["run"] for row in points if row["value"] is None] == ["night-008"]


def test_an_id_is_there_once_and_what_refers_to_one_finds_it(page):
    ids = [element["id"] for element in page.elements if "id" in element]
    assert len(ids) == len(set(ids))
    assert all(e["aria-labelledby"] in ids for e in page.elements if "aria-labelledby" in e)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_where_a_series_got_worse_has_the_colour_of_what_is_bad(found, theme):
    drawing = svg(specification(panel_of(found.suites[0]), theme))
    assert theme.bad in drawing and theme.good not in drawing
    assert "8% slower since 2026-10-18" in drawing


def test_of_many_series_the_first_are_drawn_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("depthbench.report.trend.panel.MAX_DRAWN", 5)
    monkeypatch.setattr("depthbench.report.trend.render_html.MAX_DRAWN", 5)
    write_nights(tmp_path, 2)
    page = Page(render_trend(trend(tmp_path), "html"))
    (text,) = [e["text"] for e in page.all("script", type="application/json")]
    assert len(json.loads(text)["concat"]) == 5 < MAX_DRAWN
    assert "The chart has the first 5 of 12 series." in page.text()


def test_several_suites_are_one_page_with_their_names_on_top(tmp_path):
    for name in ("one", "two"):
        write_nights(tmp_path, 2, suite=name)
    page = Page(render_trend(trend(tmp_path), "html"))
    assert [h["text"] for h in page.all("h1")] == ["one", "two"]
    (nav,) = page.all("nav")
    assert nav["text"].split() == ["one", "two"]
    test_an_id_is_there_once_and_what_refers_to_one_finds_it(page)


def test_text_from_files_is_text(tmp_path):
    write_nights(tmp_path, 3)
    write_night(tmp_path, 3, status=HOSTILE)
    write_night(tmp_path, 4, run=HOSTILE)
    html = render_trend(trend(tmp_path), "html")
    page = Page(html)
    assert not page.all("img")
    assert "\x1b" not in page.text() and "\u202e" not in page.text()
    assert "{{ 7 * 7 }}" in page.text() and "<img src=x" in page.text()


def test_the_command_writes_the_page_and_exits_as_ever(tmp_path):
    write_nights(tmp_path, 9)
    write_nights(tmp_path, 5, first=9, slower=SLOW | FAST)
    result = CliRunner().invoke(app, ["trend", str(tmp_path), "--format", "html"])
    assert result.exit_code == 3
    assert result.stdout.startswith("<!doctype html>")
    assert re.search(r'class="[^"]*better', result.stdout)


def test_a_kind_of_panel_is_drawn_in_one_place():
    assert not PANELS.keys() & CHARTS_OF_MANY_RUNS.keys()
