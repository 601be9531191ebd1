"""Options that exclude one another are refused with the reason, and no others are."""

import re

import pytest

from depthbench.errors import MatchError, SuiteError
from depthbench.expand import expand
from depthbench.grammar import BackboneSettings, VariantSettings
from depthbench.options import option_problems
from depthbench.suite import parse_suite

IMPORTED = BackboneSettings(import_="a.b:c")


def problems(backbone="mlp", family="deep", depth=4, width=16, **options):
    if isinstance(backbone, str):
        backbone = BackboneSettings(name=backbone)
    settings = VariantSettings(family=family, depth=depth, width=width, **options)
    return option_problems(settings, backbone)


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"backbone": "preact", "family": "looped", "depth": 3}, "family", "it is for mlp, conv"),
        ({"backbone": "conv", "family": "widenet"}, "family", "takes a feed-forward layer"),
        ({"backbone": IMPORTED, "family": "widenet"}, "family", "does not apply to backbone a.b:c"),
        (
            {"backbone": "mixer", "family": "widenet", "attention_every": 2},
            "attention_every",
            "shares one module",
        ),
        ({"skip": "none", "residual_scale": 0.5}, "residual_scale", "no sum whose parts"),
        ({"skip": "none", "residual_scale": "rezero"}, "residual_scale", "no sum whose parts"),
        ({"skip": "none", "survival": 0.5}, "survival", "would cut the network"),
        ({"skip": "none", "norm_position": "peri"}, "norm_position", "only around sums"),
        ({"backbone": "transformer", "skip": "none"}, "skip", "have sums within|has sums within"),
        (
            {"backbone": "transformer", "norm_position": "post", "residual_scale": "1/L"},
            "residual_scale",
            "a norm stands within it",
        ),
        ({"norm_position": "deep", "norm_scale": "1/sqrt(l)"}, "norm_scale", "use pre or peri"),
        ({"backbone": "conv", "norm_position": "post"}, "norm_position", "set norm: layer"),
        ({"backbone": "conv", "norm_scale": "1/sqrt(l)"}, "norm_scale", "set norm: layer"),
        (
            {"backbone": "preact", "depth": 3, "norm_position": "post"},
            "norm_position",
            "behind its",
        ),
        ({"backbone": "preact", "depth": 3, "depth_average": True}, "depth_average", "averaged"),
        ({"experts": 4, "init": "critical"}, "init", "gates shrink"),
        ({"family": "widenet", "init": "critical"}, "init", "gates shrink"),
        ({"experts": 4, "active_experts": 5}, "active_experts", "at most 4"),
        ({"family": "widenet", "active_experts": 5}, "active_experts", "of experts: 4"),
        ({"active_experts": 1}, "active_experts", "set experts: 2 or more"),
        ({"balance": 0.5}, "balance", "without effect"),
        ({"average_dilation": 2}, "average_dilation", "set depth_average: true"),
        ({"backbone": "conv", "average_period": 2}, "average_period", "set depth_average: true"),
        ({"norm_position": "deep", "residual_scale": "1/L"}, "residual_scale", "its own rule"),
        (
            {"family": "looped", "parametrization": "completep"},
            "parametrization",
            "run 2 times with the same weights",
        ),
        (
            {"backbone": "transformer", "family": "looped", "loops": 3, "init": "deepscale"},
            "init",
            "run 3 times",
        ),
        (
            {"backbone": "transformer", "init": "deepscale", "layer_scale": 0.1},
            "layer_scale",
            "by its own rule",
        ),
        (
            {"backbone": "transformer", "init": "deepscale", "norm_scale": "1/sqrt(l)"},
            "norm_scale",
            "by its own rule",
        ),
        ({"skip": "none", "norm_position": "post"}, "norm_position", "only around sums"),
        ({"base_width": 32}, "base_width", "set parametrization: ntk, mup"),
        ({"base_depth": 2}, "base_depth", "set parametrization: depth_mup or completep"),
        ({"backbone": "conv", "norm_affine": False}, "norm_affine", "conv has no norms"),
        ({"backbone": "conv", "head_norm": False}, "head_norm", "set norm: layer"),
        (
            {"backbone": "transformer", "width": 66, "heads": 3, "parametrization": "mup"},
            "heads",
            "3 does not divide base_width: 64",
        ),
        (
            {"backbone": "transformer", "width": 256, "kv_heads": 2, "parametrization": "mup"},
            "kv_heads",
            "2 does not divide the 1 head at base_width: 64",
        ),
        ({"backbone": "conv", "experts": 4}, "experts", "feed-forward layers"),
        ({"expansions": (1.0, 2.0)}, "expansions", "has 2 numbers and the depth is 4"),
        ({"family": "widenet", "expansions": (1.0,) * 4}, "expansions", "shared"),
        (
            {"family": "hourglass", "expansions": (0.5, 0.5, 0.5, 1.0)},
            "expansions",
            "1 is not below",
        ),
        (
            {"family": "hourglass", "width": 2, "expansions": (0.9,) * 4},
            "expansions",
            "hidden size 2 is not below the width 2",
        ),
        ({"hidden": 3, "expansions": (1.0,) * 4}, "expansions", "say the same thing"),
        ({"backbone": "mixer", "heads": 2}, "heads", "set attention_every"),
        ({"backbone": "mixer", "kv_heads": 1}, "kv_heads", "set attention_every"),
        ({"backbone": "transformer", "kv_heads": 2}, "kv_heads", "does not divide heads: 1"),
        (
            {"backbone": "transformer", "kv_heads": 2, "heads": 3, "head_size": 5},
            "kv_heads",
            "does not divide heads: 3",
        ),
        (
            {"backbone": "transformer", "kv_heads": 3, "head_size": 4},
            "kv_heads",
            "does not divide heads: 4",
        ),
        (
            {"backbone": "transformer", "kv_heads": 2, "width": "match"},
            "kv_heads",
            "needs heads, a multiple",
        ),
        ({"backbone": "transformer", "heads": "match"}, "heads", "needs head_size"),
        (
            {"backbone": "transformer", "heads": "match", "head_size": 8, "width": "match"},
            "heads",
            "only one of them",
        ),
        ({"backbone": "mlp", "loops": 2}, "loops", "only family looped"),
        (
            {"family": "parallel_shallow", "execution": "fused", "survival": 0.5},
            "execution",
            "survival: 0.5; use loop or auto",
        ),
        (
            {"family": "parallel_shallow", "execution": "fused", "expansions": (1.0, 2.0) * 2},
            "execution",
            "modules of unlike size",
        ),
    ],
)
def test_what_cannot_stand_together_is_named_with_its_reason(settings, field, message):
    [(found_field, found_message)] = problems(**settings)
    assert found_field == field
    assert re.search(message, found_message), found_message


