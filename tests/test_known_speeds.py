"""A machine is measured once a shape: workers.json remembers."""

import pytest

from depthbench import expand, known_speeds
from depthbench.known_speeds import NAME, KnownSpeeds
from depthbench.suite import parse_suite
from depthbench.worker_speed import Layout, Speed

LAYOUTS = [Layout(2, 1), Layout(1, 2)]
HERE = {"cpu": "a"}


def group_of(width=16):
    text = f"""
suite: known
dataset: digits
variants: [{{family: deep, backbone: mlp, depth: 2, width: {width}}}]
train: {{epochs: 1}}
"""
    return expand(parse_suite(text, "t"))


@pytest.fixture
def asked(monkeypatch):
    groups = []

    def measure(group, context, layouts):
        groups.append(group)
        return [Speed(each.num_workers, each.num_threads, 10.0 * len(groups)) for each in layouts]

    monkeypatch.setattr(known_speeds, "measure_speeds", measure)
    monkeypatch.setattr(
        known_speeds.environment, "differences", lambda a, b: {} if a == b else {"cpu": (a, b)}
    )
    return groups


def test_what_was_measured_is_not_measured_again(tmp_path, asked):
    first = KnownSpeeds(tmp_path, HERE)(group_of(), None, LAYOUTS)
    again = KnownSpeeds(tmp_path, HERE)(group_of(), None, LAYOUTS)
    assert first == again == [Speed(2, 1, 10.0), Speed(1, 2, 10.0)]
    assert len(asked) == 1


def test_another_size_other_layouts_or_another_machine_are_measured(tmp_path, asked):
    KnownSpeeds(tmp_path, HERE)(group_of(), None, LAYOUTS)
    KnownSpeeds(tmp_path, HERE)(group_of(width=256), None, LAYOUTS)
    KnownSpeeds(tmp_path, HERE)(group_of(), None, LAYOUTS[:1])
    assert len(asked) == 3
    KnownSpeeds(tmp_path, {"cpu": "b"})(group_of(), None, LAYOUTS)
    assert len(asked) == 4


@pytest.mark.parametrize("text", ["", "[]", '{"speeds": {"x": [{"y": 1}]}, "environment": {}}'])
def test_a_file_that_cannot_be_read_is_made_again(tmp_path, asked, text):
    (tmp_path / NAME).write_text(text)
    KnownSpeeds(tmp_path, HERE)(group_of(), None, LAYOUTS)
    KnownSpeeds(tmp_path, HERE)(group_of(), None, LAYOUTS)
    assert len(asked) == 1


def test_a_folder_that_cannot_be_written_costs_another_measurement_only(tmp_path, asked):
    nowhere = tmp_path / "file"
    nowhere.write_text("no folder")
    assert KnownSpeeds(nowhere, HERE)(group_of(), None, LAYOUTS)
    assert KnownSpeeds(nowhere, HERE)(group_of(), None, LAYOUTS)
    assert len(asked) == 2


def test_a_measurement_that_failed_is_made_again(tmp_path, asked, monkeypatch):
    real = known_speeds.measure_speeds
    monkeypatch.setattr(known_speeds, "measure_speeds", lambda *arguments: [])
    assert KnownSpeeds(tmp_path, HERE)(group_of(), None, LAYOUTS) == []
    monkeypatch.setattr(known_speeds, "measure_speeds", real)
    assert KnownSpeeds(tmp_path, HERE)(group_of(), None, LAYOUTS) != []
