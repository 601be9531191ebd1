"""A comparison is readable by people on any terminal, and by the machines that guard a build."""

import csv
import io
import json
import re
from dataclasses import replace
from statistics import geometric_mean
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len
from rich.console import Console

from depthbench.report.compare.changes import VERDICTS
from depthbench.report.compare.columns import change_text, level_text, page_of, value_text
from depthbench.report.compare.render import render_comparison
from depthbench.report.compare.runs import CompareOptions, compare_runs
from depthbench.report.github import MAX_BYTES, Folded, step_summary
from depthbench.report.junit import Case, junit_xml
from depthbench.report.processes import quiet_time
from depthbench.report.tables import Heading
from tests.fixtures_compare import ENVIRONMENT, LOSSES, cells, night, timed, trials
from tests.fixtures_results import trial_rows

HOSTILE = "a|b[bold]c[/bold]\x1b[31m\nd\u202e`<b>&\"'\x00\ufffe"
OUTCOMES = {"failure", "error", "skipped", "system-out"}


def console(width):
    return Console(width=width, color_system=None, highlight=False)


@pytest.fixture(scope="module")
def found():
    """Return a comparison with every verdict in it."""
    losses = {
        "deep": [1.3 * loss for loss in LOSSES["deep"]],
        "wide": [0.08, 0.13, 0.05, 0.12, 0.06],
    }
    after = trials(losses)
    after[-1] = after[-1] | {"status": "oom", "error": "no <memory>", "test_loss": None}
    timings = [*cells({"hourglass": 1.4, "wide": 0.6}, seed=1)[1:], timed("new", 1e-3)]
    options = CompareOptions(out="/nowhere")
    comparison = compare_runs(night(), night(after, timings, suite="other"), options)
    assert {change.verdict for change in comparison.changes} == {
        "worse",
        "better",
        "same",
        "unresolved",
        "unmatched",
    }
    return comparison


@pytest.fixture(scope="module")
def hostile():
    rows = trial_rows(HOSTILE, LOSSES["deep"], variant_id="v")
    lost = [row | {"status": "failed", "error": HOSTILE} for row in rows]
    timings = [timed("deep", 1e-3) | {"family": HOSTILE, "variant_id": "v", "mode": HOSTILE}]
    facts = {"suite": HOSTILE, "run": HOSTILE}
    return compare_runs(
        night(rows, timings, **facts),
        night(lost, timings, suite=f"{HOSTILE}.2", run=HOSTILE),
        CompareOptions(out="/nowhere"),
    )


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_terminal_shows_the_answer_first_and_fits(found, width):
    text = render_comparison(found, "terminal", console(width))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    flat = " ".join(text.split())
    order = (found.answer, "quiet_seconds:", "verdict", "The same:", "Only in", found.floors)
    places = [flat.index(part) for part in order]
    assert places == sorted(places)
    assert flat.startswith("other / night against planted / night")
    rows = [line.split()[0] for line in text.splitlines() if line.startswith(tuple(VERDICTS))]
    if width == 200:  # where no row is broken, and no table
        assert rows == sorted(rows, key=VERDICTS.index)
        assert rows[0] == "worse" and "same" not in rows


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_narrow_terminal_a_change_stays_in_one_place_with_all_its_numbers(found, width):
    text = render_comparison(found, "terminal", console(width))
    assert sum(line.startswith("verdict") for line in text.splitlines()) == 1
    _, _, table = text.partition("\u2500\n")
    table, _, _ = table.partition("\nTimes are quiet times")
    for change in page_of(found.changes):
        numbers = [value_text(change, change.baseline), value_text(change, change.candidate)]
        for told in (change.verdict, *numbers, change_text(change)):
            assert table.count(told) >= 1
        assert set(change.full_name.replace(",", "").split()) <= set(table.replace(",", "").split())


def test_times_are_named_what_they_are_in_every_format(found):
    """They are not medians: the quiet times of processes, of which docs/timing.md tells."""
    for format in ("terminal", "md", "github", "junit"):
        text = " ".join(render_comparison(found, format, console(120)).split())
        assert "median" not in text
        assert ("quiet time" if format == "junit" else "Times are quiet times: of each") in text
    facts = json.loads(render_comparison(found, "json"))
    rows = list(csv.DictReader(io.StringIO(render_comparison(found, "csv"))))
    for told in (facts["changes"], rows):
        assert {row["metric"] for row in told if row["kind"] == "time"} == {"quiet_seconds"}
    assert [balance["metric"] for balance in facts["balances"]] == ["quiet_seconds", "test_loss"]
    slower = next(change for change in found.changes if change.verdict == "worse")
    processes = [quiet_time(timed_samples) for timed_samples in _samples(slower)]
    assert slower.baseline == pytest.approx(geometric_mean(processes))


