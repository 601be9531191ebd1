"""The coordinate check: what it finds of the parametrisations, what it trains, what it says."""

import csv
import io
import json
from math import nan

import pytest
import torch

from depthbench import coordinate_check as checking
from depthbench.coordinate_check import coordinate_check
from depthbench.coordinate_curves import CheckOptions, curves_of, parametrizations_in, sizes_in
from depthbench.coordinate_table import render_check
from depthbench.errors import SuiteError
from depthbench.report.growth import growth_of
from depthbench.suite import parse_suite
from depthbench.training.coordinates import coordinates
from tests.fixtures_networks import images, seeded, variant_of
from tests.test_cli import call

SUITE = """
suite: check
dataset: digits
backbone: {{name: {backbone}, base_width: 64, base_depth: 2}}
variants:
  - {{family: deep, depth: 4, width: 16{options}}}
train: {{optimizer: {optimizer}, lr: {lr}, steps: 1, batch_size: {batch_size}}}
"""
QUANTITIES = ("stream", "update", "logits", "change of stream", "change of update")
QUANTITIES = (*QUANTITIES, "change of logits")


def suite_of(backbone="mlp", optimizer="adamw", lr=0.003, batch_size=64, options=""):
    text = SUITE.format(
        backbone=backbone, optimizer=optimizer, lr=lr, batch_size=batch_size, options=options
    )
    return parse_suite(text, "check.yaml")


def options_of(names="sp", widths=(), depths=(), **options):
    return CheckOptions(widths, depths, tuple(names.split(",")), **options)


def exponents(check):
    """Return the exponents after the last step by parametrisation, size and quantity."""
    return {
        (row["parametrization"], row["over"], row["quantity"]): row["exponent"]
        for row in check.growth
        if row["step"] == check.num_steps
    }


# Over a range of 8, in small networks, an exponent of 0.15 is a factor of 1.4.
SMALL_RANGE, FULL_RANGE = 0.15, 0.1
GROWS = 0.3
MUP_FLAT = ("stream", "update", "change of stream", "change of update", "change of logits")
COMPLETEP_FLAT = ("stream", "update", "change of stream", "change of update")


def assert_transfer(check, tolerance):
    """Assert what the literature says: mup is flat over width, completep over depth, sp is not."""
    found = exponents(check)
    for quantity in MUP_FLAT:
        assert abs(found["mup", "width", quantity]) < tolerance, quantity
    for quantity in COMPLETEP_FLAT:
        assert abs(found["completep", "depth", quantity]) < tolerance, quantity
    for over in ("width", "depth"):
        assert found["sp", over, "stream"] > GROWS
        assert found["sp", over, "change of stream"] > GROWS
    assert found["sp", "width", "change of logits"] > GROWS


def test_mup_is_flat_over_width_and_completep_over_depth_where_sp_grows():
    widths, depths = (64, 128, 256, 512), (2, 4, 8, 16)
    names = "sp,mup,completep"
    check = coordinate_check(suite_of(), options_of(names, widths, depths), device="cpu")
    assert_transfer(check, SMALL_RANGE)


def test_features_of_ntk_stop_moving_as_the_width_grows():
    options = options_of("ntk", (64, 128, 256, 512), num_seeds=2)
    found = exponents(coordinate_check(suite_of(), options, device="cpu"))
    assert found["ntk", "width", "change of stream"] == pytest.approx(-0.5, abs=0.12)
    assert abs(found["ntk", "width", "change of logits"]) < SMALL_RANGE


def test_mup_is_flat_under_sgd_where_sp_is_not():
    suite = suite_of(optimizer="sgd", lr=0.05)
    options = options_of("sp,mup", (64, 128, 256), num_seeds=2)
    found = exponents(coordinate_check(suite, options, device="cpu"))
    for quantity in MUP_FLAT:
        assert abs(found["mup", "width", quantity]) < SMALL_RANGE, quantity
    assert found["sp", "width", "change of logits"] > GROWS


