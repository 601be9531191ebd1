"""The suites that come with depthbench: each loads, plans, and says in its header what it does."""

import re
from pathlib import Path

import pytest

from depthbench.expand import expand
from depthbench.grammar import NAME_PATTERN, ModelOptions
from depthbench.models.systems import SYSTEMS
from depthbench.suite import load_suite

FOLDER = Path(__file__).parents[1] / "suites"
SUITES = sorted(FOLDER.rglob("*.yaml"))
OF_SYSTEMS = [path for path in SUITES if path.parent.name == "systems"]
HEADER = ("Command", "Trials", "Cost", "Expect")


def header_of(path: Path) -> dict[str, str]:
    """Return the entries of a suite's opening comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = "\n".join(line[2:] for line in lines if line.startswith("#"))
    return dict(re.findall(r"^([\w']+): +(.+)$", comment, flags=re.MULTILINE))


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
    assert f"suites/{path.relative_to(FOLDER)}" in header["Command"]
    assert suite.question
    assert suite.name == path.stem
    assert re.fullmatch(NAME_PATTERN, path.stem)
    assert all(share.is_on_budget for trial in trials for share in trial.budgets)
    assert not {"TODO", "COST", "EXPECT"} & set(header.values())


@pytest.mark.parametrize("path", OF_SYSTEMS, ids=lambda path: path.stem)
def test_a_suite_of_a_system_asks_about_it_with_seeds_rates_and_a_claim_of_somebody(path):
    suite = load_suite(path)
    assert {"Paper's", "Ours"} <= set(header_of(path))
    assert any(system.suite == f"systems/{path.stem}" for system in SYSTEMS.values())
    assert len(suite.seeds) >= 3
    assert all(len({train.lr for train in entry.trains}) >= 2 for entry in suite.variants)
    assert suite.claims
    assert all(claim.source for claim in suite.claims)


def test_every_option_of_networks_is_used_by_some_suite():
    used = {
        name
        for path in SUITES
        for options in _networks_of(load_suite(path))
        for name in ModelOptions.model_fields
        if getattr(options, name) is not None
    }
    assert set(ModelOptions.model_fields) - used == set()


def _networks_of(suite):
    """Return all that says options of networks."""
    yield from suite.backbones
    for entry in suite.variants:
        yield entry.settings
        yield from entry.backbones