def _samples(change):
    (cell,) = (cell for cell in cells() if cell["cell_id"] == change.id)
    by_process = {}
    for process, sample in zip(cell["samples_process"], cell["samples_seconds"], strict=True):
        by_process.setdefault(process, []).append(sample)
    return by_process.values()


def test_the_level_of_an_interval_is_told_beside_it(found):
    called = {change.confidence for change in found.changes if change.verdict == "worse"} - {None}
    (level,) = map(level_text, called)
    num = sum(change.q_value is not None for change in found.changes)
    said = f"the interval at the level of its verdict, as q counts all {num} tests: {level} (worse"
    for format in ("terminal", "md", "github"):
        text = " ".join(render_comparison(found, format, console(120)).split())
        assert said in text and f"{level} (worse, better, unresolved)" in text
        assert ("95% (same)" in text) == (format != "terminal")  # which shows none that is the same
    assert f"] at {level}; q " in render_comparison(found, "junit")


@pytest.mark.parametrize(
    ("confidence", "text"),
    [(0.95, "95%"), (0.99, "99%"), (1 - 0.04 / 48, "99.917%"), (0.6, "60%"), (None, "-")],
)
def test_a_level_has_the_digits_that_tell_it_from_certainty(confidence, text):
    assert level_text(confidence) == text


def test_the_worst_is_the_first_row(found):
    rows = list(csv.DictReader(io.StringIO(render_comparison(found, "csv"))))
    worst = max(
        (row for row in rows if row["verdict"] == "worse"),
        key=lambda row: float(row["change_fraction"]),
    )
    table = [line for line in render_comparison(found, "md").splitlines() if "| worse |" in line]
    assert worst["name"] in table[0] and worst["what"] in table[0]
    assert len(rows) == len(found.changes)


def test_json_has_everything_and_exact(found):
    facts = json.loads(render_comparison(found, "json"), parse_constant=pytest.fail)
    assert facts["answer"] == found.answer
    assert len(facts["changes"]) == len(found.changes)
    assert len(facts["alone"]) == len(found.alone) == 2
    assert facts["changes"][1]["change_fraction"] == found.changes[1].change_fraction
    assert sum(facts["num_by_verdict"].values()) == len(found.changes)


def test_markdown_has_a_row_for_every_change(found):
    text = render_comparison(found, "md")
    for change in found.changes:
        assert f"| {change.verdict} | {change.name} | {change.what} |" in text
    assert "no &lt;memory>" in text


def cases_of(xml):
    root = ElementTree.fromstring(xml)
    assert root.tag == "testsuites"
    return root, [(suite, case) for suite in root for case in suite]


def outcome(case):
    (child,) = list(case)
    return child.tag


def assert_is_junit(root):
    """Check what the schema of Jenkins and the readers of GitLab and GitHub ask for."""
    totals = dict.fromkeys(("tests", "failures", "errors"), 0)
    seen = set()
    for suite in root:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) == {"name", "tests", "failures", "errors", "skipped", "time"}
        tags = [child.tag for case in suite for child in case]
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(name)) == tags.count(tag)
        assert int(suite.get("tests")) == len(suite)
        for name in totals:
            totals[name] += int(suite.get(name))
        for case in suite:
            assert case.tag == "testcase"
            assert set(case.attrib) == {"name", "classname", "time"}
            assert case.get("classname").count(".") == 1
            key = (case.get("classname"), case.get("name"))
            assert key not in seen  # GitLab keeps one of two that are named alike
            seen.add(key)
            assert outcome(case) in OUTCOMES
            assert case[0].text  # GitLab shows the text, not the message
            if outcome(case) != "system-out":
                assert set(case[0].attrib) == {"type", "message"}
    assert {name: int(root.get(name)) for name in totals} == totals


