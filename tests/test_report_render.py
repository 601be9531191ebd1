import csv
import io
import json
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from depthbench.errors import ResultError
from depthbench.outcome import Failure, RunSummary
from depthbench.report.claims import check
from depthbench.report.render import render, render_judgements, render_run_summary
from depthbench.report.summary import summarise
from depthbench.report.tables import Heading, plain_line, render_table
from tests.fixtures_results import claim, make_run, quickstart_run, trial_rows

HOSTILE = "a|b[bold]c[/bold]\x1b[31m\nd\u202e`<b>"
WIDE = [0.081, 0.084, 0.078, 0.083, 0.080]
DEEP = [0.100, 0.104, 0.097, 0.102, 0.099]


def console(width, **options):
    return Console(**({"width": width, "color_system": None, "highlight": False} | options))


@pytest.fixture(scope="module")
def summary():
    return summarise([quickstart_run()])


@pytest.fixture(scope="module")
def hostile():
    trials = trial_rows(HOSTILE, DEEP, statuses=["ok"] * 4 + ["failed"]) + trial_rows("wide", WIDE)
    trials[4]["error"] = HOSTILE
    facts = {"question": HOSTILE, "suite": HOSTILE, "claims": [claim(source=HOSTILE)]}
    return summarise([make_run(trials, **facts)])


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_terminal_report_fits_its_width_and_shows_every_number(summary, width):
    text = render(summary, "terminal", console(width))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for shown in ("0.0812", "97.97%", "refuted", "20,010", "90.2 µs", "2.22 ms", "39.8k"):
        assert shown in text


def test_the_answer_comes_before_any_number_of_a_table(summary):
    text = render(summary, "terminal", console(200))
    assert text.index("has the lowest test loss") < text.index("holds") < text.index("weights")


@pytest.mark.parametrize("format", ["terminal", "md"])
def test_claims_come_after_who_leads_at_what_cost_and_before_what_explains_it(format):
    trials = [
        row
        for family in ("deep", "parallel_shallow")
        for lr, factor in ((0.003, 1.0), (0.01, 1.2))
        for row in trial_rows(
            family, [factor * loss for loss in DEEP], lr=lr, is_selected=lr == 0.003
        )
    ]
    for row in trials:
        row["forward_flops"] *= 1 + (row["family"] == "deep")
    report = summarise([make_run(trials, claims=[claim()])])
    text = render(report, format, console(200))
    order = ["has the lowest", "Claims: 1", "Winner map", "Frontiers", "planted-claim", "Learning"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_a_wide_terminal_needs_fewer_tables(summary):
    rules = [render(summary, "terminal", console(w)).count("───\n") for w in (60, 80, 120)]
    assert rules == sorted(rules, reverse=True)
    assert rules[-1] < rules[0]


def test_colour_is_for_terminals_that_have_it(summary, monkeypatch):
    colourful = console(80, force_terminal=True, color_system="standard")
    assert "\x1b[" in render(summary, "terminal", colourful)
    assert "\x1b[" not in render(summary, "terminal", Console(file=io.StringIO(), width=80))
    monkeypatch.setenv("NO_COLOR", "1")
    bare = Console(force_terminal=True, width=80, color_system="standard")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", render(summary, "terminal", bare))


@pytest.mark.parametrize("format", ["terminal", "md"])
def test_text_from_files_commands_nothing(hostile, format):
    text = render(hostile, format, console(100))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]" in text  # shown, not obeyed
    if format == "md":
        assert not re.search(r"(?<!\\)`|<b", text)
        table = [line for line in text.splitlines() if re.match(r"\| [#12] \|", line)]
        assert len(table) == 3
        num_pipes = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
        assert len(num_pipes) == 1


def test_markdown_has_the_answer_and_whole_tables(summary):
    text = render(summary, "md")
    assert "**At equal total_params" in text
    table = [line for line in text.splitlines() if line.startswith("| 1 | wide |")]
    assert len(table) == 1
    assert "0.0812 [0.0783, 0.0841]" in table[0]
    assert "90.2 µs ±1%" in table[0]


