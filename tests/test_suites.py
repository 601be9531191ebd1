"""The suites that come with depthbench: each loads, plans, and says in its header what it does."""

import re
from pathlib import Path

import pytest

from depthbench.expand import expand
from depthbench.grammar import NAME_PATTERN
from depthbench.suite import load_suite

SUITES = sorted((Path(__file__).parents[1] / "suites").glob("*.yaml"))
HEADER = ("Command", "Trials", "Cost", "Expect")


def header_of(path: Path) -> dict[str, str]:
    """Return the entries of a suite's opening comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = "\n".join(line[2:] for line in lines if line.startswith("#"))
    return dict(re.findall(r"^(\w+): +(.+)$", comment, flags=re.MULTILINE))


def test_there_are_suites():
    names = {path.stem for path in SUITES}
    assert {"quickstart", "digits-depth", "fashion-mnist", "wrn-cifar10"} <= names


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_loads_and_plans_as_its_header_says(path):
    suite = load_suite(path)
    trials = expand(suite)
    header = header_of(path)
    assert not set(HEADER) - set(header), "a header entry is missing"
    assert int(header["Trials"].split()[0].replace(",", "")) == len(trials)
    assert f"suites/{path.name}" in header["Command"]
    assert suite.question
    assert suite.name == path.stem
    assert re.fullmatch(NAME_PATTERN, path.stem)
    assert all(share.is_on_budget for trial in trials for share in trial.budgets)
    assert not {"TODO", "COST", "EXPECT"} & set(header.values())
