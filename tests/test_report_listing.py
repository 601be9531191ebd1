import json

import pytest

from depthbench import store
from depthbench.report.listing import list_runs, render_runs
from tests.fixtures_results import trial_rows


def write_run(root, name, created_at, statuses):
    folder = store.create_run(root, "planted", name)
    facts = {"suite": "planted", "run": name, "status": "running", "created_at": created_at}
    store.write_run_json(folder, facts | {"schema_version": 1, "num_trials": 9})
    rows = trial_rows("deep", [0.1] * len(statuses), statuses=statuses)
    for row in rows:
        store.write_trial_part(folder, row, ())
    return folder


@pytest.fixture
def root(tmp_path):
    write_run(tmp_path, "older", "2026-01-01T00:00:00+00:00", ["ok", "diverged"])
    write_run(tmp_path, "newer", "2026-01-02T00:00:00+00:00", ["ok", "ok", "oom", "failed"])
    return tmp_path


def test_runs_are_listed_newest_first_with_how_far_they_are(root):
    with store.lock_run(store.RunFolder(root / "planted" / "older")):
        newer, older = list_runs(root)
    assert (newer.run, newer.num_ok, newer.num_failed, newer.num_planned) == ("newer", 2, 2, 9)
    assert (older.run, older.num_ok, older.num_diverged, older.status) == (
        "older",
        1,
        1,
        "running",
    )


def test_a_run_that_nobody_writes_and_nobody_ended_was_killed(root):
    folder = store.RunFolder(root / "planted" / "older")
    assert [listing.status for listing in list_runs(root)] == ["killed", "killed"]
    assert not folder.lock.exists()
    with store.lock_run(folder):
        assert [listing.status for listing in list_runs(root)] == ["killed", "running"]
        with pytest.raises(store.ResultError, match="another process"), store.lock_run(folder):
            pass
    store.write_run_json(folder, store.read_run_json(folder) | {"status": "interrupted"})
    assert [listing.status for listing in list_runs(root)] == ["killed", "interrupted"]


def test_a_run_that_cannot_be_read_is_listed_with_its_problem(root):
    folder = root / "planted" / "newer"
    (folder / "trials.parquet").write_bytes(b"not parquet")
    found = {listing.run: listing for listing in list_runs(root)}
    assert found["newer"].status == "unreadable"
    assert "trials.parquet" in found["newer"].problem
    assert found["older"].problem is None
    assert "problem" in render_runs(list(found.values()), "md")


def test_a_list_renders_in_every_format(root):
    listings = list_runs(root)
    assert "newer" in render_runs(listings, "terminal")
    assert [row["run"] for row in json.loads(render_runs(listings, "json"))] == ["newer", "older"]
    assert render_runs(listings, "csv").count("\n") == 3


def test_an_empty_folder_says_what_makes_a_run(tmp_path):
    assert "depthbench run SUITE" in render_runs(list_runs(tmp_path), "terminal")
    assert json.loads(render_runs([], "json")) == []
