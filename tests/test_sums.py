"""The carry and the scale of residual sums, by the branches that a network adds."""

import math

import pytest

from depthbench.models.sums import branch_scale, carry_of, drawn_depth, num_branches, scale_of
from tests.fixtures_networks import variant_of


@pytest.mark.parametrize(
    ("backbone", "family", "options", "expected"),
    [
        ("mlp", "deep", {}, 4),
        ("conv", "hourglass", {}, 4),
        ("mlp", "looped", {"loops": 3}, 12),
        ("transformer", "deep", {}, 8),
        ("mixer", "deep", {}, 8),
        ("transformer", "hourglass", {"sub_mlps": 3}, 16),
        ("transformer", "deep", {"parallel_block": True}, 4),
        ("transformer", "looped", {"loops": 2}, 16),
    ],
)
def test_a_branch_is_what_is_added_at_once(backbone, family, options, expected):
    variant = variant_of(backbone, family, 4, **options)
    assert num_branches(variant) == expected
    deep = variant_of(backbone, family, 4, **{"norm": "layer", "norm_position": "deep"} | options)
    assert carry_of(deep) == pytest.approx(expected**0.25)


def test_plain_sums_carry_and_scale_by_one():
    for position in ("pre", "post", "peri"):
        variant = variant_of("transformer", norm_position=position)
        assert (carry_of(variant), branch_scale(variant), scale_of(variant)) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (0.3, 0.3),
        ("1/L", 0.25),
        ("1/sqrt(L)", 0.5),
        ("learned", "learned"),
        ("rezero", "rezero"),
    ],
)
def test_the_scale_is_what_is_said_by_the_modules(said, expected):
    assert scale_of(variant_of("mlp", depth=4, residual_scale=said)) == expected


def test_loops_are_depth():
    options = {"depth": 2, "loops": 3}
    for said, expected in (("1/L", 1 / 6), ("1/sqrt(L)", 6**-0.5)):
        looped = variant_of("transformer", "looped", residual_scale=said, **options)
        assert scale_of(looped) == pytest.approx(expected)
    assert drawn_depth(variant_of("transformer", "looped", **options)) == 6


def test_scaled_skips_keep_the_variance_of_sums():
    variant = variant_of("transformer", depth=6, init="deepscale")
    carry, scale = carry_of(variant), branch_scale(variant)
    assert carry**2 + scale**2 == pytest.approx(1.0)
    assert math.log(carry ** (2 * num_branches(variant))) == pytest.approx(-1, abs=0.05)