@pytest.mark.parametrize(
    "settings",
    [
        {"family": "looped", "backbone": IMPORTED},
        {"backbone": "preact", "depth": 3, "survival": 0.5, "layer_scale": 0.1},
        {"skip": "none", "layer_scale": 0.1, "depth_average": True},
        {"skip": "none", "residual_scale": 1.0, "survival": 1.0, "norm_position": "pre"},
        {"norm_position": "peri", "residual_scale": "1/L", "norm_scale": "1/sqrt(l)"},
        {"norm_position": "post", "residual_scale": "1/L"},
        {
            **{"backbone": "transformer", "parallel_block": True},
            **{"norm_position": "post", "residual_scale": "learned"},
        },
        # Beside an axis of norms, of experts or of attention these are without effect at its end.
        {"backbone": "mixer", "norm": "none", "norm_position": "post", "residual_scale": "1/L"},
        {"backbone": "conv", "norm": "none", "norm_affine": False, "head_norm": False},
        {"parametrization": "sp", "base_width": 32, "base_depth": 2},
        {
            **{"backbone": "transformer", "width": 66, "heads": 3, "head_size": 20},
            **{"parametrization": "mup"},
        },
        {
            **{"backbone": "transformer", "width": 128, "heads": 4, "kv_heads": 2},
            **{"parametrization": "mup", "base_width": 32},
        },
        {"experts": 1, "active_experts": 2},
        {"experts": 1, "init": "critical"},
        {"family": "looped", "loops": 1, "parametrization": "completep"},
        {"family": "looped", "parametrization": "mup"},
        {"depth_average": False, "average_period": 2},
        {"family": "widenet", "balance": 0.5},
        {"backbone": BackboneSettings(name="mlp", depth_average=True), "average_period": 2},
        # As defaults of the backbone they are for the variants that have what they belong to.
        {"backbone": BackboneSettings(name="mlp", average_period=2, balance=0.5, base_width=8)},
        {"backbone": "mixer", "attention_every": 0, "heads": 2},
        {"backbone": "mixer", "attention_every": 5, "heads": 2, "kv_heads": 2},
        {"backbone": "transformer", "kv_heads": 1},
        {"backbone": "transformer", "kv_heads": 1, "width": "match"},
        {"backbone": "transformer", "kv_heads": 2, "heads": 4, "width": "match"},
        {"backbone": "transformer", "heads": 5, "head_size": 7},
        {"backbone": "transformer", "heads": 3, "head_size": 7, "width": "match"},
        {"backbone": BackboneSettings(name="mlp", loops=3, experts=2), "family": "deep"},
        {"family": "parallel_shallow", "execution": "auto", "survival": 0.5},
    ],
)
def test_what_can_stand_together_is_no_problem(settings):
    assert problems(**settings) == []


