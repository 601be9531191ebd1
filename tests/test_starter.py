"""What `init` writes: a suite that is whole, and says what to do with it."""

import pytest

from depthbench.starter import write_starter
from depthbench.suite import load_suite


@pytest.mark.parametrize("name", ["s.yaml", "a-rather-long-name.yaml", "two words.yaml"])
def test_the_commands_of_a_starter_are_aligned_and_can_be_pasted(tmp_path, name):
    told = write_starter(tmp_path / name)
    lines = (tmp_path / name).read_text().splitlines()
    commands = [line for line in lines if line.startswith("#") and "  depthbench " in line]
    assert len({line.index("depthbench") for line in commands}) == 1
    meanings = ("what it would run", "runs it", "answers")
    places = {line.index(words) for line, words in zip(commands, meanings, strict=True)}
    assert len(places) == 1
    path = str(tmp_path / name)
    shown = f"'{path}'" if " " in path else path
    assert f"depthbench plan {shown} " in commands[0]
    assert f"depthbench run {shown} " in commands[1]
    assert told[-1] == f"next: depthbench plan {shown}"


def test_the_question_of_a_starter_is_that_of_its_variants(tmp_path):
    write_starter(tmp_path / "s.yaml")
    suite = load_suite(tmp_path / "s.yaml")
    words = suite.question.replace("_", " ")
    for entry in ("deep", "wide", "parallel", "hourglass"):
        assert entry in words
    assert "layer" not in (tmp_path / "s.yaml").read_text()
