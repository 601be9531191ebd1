"""Large runs are read column by column, and say what small ones say."""

import math

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depthbench import run_tables, store
from depthbench.errors import ResultError
from depthbench.report.rows import records
from depthbench.run_tables import (
    FileTables,
    HeldTables,
    open_tables,
    plain_columns,
    plain_rows,
    plain_values,
)
from depthbench.tables import to_frame
from tests.fixtures_store import curve_rows, new_run, timing_row, trial_row

COLUMNS = ("trial_id", "depth", "val_loss", "bias", "betas", "milestones", "budgets", "no_column")


@pytest.fixture
def merged(tmp_path, monkeypatch):
    monkeypatch.setattr(run_tables, "ROWS_A_BATCH", 2)
    folder = new_run(tmp_path)
    for index in range(5):
        loss = math.nan if index == 1 else None if index == 2 else 0.5
        row = trial_row(f"{index:016x}", plan_index=index, val_loss=loss)
        store.write_trial_part(folder, row, curve_rows(3))
        samples = [1e-3 * index, 2e-3] if index else None
        store.write_timing_part(folder, timing_row(f"{index:016x}", samples_seconds=samples))
    store.merge(folder)
    return folder


def both(folder):
    large, small = open_tables(folder, large_bytes=0)[0], open_tables(folder)[0]
    assert isinstance(large, FileTables) and isinstance(small, HeldTables)
    return large, small


def test_a_large_run_reads_as_a_small_one(merged):
    large, small = both(merged)
    for name in ("trials", "curves", "timings", "probes"):
        assert large.num_rows(name) == small.num_rows(name)
        frames = [to_frame(tables.read(name), name) for tables in (large, small)]
        pd.testing.assert_frame_equal(*frames)
    for name, columns in (("trials", COLUMNS), ("timings", ("cell_id", "samples_seconds"))):
        rows = [list(plain_rows(tables, name, columns)) for tables in (large, small)]
        assert rows[0] == rows[1] and len(rows[0]) == 5


def test_rows_have_none_for_null_nan_and_columns_that_are_not_there(merged):
    run = store.read_run(merged)
    rows = list(run.rows("trials", COLUMNS))
    assert [row["val_loss"] for row in rows] == [0.5, None, None, 0.5, 0.5]
    assert all(row["no_column"] is None and row["bias"] is True for row in rows)
    assert rows == records(run.trials, COLUMNS)


def test_only_the_wanted_rows_are_yielded(merged):
    for tables in both(merged):
        found = plain_rows(
            tables,
            "trials",
            ["trial_id"],
            ["depth", "plan_index"],
            lambda _, index: index in (1, 4),
        )
        assert list(found) == [{"trial_id": f"{index:016x}"} for index in (1, 4)]


def test_columns_are_those_of_the_rows(merged):
    for tables in both(merged):
        batches = list(plain_columns(tables, "timings", ("cell_id", "flags", "no_column")))
        rows = [row for batch in batches for row in zip(*batch.values(), strict=True)]
        wanted = plain_rows(tables, "timings", ("cell_id", "flags", "no_column"))
        assert rows == [tuple(row.values()) for row in wanted] and len(rows) == 5


def test_a_run_with_parts_is_read_whole(merged):
    store.write_trial_part(merged, trial_row("f" * 16), [])
    tables, _ = open_tables(merged, large_bytes=0)
    assert isinstance(tables, HeldTables) and tables.num_rows("trials") == 6


def test_a_large_file_that_others_rewrote_in_another_order_is_put_in_ours(merged):
    path = merged.table("trials")
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array([4, 2, 0, 1, 3])), path)
    tables, _ = open_tables(merged, large_bytes=0)
    ids = [row["trial_id"] for row in plain_rows(tables, "trials", ["trial_id"])]
    assert ids == [f"{index:016x}" for index in range(5)]


def test_a_column_that_cannot_be_read_is_named_when_it_is_asked_for(merged):
    path = merged.table("timings")
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    (place,) = [column for column in columns if column.path_in_schema == "median_seconds"]
    start = place.dictionary_page_offset or place.data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + place.total_compressed_size] = bytes(place.total_compressed_size)
    path.write_bytes(content)
    tables, _ = open_tables(merged, large_bytes=0)
    with pytest.raises(ResultError, match=r"timings\.parquet: not a readable table"):
        list(plain_rows(tables, "timings", ["median_seconds"]))


@pytest.mark.parametrize(
    "values",
    [
        [[1.0, 2.0], None, [], [3.5]],
        [[1, 2], [3]],
        [[1.0, None]],
        [1.5, math.nan, None],
        ["a", None, "a"],
        [None, None],
        [["a", "b"], None, []],
        [[{"x": 1}], []],
        [1, None, 3],
        [True, None],
        [],
    ],
)
def test_values_are_those_of_arrow_but_for_nan(values):
    wanted = [None if isinstance(v, float) and math.isnan(v) else v for v in values]
    whole = pa.chunked_array([pa.array(values)])
    assert plain_values(whole) == wanted
    assert plain_values(whole.slice(1)) == wanted[1:]  # a slice shares what lies before it
