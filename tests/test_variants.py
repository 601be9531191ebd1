import subprocess
import sys

import pytest

from depthbench.grammar import (
    BACKBONE_DEFAULTS,
    BackboneSettings,
    ModelOptions,
    VariantSettings,
)
from depthbench.options import option_problems
from depthbench.spec import variant_id
from depthbench.variants import resolve_variant


def settings_of(family="deep", depth=4, width=64, **options):
    return VariantSettings(family=family, depth=depth, width=width, **options)


def resolved(backbone="mlp", width=64, **settings):
    if isinstance(backbone, str):
        backbone = BackboneSettings(name=backbone)
    return resolve_variant(settings_of(width=width, **settings), backbone, width)


def problems(backbone="mlp", **settings):
    if isinstance(backbone, str):
        backbone = BackboneSettings(name=backbone)
    return option_problems(settings_of(**settings), backbone)


def test_defaults_of_mlp_are_filled_in():
    variant = resolved("mlp")
    assert variant.options() == {
        "family": "deep",
        "backbone": "mlp",
        "depth": 4,
        "width": 64,
        "hidden": 128,
        "activation": "relu",
        "norm": "layer",
        "norm_affine": True,
        "bias": True,
        "residual_scale": 1.0,
        "kernel": None,
        "stem_stride": None,
        "lift": "trained",
        "head_norm": True,
        "output": "identity",
        "dropout": None,
        "heads": None,
        "patch": None,
        "tie_embeddings": None,
        "sub_mlps": None,
        "branches": None,
        "execution": None,
        "base": None,
    }


def test_defaults_of_conv_are_filled_in():
    variant = resolved("conv")
    assert (variant.kernel, variant.stem_stride, variant.norm) == (3, 1, "none")
    assert variant.hidden is variant.lift is variant.norm_affine is None


def test_parallel_defaults_to_all_modules_as_branches_in_a_loop():
    variant = resolved(family="parallel_shallow", depth=6)
    assert (variant.branches, variant.execution) == (6, "loop")


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_hourglass_defaults_to_a_quarter(backbone):
    assert resolved(backbone, family="hourglass", width=100).hidden == 25


@pytest.mark.parametrize(
    ("options", "width", "expected"),
    [
        ({"expansion": 4.0}, 10, 40),
        ({"expansion": 0.25}, 9, 2),
        ({"expansion": 0.25}, 10, 3),
        ({"bottleneck": 0.25}, 11, 3),
        ({"bottleneck": 0.01}, 10, 1),
        ({"hidden": 7}, 10, 7),
    ],
)
def test_hidden_is_the_nearest_count_and_at_least_one(options, width, expected):
    assert resolved(width=width, **options).hidden == expected


@pytest.mark.parametrize("family", ["deep", "wide", "parallel_shallow", "hourglass"])
@pytest.mark.parametrize("backbone", ["mlp", "conv"])
@pytest.mark.parametrize("width", [8, 37])
def test_identity_of_a_short_variant_holds_only_what_was_said(family, backbone, width):
    assert resolved(backbone, family=family, width=width).identity() == {
        "family": family,
        "backbone": backbone,
        "depth": 4,
        "width": width,
    }


@pytest.mark.parametrize(
    "options",
    [
        {"expansion": 2.0},
        {"hidden": 128},
        {"activation": "relu"},
        {"residual_scale": 1},
        {"lift": "trained"},
        {"norm_affine": True},
    ],
)
def test_saying_a_default_changes_no_identity(options):
    assert variant_id(resolved(**options)) == variant_id(resolved())


def test_saying_something_else_changes_the_identity():
    given = [{"expansion": 3.0}, {"bias": False}, {"residual_scale": "1/L"}, {"norm": "none"}]
    assert len({variant_id(resolved(**options)) for options in [{}, *given]}) == 5


def test_norm_weights_of_no_norm_make_no_difference():
    first, other = (resolved(norm="none", norm_affine=affine) for affine in (True, False))
    assert variant_id(first) == variant_id(other)
    assert problems(norm="none", norm_affine=False) == []


def test_option_of_the_variant_wins_over_that_of_the_backbone():
    backbone = BackboneSettings(name="mlp", activation="gelu", bias=False, expansion=4.0)
    variant = resolved(backbone, activation="tanh", hidden=10)
    assert (variant.activation, variant.bias, variant.hidden) == ("tanh", False, 10)
    assert option_problems(settings_of(hidden=10), backbone) == []


def test_option_said_under_the_backbone_means_the_same_network():
    backbone = BackboneSettings(name="mlp", activation="gelu")
    assert resolved(backbone) == resolved("mlp", activation="gelu")


def test_option_of_another_family_is_a_harmless_default_under_the_backbone():
    backbone = BackboneSettings(name="conv", branches=2, bottleneck=0.5)
    assert problems(backbone) == []
    assert resolved(backbone) == resolved("conv")
    assert resolved(backbone, family="parallel_shallow").branches == 2
    assert resolved(backbone, family="hourglass").hidden == 32


def test_imported_block_gets_stem_and_head_of_its_base():
    variant = resolved(BackboneSettings(import_="a.b:c", base="conv"))
    assert (variant.backbone, variant.base, variant.stem_stride) == ("a.b:c", "conv", 1)
    assert variant.hidden is variant.kernel is variant.lift is None
    variant = resolved(BackboneSettings(import_="a.b:c"), expansion=2.0)
    assert (variant.base, variant.lift, variant.hidden) == ("mlp", "trained", 128)
    assert variant.identity()["hidden"] == 128
    assert "base" not in variant.identity()


