"""A merge of any number of batches gives one table, and further columns on the way."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from depthbench import merging, store
from depthbench.errors import ResultError
from tests.fixtures_store import (
    Crash,
    assert_same,
    crash_at_replace,
    curve_rows,
    fill,
    new_run,
    parts,
    trial_row,
)


@pytest.fixture
def folder(tmp_path):
    return new_run(tmp_path)


@pytest.fixture(params=[1, 2, 512])
def batch(request, monkeypatch):
    monkeypatch.setattr(merging, "TRIALS_A_BATCH", request.param)
    return request.param


def test_tables_are_the_same_whatever_number_of_trials_is_merged_at_a_time(folder, batch):
    fill(folder, 5)
    before = store.read_run(folder)
    assert store.merge(folder) == ()
    assert_same(before, store.read_run(folder))
    store.write_trial_part(folder, trial_row(f"{2:016x}", plan_index=0), curve_rows(7))
    store.write_trial_part(folder, trial_row(f"{9:016x}", plan_index=1), curve_rows(2))
    store.update_trial(folder, f"{4:016x}", test_loss=1.0)
    before = store.read_run(folder)
    store.merge(folder)
    assert parts(folder) == []
    assert_same(before, store.read_run(folder))
    on_disk = pd.read_parquet(folder.table("trials"))
    assert list(on_disk.trial_id) == list(before.trials.trial_id)
    curves = pd.read_parquet(folder.table("curves"))
    assert list(curves.trial_id) == list(before.curves.trial_id)
    assert pq.ParquetFile(folder.table("trials")).num_row_groups == -(-6 // batch)


def test_a_column_that_is_not_ours_is_kept(folder, batch):
    fill(folder)
    store.merge(folder)
    table = pd.read_parquet(folder.table("trials")).assign(note=["a", "b", "c"])
    table.to_parquet(folder.table("trials"))
    store.write_trial_part(folder, trial_row(f"{1:016x}"), [])
    store.merge(folder)
    notes = store.read_run(folder).trials.set_index("trial_id").note
    assert notes.dropna().to_dict() == {f"{0:016x}": "a", f"{2:016x}": "c"}


def test_many_trials_are_updated_at_once_wherever_they_lie(folder, batch):
    fill(folder)
    store.merge(folder)
    store.write_trial_part(folder, trial_row(f"{1:016x}", test_loss=3.0), curve_rows(4))
    values = {f"{0:016x}": {"is_selected": False}, f"{1:016x}": {"test_loss": None}}
    store.update_trials(folder, values)
    run = store.read_run(folder)
    trials = run.trials.set_index("trial_id")
    assert trials.is_selected.dropna().to_dict() == {f"{0:016x}": False}
    assert trials.test_loss.isna().all()
    assert dict(run.curves.groupby("trial_id").size()) == dict(
        zip(trials.index, (3, 4, 3), strict=True)
    )


def test_an_update_of_many_with_an_unknown_column_changes_nothing(folder):
    fill(folder)
    with pytest.raises(ValueError, match="tset_loss"):
        store.update_trials(folder, {f"{0:016x}": {"tset_loss": 1.0}})
    assert len(parts(folder)) == 4


def test_a_crash_before_all_tables_have_their_names_is_as_no_merge(folder, monkeypatch):
    fill(folder)
    before = store.read_run(folder)
    for number in range(3):
        with monkeypatch.context() as patch:
            crash_at_replace(patch, number)
            with pytest.raises(Crash):
                store.update_trials(folder, {f"{0:016x}": {"is_selected": True}})
        assert_same(before, store.read_run(folder))
    assert sorted(path.name for path in folder.path.glob("*.tmp")) == []


def test_a_merge_says_what_it_set_aside(folder, caplog):
    fill(folder)
    part = folder.trial_part(f"{1:016x}")
    part.write_bytes(part.read_bytes()[:-10])
    aside = part.with_name(f"{part.name}.corrupt")
    assert store.merge(folder) == (aside,)
    assert f"{part}: cannot be read; it is set aside as {aside.name}" in caplog.text
    assert list(store.read_run(folder).trials.trial_id) == [f"{0:016x}", f"{2:016x}"]


def test_a_part_that_turns_corrupt_in_a_merge_leaves_the_merged_row(folder, monkeypatch):
    fill(folder)
    store.merge(folder)
    before = store.read_run(folder)
    store.write_trial_part(folder, trial_row(f"{1:016x}", val_loss=9.0), [])
    real = merging.read_parts
    calls = []

    def tearing(*arguments, **options):
        calls.append(options)
        if options.get("ids"):
            folder.trial_part(f"{1:016x}").write_bytes(b"torn")
        return real(*arguments, **options)

    monkeypatch.setattr(merging, "read_parts", tearing)
    assert len(store.merge(folder)) == 1
    assert len(calls) == 3
    assert_same(before, store.read_run(folder))


def test_no_table_is_touched_by_a_merge_of_nothing(folder):
    fill(folder)
    store.merge(folder)
    before = {path: path.stat().st_ino for path in folder.path.glob("*.parquet")}
    assert len(before) == 4
    store.merge(folder)
    assert {path: path.stat().st_ino for path in before} == before


def test_a_merge_that_may_not_write_is_refused(folder, monkeypatch):
    fill(folder)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ResultError, match="Permission denied"):
        store.merge(folder)
