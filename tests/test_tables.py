"""Results in the hands of other programs: opened, and read again when they rewrote them."""

import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depthbench import store, tables
from depthbench.errors import ResultError
from depthbench.record import TABLES, Column, column_names
from tests.fixtures_store import (
    BUDGET,
    assert_same,
    curve_rows,
    fill,
    new_run,
    trial_row,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow, and no use in a test
    return new_run(tmp_path)


@pytest.fixture
def merged(folder):
    fill(folder)
    store.merge(folder)
    return folder


def test_results_open_in_pandas(merged):
    trials = pd.read_parquet(merged.table("trials"))
    assert trials.depth.tolist() == [4, 4, 4]
    assert trials.budgets[0][0]["match"] == "total_params"
    assert trials.input_shape[0].tolist() == [1, 28, 28]
    timings = pd.read_parquet(merged.table("timings"))
    assert timings.samples_seconds[0].tolist() == [0.0011, 0.0012, 0.0013]
    assert pd.read_parquet(merged.table("curves")).value.sum() == pytest.approx(5.5)
    assert pd.read_parquet(merged.table("probes")).value.tolist() == [0.5] * 3


def test_results_open_in_duckdb(merged):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        question = f"""
            select t.depth, t.budgets[1].target, t.input_shape[2], c.value
            from '{merged.table("trials")}' t join '{merged.table("curves")}' c using (trial_id)
            where c.step = 1 and t.seed = 2"""
        assert connection.sql(question).fetchall() == [(4, 20000.0, 28, 0.5)]
        question = f"select samples_seconds, flags from '{merged.table('timings')}'"
        assert connection.sql(question).fetchall() == [([0.0011, 0.0012, 0.0013], ["noisy"])]
        probes = connection.sql(f"select sum(value) from '{merged.table('probes')}'").fetchall()
        assert probes == [(1.5,)]


def test_results_open_in_polars(merged):
    polars = pytest.importorskip("polars")
    trials = polars.read_parquet(merged.table("trials"))
    assert trials["depth"].to_list() == [4, 4, 4]
    assert trials["budgets"].to_list()[0] == [BUDGET]
    assert trials["hidden"].to_list() == [128, None, None]
    timings = polars.read_parquet(merged.table("timings"))
    assert timings["samples_seconds"].to_list() == [[0.0011, 0.0012, 0.0013]]
    assert polars.read_parquet(merged.table("curves")).height == 9
    assert polars.read_parquet(merged.table("probes"))["layer"].to_list() == [0, 0, 0]


def test_unmerged_parts_open_in_duckdb_too(folder):
    duckdb = pytest.importorskip("duckdb")
    fill(folder)
    with duckdb.connect() as connection:
        files = f"read_parquet('{folder.parts}/trial-*.parquet', union_by_name=true)"
        assert connection.sql(f"select sum(seed), max(len(curves)) from {files}").fetchall() == [
            (3, 3)
        ]


def rewrite_by_pandas(path):
    pd.read_parquet(path).to_parquet(path)


def rewrite_by_pandas_filtered(path):
    """Leaves an index of its own in the file."""
    frame = pd.read_parquet(path)
    frame.iloc[::-1].to_parquet(path)


def rewrite_by_pandas_indexed(path):
    frame = pd.read_parquet(path)
    frame.set_index(frame.columns[0]).to_parquet(path)


def rewrite_by_duckdb(path):
    duckdb = pytest.importorskip("duckdb")
    scratch = path.with_suffix(".new")
    with duckdb.connect() as connection:
        connection.sql(f"copy (from '{path}') to '{scratch}' (format parquet)")
    scratch.replace(path)


def rewrite_by_polars(path):
    polars = pytest.importorskip("polars")
    polars.read_parquet(path).write_parquet(path)


def rewrite_by_arrow_with_other_types(path):
    """Large strings and lists, dictionaries, narrow numbers, other columns' order."""
    table = pq.read_table(path)
    for number, field in enumerate(table.schema):
        other = {
            pa.string(): pa.dictionary(pa.int32(), pa.string()),
            pa.list_(pa.float64()): pa.large_list(pa.float64()),
            pa.list_(pa.string()): pa.large_list(pa.large_string()),
        }.get(field.type, field.type)
        table = table.set_column(number, field.name, table.column(field.name).cast(other))
    pq.write_table(table.select(table.column_names[::-1]), path)


REWRITES = (
    rewrite_by_pandas,
    rewrite_by_pandas_filtered,
    rewrite_by_pandas_indexed,
    rewrite_by_duckdb,
    rewrite_by_polars,
    rewrite_by_arrow_with_other_types,
)


@pytest.mark.parametrize("rewrite", REWRITES)
def test_files_that_others_rewrote_read_the_same(merged, rewrite):
    before = store.read_run(merged)
    for name in TABLES:
        rewrite(merged.table(name))
    after = store.read_run(merged)
    assert_same(before, after)
    assert after.trials.dtypes.equals(before.trials.dtypes)


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_run_goes_on_over_files_that_others_rewrote(merged, rewrite):
    for name in TABLES:
        rewrite(merged.table(name))
    store.write_trial_part(merged, trial_row("9" * 16, seed=9), curve_rows(1))
    store.update_trial(merged, f"{0:016x}", test_loss=0.5)
    store.merge(merged)
    run = store.read_run(merged)
    assert run.trials.seed.tolist() == [0, 1, 2, 9]
    assert run.trials.budgets[0].tolist() == [BUDGET]
    assert len(run.curves) == 10
    assert store.finished_trials(merged)[f"{0:016x}"]["has_test"]


def test_further_columns_are_kept_and_missing_ones_are_null(merged):
    path = merged.table("trials")
    frame = pd.read_parquet(path).drop(columns=["budgets", "lr", "bias"]).assign(note="mine")
    frame.to_parquet(path)
    store.write_trial_part(merged, trial_row("9" * 16), [])
    store.merge(merged)
    trials = store.read_run(merged).trials
    assert tuple(trials.columns) == (*column_names("trials"), "note")
    assert trials.note.tolist()[:3] == ["mine"] * 3
    assert trials.lr.tolist()[3] == 0.001
    assert trials.lr.isna().tolist() == [True, True, True, False]
    assert trials.bias.isna().tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame({"x": [1]}), pd.DataFrame({"trial_id": ["a"], "depth": ["deep"]})],
    ids=["no key", "another type"],
)
def test_a_foreign_table_is_named(merged, frame):
    frame.to_parquet(merged.table("trials"))
    with pytest.raises(ResultError, match="not a readable table of trials"):
        store.read_run(merged)


