"""What results may hold that is not as it should be: marked or told, never lost, never obeyed."""

import csv
import io
import json
import re
import unicodedata

import pytest
from rich.cells import cell_len
from rich.console import Console

from depthbench.report.render import render
from depthbench.report.summary import summarise
from tests.fixtures_results import claim, make_run, spread, timing_row, trial_rows

WIDE = [0.081, 0.084, 0.078, 0.083, 0.080]
DEEP = [0.100, 0.104, 0.097, 0.102, 0.099]
NAMES = {
    "quotes": 'it\'s "quoted" `so`',
    "newlines": "one\r\ntwo\u2028three\n# four",
    "html": "</script><img src=x onerror=alert(1)>&amp;<!--",
    "markdown": "[a](javascript:b) | **c** ~~d~~ ![e](f)\n| --- |",
    "escapes": "\x1b[31mred\x1b]0;title\x07\x9b2J\x00",
    "directions": "abc\u202edef\u2066ghi\u200f",
    "formula": "=1+1;@SUM(A1)",
    "wide": "\u6570\u636e" * 20,
    "long": "x" * 300,
    "returns": "one\rtwo",
}


def named(name):
    """Return a report of results in which every text is this name."""
    trials = trial_rows(name, DEEP, statuses=["ok"] * 4 + ["failed"], dataset=name)
    trials += trial_rows("wide", WIDE, dataset=name, optimizer=name, activation=name)
    trials += trial_rows(f"{name}!", WIDE, dataset=name, statuses=["diverged"] + ["ok"] * 4)
    for row in trials:
        row |= {"device": name, "error": name if row["status"] != "ok" else None}
    timings = [
        timing_row(name, spread(1e-3), dataset=name, mode=name, flags=[name]),
        timing_row("wide", spread(2e-3), dataset=name, precision=name, status=name, error=name),
    ]
    facts = {"question": name, "suite": name, "run": name, "created_at": name, "status": name}
    claims = [claim(source=name, of={"family": name}, against={"family": "wide"})]
    return summarise([make_run(trials, timings, claims=claims, **facts)])


@pytest.fixture(scope="module", params=list(NAMES))
def odd(request):
    return NAMES[request.param], named(NAMES[request.param])


@pytest.mark.parametrize("format", ["terminal", "md"])
def test_a_name_is_shown_on_its_line_and_commands_nothing(odd, format):
    name, summary = odd
    text = render(summary, format, Console(width=100, color_system=None))
    assert not [c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"]
    assert "\u2028" not in text
    first = re.split(r"[^\w]", name.lstrip("=</[\x1b`"))[0][:10]
    assert first in text  # shown, in what remains of it


def test_no_name_widens_a_terminal(odd):
    text = render(odd[1], "terminal", Console(width=60, color_system=None))
    assert max(cell_len(line) for line in text.splitlines()) <= 60


def test_no_name_is_html_or_breaks_a_table_of_markdown(odd):
    text = render(odd[1], "md")
    assert not re.search(r"<[a-zA-Z/!]", text)
    assert "](" not in text
    tables = re.findall(r"(?:^\|.*\n)+", text + "\n", flags=re.MULTILINE)
    assert tables
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_machines_get_names_whole(odd):
    name, summary = odd
    (found,) = json.loads(render(summary, "json"))["runs"]
    assert (found["suite"], found["run"], found["question"]) == (name, name, name)
    assert name in [row["family"] for row in found["groups"][0]["rows"]]
    lines = list(csv.DictReader(io.StringIO(render(summary, "csv"), newline="")))
    assert [line["suite"] for line in lines] == [name] * 3
    assert name in [line["family"] for line in lines]


def reported(trials, **facts):
    (report,) = summarise([make_run(trials, **facts)]).runs
    return report


def rendered(trials, format="terminal", **facts):
    summary = summarise([make_run(trials, **facts)])
    return render(summary, format, Console(width=100, color_system=None))


@pytest.mark.parametrize("format", ["terminal", "md", "json", "csv"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_metric_without_a_value_marks_its_row(value, format):
    trials = trial_rows("wide", [*WIDE[:4], value]) + trial_rows("deep", [value] * 5)
    text = rendered(trials + trial_rows("hourglass", DEEP), format)
    assert "no result" in text
    assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", text)
    if format in ("terminal", "md"):
        assert "4 of 5" in text


@pytest.mark.parametrize("format", ["terminal", "md", "json", "csv"])
def test_no_metric_at_all_is_an_answer_too(format):
    nothing = [float("nan")] * 3
    text = rendered(trial_rows("wide", nothing) + trial_rows("deep", nothing), format)
    assert "no result" in text


def test_one_seed_is_shown_without_an_interval_or_a_verdict():
    trials = trial_rows("wide", WIDE[:1]) + trial_rows("deep", DEEP[:1])
    text = " ".join(rendered(trials).split())
    assert "no verdict is possible from 1 seed" in text
    assert "1 seed a variant is too few for a verdict" in text
    assert text.count("too few seeds") >= 1
    assert "[" not in text.split("#")[1].split("weights")[0]


def test_a_group_of_one_variant_is_shown_without_a_verdict():
    trials = trial_rows("wide", WIDE, budgets=[])
    text = " ".join(rendered(trials).split())
    assert "is the only variant to rank" in text
    assert "verdict" not in text


def test_seeds_that_do_not_pair_have_no_verdict_and_are_counted():
    deep = trial_rows("deep", [None, None, None, *DEEP], statuses=["failed"] * 3 + ["ok"] * 5)
    trials = trial_rows("wide", WIDE) + deep + trial_rows("hourglass", [2 * v for v in WIDE])
    text = " ".join(rendered(trials).split())
    assert "deep has too few seeds to tell" in text
    assert "hourglass is worse by" in text
    assert "a verdict needs 3 in common with the best" in text


def test_a_status_that_nobody_knows_is_told():
    trials = trial_rows("wide", WIDE) + trial_rows("deep", [None] * 5, statuses=["exploded"] * 5)
    report = reported(trials)
    assert [problem.status for problem in report.problems] == ["exploded"]
    assert report.groups[0].rows[1].not_ranked_because == "no result"
