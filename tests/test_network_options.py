"""The contract of every option: what holds for each network of the table `OPTION_TABLE`."""

import copy
import json
import pickle
import random

import jsonschema
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from depthbench import read_run, run_suite
from depthbench.grammar import BackboneSettings, ModelOptions, VariantSettings
from depthbench.models import FAMILIES, build_model
from depthbench.models.count import count
from depthbench.models.decoding import decoder
from depthbench.models.experts import MixtureModule, balance_of
from depthbench.models.stacked import stack
from depthbench.options import option_problems
from depthbench.sections import json_schema
from depthbench.spec import variant_id
from depthbench.stacking import as_loop, why_alone
from depthbench.suite import parse_suite
from depthbench.timing.costs import call_flops
from depthbench.timing.support import unsupported_reason
from depthbench.training.optimizers import build_optimizer
from depthbench.training.step import build_step
from depthbench.training.tasks import task_of
from depthbench.variants import resolve_variant
from tests.fixtures_networks import (
    OPTION_TABLE,
    SMALL,
    TEXT,
    OptionCase,
    assert_close,
    examples,
    num_weights,
    option_cases,
    seeded,
    trial_of,
    variant_of,
)
from tests.fixtures_timing import CPU, HOPPER, called, cell_of, prepared

CASES = option_cases()
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
# One backbone of each row, and with the slow tests the others: for what takes longer.
each_row = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[] if case.is_in_turn else pytest.mark.slow)
        for name, case in CASES.items()
    ],
)


def network_of(case, seed=0):
    return seeded(case.variant, case.problem, seed)


# The table


def test_every_option_is_in_the_table():
    assert {name for _, _, options in OPTION_TABLE for name in options} == set(
        ModelOptions.model_fields
    )
    assert {family for _, family, _ in OPTION_TABLE} == set(FAMILIES) - {"wide"}


@pytest.mark.parametrize(("backbones", "family", "options"), OPTION_TABLE)
def test_every_setting_of_the_table_is_allowed_and_makes_another_network(
    backbones, family, options
):
    for name in backbones.split():
        backbone = BackboneSettings(name=name)
        depth, width = (2, 8) if name != "preact" else (3, 16)
        settings = VariantSettings(family=family, depth=depth, width=width, **options)
        assert option_problems(settings, backbone) == []
        plain = VariantSettings(family=family, depth=depth, width=width)
        ids = {variant_id(resolve_variant(s, backbone, width)) for s in (settings, plain)}
        assert len(ids) == (2 if options else 1)


# Weights


@every_case
def test_outputs_are_finite_and_every_weight_gets_a_finite_gradient(case):
    network = network_of(case)
    x = examples(case.problem, 32)
    if (case.variant.survival or 1.0) < 1.0:
        network.eval()  # else some modules are left out
    balance = balance_of(network)
    if balance is not None:
        balance.begin()
    y = network(x)
    assert y.shape == (32, *case.problem.output_shape)
    loss = y.logsumexp(-1).sum()
    (loss if balance is None else loss + balance.end()).backward()
    for name, weight in network.named_parameters():
        assert weight.requires_grad == (case.variant.lift != "fixed" or "lift" not in name)
        if weight.requires_grad:
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name


def assert_counted(variant, problem):
    """Compare the count with the real network: its weights, and the FLOPs of a real pass."""
    network = seeded(variant, problem).eval()
    cost = count(variant, problem)
    weights = list(network.parameters())
    assert cost.total_params == sum(w.numel() for w in weights)
    assert cost.trainable_params == sum(w.numel() for w in weights if w.requires_grad)
    ends = num_weights(torch.nn.ModuleList([network.stem, network.head]))
    assert cost.body_params == cost.total_params - ends
    mixtures = {id(m.router.weight): m for m in network.modules() if isinstance(m, MixtureModule)}
    idle = sum(
        num_weights(expert)
        for mixture in mixtures.values()
        for expert in list(mixture.experts)[mixture.num_active :]
    )
    assert cost.active_params == cost.total_params - idle
    if variant.execution == "fused":  # which is counted as the loop that it equals
        return
    # The kernel of plain matrix products: the counter misses the CPU's fused attention.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(examples(problem, 1))
    assert cost.forward_flops == counter.get_total_flops()


@every_case
def test_count_equals_the_real_network(case):
    assert_counted(case.variant, case.problem)


