"""Whatever lies where results should be, a command says what is wrong, or shows what is there.

`report`, `check` and `compare` meet each kind of broken file: none ends in a traceback, and none
says nothing.
"""

import json
import math
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from depthbench import store
from depthbench.cli import app
from depthbench.tables import VERSION_KEY
from tests.fixtures_compare import LOSSES, cells, timed, trials, write_night
from tests.fixtures_results import claim, trial_rows
from tests.fixtures_store import CORRUPTIONS
from tests.test_cli import call

GOLDEN = Path(__file__).parent / "golden" / "run-v1"
FAMILIES = ("deep", "wide")
CLAIMS = [
    claim(of={"family": "wide"}),
    claim(
        id="timed",
        metric="median_seconds",
        of={"family": "wide"},
        where={"phase": "inference", "batch_size": 1},
    ),
]
HOSTILE = "a|b[bold]\"'\x1b[31m\nd\u202e`<script>alert(1)</script>"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Return the folder of a whole run; tests work on copies of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # slow, and no use in a test
        folder = tmp_path_factory.mktemp("whole")
        return write_night(folder, "whole", few(trials()), few(cells()), claims=CLAIMS)


def few(rows):
    """Return what is enough to be ranked, timed and compared, for the sake of speed."""
    return [
        row
        for row in rows
        if row["family"] in FAMILIES and row.get("seed", 0) < 3 and row.get("phase") != "train_step"
    ]


@pytest.fixture
def run(pristine, tmp_path):
    """Return a copy of it that may be broken."""
    return Path(shutil.copytree(pristine, tmp_path / "broken"))


def commands(broken, whole):
    out = ("--out", broken.parent)
    return {
        "report": ("report", broken, *out),
        "check": ("check", broken, *out),
        "compare, candidate": ("compare", whole, broken, *out),
        "compare, baseline": ("compare", broken, whole, *out),
    }


def tried(broken, whole, codes):
    """Run every command, assert that it ends in one of these codes, and return what each said."""
    said = {}
    for name, arguments in commands(broken, whole).items():
        wanted = codes[name.split(",")[0]] if isinstance(codes, dict) else codes
        result = call(*arguments, code=wanted)
        assert "Traceback" not in result.stderr
        assert "\x1b" not in result.output and "\u202e" not in result.output
        said[name] = " ".join((result.stdout + result.stderr).split())
        assert said[name]
    return said


