"""Results survive crashes, foreign hands and time.

The golden run is of schema version 1 and stays as it is for ever. A run for a new schema version is
written beside it by `python -m tests.test_store tests/golden/run-v2`.
"""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from depthbench import store
from depthbench.errors import ResultError
from depthbench.record import TABLES, column_names
from tests.fixtures_store import (
    BUDGET,
    CORRUPTIONS,
    PROBE_ROW,
    Crash,
    assert_same,
    crash_at_replace,
    curve_rows,
    fill,
    frames,
    new_run,
    parts,
    timing_row,
    trial_row,
)

GOLDEN = Path(__file__).parent / "golden" / "run-v1"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow, and no use in a test
    return new_run(tmp_path)


@pytest.fixture
def merged(folder):
    fill(folder)
    store.merge(folder)
    return folder


@pytest.mark.parametrize("is_merged", [False, True])
def test_what_is_written_is_read(folder, is_merged):
    fill(folder)
    if is_merged:
        store.merge(folder)
    run = store.read_run(folder.path)
    assert run.run["suite"] == "quickstart"
    assert run.trials.trial_id.tolist() == [f"{number:016x}" for number in range(3)]
    assert run.trials.forward_flops.tolist() == [1 << 54] * 3
    assert run.trials.budgets[0].tolist() == [BUDGET]
    assert run.trials.input_shape[0].tolist() == [1, 28, 28]
    assert run.trials.milestones[0].tolist() == []
    assert run.curves.value.tolist() == [1.0, 0.5, 1 / 3] * 3
    assert run.probes.layer.tolist() == [0] * 3
    assert run.timings.samples_seconds[0].tolist() == [0.0011, 0.0012, 0.0013]
    assert run.timings["flags"][0].tolist() == ["noisy"]


def test_a_run_reads_the_same_before_and_after_a_merge(folder):
    fill(folder)
    before = store.read_run(folder.path)
    store.merge(folder)
    assert parts(folder) == []
    assert_same(before, store.read_run(folder.path))
    store.merge(folder)
    assert_same(before, store.read_run(folder.path))


def test_columns_are_those_of_the_record_in_its_order(folder):
    fill(folder)
    store.merge(folder)
    for name, frame in frames(store.read_run(folder.path)).items():
        assert tuple(frame.columns) == column_names(name)
        assert pq.ParquetFile(folder.table(name)).schema_arrow.names == list(column_names(name))


def test_an_empty_run_has_four_tables_with_their_columns(folder):
    store.merge(folder)
    for name, frame in frames(store.read_run(folder.path)).items():
        assert folder.table(name).exists()
        assert len(frame) == 0
        assert tuple(frame.columns) == column_names(name)


def test_unknown_is_null_and_only_a_measured_nan_is_nan(folder):
    store.write_trial_part(folder, trial_row(val_loss=math.nan, train_loss=None), [])
    for _ in range(2):
        row = store.read_trial_row(folder, "a" * 16)
        assert math.isnan(row["val_loss"])
        assert row["train_loss"] is None
        assert row["test_loss"] is None
        store.merge(folder)
    column = pq.read_table(folder.table("trials")).column("val_loss")
    assert column.null_count == 0


def test_whole_numbers_and_flags_stay_so_where_some_are_null(folder):
    fill(folder)
    trials = store.read_run(folder.path).trials
    assert trials.hidden.tolist() == [128, pd.NA, pd.NA]
    assert trials.hidden.dtype == "Int64"
    assert trials.is_selected.dtype == "boolean"
    assert trials[trials.is_selected].empty
    assert trials.depth.dtype == "int64"


def test_numpy_values_are_accepted(folder):
    row = trial_row(
        depth=np.int32(4),
        val_loss=np.float32(0.5),
        bias=np.bool_(False),
        betas=np.array([0.5, 0.25]),
        status=np.str_("ok"),
    )
    store.write_trial_part(folder, row, [{"step": np.int64(3), "value": np.float32(0.5)}])
    read = store.read_trial_row(folder, "a" * 16)
    assert (read["depth"], read["val_loss"], read["bias"]) == (4, 0.5, False)
    assert read["betas"] == [0.5, 0.25]
    assert store.read_run(folder).curves.step.tolist() == [3]


def test_an_error_text_that_is_no_utf8_is_kept(folder):
    store.write_trial_part(folder, trial_row(status="failed", error="bad \udcff name"), [])
    assert store.read_trial_row(folder, "a" * 16)["error"] == "bad \\udcff name"


@pytest.mark.parametrize(
    ("row", "curves", "named"),
    [
        (trial_row(depht=3), [], "depht"),
        (trial_row(curves=[]), [], "curves"),
        (trial_row(depth="four"), [], "depth"),
        (trial_row(seed=1 << 70), [], "seed"),
        (trial_row(), [{"stpe": 1}], "stpe"),
        (trial_row(), [{"trial_id": "another"}], "another"),
        (trial_row(), [{"step": "one"}], "curves"),
    ],
)
def test_a_row_the_record_does_not_know_is_a_defect_and_writes_nothing(folder, row, curves, named):
    with pytest.raises(ValueError, match=named):
        store.write_trial_part(folder, row, curves)
    assert parts(folder) == []