@pytest.mark.parametrize("heads", ["", ", heads: 4"], ids=["heads of 64", "heads that grow"])
def test_a_transformer_is_flat_under_mup_whatever_its_heads(heads):
    suite = suite_of("transformer", lr=0.001, batch_size=16, options=heads)
    options = options_of("sp,mup", (64, 128, 256), num_seeds=1, num_steps=3)
    found = exponents(coordinate_check(suite, options, device="cpu"))
    for quantity in ("stream", "update", "change of stream", "change of update"):
        assert abs(found["mup", "width", quantity]) < SMALL_RANGE, quantity
        assert found["sp", "width", quantity] > GROWS, quantity


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "lr", "batch_size"), [("mlp", 0.003, 64), ("transformer", 0.001, 16)]
)
def test_over_the_full_range_too(backbone, lr, batch_size):
    options = CheckOptions(parametrizations=("sp", "mup", "completep"))
    check = coordinate_check(suite_of(backbone, lr=lr, batch_size=batch_size), options)
    assert {row["largest"] for row in check.growth} == {2048, 64}
    assert_transfer(check, FULL_RANGE)


def test_coordinates_are_what_the_network_computes_and_leave_it_as_it_was():
    network, x = seeded(variant_of("mlp", depth=3)).train(), images()
    found = coordinates(network, x)
    with torch.no_grad():
        z = network.stem(x)
        for place, block in enumerate(network.blocks):
            assert torch.equal(found.updates[place], block(z))
            z = z + block(z)
            assert torch.allclose(found.streams[place], z)
        assert torch.allclose(found.outputs, network.head(z))
    assert network.training and "advance" not in vars(network)
    assert not any(block._forward_hooks for block in network.blocks)


@pytest.mark.parametrize("loops", [1, 3])
def test_streams_are_those_behind_the_averages_over_depth(loops):
    options = {"depth_average": True} | ({"loops": loops} if loops > 1 else {})
    network = seeded(variant_of("mlp", "looped" if loops > 1 else "deep", 2, **options))
    with torch.no_grad():
        for weights in network.average.parameters():
            weights.uniform_(0.2, 0.8)
    found = coordinates(network, images())
    assert len(found.streams) == 2 * loops
    assert torch.allclose(network.head(found.streams[-1]), found.outputs)
    assert not network.average._forward_hooks


def test_updates_of_a_block_are_without_the_scale_of_its_branches():
    options = {"depth": 32, "base_depth": 4, "parametrization": "completep", "width": 64}
    found = coordinates(seeded(variant_of("transformer", **options)), images())
    base = coordinates(seeded(variant_of("transformer", depth=4, width=64)), images())
    sizes = [float(coords.updates[0].square().mean().sqrt()) for coords in (found, base)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.3)  # and not 1/8 of it


def test_every_stage_and_step_is_kept():
    options = options_of("sp", depths=(2, 4), num_steps=2, num_seeds=1)
    check = coordinate_check(suite_of(), options, device="cpu")
    rows = {(row["size"], row["step"]): row for row in check.sizes}
    assert set(rows) == {(size, step) for size in (2, 4) for step in range(3)}
    for (size, step), row in rows.items():
        assert len(row["streams"]) == len(row["updates"]) == size
        assert all((change == 0) == (step == 0) for change in row["stream_changes"])
    assert {row["quantity"] for row in check.growth if row["step"] == 0} == set(QUANTITIES[:3])
    assert {row["quantity"] for row in check.growth if row["step"] == 2} == set(QUANTITIES)


def test_equal_networks_are_trained_once(monkeypatch):
    trained = []
    first_sizes = checking._first_sizes

    def counted(trial, context, num_steps):
        variant = trial.variant
        trained.append((variant.parametrization, trial.width, trial.depth))
        return first_sizes(trial, context, num_steps)

    monkeypatch.setattr(checking, "_first_sizes", counted)
    names = "sp,ntk,mup,depth_mup,completep"
    options = options_of(names, (64, 128), (2, 4), num_seeds=1, num_steps=1)
    check = coordinate_check(suite_of(), options, device="cpu")
    assert sorted(trained) == [
        *(("completep", 64, 4), ("depth_mup", 64, 4), ("mup", 128, 2), ("ntk", 128, 2)),
        *(("sp", 64, 2), ("sp", 64, 4), ("sp", 128, 2)),
    ]
    assert {row["parametrization"] for row in check.growth} == set(names.split(","))
    found = exponents(check)
    assert found["completep", "width", "stream"] == found["mup", "width", "stream"]
    assert found["mup", "depth", "stream"] == found["sp", "depth", "stream"]


