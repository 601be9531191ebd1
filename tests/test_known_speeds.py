"""A machine is measured once a shape: workers.json remembers."""

import pytest

from depthbench import expand, known_speeds
from depthbench.known_speeds import NAME, KnownSpeeds
from depthbench.suite import parse_suite
from depthbench.worker_costs import Layout, Speed

LAYOUTS = [Layout(2, 1), Layout(1, 2)]
HERE = {"cpu": "a"}


def trial_of(width=16):
    text = f"""
suite: known
dataset: digits
variants: [{{family: deep, backbone: mlp, depth: 2, width: {width}}}]
train: {{epochs: 1}}
"""
    (trial,) = expand(parse_suite(text, "t"))
    return trial


@pytest.fixture
def asked(monkeypatch):
    trials = []

    def measure(trial, context, layouts):
        trials.append(trial)
        return [Speed(each.num_workers, each.num_threads, 10.0 * len(trials)) for each in layouts]

    monkeypatch.setattr(known_speeds, "measure_speeds", measure)
    monkeypatch.setattr(
        known_speeds.environment, "differences", lambda a, b: {} if a == b else {"cpu": (a, b)}
    )
    return trials


def speeds_of(folder, trial=None, layouts=LAYOUTS, facts=HERE):
    """Return what is known of a trial, else what is measured."""
    speeds, trial = KnownSpeeds(folder, facts), trial or trial_of()
    return speeds.known(trial, layouts) or speeds.measured(trial, None, layouts)


def test_what_was_measured_is_not_measured_again(tmp_path, asked):
    first, again = (speeds_of(tmp_path) for _ in range(2))
    assert first == again == [Speed(2, 1, 10.0), Speed(1, 2, 10.0)]
    assert len(asked) == 1


def test_another_size_other_layouts_or_another_machine_are_measured(tmp_path, asked):
    speeds_of(tmp_path)
    speeds_of(tmp_path, trial_of(width=256))
    speeds_of(tmp_path, layouts=LAYOUTS[:1])
    assert len(asked) == 3
    for _ in range(2):
        assert speeds_of(tmp_path)[0].steps_per_second == 10.0
    speeds_of(tmp_path, facts={"cpu": "b"})
    assert len(asked) == 4


@pytest.mark.parametrize("text", ["", "[]", '{"speeds": {"x": [{"y": 1}]}, "environment": {}}'])
def test_a_file_that_cannot_be_read_is_made_again(tmp_path, asked, text):
    (tmp_path / NAME).write_text(text)
    speeds_of(tmp_path)
    speeds_of(tmp_path)
    assert len(asked) == 1


def test_a_folder_that_cannot_be_written_costs_another_measurement_only(tmp_path, asked):
    nowhere = tmp_path / "file"
    nowhere.write_text("no folder")
    assert speeds_of(nowhere)
    assert speeds_of(nowhere)
    assert len(asked) == 2


def test_a_measurement_that_failed_is_made_again(tmp_path, asked, monkeypatch):
    real = known_speeds.measure_speeds
    monkeypatch.setattr(known_speeds, "measure_speeds", lambda *arguments: [])
    assert speeds_of(tmp_path) == []
    monkeypatch.setattr(known_speeds, "measure_speeds", real)
    assert speeds_of(tmp_path) != []