def test_a_table_of_a_newer_schema_is_refused(merged):
    path = merged.table("trials")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"depthbench_schema_version": "99"}), path)
    with pytest.raises(ResultError, match="newer depthbench"):
        store.read_run(merged)


def test_a_column_of_tomorrow_is_null_in_files_of_today(folder, monkeypatch, request):
    fill(folder, num_trials=2)
    store.merge(folder)
    store.write_trial_part(folder, trial_row(), curve_rows())
    wider = (*TABLES["trials"], Column("tomorrow", "list<float64>", "", "a column to come"))
    longer = (*TABLES["curves"], Column("smoothed", "float64", "", "a column to come"))
    monkeypatch.setitem(TABLES, "trials", wider)
    monkeypatch.setitem(TABLES, "curves", longer)
    tables.table_schema.cache_clear()
    tables.part_schema.cache_clear()
    request.addfinalizer(tables.table_schema.cache_clear)
    request.addfinalizer(tables.part_schema.cache_clear)
    store.update_trial(folder, f"{1:016x}", tomorrow=[1.0])
    store.merge(folder)
    run = store.read_run(folder)
    assert [None if value is None else list(value) for value in run.trials.tomorrow] == [
        None,
        [1.0],
        None,
    ]
    assert run.curves.smoothed.isna().all()
    assert len(run.curves) == 9