def test_json_is_exact_and_has_no_nan():
    trials = trial_rows("wide", [*WIDE[:4], float("nan")]) + trial_rows("deep", DEEP)
    trials[0]["forward_flops"] = None

    def refuse(word):
        raise AssertionError(word)

    found = json.loads(render(summarise([make_run(trials)]), "json"), parse_constant=refuse)
    rows = found["runs"][0]["groups"][0]["rows"]
    assert rows[0]["metrics"]["test_loss"]["value"] == pytest.approx(0.0815, rel=1e-15)
    assert rows[0]["forward_flops"] is None


def test_what_json_lacks_is_null():
    rows = [{"a": float("nan"), "b": [float("inf"), 1.5], "c": 1}]
    found = json.loads(render_table((), rows, "json"))
    assert found == [{"a": None, "b": [None, 1.5], "c": 1}]


def test_csv_has_a_line_a_variant_with_full_precision(summary):
    lines = list(csv.DictReader(io.StringIO(render(summary, "csv"))))
    assert [line["family"] for line in lines] == ["wide", "parallel_shallow", "deep", "hourglass"]
    assert float(lines[0]["test_loss"]) == pytest.approx(sum(WIDE) / 5, rel=1e-15)
    assert float(lines[0]["inference_batch_1_median_seconds"]) == pytest.approx(9.0225e-05)
    assert lines[0]["against_best"] == ""
    assert float(lines[2]["against_best"]) > 1.2
    assert [line["against_best_verdict"] for line in lines] == ["", "same", "worse", "worse"]
    assert 0 < float(lines[2]["against_best_p_value"]) < float(lines[2]["against_best_q_value"])
    assert float(lines[0]["test_loss_iqm"]) == pytest.approx((0.080 + 0.081 + 0.083) / 3)
    assert {line["num_seeds"] for line in lines} == {"5"}


def test_an_unknown_format_names_those_there_are(summary):
    with pytest.raises(ResultError, match=r"'yaml'.*terminal, md, json, csv"):
        render(summary, "yaml")


@pytest.mark.parametrize("format", ["terminal", "md", "json", "csv"])
def test_runs_without_results_render_in_every_format(format):
    empty = summarise([make_run((), status="running", num_trials=3)])
    assert render(empty, format, console(80)).strip()


@pytest.mark.parametrize("format", ["terminal", "md", "json", "csv"])
def test_judgements_render_in_every_format(format):
    judgements, _ = check([quickstart_run()])
    text = render_judgements(judgements, format, console(80))
    assert all(verdict in text for verdict in ("holds", "refuted", "undecided"))
    assert "2309.08414" in text or format == "md"


def test_no_claims_are_told_in_words_and_are_an_empty_list_to_machines():
    assert "no claims" in render_judgements([], "terminal")
    assert json.loads(render_judgements([], "json")) == []
    assert render_judgements([], "csv").startswith("suite,run,id,verdict")


def test_the_end_of_a_run_tells_how_trials_ended_and_what_is_next():
    ended = RunSummary(Path("results/s/r"), "s", "r", 5, {"ok": 4, "oom": 1}, {"ok": 2})
    text = render_run_summary(ended, "terminal")
    assert "5 trials: 4 ok, 1 oom" in text
    assert "depthbench report results/s/r" in text
    assert json.loads(render_run_summary(ended, "json"))["trials_by_status"] == {"ok": 4, "oom": 1}


def test_the_end_of_a_run_says_why_trials_failed_and_how_to_run_them_again():
    failures = tuple(Failure("failed", f"ValueError: {n}\x1b[2J", 5 - n) for n in range(5))
    command = "depthbench run s.yaml --run r --retry-failed"
    ended = RunSummary(
        Path("results/s/a b"), "s", "r", 1, {"failed": 1}, {"ok": 1}, failures, command
    )
    text = render_run_summary(ended, "terminal")
    assert "s: 1 trial: 1 failed" in text
    assert "\n1 timing: 1 ok" in text
    assert "\n5 failed: ValueError: 0" in text
    assert "ValueError: 3" not in text
    assert "and 2 more reasons" in text
    assert "\x1b" not in text
    assert command in text
    assert "depthbench report 'results/s/a b'" in text
    facts = json.loads(render_run_summary(ended, "json"))
    assert facts["failures"][4] == {"status": "failed", "error": "ValueError: 4\x1b[2J", "num": 1}