def test_kinds_of_networks_are_told_apart():
    text = """
suite: kinds
dataset: digits
backbone: mlp
variants:
  - {family: deep, depth: [2, 4], width: [16, 32], norm: [layer, none], parametrization: [sp, mup]}
  - {family: wide, depth: 1, width: 16}
train: {optimizer: adamw, lr: [0.01, 0.1], steps: 1}
"""
    options = CheckOptions(widths=(8, 16), depths=(), num_seeds=1, num_steps=1)
    check = coordinate_check(parse_suite(text, "kinds.yaml"), options, device="cpu")
    found = {(row["network"], row["parametrization"], row["lr"]) for row in check.growth}
    assert found == {
        *(("deep mlp norm layer", name, 0.01) for name in ("sp", "mup")),
        *(("deep mlp norm none", name, 0.01) for name in ("sp", "mup")),
        ("wide mlp", "sp", 0.01),
    }


def test_kinds_are_told_apart_by_their_data_and_training_too():
    text = """
suite: kinds
dataset: {name: digits, train_examples: [100, 200]}
backbone: mlp
variants:
  - {family: deep, depth: 2, width: 16}
  - {family: deep, depth: 2, width: 16, train: {optimizer: sgd}}
train: {optimizer: adamw, lr: 0.01, steps: 1}
"""
    options = CheckOptions(widths=(8, 16), depths=(), num_seeds=1)
    found = {curve.network for curve in curves_of(parse_suite(text, "kinds.yaml"), options)}
    assert found == {
        f"deep mlp train_examples {num} optimizer {optimizer}"
        for num in (100, 200)
        for optimizer in ("adamw", "sgd")
    }


GROWTHS = [
    ([[1, 1.01, 0.99], [1.01, 1, 0.99], [1, 1, 1.01]], "flat"),
    ([[1, 1.01, 0.99], [2, 2.01, 1.99], [4, 4.01, 4]], "grows"),
    ([[1, 1.01, 0.99], [0.5, 0.501, 0.5], [0.25, 0.25, 0.251]], "shrinks"),
    ([[1, 2, 0.5], [1, 2, 0.5], [1, 2, 0.5]], "unresolved"),
    ([[1], [2], [4]], "grows"),
    ([[1, 1, 1], [1, nan, 1], [1, 1, 1]], "diverged"),
    ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], "zero"),
]


@pytest.mark.parametrize(("observations", "verdict"), GROWTHS, ids=[name for _, name in GROWTHS])
def test_a_verdict_follows_the_interval(observations, verdict):
    growth = growth_of([64, 128, 256], observations)
    assert growth.verdict == verdict
    assert (growth.exponent is None) == (verdict in ("diverged", "zero"))


def test_an_exponent_is_the_slope_of_the_logs():
    found = growth_of([2, 4, 16], [[3 * 2**0.7] * 3, [3 * 4**0.7] * 3, [3 * 16**0.7] * 3])
    assert found.exponent.value == pytest.approx(0.7)
    assert found.exponent.high - found.exponent.low < 1e-9


@pytest.mark.parametrize("text", ["64", "64,x", "", "0,64", "64,,128", "64,99999999", "-1,4"])
def test_sizes_that_cannot_be_are_refused(text):
    with pytest.raises(SuiteError, match=r"--widths .*: two or more whole numbers"):
        sizes_in(text, "widths")


def test_sizes_and_parametrizations_are_read():
    assert sizes_in("128, 64,128", "widths") == (64, 128)
    assert sizes_in("none", "depths") == ()
    assert parametrizations_in(None) is None
    assert parametrizations_in("all") == ("sp", "ntk", "mup", "depth_mup", "completep")
    assert parametrizations_in("mup, sp") == ("mup", "sp")
    with pytest.raises(SuiteError, match=r"--parametrization completeP: .*did you mean"):
        parametrizations_in("completeP")


REFUSED = [
    ("mlp", ", skip: none", "completep", "scales residual sums"),
    ("mlp", ", init: critical", "mup", "each says how weights start"),
]


@pytest.mark.parametrize(("backbone", "options", "name", "reason"), REFUSED)
def test_what_cannot_be_checked_is_refused_before_anything_is_trained(
    backbone, options, name, reason
):
    suite = suite_of(backbone, options=options)
    with pytest.raises(SuiteError, match=f"check.yaml:.*{reason}"):
        coordinate_check(suite, options_of(f"sp,{name}", (64, 128)), device="cpu")


