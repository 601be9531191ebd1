import subprocess
import sys

import pytest

from depthbench.grammar import (
    BACKBONE_DEFAULTS,
    FAMILY_OPTIONS,
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
        "hidden_sizes": None,
        "head_size": None,
        "kv_heads": None,
        "skip": "residual",
        "survival": 1.0,
        "layer_scale": "none",
        "norm_position": "pre",
        "norm_scale": "none",
        "depth_average": False,
        "average_dilation": None,
        "average_period": None,
        "loops": None,
        "input_injection": None,
        "norm_sharing": None,
        "experts": 1,
        "active_experts": None,
        "balance": None,
        "parallel_block": None,
        "token_expansion": None,
        "attention_every": None,
        "parametrization": "sp",
        "base_width": None,
        "base_depth": None,
        "init": "default",
        "base_hidden": None,
        "base_heads": None,
        "base_head_size": None,
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


# What must stand beside an option for it to have an effect.
BESIDE = {
    "average_dilation": {"depth_average": True},
    "average_period": {"depth_average": True},
    "active_experts": {"experts": 4},
    "balance": {"experts": 4},
    "kv_heads": {"heads": 2},
    "base_width": {"parametrization": "mup"},
    "base_depth": {"parametrization": "completep"},
}
# Values that are no default of any backbone or family.
UNUSUAL = {
    **{"activation": "silu", "norm": "rms", "norm_affine": False, "residual_scale": 0.5},
    **{"expansion": 0.75, "hidden": 7, "bottleneck": 0.75, "expansions": (0.5, 0.25) * 3},
    **{"kernel": 5, "stem_stride": 2, "head_norm": False, "output": "sigmoid", "lift": "fixed"},
    **{"dropout": 0.1, "heads": 4, "head_size": 4, "patch": 2, "tie_embeddings": False},
    **{"sub_mlps": 2, "execution": "auto", "branches": 1, "skip": "none", "survival": 0.5},
    **{"layer_scale": 0.1, "norm_position": "peri", "norm_scale": "1/sqrt(l)"},
    **{"depth_average": True, "average_dilation": 2, "average_period": 2, "loops": 3},
    **{"input_injection": False, "norm_sharing": "shared", "experts": 8, "active_experts": 3},
    **{"balance": 0.5, "parallel_block": True, "kv_heads": 1, "token_expansion": 2},
    **{"attention_every": 2, "parametrization": "mup", "base_width": 8, "base_depth": 2},
}
RESOLVED = {"expansion": "hidden", "bottleneck": "hidden", "expansions": "hidden_sizes"}


def unusual(name, backbone):
    """Return a value of an option that is no default of a backbone."""
    if name == "bias":
        return not BACKBONE_DEFAULTS[backbone]["bias"]
    if name == "init":
        return "critical" if backbone in ("mlp", "conv") else "deepscale"
    return UNUSUAL[name]


@pytest.mark.parametrize("backbone", BACKBONE_DEFAULTS)
@pytest.mark.parametrize("family", FAMILY_OPTIONS)
def test_every_option_applies_or_is_refused_with_a_reason(backbone, family):
    named = BackboneSettings(name=backbone)
    for name in ModelOptions.model_fields:
        beside = {"norm": "layer"} if backbone == "conv" else {}
        beside |= BESIDE.get(name, {})
        if name in ("heads", "head_size", "kv_heads") and (backbone, family) != (
            "mixer",
            "widenet",
        ):
            beside |= {"attention_every": 2} if backbone == "mixer" else {}
        options = beside | {name: unusual(name, backbone)}
        given = settings_of(family, depth=6, width=16, **options)
        found = option_problems(given, named)
        if found:
            fields = {field for field, _ in found}
            assert fields <= {"family", *options}, found
            reasons = ("does not apply to", "none of its modules", "no module of this mixer")
            reasons += ("with the same weights",)
            assert fields == {f for f, said in found if any(r in said for r in reasons)}, found
            continue
        variant = resolve_variant(given, named, 16)
        plain = resolve_variant(settings_of(family, depth=6, width=16, **beside), named, 16)
        spelled = RESOLVED.get(name, name)
        if name == "head_size":
            spelled = "heads"  # where it makes the width
        assert getattr(variant, spelled) != getattr(plain, spelled), name
        changed = {key for key, value in variant.options().items() if getattr(plain, key) != value}
        assert variant_id(variant) != variant_id(plain)
        assert spelled in changed


def test_every_problem_is_found_at_once():
    found = problems("mlp", family="parallel_shallow", kernel=2, stem_stride=2, branches=3)
    assert [field for field, _ in found] == ["kernel", "stem_stride", "branches"]


def test_backbones_of_later_versions_are_left_to_the_suite():
    later = BackboneSettings(name="mlp").model_copy(update={"name": "recurrent"})
    assert problems(later, kernel=3) == []


def test_checking_options_needs_no_torch():
    code = "import sys, depthbench.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("width", [64, 128, 256])
def test_few_keys_at_the_base_are_few_at_widths_that_have_as_many_heads(width):
    settings = VariantSettings(
        family="deep", depth=2, width=width, kv_heads=1, parametrization="mup", base_width=128
    )
    variant = resolve_variant(settings, BackboneSettings(name="transformer"), width)
    assert (variant.heads, variant.kv_heads, variant.base_heads) == (max(1, width // 64), 1, 2)
