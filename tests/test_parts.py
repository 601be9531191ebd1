"""A finished trial is on the disk wholly or not at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depthbench import parts as parts_module
from depthbench import store
from tests.fixtures_store import (
    CORRUPTIONS,
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
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow, and no use in a test
    return new_run(tmp_path)


def test_a_trial_whose_write_was_cut_short_is_not_there(folder, monkeypatch):
    with monkeypatch.context() as patch:
        crash_at_replace(patch, 0)
        with pytest.raises(Crash):
            store.write_trial_part(folder, trial_row(), curve_rows())
    assert store.finished_trials(folder) == {}
    assert store.read_run(folder).trials.empty


def test_a_cut_short_rewrite_leaves_the_row_as_it_was(folder, monkeypatch):
    fill(folder)
    before = store.read_run(folder)
    with monkeypatch.context() as patch:
        crash_at_replace(patch, 0)
        with pytest.raises(Crash):
            store.update_trial(folder, f"{0:016x}", test_loss=1.0)
    assert_same(before, store.read_run(folder))


def test_a_process_killed_at_any_moment_leaves_whole_trials_only(tmp_path):
    code = """
import sys

from pathlib import Path
from tests.fixtures_store import curve_rows, new_run, store, trial_row
folder = new_run(Path(sys.argv[1]))
for number in range(100_000):
    store.write_trial_part(folder, trial_row(f"{number:016x}"), curve_rows(50))
    print(number, flush=True)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as writer:
        reported = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
    folder = store.RunFolder(tmp_path / "quickstart" / "first")
    run = store.read_run(folder)
    assert {f"{number:016x}" for number in reported} <= set(run.trials.trial_id)
    assert run.corrupt_parts == ()
    assert (run.curves.groupby("trial_id").size() == 50).all()


def test_a_reader_misses_nothing_when_a_merge_ends_while_it_reads(folder, monkeypatch):
    fill(folder)
    before = store.read_run(folder)
    read_part = parts_module.read_part
    calls = []

    def merging_first(path, **options):
        if not calls:
            calls.append(path)
            store.merge(folder)
        return read_part(path, **options)

    monkeypatch.setattr(parts_module, "read_part", merging_first)
    monkeypatch.setattr(parts_module, "NUM_READERS", 1)
    assert_same(before, store.read_run(folder))
    assert calls


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corrupt_part_is_named_by_a_reader_and_set_aside_by_a_writer(folder, kind):
    fill(folder)
    part = folder.trial_part(f"{1:016x}")
    part.write_bytes(CORRUPTIONS[kind](part.read_bytes()))
    run = store.read_run(folder)
    assert run.corrupt_parts == (part,)
    assert run.trials.trial_id.tolist() == [f"{0:016x}", f"{2:016x}"]
    assert part.exists()
    assert set(store.finished_trials(folder)) == {f"{0:016x}", f"{2:016x}"}
    assert part.with_name(f"{part.name}.corrupt").exists()
    assert not part.exists()
    store.write_trial_part(folder, trial_row(f"{1:016x}"), [])
    assert store.read_run(folder).corrupt_parts == ()


def test_a_merge_keeps_a_corrupt_part_aside(folder):
    fill(folder)
    folder.trial_part(f"{1:016x}").write_bytes(b"half")
    store.merge(folder)
    assert parts(folder) == [f"trial-{1:016x}.parquet.corrupt"]
    assert len(store.read_run(folder).trials) == 2


def test_a_copy_of_a_part_under_another_name_doubles_nothing(folder):
    fill(folder, num_trials=1)
    shutil.copy(folder.trial_part(f"{0:016x}"), folder.parts / "trial-copy.parquet")
    assert len(store.read_run(folder).trials) == 1
