"""What a call does, phase by phase and precision by precision, against plain PyTorch."""

import copy
import gc
import itertools

import pytest
import torch
from torch import nn

from depthbench.grammar import TrainSettings
from depthbench.models import BACKBONES, build
from depthbench.timing.phases import PHASES
from depthbench.timing.precisions import arithmetic
from depthbench.timing.support import Machine, unsupported_reason
from depthbench.timing.work import UnsupportedError, prepare
from depthbench.training.tasks import task_of
from tests.fixtures_networks import assert_close, variant_of
from tests.fixtures_timing import (
    CPU,
    CUDA,
    HOPPER,
    TEXT,
    called,
    cell_of,
    decoder_cell,
    prepared,
)


def plain_loss(ready, cell):
    inputs, targets = ready.work.inputs
    outputs = ready.work.network(inputs)
    return task_of(cell.task).loss(outputs, targets, cell.train)


# --- phases ---------------------------------------------------------------------------------------


def test_inference_is_the_network_in_evaluation_and_inference_mode():
    ready = prepared(cell_of(variant_of("preact", dropout=0.5)))
    outputs = called(ready)
    assert outputs.is_inference()
    with torch.no_grad():
        assert torch.equal(outputs, ready.work.network.eval()(*ready.work.inputs))


def test_forward_is_in_training_mode_and_records_a_graph():
    ready = prepared(cell_of(variant_of("preact"), phase="forward"))
    assert ready.work.network.training
    outputs = called(ready)
    assert outputs.grad_fn is not None
    assert not any(weight.grad is not None for weight in ready.work.network.parameters())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_backward_gives_the_gradients_of_the_loss_each_time_and_accumulates_none(backbone):
    cell = cell_of(variant_of(backbone), phase="backward")
    ready = prepared(cell)
    network = ready.work.network
    reference = copy.deepcopy(network)
    first, second, third = (called(ready) for _ in range(3))
    plain_loss(ready, cell)  # on the network itself: batch norm's statistics move in both
    loss = task_of(cell.task).loss(
        reference(ready.work.inputs[0]), ready.work.inputs[1], cell.train
    )
    loss.backward()
    for weight, *gradients in zip(reference.parameters(), first, second, third, strict=True):
        for gradient in gradients:
            assert torch.equal(gradient, weight.grad)
    assert all(weight.grad is None for weight in network.parameters())


def test_backward_leaves_out_weights_that_are_not_trained():
    ready = prepared(cell_of(variant_of(lift="fixed"), phase="backward"))
    gradients = called(ready)
    trained = [weight for weight in ready.work.network.parameters() if weight.requires_grad]
    assert [g.shape for g in gradients] == [w.shape for w in trained]
    assert len(trained) < len(list(ready.work.network.parameters()))


def test_backward_works_for_text():
    cell = decoder_cell(phase="backward")
    ready = prepared(cell)
    gradients = called(ready)
    plain_loss(ready, cell).backward()
    for weight, gradient in zip(ready.work.network.parameters(), gradients, strict=True):
        assert torch.equal(gradient, weight.grad)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_train_step_is_forward_backward_and_the_optimizers_step(optimizer):
    train = TrainSettings(steps=1, optimizer=optimizer, clip_norm=0.1)
    cell = cell_of(phase="train_step", train=train)
    ready = prepared(cell)
    reference = copy.deepcopy(ready.work.network)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    options = {"momentum": 0.9, "nesterov": True} if optimizer == "sgd" else {}
    plain = kinds[optimizer](reference.parameters(), lr=train.lr, **options)
    inputs, targets = ready.work.inputs
    for _ in range(3):
        loss = task_of(cell.task).loss(reference(inputs), targets, train)
        plain.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.1)
        plain.step()
        assert_close(called(ready), loss.detach())
    for weight, expected in zip(
        ready.work.network.parameters(), reference.parameters(), strict=True
    ):
        assert_close(weight.detach(), expected.detach())


def test_decode_gives_the_logits_of_the_whole_texts_last_position():
    logits = called(prepared(decoder_cell()))
    whole = called(prepared(decoder_cell(phase="inference")))
    assert logits.shape == (4, 1, 30)
    assert_close(logits, whole[:, -1:])
    assert logits.is_inference()


def test_tokens_of_a_call():
    assert prepared(cell_of()).tokens_per_call is None
    assert prepared(decoder_cell()).tokens_per_call == 4
    for phase in ("inference", "forward", "backward", "train_step"):
        assert prepared(decoder_cell(phase=phase)).tokens_per_call == 4 * 12