def test_curves_keep_their_points_with_their_trial(folder):
    store.write_trial_part(folder, trial_row("1" * 16), [])
    store.write_trial_part(folder, trial_row("2" * 16), curve_rows(2, trial_id="2" * 16))
    store.write_trial_part(folder, trial_row("3" * 16), curve_rows(1))
    store.merge(folder)
    owners = store.read_run(folder).curves.trial_id.tolist()
    assert owners == ["2" * 16, "2" * 16, "3" * 16]


def test_rows_come_in_the_order_of_the_plan_and_unplanned_ones_last(folder):
    for number, place in (("1", None), ("2", 2), ("3", 0), ("4", 1)):
        row = trial_row(number * 16, plan_index=place, started_at=f"2026-01-0{number}")
        store.write_trial_part(folder, row, curve_rows(2), [PROBE_ROW])
        store.write_timing_part(folder, timing_row(number * 16, plan_index=place))
    for _ in range(2):
        run = store.read_run(folder)
        assert run.trials.trial_id.str[0].tolist() == ["3", "4", "2", "1"]
        assert run.timings.cell_id.str[0].tolist() == ["3", "4", "2", "1"]
        assert run.probes.trial_id.str[0].tolist() == ["3", "4", "2", "1"]
        assert "".join(run.curves.trial_id.str[0]) == "33442211"
        assert run.curves.step.tolist() == [0, 1] * 4
        store.merge(folder)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_broken_table_is_named_with_a_command_that_helps(merged, name):
    merged.table(name).write_bytes(b"not parquet\n" * 9)
    with pytest.raises(ResultError, match=rf"{name}\.parquet: not a readable") as caught:
        store.read_run(merged)
    (line,) = str(caught.value).splitlines()
    assert ". Bring it back" in line
    assert ".." not in line
    is_made_again = name in ("trials", "timings")
    assert line.endswith(f"depthbench run SUITE --run {'first' if is_made_again else 'NAME'}")


def test_finished_trials_say_what_resuming_and_selecting_need(folder):
    store.write_trial_part(folder, trial_row("1" * 16), [])
    failed = trial_row("2" * 16, status="oom", error="no room", val_loss=None)
    store.write_trial_part(folder, failed, [])
    store.merge(folder)
    store.write_trial_part(folder, trial_row("3" * 16, test_loss=0.5, is_selected=True), [])
    known = {"status": "ok", "error": None, "lr": 0.001, "val_loss": 0.25}
    assert store.finished_trials(folder) == {
        "1" * 16: known | {"is_selected": None, "has_test": False},
        "2" * 16: {"status": "oom", "error": "no room", "lr": 0.001, "val_loss": None}
        | {"is_selected": None, "has_test": False},
        "3" * 16: known | {"is_selected": True, "has_test": True},
    }


def test_nothing_is_finished_in_a_new_run(folder):
    assert store.finished_trials(folder) == {}
    assert store.finished_cells(folder) == {}


def test_a_part_wins_over_the_merged_row_with_its_curves(folder):
    store.write_trial_part(folder, trial_row(status="failed"), curve_rows(5), [PROBE_ROW])
    store.write_timing_part(folder, timing_row(status="oom"))
    store.merge(folder)
    store.write_trial_part(folder, trial_row(status="ok"), curve_rows(2))
    store.write_timing_part(folder, timing_row(status="ok"))
    for _ in range(2):
        run = store.read_run(folder)
        assert run.trials.status.tolist() == ["ok"]
        assert run.curves.step.tolist() == [0, 1]
        assert run.probes.empty
        assert store.finished_cells(folder) == {"c" * 16: {"status": "ok", "error": None}}
        assert store.finished_trials(folder)["a" * 16]["status"] == "ok"
        store.merge(folder)


@pytest.mark.parametrize("is_merged", [False, True])
def test_an_update_adds_columns_and_keeps_the_rest(folder, is_merged):
    fill(folder)
    if is_merged:
        store.merge(folder)
    before = store.read_run(folder)
    store.update_trial(folder, f"{1:016x}", test_loss=0.75, is_selected=True)
    expected = before.trials.assign(
        test_loss=[math.nan, 0.75, math.nan],
        is_selected=pd.Series([None, True, None], dtype="boolean"),
    )
    for _ in range(2):
        after = store.read_run(folder)
        pd.testing.assert_frame_equal(after.trials, expected)
        pd.testing.assert_frame_equal(after.curves, before.curves)
        pd.testing.assert_frame_equal(after.probes, before.probes)
        store.merge(folder)


def test_an_update_of_an_unknown_trial_or_column_is_refused(folder):
    fill(folder)
    with pytest.raises(ResultError, match="has no trial"):
        store.update_trial(folder, "f" * 16, test_loss=1.0)
    with pytest.raises(ValueError, match="tset_loss"):
        store.update_trial(folder, f"{0:016x}", tset_loss=1.0)