IMPORTED = BackboneSettings(import_="a.b:c")


@pytest.mark.parametrize(
    ("backbone", "settings", "field", "message"),
    [
        ("mlp", {"kernel": 3}, "kernel", "only the built-in conv module"),
        (BackboneSettings(name="mlp", kernel=3), {}, "kernel", "only the built-in conv module"),
        ("mlp", {"stem_stride": 2}, "stem_stride", "only conv's stem"),
        ("conv", {"lift": "fixed"}, "lift", "only mlp's stem"),
        ("mlp", {"branches": 2}, "branches", "only parallel_shallow"),
        ("mlp", {"execution": "fused"}, "execution", "only parallel_shallow"),
        ("conv", {"hidden": 8}, "hidden", "only in family hourglass"),
        ("conv", {"expansion": 2.0}, "expansion", "only in family hourglass"),
        ("mlp", {"expansion": 2.0, "hidden": 3}, "hidden", "expansion and hidden say the same"),
        ("mlp", {"expansion": 0.5, "bottleneck": 0.5}, "bottleneck", "keep one"),
        ("mlp", {"family": "hourglass", "hidden": 64}, "hidden", "64 is not below the width 64"),
        ("mlp", {"family": "hourglass", "expansion": 1.0}, "expansion", "1 is not below 1"),
        (
            BackboneSettings(name="mlp", expansion=4.0),
            {"family": "hourglass", "width": "match"},
            "expansion",
            "4 is not below 1",
        ),
        ("conv", {"family": "hourglass", "width": 1}, "width", "1 is not below the width 1"),
        ("mlp", {"family": "hourglass", "bottleneck": 0.9, "width": 2}, "bottleneck", "2 is not"),
        ("conv", {"kernel": 4}, "kernel", "use 3 or 5"),
        (
            "mlp",
            {"family": "parallel_shallow", "depth": 12, "branches": 5},
            "branches",
            "does not divide depth 12; nearest: 4, 6",
        ),
        (
            "mlp",
            {"family": "parallel_shallow", "norm": "batch", "execution": "fused"},
            "execution",
            "use loop or auto",
        ),
        (IMPORTED, {"family": "parallel_shallow", "execution": "fused"}, "execution", "a.b:c"),
        (IMPORTED, {"kernel": 3}, "kernel", "chooses its own kernel"),
        (IMPORTED, {"activation": "gelu"}, "activation", "brings its own"),
        (BackboneSettings(), {}, "name", "needs a name"),
        (BackboneSettings(name="mlp", import_="a:b"), {}, "import", "exclude each other"),
        (BackboneSettings(name="mlp", base="mlp"), {}, "base", "only an imported block"),
    ],
)
def test_option_that_cannot_be_is_named_with_its_reason(backbone, settings, field, message):
    [(found_field, found_message)] = problems(backbone, **settings)
    assert found_field == field
    assert message in found_message


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("mlp", {"bottleneck": 0.5}),
        ("mlp", {"family": "hourglass", "width": "match", "hidden": 500}),
        ("mlp", {"family": "hourglass", "hidden": 63}),
        ("conv", {"family": "hourglass", "bottleneck": 0.5, "kernel": 5}),
        ("mlp", {"family": "parallel_shallow", "branches": 2, "execution": "auto"}),
        ("mlp", {"family": "parallel_shallow", "norm": "batch", "execution": "auto"}),
        (IMPORTED, {"family": "hourglass", "expansion": 0.5, "lift": "fixed"}),
    ],
)
def test_option_that_can_be_is_no_problem(backbone, settings):
    assert problems(backbone, **settings) == []


@pytest.mark.parametrize("backbone", BACKBONE_DEFAULTS)
@pytest.mark.parametrize("name", ModelOptions.model_fields)
def test_every_option_applies_or_is_refused_with_a_reason(backbone, name):
    values = {"hidden": 8, "bottleneck": 0.5, "expansion": 0.5, "residual_scale": 0.5}
    values |= {"kernel": 3, "norm": "layer", "activation": "gelu", "execution": "loop"}
    values |= {"lift": "fixed", "output": "sigmoid", "dropout": 0.1}
    booleans = {"norm_affine", "bias", "head_norm", "tie_embeddings"}
    options = {"norm": "layer", name: values.get(name, True if name in booleans else 1)}
    given = VariantSettings.model_validate(
        {"family": "parallel_shallow", "depth": 6, "width": 16} | options
    )
    found = option_problems(given, BackboneSettings(name=backbone))
    variant = resolve_variant(given, BackboneSettings(name=backbone), 16)
    spelled = {"expansion": "hidden", "bottleneck": "hidden", "head_size": "heads"}.get(name, name)
    if found:
        [(field, message)] = found
        assert field == name
        assert "does not apply to family parallel_shallow" in message
    assert (getattr(variant, spelled) is None) == bool(found)


def test_every_problem_is_found_at_once():
    found = problems("mlp", family="parallel_shallow", kernel=2, stem_stride=2, branches=3)
    assert [field for field, _ in found] == ["kernel", "stem_stride", "branches"]


def test_backbones_of_later_versions_are_left_to_the_suite():
    assert problems(BackboneSettings(name="mixer"), kernel=3) == []


def test_checking_options_needs_no_torch():
    code = "import sys, depthbench.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