def test_touched_bytes_are_weights_and_inputs_each_once():
    ready = prepared(cell_of(variant_of(depth=1, width=2, norm="none", head_norm=False)))
    weights = (64 * 2 + 2) + (2 * 4 + 4 + 4 * 2 + 2) + (2 * 10 + 10)
    assert ready.touched_bytes == 4 * (weights + 4 * 64)
    tied = prepared(decoder_cell(phase="inference"))
    parameters = sum(weight.numel() for weight in tied.work.network.parameters())
    assert tied.touched_bytes == 4 * parameters + 8 * 4 * 12
    caches = 2 * 3 * 4 * 12 * 16  # keys and values of 3 layers, 4 texts, 12 tokens, width 16
    assert prepared(decoder_cell()).touched_bytes == 4 * (parameters + caches) + 8 * 4


# --- precisions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
@pytest.mark.parametrize("phase", ["inference", "decode"])
def test_weights_and_inputs_of_inference_are_of_the_precisions_type(precision, dtype, phase):
    if phase == "decode":
        ready = prepared(decoder_cell(precision=precision))
    else:
        ready = prepared(cell_of(precision=precision))
        assert ready.work.inputs[0].dtype == dtype
    assert called(ready).dtype == dtype
    assert {weight.dtype for weight in ready.work.network.parameters()} == {dtype}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("phase", ["forward", "backward", "train_step"])
def test_training_keeps_float32_weights_under_autocast(precision, phase):
    ready = prepared(cell_of(precision=precision, phase=phase))
    seen = []
    linear = next(m for m in ready.work.network.modules() if isinstance(m, nn.Linear))
    linear.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    called(ready)
    expected = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    assert seen == [expected[precision]]
    assert {weight.dtype for weight in ready.work.network.parameters()} == {torch.float32}


def test_fp16_scales_its_loss_so_that_small_gradients_live():
    plain, scaled = (
        called(prepared(cell_of(phase="backward", precision=precision)))
        for precision in ("fp32", "fp16")
    )
    ratios = [float(s.norm() / p.norm()) for p, s in zip(plain, scaled, strict=True)]
    assert ratios == pytest.approx([65536.0] * len(ratios), rel=0.05)


@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_a_train_step_in_fp16_takes_the_step_of_fp32_but_for_rounding(clip_norm):
    moved = []
    for precision in ("fp32", "fp16"):
        train = TrainSettings(steps=1, optimizer="sgd", lr=0.1, clip_norm=clip_norm)
        ready = prepared(cell_of(phase="train_step", precision=precision, train=train))
        before = nn.utils.parameters_to_vector(ready.work.network.parameters()).detach().clone()
        called(ready)
        after = nn.utils.parameters_to_vector(ready.work.network.parameters()).detach()
        moved.append(after - before)
    assert float((moved[0] - moved[1]).norm() / moved[0].norm()) < 0.02


def test_tf32_switches_are_set_inside_and_as_before_outside():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    for precision, is_allowed in (("tf32", True), ("fp32", False), ("bf16", False)):
        with arithmetic(CUDA, precision):
            assert (matmul.allow_tf32, cudnn.allow_tf32) == (is_allowed, is_allowed)
        assert (matmul.allow_tf32, cudnn.allow_tf32) == before
    with pytest.raises(KeyError), arithmetic(CUDA, "tf32"):
        raise KeyError
    assert (matmul.allow_tf32, cudnn.allow_tf32) == before


# --- the process ----------------------------------------------------------------------------------


def test_building_leaves_the_process_as_it_was_and_active_sets_it_up_for_calls():
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    other = 2 if threads == 1 else 1
    seen = []

    def build_seen(variant, problem):
        seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return build(variant, problem)

    ready = prepare(cell_of(threads=other), CPU, build_seen)
    assert seen == [(other, False)]
    for _ in range(2):
        assert torch.get_num_threads() == threads
        assert not torch.is_inference_mode_enabled()
        assert gc.isenabled()
        with ready.active():
            assert torch.get_num_threads() == other
            assert torch.is_inference_mode_enabled()
            assert not gc.isenabled()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_cells_of_one_process_do_not_disturb_each_other():
    cells = [cell_of(phase=phase) for phase in ("inference", "train_step", "backward", "forward")]
    cells += [decoder_cell(phase=phase) for phase in PHASES]
    ready = [prepared(cell) for cell in cells]
    alone = [[called(one) for _ in range(3)] for one in (prepared(cell) for cell in cells)]
    turns = [[called(one) for one in ready] for _ in range(3)]
    for index, results in enumerate(alone):
        for expected, turn in zip(results, turns, strict=True):
            for a, b in zip(_tensors(expected), _tensors(turn[index]), strict=True):
                assert torch.equal(a, b)


