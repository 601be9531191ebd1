"""A run is refused before anything is made, and its command can be pasted."""

import shlex

import pytest
from typer.testing import CliRunner

from depthbench.cli import app
from depthbench.errors import DepthbenchError, ResultError, SuiteError
from depthbench.request import RunOptions, request_run, run_command
from depthbench.suite import load_suite, parse_suite
from tests.test_run import TINY

GIVEN = RunOptions(
    out="my results",
    run="r",
    executor="process",
    workers=3,
    time_limit=2.5,
    address="10.0.0.1:6379",
    workers_per_gpu=3,
    device="cpu",
    data_dir="$HOME/data",
    only="depth > 4 and family == 'deep'",
    retry_failed=True,
    keep_weights=True,
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a suite.yaml"
    path.write_text(TINY)
    return path


def test_a_plain_run_has_a_short_command(path):
    command = run_command(load_suite(path), RunOptions(run="r"))
    assert command == f"depthbench run '{path}' --run r"


def test_the_command_gives_back_what_was_asked_for(path, monkeypatch):
    texts = ("train.lr=[1e-05, 0.1]", "train.epochs=3", "question='a \"b\" $c'", "seeds=1")
    suite = load_suite(path, texts)
    words = shlex.split(run_command(suite, GIVEN))
    seen = {}

    def recorded(suite, **options):
        seen.update(options, suite=suite)
        raise SuiteError("seen")

    monkeypatch.setattr("depthbench.run.run_suite", recorded)
    CliRunner().invoke(app, words[1:])
    assert seen["suite"].canonical == suite.canonical
    as_given = ("run", "workers", "time_limit", "address", "workers_per_gpu", "device", "only")
    for name in (*as_given, "retry_failed", "keep_weights"):
        assert seen[name] == getattr(GIVEN, name)
    assert (str(seen["out"]), str(seen["data_dir"])) == (GIVEN.out, GIVEN.data_dir)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"executor": "slurm"}, "--executor slurm"),
        ({"executor": "local", "workers": 2}, "--workers 2: the local executor"),
        ({"executor": "local", "memory_limit": 2.0}, "--executor local: .* limit"),
        ({"executor": "process", "address": "h:6379"}, "--address h:6379: needs --executor ray"),
        ({"device": "quantum"}, "--device quantum"),
        ({"only": "depth > 100"}, "chooses none"),
        ({"run": "../x"}, "--run"),
    ],
)
def test_what_cannot_be_run_is_refused_and_nothing_is_made(tmp_path, changes, said):
    options = RunOptions(**{"out": str(tmp_path / "results")} | changes)
    with pytest.raises(DepthbenchError, match=said):
        request_run(parse_suite(TINY, "t"), options)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_another_suite_has_taken_is_refused(tmp_path):
    from depthbench.journal import open_run
    from depthbench.store import create_run

    suite = parse_suite(TINY, "t")
    open_run(suite, create_run(tmp_path, suite.name, "r"), "cpu", {}, 8)
    options = RunOptions(out=str(tmp_path), run="r", device="cpu")
    assert len(request_run(suite, options).trials) == 8
    with pytest.raises(ResultError, match="changed since"):
        request_run(parse_suite(TINY.replace("epochs: 2", "epochs: 3"), "t"), options)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"executor": "ray", "device": "cuda:1"}, "--device cuda:1: ray chooses"),
        ({"address": "nowhere"}, "--address nowhere: cannot be joined"),
    ],
)
def test_what_no_cluster_can_run_is_refused(tmp_path, changes, said):
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    with pytest.raises(DepthbenchError, match=said):
        request_run(parse_suite(TINY, "t"), RunOptions(**{"out": str(tmp_path)} | changes))
