"""Mutated suites never give a traceback: they load, or one SuiteError says what is wrong."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from depthbench import grammar as g
from depthbench.errors import SuiteError
from depthbench.suite import parse_suite
from tests.test_suite import FULL, MINIMAL

BASES = [YAML(typ="safe").load(text) for text in (MINIMAL, FULL)]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["match", "deep", "wide", "hourglass", "conv", "mlp", "npz", "fused", "1/L", "step", "0.5"]
    ),
    st.lists(st.integers(-1, 9), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.just({"family": "deep", "depth": 1, "width": 2}),
    st.just([[1, 2], [3]]),
)
SECTIONS = (
    g.VariantSettings,
    g.BackboneSettings,
    g.DatasetSettings,
    g.TrainSettings,
    g.BudgetSettings,
    g.TimingSettings,
    g.ClaimSettings,
)
KEYS = st.sampled_from(
    sorted({key for section in SECTIONS for key in section.model_fields} | {"train", "seeds"})
)


def places(value, path=()):
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from places(inner, (*path, key))


def mutate(value, data):
    """Return the value with one part replaced, removed, added or doubled."""
    value = copy.deepcopy(value)
    path = data.draw(st.sampled_from([p for p in places(value) if p]))
    parent = value
    for part in path[:-1]:
        parent = parent[part]
    action = data.draw(st.sampled_from(["replace", "remove", "add", "list"]))
    if action == "remove":
        del parent[path[-1]]
    elif action == "list":
        parent[path[-1]] = [parent[path[-1]], data.draw(ODD)]
    elif action == "add" and isinstance(parent[path[-1]], dict):
        parent[path[-1]][data.draw(KEYS)] = data.draw(ODD)
    else:
        parent[path[-1]] = data.draw(ODD)
    return value


def load_and_plan(text):
    from depthbench.expand import expand

    try:
        suite = parse_suite(text, "fuzz.yaml")
        shapes = {(e.settings.depth, e.settings.width) for e in suite.variants}
        if len(shapes) <= 16 and all(d <= 16 and (w == "match" or w <= 256) for d, w in shapes):
            expand(suite)
    except SuiteError as error:
        assert str(error).strip()
        assert "Traceback" not in str(error)


def check_values(data, num_mutations):
    value = data.draw(st.sampled_from(BASES))
    for _ in range(num_mutations):
        if not any(True for p in places(value) if p):
            return
        value = mutate(value, data)
    load_and_plan(json.dumps(value))


def check_text(data):
    text = data.draw(st.sampled_from([MINIMAL, FULL]))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    noise = st.text("abz01 \t\n:,-&*!|>[]{}'\"#%@`?<~.\\\x00\x85\ufeff", max_size=6)
    load_and_plan(text[:start] + data.draw(noise) + text[end:])


QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
LONG = settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(st.data())
def test_one_mutation_of_a_setting_is_understood_or_refused(data):
    check_values(data, 1)


@QUICK
@given(st.data())
def test_mutated_text_is_understood_or_refused(data):
    check_text(data)


@pytest.mark.slow
@LONG
@given(st.data(), st.integers(1, 5))
def test_many_mutations_of_settings(data, num_mutations):
    check_values(data, num_mutations)


@pytest.mark.slow
@LONG
@given(st.data())
def test_many_mutations_of_text(data):
    check_text(data)
