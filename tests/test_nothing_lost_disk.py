"""What a disk does to a run costs nothing that was finished: full, read-only, or corrupting."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from depthbench import read_run, run_suite, store
from depthbench.progress import Quiet
from depthbench.suite import parse_suite
from tests.fixtures_struck import TINY, assert_same_run, strike

NUM_TRIALS = 12
UNTIMED = parse_suite(TINY[: TINY.index("timing:")], "tiny.yaml")

FULL = {
    "at the weights": (strike("fsync", ".*.pt.*", 4, "full"), 3),
    "at a part": (strike("fsync", ".trial-*", 3, "full"), 2),
    "in the test pass": (strike("fsync", ".trial-*", NUM_TRIALS + 2, "full"), NUM_TRIALS),
    "in the merge": (strike("fsync", ".curves.*", 1, "full"), NUM_TRIALS),
    "at the very end": (
        strike("replace", "timings.parquet", 1, "none"),
        strike("fsync", ".run.json.*", 1, "full"),
        NUM_TRIALS,
    ),
}


def some_slow(cases, *quick):
    """Return cases of which only some are in the default tests."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize("when", some_slow(FULL, "at a part", "in the merge"))
def test_a_full_disk_is_named_and_costs_the_trial_in_flight(strikable, quiet, tmp_path, when):
    *before, blow, num_kept = FULL[when]
    code, said = strikable.run(tmp_path, strikes=[*before, blow])
    assert code == 2, said
    assert_says_how_to_go_on(said, "No space left on device. Free some space")
    trials = read_run(tmp_path / "tiny" / "r").trials
    assert len(trials) == num_kept
    assert set(trials.status) == {"ok"}
    code, said = strikable.run(tmp_path)
    assert code == 0, said
    assert_same_run(tmp_path, quiet)


def assert_says_how_to_go_on(said, reason):
    assert reason in said
    assert "finish it with: depthbench run" in said
    assert "Traceback" not in said


@pytest.fixture
def small_disk(tmp_path):
    """Give a file system of its own, where the system lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode:
        pytest.skip(f"needs leave to mount: {done.stderr}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def remount(place, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


def test_a_disk_that_fills_up_keeps_what_was_finished(strikable, quiet, small_disk):
    code, said = strikable.run(small_disk)
    assert code == 2, said
    assert_says_how_to_go_on(said, "No space left on device. Free some space")
    trials = read_run(small_disk / "tiny" / "r").trials
    assert 0 < len(trials) < NUM_TRIALS
    assert set(trials.status) == {"ok"}
    remount(small_disk, "size=8m")
    code, said = strikable.run(small_disk)
    assert code == 0, said
    assert_same_run(small_disk, quiet)


def test_a_read_only_disk_is_found_before_anything_is_computed(strikable, small_disk):
    remount(small_disk, "ro")
    code, said = strikable.run(small_disk)
    assert code == 2, said
    assert "Read-only file system" in said
    assert "--out DIR" in said
    assert "train" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("place", ["", "parts", "weights"])
def test_a_place_that_cannot_be_written_is_found_before_anything_is_computed(
    strikable, tmp_path, place
):
    path = tmp_path / "tiny" / "r" / place
    path.parent.mkdir(parents=True)
    path.write_text("a file in place of a folder")
    code, said = strikable.run(tmp_path)
    assert code == 2, said
    assert str(path) in said
    assert "train" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("kept_bytes", [0, 1000])
def test_a_corrupt_part_is_set_aside_named_and_run_again(strikable, quiet, tmp_path, kept_bytes):
    strikable.run(tmp_path, strikes=[strike("replace", "trial-*.parquet", 7)])
    part = sorted((tmp_path / "tiny" / "r" / "parts").glob("trial-*.parquet"))[2]
    os.truncate(part, kept_bytes)
    code, said = strikable.run(tmp_path)
    assert code == 0, said
    assert f"{part}: cannot be read; it is set aside as {part.name}.corrupt" in said
    assert "train: 12 to do, 5 already done" in said
    assert part.with_name(f"{part.name}.corrupt").stat().st_size == kept_bytes
    assert_same_run(tmp_path, quiet)


@pytest.mark.parametrize("stage", ["run.read_test_sets", "run.store.merge"])
def test_a_part_that_turns_corrupt_in_a_run_is_made_again_in_it(tmp_path, monkeypatch, stage):
    module, _, name = stage.rpartition(".")
    place = store if "store" in module else __import__("depthbench.run", fromlist=["run"])
    real, torn = getattr(place, name), []

    def tearing(*arguments):
        if not torn:
            store.update_trial(folder, first_trial(folder), steps_taken=6)
            torn.append(folder.trial_part(first_trial(folder)))
            os.truncate(torn[0], 100)
        return real(*arguments)

    folder = store.run_folder(tmp_path / "torn", "tiny", "r")
    monkeypatch.setattr(place, name, tearing)
    summary = run_suite(UNTIMED, out=tmp_path / "torn", run="r")
    assert len(torn) == 1
    assert summary.trials_by_status == {"ok": NUM_TRIALS}
    run_suite(UNTIMED, out=tmp_path / "quiet", run="r")
    assert_same_run(tmp_path / "torn", tmp_path / "quiet")


def first_trial(folder):
    return min(store.finished_trials(folder))


class Witness(Quiet):
    """Write down, among the calls of the system, what people are told."""

    def __init__(self):
        self.events = []

    def advance(self, work, endings):
        self.events.append(("told", work.label))


def test_a_trial_is_on_the_disk_before_it_is_told_of(tmp_path, monkeypatch):
    witness = Witness()
    fsync, replace = os.fsync, Path.replace

    def witnessed_fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content"
        witness.events.append((kind, Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def witnessed_replace(self, target):
        witness.events.append(("rename", Path(target).name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", witnessed_fsync)
    monkeypatch.setattr(Path, "replace", witnessed_replace)
    run_suite(UNTIMED, out=tmp_path, run="r", progress=witness)
    told = [place for place, event in enumerate(witness.events) if event[0] == "told"]
    assert len(told) == NUM_TRIALS + NUM_TRIALS // 2  # trained, and tested at the better rate
    for place in told:
        content, rename, folder = witness.events[place - 3 : place]
        assert content[0] == "content"
        assert rename[0] == "rename"
        assert content[1].startswith(f".{rename[1]}")
        assert rename[1].startswith("trial-")
        assert folder == ("folder", "parts")


def test_weights_are_on_the_disk_before_the_part_that_counts_on_them(tmp_path, monkeypatch):
    names = []
    replace = Path.replace

    def noted(self, target):
        names.append(Path(target).name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    run_suite(UNTIMED, out=tmp_path, run="r", only="seed == 0")
    for name in (name for name in names if name.endswith(".pt")):
        part = f"trial-{name.removesuffix('.pt')}.parquet"
        assert names.index(name) < names.index(part)