def test_plain_lines_keep_words_and_lose_commands():
    assert (
        plain_line("a \t\n b\x07\x1b[2J")
        == "a b\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2J"
    )
    assert plain_line("größer 数") == "größer 数"


def test_any_rows_make_a_table_in_any_format():
    headings = (Heading("a", "A"), Heading("b", "B", is_number=True))
    rows = [{"a": "x|y", "b": 12345}, {"a": None, "b": 0.5}, {"a": ["p", "q"], "b": True}]
    text = render_table(headings, rows, "terminal", title="T [red]", console=console(60))
    assert text.startswith("T [red]")
    assert "12,345" in text
    assert render_table(headings, rows, "md").splitlines()[2:] == [
        "| x\\|y | 12,345 |",
        "| - | 0.5 |",
        "| p, q | yes |",
    ]
    assert render_table(headings, rows, "csv").splitlines() == [
        "a,b",
        "x|y,12345",
        ",0.5",
        '"[""p"", ""q""]",true',
    ]
    assert json.loads(render_table(headings, rows, "json")) == rows


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_table_of_rows_breaks_a_word_or_leaves_its_terminal(width):
    headings = [Heading(name, name, name == "count") for name in ("name", "kind", "count", "what")]
    rows = [
        {
            "name": "parallel_shallow-variant",
            "kind": "transformer-of-images",
            "count": 123_456_789,
            "what": "words that are many, some of them as long as incomprehensibility",
        }
    ]
    text = render_table(headings, rows, "terminal", console=console(width))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    wanted = {"parallel_shallow-variant", "transformer-of-images", "123,456,789"}
    assert wanted | {"incomprehensibility", "count", "what"} <= set(text.split())


def test_a_table_that_goes_on_below_names_its_rows_again():
    headings = [Heading(name, name) for name in ("name", "first", "second")]
    rows = [{"name": "row-name", "first": "x" * 30, "second": "y" * 30}]
    text = render_table(headings, rows, "terminal", console=console(60), num_names=1)
    assert text.split().count("row-name") == 2
    assert text.count("\n\n") == 1


def test_the_legend_says_which_interval_is_which(summary):
    text = " ".join(render(summary, "terminal", console(200)).split())
    assert "95% interval of the mean over seeds: a bootstrap, widened for few seeds." in text
    assert "Student's interval of the test behind the verdict" in text
    assert "same: surely within 5% of the best" in text
    assert "q < 0.05 over all comparisons of the run" in text
    assert "IQM: interquartile mean" in text
    assert "seeds show a difference" not in text


def test_the_legend_says_what_seeds_show_where_something_is_unresolved():
    trials = trial_rows("wide", WIDE) + trial_rows("deep", [0.085, 0.080, 0.082, 0.079, 0.084])
    text = " ".join(render(summarise([make_run(trials)]), "terminal", console(200)).split())
    assert "unresolved: neither is shown" in text
    assert "5 seeds show a difference above 1.2 times its standard deviation" in text
    assert "10 seeds one above 0.7" in text


def test_verdicts_are_words_in_the_tables(summary):
    text = render(summary, "md")
    table = [line.split("|") for line in text.splitlines() if re.match(r"\| (#|\d) \|", line)]
    place = [cell.strip() for cell in table[0]].index("verdict")
    words = [row[place].strip() for row in table[1:]]
    assert words == ["best", "same", "worse", "worse"]


def test_three_seeds_have_no_interquartile_mean_to_show():
    trials = trial_rows("wide", WIDE[:3]) + trial_rows("deep", DEEP[:3])
    few = summarise([make_run(trials)])
    assert "IQM" not in render(few, "md")
    (report,) = json.loads(render(few, "json"))["runs"]
    assert "test_loss" in report["groups"][0]["rows"][0]["interquartile_means"]