@pytest.mark.parametrize("is_second", [False, True])
@pytest.mark.parametrize("number", range(len(TABLES)))
def test_a_crash_between_any_two_steps_of_a_merge_changes_nothing(
    folder, monkeypatch, number, is_second
):
    fill(folder)
    if is_second:
        store.merge(folder)
        store.write_trial_part(folder, trial_row(f"{2:016x}", seed=9), curve_rows(7))
        store.update_trial(folder, f"{0:016x}", test_loss=1.0)
        store.write_timing_part(folder, timing_row(status="failed"))
    before = store.read_run(folder)
    with monkeypatch.context() as patch:
        crash_at_replace(patch, number)
        with pytest.raises(Crash):
            store.merge(folder)
    assert_same(before, store.read_run(folder))
    store.merge(folder)
    assert_same(before, store.read_run(folder))


def test_a_crash_while_parts_are_removed_doubles_nothing(folder, monkeypatch):
    fill(folder)
    before = store.read_run(folder)
    unlink = Path.unlink

    def dying(self, missing_ok=False):
        if self.name == f"trial-{1:016x}.parquet":
            raise Crash
        unlink(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dying)
        with pytest.raises(Crash):
            store.merge(folder)
    assert 0 < len(parts(folder)) < 4
    assert_same(before, store.read_run(folder))
    store.merge(folder)
    assert_same(before, store.read_run(folder))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_broken_table_is_named_with_the_next_step(merged, name, kind):
    path = merged.table(name)
    path.write_bytes(CORRUPTIONS[kind](path.read_bytes()))
    with pytest.raises(ResultError, match="depthbench run") as caught:
        store.read_run(merged)
    assert str(path) in str(caught.value)


def test_a_merge_over_a_broken_table_removes_no_part(merged):
    store.write_trial_part(merged, trial_row(), [])
    merged.table("curves").write_bytes(b"broken")
    with pytest.raises(ResultError, match="curves"):
        store.merge(merged)
    assert parts(merged) == [f"trial-{'a' * 16}.parquet"]


def test_a_missing_table_is_named_only_where_the_run_is_finished(merged):
    merged.table("probes").unlink()
    assert store.read_run(merged).probes.empty
    store.write_run_json(merged, {"suite": "quickstart", "status": "finished"})
    with pytest.raises(ResultError, match=r"probes\.parquet: missing"):
        store.read_run(merged)


def test_a_run_of_schema_version_1_can_always_be_read(tmp_path):
    run = store.read_run(GOLDEN)
    assert run.run["schema_version"] == 1
    assert run.trials.trial_id.tolist() == [f"{number:016x}" for number in range(4)]
    assert run.trials.seed.tolist() == [0, 1, 2, 3]
    assert run.trials.budgets[0].tolist() == [BUDGET]
    assert run.trials.hidden.isna().tolist() == [False, True, True, True]
    assert run.curves.groupby("trial_id").size().tolist() == [3, 3, 3, 2]
    assert run.timings.samples_seconds[0].tolist() == [0.0011, 0.0012, 0.0013]
    assert run.probes.value.tolist() == [0.5] * 3
    copy = tmp_path / "copy"
    shutil.copytree(GOLDEN, copy)
    store.merge(store.RunFolder(copy))
    assert_same(run, store.read_run(copy))


@pytest.mark.parametrize("is_merged", [False, True])
def test_rows_of_some_columns_are_those_of_the_whole(folder, is_merged):
    fill(folder)
    if is_merged:
        store.merge(folder)
    rows = store.read_rows(folder, "trials", ("seed", "lr", "norm"))
    whole = store.read_run(folder).trials
    assert [row["trial_id"] for row in rows] == list(whole["trial_id"])
    assert [row["seed"] for row in rows] == list(whole["seed"])
    assert {row["norm"] for row in rows} == {None}
    assert "val_loss" not in rows[0]


def test_rows_are_not_read_from_what_is_broken_or_missing(folder):
    with pytest.raises(store.ResultError, match=r"trials\.parquet: missing"):
        store.read_rows(folder, "trials", ("seed",))
    fill(folder)
    part = next(folder.parts.glob("trial-*"))
    part.write_bytes(b"")
    with pytest.raises(store.ResultError, match="cannot be read"):
        store.read_rows(folder, "trials", ("seed",))


def test_the_store_is_light_to_import_and_never_loads_torch(merged):
    code = """
import sys
from depthbench import store
print([name for name in ("torch", "pyarrow", "pandas", "numpy") if name in sys.modules])
store.read_run(sys.argv[1])
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(merged.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def write_golden(path):
    """Write a run with three merged trials and one that is still a part."""
    folder = store.RunFolder(path)
    folder.parts.mkdir(parents=True)
    facts = {"suite": "quickstart", "run": "golden", "status": "interrupted"}
    store.write_run_json(folder, facts | {"created_at": "2026-01-02T03:04:05+00:00"})
    fill(folder)
    store.merge(folder)
    store.write_trial_part(folder, trial_row(f"{3:016x}", seed=3), curve_rows(2))


if __name__ == "__main__":
    write_golden(Path(sys.argv[1]))
