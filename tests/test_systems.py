"""The table of options keeps step with the grammar, and its example suites with both."""

from pathlib import Path

import pytest

from depthbench.grammar import AVAILABLE, BackboneSettings, ModelOptions, VariantSettings
from depthbench.models.systems import SYSTEMS, System, places_of
from depthbench.options import option_problems
from depthbench.suite import load_suite

SUITES = Path(__file__).parents[1] / "suites"


def options_of(path):
    """Return the names of the options of networks that a suite gives."""
    suite = load_suite(path)
    networks = [entry.settings for entry in suite.variants] + list(suite.backbones)
    networks += [backbone for entry in suite.variants for backbone in entry.backbones]
    return {n for n in ModelOptions.model_fields for o in networks if getattr(o, n) is not None}


def test_every_option_of_the_grammar_is_told():
    told = {option for system in SYSTEMS.values() for option in system.options}
    assert told == set(ModelOptions.model_fields)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_a_system_says_what_it_is_and_its_suite_uses_it(system):
    assert all((system.formula, system.source, places_of(system)))
    assert options_of(SUITES / f"{system.suite}.yaml") & set(system.options)


@pytest.mark.parametrize(
    ("options", "places"),
    [
        (("residual_scale",), "any backbone"),
        (("skip",), "mlp, conv"),
        (("kv_heads",), "transformer, mixer"),
        (("loops",), "mlp, conv, transformer, mixer in looped"),
        (("norm_sharing",), "mlp, transformer, mixer in widenet"),
        (("bottleneck",), "mlp, transformer, mixer; conv, preact in hourglass"),
    ],
)
def test_places_are_those_where_an_option_applies(options, places):
    assert places_of(System(options, "formula", "source", "suite")) == places


@pytest.mark.parametrize(
    ("init", "name"), [("critical", "critical first weights"), ("deepscale", "DeepScaleLM")]
)
def test_first_weights_by_a_rule_are_refused_where_they_are_not_said_to_apply(init, name):
    settings = VariantSettings(family="deep", depth=2, width=8, init=init)
    accepted = [
        backbone
        for backbone in AVAILABLE["backbone"]
        if not option_problems(settings, BackboneSettings(name=backbone))
    ]
    assert tuple(accepted) == SYSTEMS[name].backbones