@pytest.mark.parametrize("backbone", ["preact", "{import: a.b:c}"])
def test_a_backbone_without_parametrizations_is_refused_once_with_those_that_have_them(backbone):
    text = f"suite: s\ndataset: digits\nbackbone: {backbone}\ntrain: {{steps: 1}}\n"
    suite = parse_suite(f"{text}variants: [{{family: deep, depth: 3, width: 16}}]\n", "s.yaml")
    with pytest.raises(SuiteError) as found:
        coordinate_check(suite, CheckOptions(), device="cpu")
    [line] = str(found.value).splitlines()
    assert "cannot be checked" in line and "mlp, conv, transformer or mixer can" in line


def test_an_interrupted_check_says_how_far_it_was(monkeypatch):
    def interrupted(trial, context, num_steps):
        raise KeyboardInterrupt

    monkeypatch.setattr(checking, "_first_sizes", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        coordinate_check(suite_of(), options_of("sp", (64, 128)), device="cpu")
    assert caught.value.__notes__ == ["0 of 6 networks done; none are stored"]


@pytest.fixture(scope="module")
def suite_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("check") / "check.yaml"
    path.write_text(
        SUITE.format(backbone="mlp", optimizer="adam", lr=0.01, batch_size=8, options="")
    )
    return path


FEW = ("--widths", "8,16", "--depths", "none", "--steps", "1", "--parametrization", "sp,mup")


def test_the_command_shows_a_row_a_curve_and_what_it_costs(suite_file):
    done = call("coordinate-check", suite_file, *FEW, "--seeds", "1")
    assert "check: deep mlp, after 1 step" in done.stdout
    assert "width 8 to 16, learning rate 0.01, 1 seed" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith(("sp ", "mup "))]
    assert len(rows) >= 2 and all(" width " in row for row in rows)
    assert "fewer than 3 seeds" in " ".join(done.stdout.split())
    assert "4 networks, 1 step each" in done.stderr and "4/4 done" in done.stderr


def test_quiet_says_nothing(suite_file):
    done = call("coordinate-check", suite_file, *FEW, "--seeds", "1", "--quiet")
    assert done.stderr == ""


def test_machines_get_all_of_it(suite_file):
    done = call("coordinate-check", suite_file, *FEW, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 2 * (3 + 6)
    assert {row["quantity"] for row in rows} == set(QUANTITIES)
    assert all(float(row["low"]) <= float(row["exponent"]) <= float(row["high"]) for row in rows)
    done = call("coordinate-check", suite_file, *FEW, "--format", "json", "--lr", "0.5")
    found = json.loads(done.stdout)
    assert {row["lr"] for row in found["growth"]} == {0.5}
    assert len(found["sizes"]) == 2 * 2 * 3 * 2
    assert "| mup | width |" in call("coordinate-check", suite_file, *FEW, "--format", "md").stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--widths", "64"), "--widths 64: two or more"),
        (("--parametrization", "mop"), "did you mean 'mup'?"),
        (("--device", "nowhere"), "--device nowhere"),
    ],
)
def test_mistakes_are_named(suite_file, arguments, reason):
    assert reason in call("coordinate-check", suite_file, *arguments, code=2).stderr


def test_a_page_draws_each_quantity_over_each_size(suite_file):
    page = call("coordinate-check", suite_file, *FEW, "--seeds", "1", "--format", "html").stdout
    assert page.isascii() and '<h1 id="suite">check</h1>' in page
    for quantity in QUANTITIES:
        assert f"{quantity} over width" in page
    assert "over depth" not in page


def test_each_kind_has_a_table():
    rows = [
        {"network": name, "parametrization": "sp", "over": "width", "lr": 0.1, "num_seeds": 3}
        | {"quantity": "stream", "step": 1, "smallest": 8, "largest": 16, "verdict": "flat"}
        | {"exponent": 0.01, "low": -0.02, "high": 0.04, "sizes": [8, 16], "values": [1.0, 1.0]}
        for name in ("deep mlp", "wide mlp")
    ]
    check = checking.CoordinateCheck("s", 1, tuple(rows), ())
    text = render_check(check, "md")
    assert text.count("| sp | width | flat 0.01 ±0.03 |") == 2
    assert "## s: deep mlp, after 1 step" in text and "## s: wide mlp, after 1 step" in text
