"""Memory of a call, against hand counts and a device whose memory is known."""

from dataclasses import replace

import pytest
import torch

from depthbench.timing.memory import (
    memory_columns,
    resident_growth_bytes,
    saved_activation_bytes,
)
from depthbench.timing.phases import PHASES
from tests.fixtures_networks import variant_of
from tests.fixtures_timing import CPU, CUDA, FakeCuda, called, cell_of, decoder_cell, prepared

BATCH, INPUTS, WIDTH, HIDDEN, CLASSES, DEPTH = 4, 64, 8, 24, 10, 3
FLOAT = 4


def mlp(**settings):
    options = {"norm": "none", "head_norm": False, "expansion": 3.0, "residual_scale": 1.0}
    variant = variant_of(depth=DEPTH, width=WIDTH, **options)
    return cell_of(variant, **({"phase": "train_step", "batch_size": BATCH} | settings))


def saved(cell):
    ready = prepared(cell)
    with ready.active():
        return saved_activation_bytes(ready.work)


def test_saved_activations_of_an_mlp_are_those_counted_by_hand():
    inputs = BATCH * INPUTS  # for the lift's weights
    streams = BATCH * WIDTH * (DEPTH + 1)  # z_0 .. z_L, read by each up and by the head
    hidden = BATCH * HIDDEN * DEPTH  # what ReLU gave: its own and the down layer's, one memory
    log_probabilities = BATCH * CLASSES
    labels, total_weight = 8 * BATCH, FLOAT  # int64, and the mean's divisor
    by_hand = FLOAT * (inputs + streams + hidden + log_probabilities) + labels + total_weight
    assert saved(mlp()) == by_hand


def test_saved_activations_do_not_count_weights_and_are_the_same_in_every_training_phase():
    small, large = (saved(mlp(batch_size=size)) for size in (4, 8))
    assert large - FLOAT == 2 * (small - FLOAT)  # all but the divisor is of the batch
    assert {saved(mlp(phase=phase)) for phase in ("forward", "backward", "train_step")} == {small}


def test_a_graph_that_trains_less_keeps_less():
    options = {"norm": "none", "head_norm": False, "expansion": 3.0, "residual_scale": 1.0}
    fixed = variant_of(depth=DEPTH, width=WIDTH, lift="fixed", **options)
    assert saved(mlp()) - saved(replace(mlp(), variant=fixed)) == FLOAT * BATCH * INPUTS


@pytest.mark.parametrize("phase", PHASES)
def test_memory_columns_on_a_cpu(phase):
    cell = decoder_cell(phase=phase)
    ready = prepared(cell)
    called(ready)
    columns = memory_columns(ready, cell, CPU)
    assert columns["peak_memory_bytes"] is None
    assert columns["reserved_memory_bytes"] is None
    has_graph = phase in ("forward", "backward", "train_step")
    assert (columns["saved_activation_bytes"] is not None) == has_graph
    assert columns["resident_growth_bytes"] is None or columns["resident_growth_bytes"] >= 0
    called(ready)  # a pass of its own: the cell can still be called


def test_the_pass_leaves_gradients_and_weights_alone():
    cell = mlp(phase="backward")
    ready = prepared(cell)
    before = [weight.detach().clone() for weight in ready.work.network.parameters()]
    first = called(ready)
    memory_columns(ready, cell, CPU)
    for weight, old in zip(ready.work.network.parameters(), before, strict=True):
        assert torch.equal(weight, old)
        assert weight.grad is None
    for a, b in zip(called(ready), first, strict=True):
        assert torch.equal(a, b)


# --- the resident memory of the process -----------------------------------------------------------


def test_resident_growth_sees_memory_that_a_call_takes_and_gives_back():
    num_bytes = 64 << 20
    grown = resident_growth_bytes(lambda: torch.ones(num_bytes // FLOAT).sum())
    if grown is None:
        pytest.skip("this system does not tell the peak of a stretch of time")
    assert num_bytes * 0.95 <= grown < num_bytes * 1.5
    assert resident_growth_bytes(lambda: None) < num_bytes / 16


def test_resident_growth_is_unknown_where_the_system_does_not_tell(tmp_path):
    status, clear = tmp_path / "status", tmp_path / "missing" / "clear"
    status.write_text("VmRSS:\t100 kB\nVmHWM:\t150 kB\n")
    assert resident_growth_bytes(lambda: None, status, clear) is None
    assert resident_growth_bytes(lambda: None, status, tmp_path / "clear") == 50 * 1024
    status.write_text("VmRSS:\t100 kB\n")
    assert resident_growth_bytes(lambda: None, status, tmp_path / "clear") is None


# --- CUDA, with a stand-in for torch.cuda ---------------------------------------------------------


def on_fake_gpu(cell, transient, others):
    """Return the columns of a cell that takes `transient` bytes in a call, among `others`."""
    cuda = FakeCuda()
    ready = prepared(cell)
    called(ready)
    cuda.allocate(3 * others)
    cuda.free(2 * others)  # what others have left in the allocator's hands

    def call():
        cuda.allocate(transient)
        cuda.free(transient)

    ready = replace(ready, work=replace(ready.work, call=call))
    return memory_columns(ready, cell, CUDA, cuda), ready


def test_memory_on_a_gpu_is_what_the_cell_holds_and_what_its_call_adds():
    cell = cell_of()
    alone, ready = on_fake_gpu(cell, transient=4096, others=0)
    assert alone["peak_memory_bytes"] == ready.touched_bytes + 4096
    assert alone["reserved_memory_bytes"] == ready.touched_bytes + 4096
    assert alone["resident_growth_bytes"] is None
    among, _ = on_fake_gpu(cell, transient=4096, others=10**9)
    assert among == alone


def test_a_train_step_holds_gradients_and_the_optimizers_state():
    cell = mlp()
    columns, ready = on_fake_gpu(cell, transient=0, others=5)
    weights = sum(weight.numel() for weight in ready.work.network.parameters())
    steps = len(list(ready.work.network.parameters()))  # one number each
    held = FLOAT * (4 * weights + steps + BATCH * INPUTS) + 8 * BATCH
    assert columns["peak_memory_bytes"] == held


def test_a_backward_pass_holds_its_graph():
    cell = mlp(phase="backward")
    columns, ready = on_fake_gpu(cell, transient=100, others=0)
    weights = FLOAT * sum(weight.numel() for weight in ready.work.network.parameters())
    kept = columns["saved_activation_bytes"]  # inputs and labels among it
    assert columns["peak_memory_bytes"] == weights + kept + 100