def code_of(arguments):
    """Return how a command ends, which may be any documented way but a traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.output
    return result.exit_code


def rewrite(run, name, change):
    """Write a table again as somebody else might."""
    path = run / f"{name}.parquet"
    table = change(pd.read_parquet(path))
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)


def test_the_whole_run_is_fine(pristine, run):
    tried(run, pristine, 0)


@pytest.mark.parametrize("table", ["trials", "timings"])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corrupt_table_is_named_with_the_way_out(pristine, run, table, kind):
    path = run / f"{table}.parquet"
    path.write_bytes(CORRUPTIONS[kind](path.read_bytes()))
    for text in tried(run, pristine, 2).values():
        assert f"{table}.parquet: not a readable table" in text and "depthbench run" in text


def test_a_missing_table_is_named(pristine, run):
    (run / "trials.parquet").unlink()
    for text in tried(run, pristine, 2).values():
        assert "trials.parquet: missing, though the run is finished" in text


def test_a_foreign_table_is_named(pristine, run):
    pq.write_table(pa.table({"a": [1, 2]}), run / "trials.parquet")
    for text in tried(run, pristine, 2).values():
        assert "not a table of trials: it has no column trial_id" in text


def test_a_table_of_a_newer_schema_is_named(pristine, run):
    table = pq.read_table(run / "timings.parquet")
    pq.write_table(table.replace_schema_metadata({VERSION_KEY: b"99"}), run / "timings.parquet")
    for text in tried(run, pristine, 2).values():
        assert "newer depthbench (schema 99" in text


def test_a_column_of_another_type_is_named(pristine, run):
    rewrite(run, "timings", lambda table: table.assign(samples_seconds="fast"))
    for text in tried(run, pristine, 2).values():
        assert "timings.parquet: not a readable table of timings: column samples_seconds" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not readable JSON"),
        ("{", "not readable JSON"),
        ("[1]", "not depthbench's"),
        ('{"a": 1}', "not depthbench's"),
        ('{"suite": 7}', "suite is 7, not text"),
        ('{"suite": "s", "num_trials": "many"}', "num_trials is 'many', not a whole number"),
        ('{"suite": "s", "claims": 5}', "claims is 5, not a list"),
        ('{"suite": "s", "claims": {"id": 1}}', "not a list"),
        ('{"suite": "s", "environment": "here"}', "environment is 'here', not a mapping"),
        ('{"suite": "s", "created_at": 5}', "created_at is 5, not text"),
        ('{"suite": "s", "schema_version": 99}', "newer depthbench"),
        ('{"suite": "s", "schema_version": "1"}', "not a whole number"),
    ],
)
def test_a_run_json_that_is_not_ours_is_named(pristine, run, text, said):
    (run / "run.json").write_text(text)
    for found in tried(run, pristine, 2).values():
        assert "run.json" in found and said in found


def test_a_claim_that_is_not_ours_is_named(pristine, run):
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | {"claims": [{"id": "half"}]}))
    found = tried(run, pristine, {"report": 2, "check": 2, "compare": 0})
    assert "claims: metric" in found["report"] and "claims: metric" in found["check"]


@pytest.mark.parametrize("metric", ["family", "betas", "no_such_column", "flags"])
def test_a_claim_about_what_is_no_metric_is_undecided_or_named(pristine, run, metric):
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | {"claims": [claim(metric=metric)]}))
    for arguments in (("report", run), ("check", run)):
        result = call(*arguments, code=5 if arguments[0] == "check" else 0)
        assert "undecided" in result.stdout


def test_a_folder_without_a_run_is_named(pristine, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for text in tried(empty, pristine, 2).values():
        assert "holds no run" in text
    for text in tried(tmp_path / "nowhere", pristine, 2).values():
        assert "no such folder" in text


def test_no_message_commands_a_terminal(tmp_path):
    text = call("report", tmp_path / "a\x1b[31mb\u202e", code=2).stderr
    assert "no such folder" in text and "\x1b" not in text and "\u202e" not in text


def test_a_run_of_an_older_schema_is_read(tmp_path):
    for code, arguments in (
        (0, ("report", GOLDEN)),
        (5, ("check", GOLDEN)),
        (0, ("compare", GOLDEN, GOLDEN)),
    ):
        assert call(*arguments, "--out", tmp_path, code=code).stdout


def test_an_older_and_a_new_run_have_nothing_in_common(pristine, tmp_path):
    text = call("compare", GOLDEN, pristine, "--out", tmp_path, code=5).stdout
    flat = " ".join(text.split())
    assert "Nothing was compared" in flat and "Only in the baseline: 4 trials" in flat
    assert "The suites differ: quickstart and planted" in flat


@pytest.mark.parametrize("table", ["trials", "timings"])
def test_a_table_of_ids_alone_is_shown_or_named(pristine, run, table):
    key = {"trials": "trial_id", "timings": "cell_id"}[table]
    rewrite(run, table, lambda found: found[[key]])
    for name in ("report", "compare, candidate"):
        assert code_of(commands(run, pristine)[name]) in (0, 1, 2, 3, 5)


@pytest.mark.parametrize(
    "column",
    ["variant_id", "family", "depth", "width", "status", "seed", "lr", "budgets", "is_selected"],
)
def test_a_column_of_trials_that_is_missing_is_no_traceback(pristine, run, column):
    rewrite(run, "trials", lambda table: table.drop(columns=column))
    for name in ("report", "compare, candidate"):
        assert code_of(commands(run, pristine)[name]) in (0, 1, 2, 3, 5)


@pytest.mark.parametrize(
    "column",
    [
        "variant_id",
        "trial_id",
        "family",
        "depth",
        "width",
        "phase",
        "batch_size",
        "status",
        "samples_seconds",
        "samples_process",
        "median_seconds",
        "flags",
    ],
)
def test_a_column_of_timings_that_is_missing_is_no_traceback(pristine, run, column):
    rewrite(run, "timings", lambda table: table.drop(columns=column))
    for name in ("report", "compare, candidate"):
        assert code_of(commands(run, pristine)[name]) in (0, 1, 2, 3, 5)


SAMPLES = {
    "none": None,
    "empty": [],
    "one": [1e-3],
    "zero": [0.0] * 18,
    "negative": [-1e-3] * 18,
    "NaN": [float("nan")] * 18,
    "some NaN": [1e-3, float("nan"), 1.1e-3, float("inf"), None, 1e-3] * 3,
    "infinite": [float("inf")] * 18,
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_samples_that_are_no_times_decide_nothing(pristine, run, kind):
    rewrite(
        run,
        "timings",
        lambda table: table.assign(samples_seconds=[SAMPLES[kind]] * len(table)),
    )
    for arguments in commands(run, pristine).values():
        code = code_of(arguments)
        assert code in (0, 3, 5)
        if arguments[0] == "compare" and kind == "some NaN":
            assert "9 samples left out, being no times" in call(*arguments, code=code).stdout
        elif arguments[0] == "compare":
            assert code == 0  # quality is the same; times are unresolved, with the reason
            assert "too few samples" in call(*arguments, "--format", "md").stdout


def test_processes_that_are_not_known_are_none(pristine, run):
    rewrite(
        run,
        "timings",
        lambda table: table.assign(samples_process=[[0.0, None] * 9] * len(table)),
    )
    text = tried(run, pristine, 0)["compare, candidate"]
    assert "candidate: samples are not of several processes" in text


def test_nan_metrics_are_marked_and_decide_nothing(pristine, run):
    nan = dict.fromkeys(("test_loss", "val_loss", "test_accuracy"), math.nan)
    rewrite(run, "trials", lambda table: table.assign(**nan))
    found = tried(run, pristine, 0)
    assert "no variant has a result" in found["report"]
    text = call("compare", pristine, run, "--format", "md").stdout
    assert text.count("candidate: no test loss in 3 seeds") == len(FAMILIES)
    call("compare", pristine, run, "--strict", code=4)


def test_some_nan_metrics_are_counted(pristine, run):
    def first_lost(table):
        return table.assign(test_loss=table.test_loss.where(table.seed != 0))

    rewrite(run, "trials", first_lost)
    text = call("compare", pristine, run, "--format", "md").stdout
    assert text.count("candidate: no test loss in 1 seed;") == len(FAMILIES)


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_few_seeds_are_compared_where_they_are_equal_and_else_unresolved(tmp_path, num_seeds):
    rows = [row for row in few(trials()) if row["seed"] < num_seeds]
    more = [row | {"test_loss": 2 * row["test_loss"]} for row in rows]
    before, same, other = (
        write_night(tmp_path, name, found, few(cells()))
        for name, found in (("a", rows), ("b", rows), ("c", more))
    )
    assert "quality is the same" in call("compare", before, same, "--strict").stdout
    text = call("compare", before, other, "--format", "md").stdout
    assert f"{num_seeds} seed" in text and "a verdict needs 3" in text
    call("compare", before, other, "--strict", code=4)
    assert "no verdict is possible" in " ".join(call("report", before).stdout.split())


def test_names_that_command_terminals_and_pages_are_tamed(tmp_path):
    rows = [
        row | {"family": HOSTILE, "error": HOSTILE, "status": "ok" if row["seed"] else "failed"}
        for row in trial_rows("deep", LOSSES["deep"])
    ]
    timings = [row | {"family": HOSTILE, "mode": HOSTILE, "error": HOSTILE} for row in cells()[:2]]
    facts = {"question": HOSTILE, "suite": "planted", "claims": [claim(source=HOSTILE)]}
    run = write_night(tmp_path, "hostile", rows, timings, **facts)
    more = timed("deep", 1e-3, cell_id="more", mode=HOSTILE)
    other = write_night(tmp_path, "other", trials(), [*timings, more])
    for code, command in ((0, ("report", run)), (5, ("check", run)), (1, ("compare", other, run))):
        formats = ["terminal", "md", *(["junit", "github"] if command[0] != "report" else [])]
        for format in formats:
            text = call(*command, "--format", format, code=code).stdout
            assert "\x1b" not in text and "\u202e" not in text
            if format in ("md", "github"):
                assert "<script" not in text


def test_a_run_still_being_written_is_shown_with_what_is_there(pristine, tmp_path):
    run = write_night(tmp_path, "going", trials()[:4], cells()[:2], status="running")
    folder = store.RunFolder(run)
    part = next(folder.parts.glob("trial-*"))
    part.write_bytes(part.read_bytes()[:50])
    with store.lock_run(folder):
        found = tried(run, pristine, {"report": 0, "check": 5, "compare": 0})
    assert "Incomplete" in found["report"]
    for name in ("report", "compare, candidate"):
        assert f"cannot be read, such as {part.name}" in found[name]
    assert "The candidate is still being written: 3 trials" in found["compare, candidate"]


def test_a_calibration_that_cannot_be_read_is_named(pristine, run):
    place = run.parent / "planted" / "calibration.json"
    place.parent.mkdir()
    place.write_text("{")
    text = call("compare", pristine, run, "--out", run.parent, code=2).stderr
    assert "calibration.json: not a readable calibration" in text
