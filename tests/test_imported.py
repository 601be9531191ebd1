import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from depthbench.errors import MatchError, SuiteError
from depthbench.grammar import BackboneSettings, VariantSettings
from depthbench.matching import solve_width
from depthbench.models import FAMILIES, build, build_model
from depthbench.models.count import count
from depthbench.models.imported import load_factory
from depthbench.options import option_problems
from depthbench.variants import resolve_variant
from tests.fixtures_networks import SMALL, images, num_weights, seeded, trial_of, variant_of

GUIDE = Path(__file__).parents[1] / "docs" / "adding_a_family.md"


def imported_variant(name, family="deep", base="mlp", **options):
    settings = VariantSettings(family=family, depth=4, width=16, **options)
    return resolve_variant(settings, BackboneSettings(import_=name, base=base), 16)


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """Stand in a folder of a user's own, and forget what was imported from it."""
    path = list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def code_of_guide(name):
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    return dict(blocks)[name]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "widenet"])
def test_block_of_the_guide_builds_in_every_family(user_folder, family):
    (user_folder / "blocks.py").write_text(code_of_guide("blocks.py"))
    variant = imported_variant("blocks:gated", family)
    network = build_model(trial_of(variant))
    hidden = 4 if family == "hourglass" else 32
    assert network.blocks[0].up.out_features == hidden
    assert count(variant, SMALL).total_params == num_weights(network)
    network(images()).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("base", ["mlp", "conv"])
@pytest.mark.parametrize(
    "options",
    [
        {"survival": 0.5},
        {"skip": "none"},
        {"depth_average": True, "average_period": 2},
        {"residual_scale": "rezero"},
        {"family": "looped", "loops": 3},
    ],
)
def test_a_users_block_takes_the_course_that_options_ask_for(user_folder, options, base):
    code = code_of_guide("blocks.py")
    if base == "conv":
        code = (
            "from torch import nn\n\n\ndef gated(width, hidden):\n"
            "    return nn.Conv2d(width, width, 3, padding=1)\n"
        )
    (user_folder / "blocks.py").write_text(code)
    settings = {"family": "deep"} | options
    given = VariantSettings(depth=4, width=16, **settings)
    assert option_problems(given, BackboneSettings(import_="blocks:gated", base=base)) == []
    variant = imported_variant("blocks:gated", base=base, **settings)
    network = build_model(trial_of(variant)).eval()
    cost = count(variant, SMALL)
    assert cost.total_params == num_weights(network)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert network(images(1)).isfinite().all()
    assert cost.forward_flops == counter.get_total_flops()


def test_layout_of_the_guide_is_a_family(monkeypatch):
    names = {}
    exec(code_of_guide("layouts.py"), names)
    family = replace(FAMILIES["deep"], layout=names["tapered"])
    monkeypatch.setitem(FAMILIES, "deep", family)
    variant = variant_of("mlp", "deep", depth=8)
    assert seeded(variant).stages == (4, 2, 1, 1)
    assert count(variant, SMALL).total_params == num_weights(seeded(variant))


def test_imported_block_on_conv_gets_its_stem_and_head(user_folder):
    code = "from torch import nn\ndef pixels(width, hidden):\n    return nn.Conv2d(width, width, 1)"
    (user_folder / "pixel_blocks.py").write_text(code)
    network = seeded(imported_variant("pixel_blocks:pixels", "parallel_shallow", "conv"))
    assert network(images()).shape == (8, 10)
    assert isinstance(network.blocks[3], torch.nn.Conv2d)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("wider", "nn.Linear(width, width + 1)", r"keep the shape .* returned \(2, 17\)"),
        ("single", "nn.Linear(width, 1)", r"keep the shape .* returned \(2, 1\)"),
        ("hungry", "nn.Linear(width + 1, width)", "forward fails on a stream of shape"),
        ("demanding", "nn.Linear(width, hidden)", "hidden=None.* failed: TypeError"),
        ("number", "3", "returned int; it must return an nn.Module"),
        ("absent", "missing", "failed: NameError"),
        ("recurrent", "nn.LSTM(width, width)", "returned tuple"),
    ],
)
def test_block_that_breaks_the_contract_is_named(user_folder, name, body, message):
    code = f"from torch import nn\ndef {name}(width, hidden):\n    return {body}\n"
    (user_folder / "bad_blocks.py").write_text(code)
    with pytest.raises(SuiteError, match=rf"backbone import bad_blocks:{name}: .*{message}"):
        count(imported_variant(f"bad_blocks:{name}"), SMALL)


def test_blocks_of_different_sizes_are_refused(user_folder):
    code = (
        "import itertools\nfrom torch import nn\nsizes = itertools.count(1)\n"
        "def growing(width, hidden):\n"
        "    size = next(sizes)\n"
        "    return nn.Sequential(nn.Linear(width, size), nn.Linear(size, width))\n"
    )
    (user_folder / "growing_blocks.py").write_text(code)
    with pytest.raises(SuiteError, match="must return the same structure; module 0 has"):
        build(imported_variant("growing_blocks:growing"), SMALL)


def test_missing_module_or_function_is_named(user_folder):
    (user_folder / "empty_blocks.py").write_text("def other(width, hidden):\n    pass\n")
    (user_folder / "broken_blocks.py").write_text("1 / 0\n")
    with pytest.raises(SuiteError, match=r"cannot import no_such_blocks: ModuleNotFoundError"):
        load_factory("no_such_blocks:block")
    with pytest.raises(SuiteError, match=r"has no function block; it has: other"):
        load_factory("empty_blocks:block")
    with pytest.raises(SuiteError, match=r"cannot import broken_blocks: ZeroDivisionError"):
        load_factory("broken_blocks:block")


def test_width_of_a_block_that_refuses_most_widths_is_solved_among_the_others(user_folder):
    code = (
        "from torch import nn\n"
        "def grouped(width, hidden):\n"
        "    if width % 8:\n"
        "        raise ValueError('8 groups do not divide the width')\n"
        "    return nn.Linear(width, width)"
    )
    (user_folder / "grouped_blocks.py").write_text(code)
    settings = VariantSettings(family="deep", depth=4, width="match")
    backbone = BackboneSettings(import_="grouped_blocks:grouped")
    exact = count(resolve_variant(settings, backbone, 48), SMALL).total_params
    wanted = {"match": "total_params", "target": exact * 1.01, "tolerance": 0.02}
    assert solve_width(settings, backbone, SMALL, **wanted).width == 48
    with pytest.raises(MatchError, match=r"nearest are width 48 .* and width 56"):
        solve_width(settings, backbone, SMALL, **wanted | {"target": exact * 1.15})


def test_a_block_that_refuses_every_width_says_why(user_folder):
    (user_folder / "no_blocks.py").write_text(
        "def never(width, hidden):\n    raise ValueError(f'no {width}')"
    )
    settings = VariantSettings(family="deep", depth=4, width="match")
    backbone = BackboneSettings(import_="no_blocks:never")
    with pytest.raises(SuiteError, match="no 1"):
        solve_width(settings, backbone, SMALL, match="total_params", target=10_000, tolerance=0.1)