@each_row
def test_count_equals_the_real_network_of_images_too(case):
    if case.is_text and case.variant.tie_embeddings:
        assert_counted(case.variant, SMALL)


@each_row
def test_equal_seeds_give_bitwise_equal_weights_and_outputs(case):
    first, again = (build_model(trial_of(case.variant, 3, case.problem)) for _ in range(2))
    other = build_model(trial_of(case.variant, 4, case.problem)).state_dict()
    state = first.state_dict()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in state.items())
    assert not all(torch.equal(value, other[name]) for name, value in state.items())
    outputs = []
    for network in (first, again):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(5)
            outputs.append(network.train()(examples(case.problem)))
    assert torch.equal(*outputs)


@each_row
def test_copies_pickles_and_loaded_states_are_the_same_network(case):
    network, x = network_of(case).eval(), examples(case.problem)
    y = network(x)
    loaded = network_of(case, seed=9).eval()
    loaded.load_state_dict(network.state_dict())
    for same in (loaded, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(same(x), y)
        assert num_weights(same) == num_weights(network)


# What a network sees


@torch.no_grad()
@every_case
def test_outputs_in_evaluation_do_not_depend_on_the_order_of_the_batch(case):
    network, x = network_of(case).eval(), examples(case.problem)
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    assert_close(network(x[order]), network(x)[order])


TEXT_CASES = {name: case for name, case in CASES.items() if case.is_text}


@torch.no_grad()
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("case", TEXT_CASES.values(), ids=TEXT_CASES)
def test_no_token_sees_those_after_it_or_of_another_document(case, mode):
    network, x = network_of(case), examples(TEXT)
    network.train(mode == "train")
    masks = torch.tensor([0, 0, 0, 1, 1, 1]).expand(8, -1)

    def run(tokens, documents=None):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(2)
            return network(tokens if documents is None else torch.stack([tokens, documents], 1))

    y, masked = run(x), run(x, masks)
    for changed in (1, 4):
        other = x.clone()
        other[:, changed] = (x[:, changed] + 1) % 11
        assert_close(run(other)[:, :changed], y[:, :changed])
        assert (run(other)[:, changed:] != y[:, changed:]).any()
        untouched = [p for p in range(6) if p < changed or masks[0, p] != masks[0, changed]]
        assert_close(run(other, masks)[:, untouched], masked[:, untouched])
        assert (run(other, masks)[:, changed] != masked[:, changed]).any()


# Training


@each_row
def test_a_few_steps_of_training_lower_the_loss(case):
    cell = cell_of(case.variant, case.problem)
    network, task = network_of(case), task_of(cell.task)
    settings = cell.train.model_copy(update={"lr": 0.01, "optimizer": "adam"})
    inputs, targets = task.synthetic_batch(case.problem, 16, torch.Generator().manual_seed(0))

    def loss():
        with torch.no_grad():
            return float(task.loss(network.eval()(inputs), targets, settings))

    optimizer = build_optimizer(network, settings)
    step = build_step(network, optimizer, settings, "fp32", task, balance=balance_of(network))
    before = loss()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        for _ in range(6):
            network.train()
            assert step(inputs, targets).isfinite()
    assert loss() < before


@torch.no_grad()
@each_row
def test_bf16_follows_fp32(case):
    network, x = network_of(case).eval(), examples(case.problem)
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    assert y.isfinite().all()
    if (case.variant.experts or 1) == 1:  # rounding may choose other experts
        assert_close(y.float(), network(x), tolerance=0.1)


# Cells


@each_row
@pytest.mark.parametrize("phase", ["inference", "train_step"])
def test_a_cell_of_it_is_timed(case, phase):
    ready = prepared(cell_of(case.variant, case.problem, phase=phase))
    for _ in range(2):
        assert called(ready).isfinite().all()


@pytest.mark.slow
@every_case
def test_flops_of_a_train_step_are_known(case):
    forward = 4 * count(case.variant, case.problem).forward_flops
    flops = call_flops(cell_of(case.variant, case.problem, phase="train_step"))
    # What nothing asks for is left out: gradients by the examples, or by weights that are fixed.
    assert 2 * forward <= flops <= 3 * forward
    if case.is_text and case.variant.backbone == "transformer":
        assert flops == 3 * forward


@torch.no_grad()
@every_case
def test_decoding_gives_the_last_position_or_says_why_not(case):
    cell = cell_of(case.variant, case.problem, phase="decode")
    reason = unsupported_reason(cell, CPU, HOPPER)
    is_run_once = case.variant.loops in (None, 1)
    if case.is_text and case.variant.backbone == "transformer" and is_run_once:
        assert reason is None
        network, x = network_of(case).eval(), examples(TEXT)
        whole = network(x)
        assert_close(decoder(network, x[:, :-1])(x[:, -1:]), whole[:, -1:])
    else:
        assert "phase decode" in reason


# Cohorts


@every_case
def test_members_of_a_cohort_have_equal_numbers_or_train_alone_with_a_reason(case):
    trials = [as_loop(trial_of(case.variant, seed, case.problem)) for seed in range(3)]
    reason = why_alone(trials[0])
    if reason is not None:
        reasons = ("has no stacked form", "in two places", "learning rates of their own")
        assert any(known in reason for known in reasons)
        return
    networks = [build_model(trial) for trial in trials]
    stacked = stack(networks)
    x = torch.stack([examples(case.problem, 4, seed) for seed in range(3)])
    outputs = stacked(x.flatten(0, 1)).unflatten(0, (3, 4))
    for network, inputs, found in zip(networks, x, outputs, strict=True):
        torch.testing.assert_close(found, network(inputs), rtol=1e-4, atol=1e-5)


# Together


def merged_case(generator):
    """Return a network with the options of two or three rows, or None where they exclude them."""
    rows = generator.sample(OPTION_TABLE, generator.choice((2, 3)))
    backbone = generator.choice(sorted({name for row in rows for name in row[0].split()}))
    family = generator.choice([family for _, family, _ in rows])
    options = {}
    for row in rows:
        options |= row[2]
    depth, width = (2, 8) if backbone != "preact" else (3, 16)
    settings = VariantSettings(family=family, depth=depth, width=width, **options)
    if option_problems(settings, BackboneSettings(name=backbone)):
        return None
    variant = variant_of(backbone, family, depth, width, **options)
    if variant.tie_embeddings is False and variant.patch != 4:
        return None  # one is for text, the other for images
    reads_text = backbone in ("transformer", "mixer") and variant.patch == 4
    return OptionCase(variant, TEXT if reads_text else SMALL)


def assert_options_compose(num_draws, seed):
    generator, found = random.Random(seed), {}
    for _ in range(num_draws):
        case = merged_case(generator)
        if case is not None:
            found[variant_id(case.variant)] = case
    for case in found.values():
        assert_counted(case.variant, case.problem)
        network = network_of(case)
        assert network(examples(case.problem)).isfinite().all(), case.variant
    return found


def test_options_that_are_allowed_together_work_together():
    assert len(assert_options_compose(250, seed=0)) > 50


@pytest.mark.slow
def test_many_more_options_that_are_allowed_together_work_together():
    assert len(assert_options_compose(4_000, seed=1)) > 700


# A run


def suite_of_options():
    """Return a suite of a network of each row of the table that classifies images."""
    variants = [
        {"backbone": {"name": name}, "family": family, "depth": depth, "width": width} | options
        for row, (backbones, family, options) in enumerate(OPTION_TABLE)
        for name in [backbones.split()[row % len(backbones.split())]]
        for depth, width in [(3, 16) if name == "preact" else (2, 8)]
        if not {"output", "tie_embeddings"} & set(options)
    ]
    return {
        "suite": "options",
        "dataset": {"name": "digits", "train_examples": 40, "validation_examples": 20},
        "variants": variants,
        "train": {"steps": 2, "batch_size": 20},
    }


def test_a_run_of_every_option_ends_with_losses_in_its_rows(tmp_path):
    suite = suite_of_options()
    jsonschema.validate(json.loads(json.dumps(suite)), json_schema())
    run_suite(parse_suite(json.dumps(suite), "options.yaml"), out=tmp_path, run="first")
    trials = read_run(tmp_path / "options" / "first").trials
    assert len(trials) > 50
    assert set(trials["status"]) == {"ok"}, trials["error"].dropna().unique()
    assert trials[["train_loss", "val_loss", "test_loss"]].notna().all(axis=None)
    told = {"hidden_sizes", "loops", "experts", "survival", "layer_scale", "norm_position"}
    told |= {"attention_every", "kv_heads", "head_size", "depth_average", "skip", "active_params"}
    assert trials[sorted(told)].notna().any().all()
    assert (trials["active_params"] <= trials["total_params"]).all()
