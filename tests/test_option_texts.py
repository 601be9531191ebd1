"""Names of variants tell the options by which these differ, and none that go without saying."""

import pytest

from depthbench.expand import expand
from depthbench.report.option_texts import NETWORK_COLUMNS, OPTION_COLUMNS, option_texts
from depthbench.suite import parse_suite
from tests.test_suite import MINIMAL


def texts_of(*variants, backbone="mlp"):
    listed = ", ".join("{depth: 4, width: 64, " + variant + "}" for variant in variants)
    text = MINIMAL.replace("[{family: deep, depth: 2, width: 8}]", f"[{listed}]")
    suite = parse_suite(text.replace("backbone: mlp", f"backbone: {backbone}"), "s.yaml", ())
    found = {trial.variant_id: trial.describe() for trial in expand(suite)}
    assert len(found) == len(variants)
    return option_texts(list(found.values()))


def test_a_default_is_no_part_of_a_name():
    assert texts_of(
        "family: deep",
        "family: deep, survival: 0.5",
        "family: deep, layer_scale: 0.1",
        "family: deep, parametrization: mup",
    ) == ["", "survival 0.5", "layer scale 0.1", "mup"]


def test_where_a_default_is_a_choice_among_others_all_are_told():
    assert texts_of("family: deep", "family: deep, activation: gelu") == [
        "activation relu",
        "activation gelu",
    ]
    assert texts_of("family: looped", "family: looped, loops: 4", "family: deep") == [
        "loops 2",
        "loops 4",
        "",
    ]


def test_every_option_of_a_variant_is_told_though_fewer_would_tell_it_apart():
    told = texts_of(
        "family: deep, norm: none, residual_scale: rezero",
        "family: deep, residual_scale: rezero",
        "family: deep",
    )
    assert told == ["norm none, residual scale rezero", *told[1:]]
    assert told[1:] == ["norm layer, residual scale rezero", "norm layer"]


def test_what_all_have_or_follows_from_the_shape_is_not_told():
    assert texts_of(
        "family: deep, norm: rms", "family: parallel_shallow, norm: rms, branches: 4"
    ) == ["", ""]
    assert texts_of("family: deep", "family: deep, parametrization: mup, base_width: 32") == [
        "",
        "mup",
    ]


def test_what_differs_at_the_base_width_alone_is_told():
    told = texts_of(
        "family: deep, parametrization: mup, base_width: 32, hidden: 128",
        "family: deep, parametrization: mup, base_width: 32, expansion: 2",
    )
    assert told == ["base hidden 128", "base hidden 64"]


def test_an_option_that_a_width_was_solved_for_is_told():
    assert texts_of("family: deep", "family: deep, expansion: 0.5") == ["hidden 128", "hidden 32"]


def test_flags_read_as_words():
    assert texts_of(
        "family: deep", "family: deep, bias: false", "family: deep, depth_average: true"
    ) == [
        "",
        "no bias",
        "depth average",
    ]


def test_having_no_heads_of_keys_of_their_own_is_the_default():
    told = texts_of(
        "family: deep, heads: 4, kv_heads: 1", "family: deep, heads: 4", backbone="transformer"
    )
    assert told == ["kv heads 1", ""]


@pytest.mark.parametrize("unknown", [{"family": None}, {"backbone": "theirs"}, {"depth": None}])
def test_networks_of_other_programs_are_told_apart_too(unknown):
    row = dict.fromkeys((*NETWORK_COLUMNS, *OPTION_COLUMNS))
    row |= {"family": "deep", "backbone": "mlp", "depth": 4, "width": 32} | unknown
    assert option_texts([row | {"kernel": 3}, row | {"kernel": 5}]) == ["kernel 3", "kernel 5"]