def test_junit_fails_what_is_worse_and_skips_what_is_not_known(found):
    root, cases = cases_of(render_comparison(found, "junit"))
    assert_is_junit(root)
    wanted = {
        "worse": "failure",
        "better": "system-out",
        "same": "system-out",
        "unresolved": "skipped",
        "unmatched": "skipped",
    }
    by_name = {case.get("name"): outcome(case) for _, case in cases}
    for change in found.changes:
        assert by_name[change.full_name] == wanted[change.verdict]
    (lost,) = (case for suite, case in cases if suite.get("name") == "trials")
    assert outcome(lost) == "error" and "no <memory>" in lost[0].text
    assert len(cases) == len(found.changes) + 1


def test_a_refusal_is_an_error_in_junit_and_an_answer_everywhere():
    other = night(environment=ENVIRONMENT | {"torch_threads": 64})
    refused = compare_runs(night(), other, CompareOptions())
    root, ((suite, case),) = cases_of(render_comparison(refused, "junit"))
    assert_is_junit(root)
    assert (suite.get("name"), case.get("name"), outcome(case)) == (
        "comparable",
        "torch_threads",
        "error",
    )
    for format in ("terminal", "md", "github", "json"):
        text = render_comparison(refused, format, console(400))
        assert "Not comparable: torch" in text.replace("\\", "")
        assert "--allow torch" in text.replace("\\", "")
    assert render_comparison(refused, "csv").startswith("kind,id,name,")


@pytest.mark.parametrize("format", ["terminal", "md", "github", "junit", "csv", "json"])
def test_names_from_files_command_nothing(hostile, format):
    text = render_comparison(hostile, format, console(100))
    if format in ("csv", "json"):  # for machines, which get what is there
        assert ("\x1b" in text) == (format == "csv")
        return
    assert not re.search(r"[\x00\x1b\u202e\ud800]", text)
    if format in ("md", "github"):
        assert not re.search(r"(?<!\\)`|<b", text)
        table = [line for line in text.splitlines() if line.startswith("| unresolved |")]
        num_tables = {"md": 1, "github": 2}[format]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == num_tables
    if format == "junit":
        root, cases = cases_of(text)
        assert_is_junit(root)
        assert text.isascii()
        assert any("<b>&\"'" in case.get("name") for _, case in cases)


def test_names_that_are_there_twice_are_numbered_in_junit():
    text = junit_xml("a.b\ud800", [Case("g.h", "same", "passed", "holds", "\ud800")] * 3)
    root, cases = cases_of(text)
    assert_is_junit(root)
    assert [case.get("name") for _, case in cases] == ["same", "same #2", "same #3"]
    assert {case.get("classname") for _, case in cases} == {"a_b\N{REPLACEMENT CHARACTER}.g_h"}


def test_no_cases_are_still_xml():
    root, cases = cases_of(junit_xml("none", []))
    assert cases == [] and root.get("tests") == "0"


def test_a_step_summary_shows_the_answer_and_folds_the_rest(found):
    text = render_comparison(found, "github")
    assert text.startswith("## other / night against planted / night\n\n**")
    assert text.index("| worse |") < text.index("<details>")
    assert text.count("<details>") == text.count("</details>") == 3
    for change in found.changes:
        assert change.what in text


def test_a_step_summary_is_never_too_long_for_github(found):
    many = replace(found, changes=found.changes * 1_000, notes=("n\u00e4" * 300,) * 2_000)
    text = render_comparison(many, "github")
    assert 500_000 < len(text.encode()) <= MAX_BYTES < 1024 * 1024
    assert text.count("<details>") == text.count("</details>") == 3
    assert "too long for a summary" in text
    assert found.answer.split(";")[0] in text.replace("\\", "")


def test_what_is_cut_is_cut_between_rows():
    rows = [[f"row {number}"] for number in range(1000)]
    text = step_summary(["head"], [Folded("all", [Heading("a", "a")], rows)], max_bytes=2_000)
    assert len(text.encode()) <= 2_000
    shown = re.findall(r"^\| row (\d+) \|$", text, flags=re.MULTILINE)
    assert shown == [str(number) for number in range(len(shown))] and len(shown) > 50
    assert text.rstrip().endswith("</details>")
    assert "<details>" not in step_summary(["head"], [Folded("none", [Heading("a", "a")], [])])


def test_a_page_shows_the_worst_of_many_and_counts_the_rest(found):
    many = replace(found, changes=found.changes * 100)
    text = render_comparison(many, "terminal", console(200))
    assert len(text.splitlines()) < 90
    assert "more changed or are unresolved; `compare --format md` has all" in text
    assert f"The same: {many.count('same'):,}." in text
