import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from depthbench.report.origin import citation, environment_facts, origin_of
from depthbench.report.page import _ascii_script, halves
from depthbench.report.render import render
from depthbench.report.summary import summarise
from depthbench.report.tables import plain_line
from tests.fixtures_results import claim, ladder_run, make_run, quickstart_run, trial_rows

HOSTILE = (
    "</script><img src=x onerror=\"document.title='run'\">"
    "\x1b[31m\u202e{{ 7 * 7 }}\n&amp;é\U0001f600"
)
VOID = {"meta", "link", "br", "img", "input", "hr"}
ENVIRONMENT = {
    "os": "Linux",
    "cpu_model": "A processor",
    "memory_bytes": 8_000_000_000,
    "gpu_name": None,
    "python": "3.12.1",
    "versions": {"torch": "2.13.0", "numpy": None},
    "variables": {"OMP_NUM_THREADS": None},
}


class Page(HTMLParser):
    """A page taken apart: elements in order, their text, and what is left open."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.open = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID and tag not in ("path", "rect", "line"):
            self.open.append((tag, element))

    def handle_endtag(self, tag):
        if tag not in ("path", "rect", "line"):
            assert self.open.pop()[0] == tag

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "text": "", **dict(attributes)})

    def handle_data(self, data):
        for _, element in self.open:
            element["text"] += data

    def all(self, tag, **wanted):
        return [
            e
            for e in self.elements
            if e["tag"] == tag and all(e.get(k.strip("_")) == v for k, v in wanted.items())
        ]

    def text(self):
        return " ".join(self.all("main")[0]["text"].split())


@pytest.fixture(scope="module")
def summary():
    facts = {"environment": ENVIRONMENT, "suite_hash": "abc123", "depthbench": "0.1.0"}
    return summarise([quickstart_run(**facts), ladder_run()])


@pytest.fixture(scope="module")
def html(summary):
    return render(summary, "html")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def hostile():
    losses = [0.1, 0.104, 0.097]
    trials = trial_rows(HOSTILE, losses, statuses=["ok", "ok", "failed"])
    trials += trial_rows("wide", losses, dataset="digits") + trial_rows("deep", losses)
    trials[2]["error"] = HOSTILE
    facts = dict.fromkeys(("suite", "run", "question", "suite_hash", "depthbench"), HOSTILE)
    facts |= {"claims": [claim(id="c", source=HOSTILE)], "environment": {HOSTILE: HOSTILE}}
    return render(summarise([make_run(trials, **facts)]), "html")


def test_a_page_is_one_file_that_asks_for_nothing(page, html):
    assert html.isascii()
    for element in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert element.get(name, "#").startswith(("#", "data:")), element
    styles = "".join(element["text"] for element in page.all("style"))
    assert "@import" not in styles and "url(" not in styles
    (policy,) = (m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy and "http" not in policy


def test_only_the_scripts_that_the_page_names_by_digest_may_run(page):
    (policy,) = (m["content"] for m in page.all("meta") if "http-equiv" in m)
    (allowed,) = re.findall("script-src ([^;]*);", policy)
    scripts = [e["text"] for e in page.all("script") if e.get("type") != "application/json"]
    digests = [
        "'sha256-" + base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() + "'"
        for s in scripts
    ]
    assert digests == allowed.split()
    assert "vegaEmbed" in scripts[0]
    assert not any(name.startswith("on") for element in page.elements for name in element)


def test_the_answer_comes_first_then_who_leads_at_what_cost_claims_and_the_rest(page, summary):
    report = summary.runs[0]
    text = page.text()
    order = [
        report.question,
        report.groups[0].answer,
        "Claims: 1 holds, 1 refuted, 1 undecided.",
        "Variants, best first",
        "parallel-matches-deep",
    ]
    places = [text.index(plain_line(part)) for part in order]
    assert places == sorted(places)
    assert [heading["text"].partition(":")[0] for heading in page.all("h2")] == [
        *("Ranking", "Winner map", "Frontiers", "Claims", "Where this is from"),
        *("Depth tax", "Where this is from"),
    ]


def test_a_page_has_all_numbers_of_the_other_formats(page, summary):
    text = page.text()
    for report in summary.runs:
        for line in (*report.notes, *(note for panel in report.panels for note in panel.notes)):
            assert plain_line(line) in text
        for panel in report.panels:
            for row in panel.texts:
                assert all(plain_line(cell) in text for cell in row)
    for shown in ("0.0812 [0.0783, 0.0841]", "refuted", "20,010", "90.2 µs ±1%", "39.8k"):
        assert shown in text


def test_every_chart_is_drawn_without_scripts_and_has_its_table(page, summary):
    num_panels = sum(len(report.panels) for report in summary.runs)
    assert num_panels >= 2
    drawings = page.all("div", class_="static")
    assert len(drawings) == len(page.all("figure", class_="chart")) == num_panels
    assert "test loss" in drawings[0]["text"]
    specs = [json.loads(spec["text"]) for spec in page.all("script", type="application/json")]
    assert len(specs) == num_panels and specs[0]["width"] == "container"
    panels = [p for report in summary.runs for p in report.panels if not p.is_of_group_table]
    for details, panel in zip(page.all("details", class_="data"), panels, strict=True):
        assert all(text in " ".join(details["text"].split()) for row in panel.texts for text in row)


def test_what_is_referred_to_is_there_once(page):
    ids = [element["id"] for element in page.elements if "id" in element]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for name in ("aria-labelledby", "href"):
            if element.get(name, "").startswith("#") or name == "aria-labelledby":
                assert element.get(name, ids[0]).removeprefix("#") in ids


def test_tables_say_what_their_rows_and_columns_are(page):
    for table in page.all("table"):
        assert table["text"]
    assert (
        len(page.all("caption")) == len(page.all("table")) == len(page.all("div", class_="scroll"))
    )
    assert all(region["tabindex"] == "0" for region in page.all("div", class_="scroll"))
    assert {th["scope"] for th in page.all("th")} == {"row", "col"}
    assert page.all("html")[0]["lang"] == "en" and len(page.all("main")) == 1


def test_names_of_a_suite_are_text_wherever_they_stand(hostile):
    page = Page(hostile)
    assert not page.all("img")
    assert len(page.all("script")) == 2 + len(page.all("figure"))  # two of ours, and the charts
    assert not any(name.startswith("on") for element in page.elements for name in element)
    specs = [json.loads(e["text"]) for e in page.all("script", type="application/json")]
    shown = page.text() + json.dumps(specs, ensure_ascii=False)
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "{{ 7 * 7 }}" in page.text()
    assert page.text().count("<img src=x") > 5


def test_a_page_of_no_results_says_so_and_carries_no_scripts_for_charts():
    empty = render(summarise([make_run((), status="running", num_trials=3)]), "html")
    assert "No trial has finished yet" in Page(empty).text()
    assert len(empty) < 40_000


def test_two_renderings_of_the_same_results_are_equal(summary, html):
    assert render(summary, "html") == html


def test_scripts_mean_the_same_and_cannot_be_ended_by_html():
    script = "const a = '</script><!-- <SCRIPT>', b = /</, c = 'é\U0001f600';\r\n"
    safe = _ascii_script(script)
    assert safe.isascii() and "\r" not in safe
    assert not re.search(r"<(!--|/?script)", safe, re.IGNORECASE)
    assert "\\x3c/script>\\x3c!-- \\x3cSCRIPT>" in safe
    assert "'\\u00e9\\ud83d\\ude00'" in safe and "b = /</" in safe


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0.105 [0.092, 0.121]", ("0.105", "[0.092, 0.121]")),
        ("68.1 µs ±13% ?", ("68.1 µs", "±13% ?")),
        ("~ +1% [-27, 38]", ("~ +1%", "[-27, 38]")),
        ("-", ("-", "")),
        ("", ("", "")),
        ("0.003 of 2", ("0.003 of 2", "")),
    ],
)
def test_a_number_is_told_from_its_interval(text, parts):
    assert halves(text) == parts


def test_where_results_are_from_is_told_as_far_as_it_is_known(summary):
    report = summary.runs[0]
    assert citation(report) == (
        "depthbench 0.1.0, suite planted (abc123), run r1 of 2026-01-02, cpu on A processor, "
        "torch 2.13.0."
    )
    assert environment_facts(report.origin) == [
        ("os", "Linux"),
        ("cpu model", "A processor"),
        ("memory", "8.0 GB"),
        ("python", "3.12.1"),
        ("versions", "torch 2.13.0"),
    ]
    nothing = origin_of({"environment": "none"})
    assert environment_facts(nothing) == []
    assert citation(replace(report, origin=nothing, created_at=None)) == (
        "depthbench, suite planted, run r1, cpu."
    )


def test_json_says_where_results_are_from(summary):
    found = json.loads(render(summary, "json"))["runs"][0]["origin"]
    assert found["suite_hash"] == "abc123"
    assert found["environment"]["versions"]["torch"] == "2.13.0"


@pytest.mark.parametrize("format", ["terminal", "md"])
def test_texts_leave_out_a_panel_whose_numbers_are_in_the_groups_table(summary, format):
    (panel,) = (panel for panel in summary.runs[0].panels if panel.kind == "ranking")
    assert panel.title not in render(summary, format)