def _tensors(result):
    return result if isinstance(result, tuple) else (result,)


# --- what a device cannot do ----------------------------------------------------------------------

VOLTA = Machine(lambda device: (7, 0), lambda: True, lambda: True)
BARE = Machine(lambda device: (9, 0), lambda: False, lambda: False)


@pytest.mark.parametrize(
    ("settings", "device", "machine", "reason"),
    [
        ({"phase": "decode"}, CPU, HOPPER, "backbone mlp on digits predicts no next token"),
        ({"precision": "tf32"}, CPU, HOPPER, "which a cpu has not; use fp32"),
        ({"precision": "tf32"}, CUDA, VOLTA, "this one has 7.0"),
        ({"precision": "bf16"}, CUDA, VOLTA, "this one has 7.0"),
        ({"mode": "cuda_graph"}, CPU, HOPPER, "CUDA graphs, which a cpu has not"),
        ({"mode": "compile_reduce_overhead"}, CPU, HOPPER, "CUDA graphs, which a cpu has not"),
        ({"mode": "compile"}, CPU, BARE, "there is no C.. compiler here"),
        ({"mode": "compile_max_autotune"}, CPU, BARE, "there is no C.. compiler here"),
        ({"mode": "compile"}, CUDA, BARE, "with Triton, which cannot be used here"),
        (
            {"mode": "compile_reduce_overhead", "phase": "backward"},
            CUDA,
            HOPPER,
            "use compile, or phase train_step",
        ),
        ({"cache": "cold"}, CPU, HOPPER, "only the L2 cache of a CUDA device"),
        (
            {"phase": "decode", "variant": variant_of("mixer"), "problem": TEXT},
            CPU,
            HOPPER,
            "a mixer keeps no keys and values",
        ),
        (
            {"phase": "decode", "variant": variant_of("transformer", "looped"), "problem": TEXT},
            CPU,
            HOPPER,
            "2 loops over one set of modules",
        ),
        (
            {"mode": "cuda_graph", "variant": variant_of("mlp", experts=4)},
            CUDA,
            HOPPER,
            "mode cuda_graph: .* known only when a router has chosen",
        ),
        (
            {"mode": "compile", "variant": variant_of("mlp", "widenet")},
            CPU,
            HOPPER,
            "mode compile: .* known only when a router has chosen",
        ),
        (
            {"mode": "compile", "phase": "backward", "variant": variant_of("mlp", survival=0.5)},
            CPU,
            HOPPER,
            "mode compile: .* drawn at each call",
        ),
        (
            {"mode": "cuda_graph", "phase": "forward", "variant": variant_of("mlp", survival=0.5)},
            CUDA,
            HOPPER,
            "drawn at each call",
        ),
    ],
)
def test_what_a_device_cannot_do_is_unsupported_with_the_reason(settings, device, machine, reason):
    with pytest.raises(UnsupportedError, match=reason):
        prepare(cell_of(**settings), device, build, machine=machine)


def test_the_compiler_asked_for_is_the_one_that_pytorch_would_call(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    assert not Machine().has_compiler()
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert Machine().has_compiler()


def test_an_encoder_of_images_decodes_nothing():
    cell = cell_of(variant_of("transformer"), phase="decode")
    with pytest.raises(UnsupportedError, match="predicts no next token"):
        prepared(cell)


def test_a_hopper_gpu_can_do_all_the_rest():
    precisions, modes = ("fp32", "tf32", "bf16", "fp16"), ("eager", "compile", "cuda_graph")
    for phase, precision, mode in itertools.product(PHASES, precisions, modes):
        cell = decoder_cell(phase=phase, precision=precision, mode=mode, cache="cold")
        assert unsupported_reason(cell, CUDA, HOPPER) is None
    # In evaluation nothing is drawn.
    for mode in ("cuda_graph", "compile"):
        cell = cell_of(variant_of("mlp", survival=0.5), mode=mode)
        assert unsupported_reason(cell, CUDA, HOPPER) is None