# Heads for a budget of all modules'


SUITE = """\
suite: wide-attention
dataset: digits
backbone: transformer
variants:
  - {family: deep, depth: [1, 2, 4], width: 16, heads: match, head_size: 4}
budget: {match: total_heads, target: 8, tolerance: 0.01}
train: {steps: 1}
seeds: 1
"""


def trials_of(**changes):
    text = SUITE
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return expand(parse_suite(text, "s.yaml"))


def test_heads_of_all_modules_are_held_equal():
    trials = trials_of()
    assert [trial.variant.heads for trial in trials] == [8, 4, 2]
    assert {trial.variant.size_of_heads for trial in trials} == {4}
    assert {trial.cost.total_heads for trial in trials} == {8}
    assert {trial.budget_error_fraction for trial in trials} == {0.0}
    assert all(trial.budgets[0].is_solved for trial in trials)


def test_heads_and_their_size_may_be_said_for_all_variants():
    shared = trials_of(
        **{
            ", heads: match, head_size: 4": "",
            "backbone: transformer": "backbone: {name: transformer, heads: match, head_size: 4}",
        }
    )
    assert [trial.variant for trial in shared] == [trial.variant for trial in trials_of()]


def test_a_reference_says_how_many_heads_there_are():
    reference = "reference: {family: deep, depth: 4, width: 16, heads: 4}"
    trials = trials_of(**{"target: 8": reference})
    assert [trial.variant.heads for trial in trials] == [16, 8, 4]


def test_heads_of_loops_and_hybrids_are_counted_at_each_run():
    looped = trials_of(**{"deep": "looped", "depth: [1, 2, 4]": "depth: [1, 2], loops: 2"})
    assert [trial.variant.heads for trial in looped] == [4, 2]
    hybrid = trials_of(
        **{"backbone: transformer": "backbone: mixer", "[1, 2, 4]": "4, attention_every: 2"}
    )
    assert [trial.variant.heads for trial in hybrid] == [4]


def test_solved_heads_are_a_multiple_of_those_of_keys_and_values():
    trials = trials_of(**{"head_size: 4": "head_size: 4, kv_heads: 2"})
    assert [(t.variant.heads, t.variant.kv_heads) for t in trials] == [(8, 2), (4, 2), (2, None)]


def test_heads_that_no_module_can_share_out_are_refused_with_the_nearest():
    with pytest.raises(SuiteError, match=r"3 modules .* 8 heads: 3 each make 9, off by \+12.5%"):
        trials_of(**{"[1, 2, 4]": "3"})
    assert issubclass(MatchError, SuiteError)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("match: total_heads", "match: total_params", "needs a budget with match: total_heads"),
        ("heads: match, head_size: 4", "heads: match", "heads: match needs head_size"),
        ("width: 16, heads: match", "width: match, heads: 4", "does not follow from the width"),
        ("target: 8", "reference: {family: deep, depth: 1, width: 16, heads: match, head_size: 4}",
         "a reference has a number"),
        ("target: 8", "reference: {family: deep, depth: 1, width: 16, backbone: mlp}",
         "total_heads of the reference is 0"),
    ],
)  # fmt: skip
def test_a_budget_of_heads_that_cannot_be_is_refused(old, new, message):
    with pytest.raises(SuiteError, match=message):
        trials_of(**{old: new})
