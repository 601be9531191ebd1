"""A run's folder: made, locked, written atomically, found again."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from depthbench import store
from depthbench.errors import ResultError
from depthbench.folder import write_atomically
from depthbench.record import SCHEMA_VERSION
from tests.fixtures_store import (
    Crash,
    assert_same,
    curve_rows,
    fill,
    new_run,
    parts,
    timing_row,
    trial_row,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow, and no use in a test
    return new_run(tmp_path)


def test_a_new_writer_clears_what_a_dead_one_left_half_written(folder):
    leftovers = [
        folder.path / ".trials.parquet.1.tmp",
        folder.parts / ".trial-0.parquet.1.tmp",
        folder.weights_folder / "0.1.tmp",
    ]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    with store.lock_run(folder):
        assert not any(leftover.exists() for leftover in leftovers)
    assert folder.run_json.exists()


def test_a_second_process_is_refused_and_the_next_one_is_not(folder):
    code = """
import sys
from depthbench import store
try:
    with store.lock_run(store.RunFolder(store.Path(sys.argv[1]))):
        print("got it")
except store.ResultError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(folder.path)]
    with store.lock_run(folder):
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert str(folder.path) in said
        assert "another process" in said
        with pytest.raises(ResultError, match="another process"), store.lock_run(folder):
            pass
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "got it"


def test_the_lock_is_given_back_after_a_failure(folder):
    with pytest.raises(Crash), store.lock_run(folder):
        raise Crash
    with store.lock_run(folder):
        assert folder.path.exists()


PLACES = ["", "/quickstart", "/quickstart/first"]


@pytest.mark.parametrize(
    "place", [f"out{below}" for below in (*PLACES, f"{PLACES[2]}/parts", f"{PLACES[2]}/weights")]
)
def test_a_file_in_place_of_a_folder_is_refused_before_anything_is_computed(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file")
    with pytest.raises(ResultError, match=r"--out DIR") as caught:
        store.create_run(tmp_path / "out", "quickstart", "first")
    assert str(tmp_path / "out") in str(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path, monkeypatch, number
):
    opened = Path.open

    def refusing(self, mode="r", *arguments, **options):
        if "w" in mode:
            raise OSError(number, os.strerror(number), str(self))
        return opened(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ResultError, match=os.strerror(number)) as caught:
        store.create_run(tmp_path, "quickstart", "first")
    assert "--out DIR" in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")
def test_a_file_system_without_files_is_refused():
    with pytest.raises(ResultError, match=r"/proc/self.*--out DIR"):
        store.create_run(Path("/proc/self"), "quickstart", "first")


def test_an_existing_run_is_found_again_and_kept(folder):
    fill(folder)
    again = store.create_run(folder.path.parents[1], "quickstart", "first")
    assert again == folder
    assert len(store.finished_trials(again)) == 3
    assert sorted(p.name for p in folder.path.iterdir()) == ["parts", "run.json", "weights"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b", "x" * 200, "a\n"])
def test_a_run_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(ResultError, match="--run"):
        store.create_run(tmp_path, "quickstart", name)
    assert list(tmp_path.iterdir()) == []


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    events = []
    replace, fsync = Path.replace, os.fsync

    def recorded_replace(self, target):
        events.append("rename")
        return replace(self, target)

    def recorded_fsync(descriptor):
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")
        fsync(descriptor)

    monkeypatch.setattr(Path, "replace", recorded_replace)
    monkeypatch.setattr(os, "fsync", recorded_fsync)
    write_atomically(tmp_path / "file", b"content")
    assert events == ["content", "rename", "folder"]
    assert (tmp_path / "file").read_bytes() == b"content"


def full_disk(monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)


def test_a_full_disk_is_named_and_nothing_is_half_written(folder, monkeypatch):
    fill(folder)
    before = store.read_run(folder)
    names = parts(folder)
    writes = [
        lambda: store.write_trial_part(folder, trial_row(), curve_rows()),
        lambda: store.write_timing_part(folder, timing_row(status="failed")),
        lambda: store.update_trial(folder, f"{0:016x}", test_loss=1.0),
        lambda: store.write_run_json(folder, {"suite": "other"}),
        lambda: store.merge(folder),
    ]
    with monkeypatch.context() as patch:
        full_disk(patch)
        for write in writes:
            with pytest.raises(ResultError, match=r"No space left.*--run NAME"):
                write()
    assert parts(folder) == names
    assert_same(before, store.read_run(folder))
    assert store.read_run_json(folder)["suite"] == "quickstart"


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_a_write_that_the_system_cuts_short_leaves_nothing(folder):
    code = """
import resource, signal, sys

from tests.fixtures_store import curve_rows, store, trial_row
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    store.write_trial_part(store.RunFolder(store.Path(sys.argv[1])), trial_row(), curve_rows(5000))
except store.ResultError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder.path)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written" in done.stdout
    assert "Free some space" in done.stdout
    assert parts(folder) == []


def test_run_json_gains_the_schema_version(folder):
    assert store.read_run_json(folder)["schema_version"] == SCHEMA_VERSION
    assert json.loads(folder.run_json.read_text())["status"] == "running"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not readable JSON"),
        ('{"suite": ', "not readable JSON"),
        ("[" * 100_000, "not readable JSON"),
        ("\x00\x01", "not readable JSON"),
        ('["a list"]', "not depthbench's"),
        ('{"name": "a package"}', "not depthbench's"),
        ('{"suite": "a", "schema_version": 99}', "newer depthbench"),
        ('{"suite": "a", "schema_version": "1"}', "not a whole number"),
    ],
)
def test_a_run_json_that_is_not_ours_is_named(folder, text, said):
    folder.run_json.write_text(text)
    with pytest.raises(ResultError, match=said) as caught:
        store.read_run(folder.path)
    assert str(folder.run_json) in str(caught.value)


def test_a_folder_without_a_run_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ResultError, match="depthbench runs"):
            store.read_run(path)


def make_runs(root, *runs):
    for name, created_at in runs:
        path = root / name
        path.mkdir(parents=True)
        store.write_run_json(store.RunFolder(path), {"suite": "a", "created_at": created_at})


def test_runs_are_found_newest_first_from_any_level(tmp_path):
    make_runs(
        tmp_path,
        ("suite-a/first", "2026-01-01T00:00:00"),
        ("suite-a/second", "2026-01-03T00:00:00"),
        ("suite-b/only", "2026-01-02T00:00:00"),
        ("published/suite-c/old", "2025-01-01T00:00:00"),
    )
    (tmp_path / "suite-a" / "notes").mkdir()
    (tmp_path / "README.md").write_text("results")
    found = [str(path.relative_to(tmp_path)) for path in store.find_runs(tmp_path)]
    assert found == ["suite-a/second", "suite-b/only", "suite-a/first", "published/suite-c/old"]
    suite = tmp_path / "suite-a"
    assert store.find_runs(suite) == (suite / "second", suite / "first")
    assert store.find_runs(suite / "first") == (suite / "first",)


def test_a_run_that_cannot_be_read_is_found_last(tmp_path):
    make_runs(tmp_path, ("a/good", "2026-01-01T00:00:00"), ("a/bad", "2026-01-02T00:00:00"))
    (tmp_path / "a" / "bad" / "run.json").write_text("{")
    assert [path.name for path in store.find_runs(tmp_path)] == ["good", "bad"]


def test_no_runs_and_no_folder_are_told_apart(tmp_path):
    assert store.find_runs(tmp_path) == ()
    with pytest.raises(ResultError, match="no such folder"):
        store.find_runs(tmp_path / "missing")
