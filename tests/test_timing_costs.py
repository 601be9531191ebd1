"""FLOPs of a call against formulas and PyTorch's own counter, and the share of a peak."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from depthbench.errors import TrialError
from depthbench.grammar import Precision
from depthbench.models import build
from depthbench.models.count import count
from depthbench.timing.costs import KNOWN_PEAKS, call_flops, cost_columns, measured_peak
from tests.fixtures_networks import PAIRS, variant_of
from tests.fixtures_timing import CPU, IMAGES, TEXT, cell_of, decoder_cell

LENGTH, WIDTH, DEPTH, TOKENS = 12, 16, 3, 30


def counted_on_meta(variant, problem, batch_size):
    """Return the FLOPs of forward and backward as PyTorch counts them of the whole network."""
    dtype = torch.float32 if problem.vocabulary is None else torch.int64
    x = torch.empty(batch_size, *problem.input_shape, dtype=dtype, device="meta")
    with torch.device("meta"):
        network = build(variant, problem).train()
    with FlopCounterMode(display=False) as forward:
        loss = network(x).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), backward.get_total_flops()


def flops(variant, phase, problem=IMAGES, batch_size=6):
    return call_flops(cell_of(variant, problem, phase=phase, batch_size=batch_size))


# The kernel of fused attention counts its backward pass otherwise.
@pytest.mark.parametrize(("family", "backbone"), [p for p in PAIRS if p[1] != "transformer"])
def test_flops_of_images_are_those_that_pytorch_counts(family, backbone):
    variant = variant_of(backbone, family)
    forward, backward = counted_on_meta(variant, IMAGES, 6)
    assert flops(variant, "inference") == flops(variant, "forward") == forward
    assert flops(variant, "backward") == backward
    assert flops(variant, "train_step") == forward + backward


def test_a_backward_pass_costs_twice_its_forward_pass_but_for_the_gradient_by_the_examples():
    variant = variant_of("mlp", depth=5)
    lift = 2 * 6 * 64 * 16  # what the first layer's gradient by its inputs would cost
    assert flops(variant, "backward") == 2 * flops(variant, "forward") - lift
    fixed = variant_of("mlp", depth=5, lift="fixed")
    assert flops(fixed, "backward") == 2 * flops(fixed, "forward") - 2 * lift


def test_a_backward_pass_of_text_costs_exactly_twice_its_forward_pass():
    variant = variant_of("transformer", depth=DEPTH, width=WIDTH, heads=2)
    forward = count(variant, TEXT).forward_flops * 6
    assert flops(variant, "backward", TEXT) == 2 * forward  # tokens have no gradient to leave out
    assert flops(variant, "train_step", TEXT) == 3 * forward


def test_flops_of_decoding_are_one_positions_products_and_its_attention_to_all():
    products = 12 * WIDTH**2  # queries, keys, values, out, up, down
    attention = 2 * LENGTH * WIDTH  # scores and their sum of values
    by_hand = 2 * (DEPTH * (products + attention) + WIDTH * TOKENS)
    assert call_flops(decoder_cell(batch_size=1)) == by_hand
    assert call_flops(decoder_cell(batch_size=7)) == 7 * by_hand


def test_counting_a_deep_network_builds_a_shallow_one(monkeypatch):
    from depthbench.timing import costs

    depths = []

    def build_seen(variant, problem):
        depths.append(variant.depth)
        return build(variant, problem)

    monkeypatch.setattr(costs, "build", build_seen)
    variant = variant_of("mlp", depth=4000, width=17)
    assert flops(variant, "backward") > 4000 * 2 * 2 * 6 * (2 * 17 * 34) - 1
    assert depths == [1, 2]


# --- the share of a peak --------------------------------------------------------------------------


def test_utilisation_is_achieved_over_the_known_peak_of_the_precision():
    cell = cell_of(batch_size=1000, precision="bf16")
    flops = call_flops(cell)
    columns = cost_columns(cell, 2e-6, "NVIDIA H200")
    assert columns == {
        "call_flops": flops,
        "achieved_flops_per_second": pytest.approx(flops / 2e-6),
        "peak_flops_per_second": 989.4e12,
        "flops_utilization_fraction": pytest.approx(flops / 2e-6 / 989.4e12),
    }


def test_an_unknown_peak_is_null_and_so_is_its_share():
    for name, precision in (("cpu", "fp32"), ("Tesla T4", "bf16"), ("NVIDIA H200 NVL", "bf16")):
        columns = cost_columns(cell_of(precision=precision), 1e-3, name)
        assert columns["peak_flops_per_second"] is None
        assert columns["flops_utilization_fraction"] is None
        assert columns["achieved_flops_per_second"] > 0


def test_a_cell_without_a_time_has_its_count_alone():
    columns = cost_columns(cell_of(), None, "NVIDIA H200")
    assert columns["call_flops"] > 0
    assert columns["achieved_flops_per_second"] is None
    assert columns["flops_utilization_fraction"] is None


def test_a_measured_peak_goes_before_a_known_one_and_only_at_its_precision():
    cell = cell_of(precision="fp32")
    assert cost_columns(cell, 1.0, "NVIDIA H200", {"fp32": 5e13})["peak_flops_per_second"] == 5e13
    assert cost_columns(cell, 1.0, "NVIDIA H200", {"bf16": 5e13})["peak_flops_per_second"] == 67e12
    assert cost_columns(cell, 1.0, "cpu", {"fp32": 1e11})["peak_flops_per_second"] == 1e11


def test_more_than_the_peak_is_an_error():
    cell = cell_of()
    flops = call_flops(cell)
    assert cost_columns(cell, 1.0, "cpu", {"fp32": flops})["flops_utilization_fraction"] == 1.0
    with pytest.raises(TrialError, match=r"reached 1\.25 of the peak of cpu"):
        cost_columns(cell, 0.8, "cpu", {"fp32": flops})


def test_known_peaks_are_dense_and_grow_as_types_shrink():
    words = set(Precision.__args__)
    for name, peaks in KNOWN_PEAKS.items():
        assert set(peaks) <= words, name
        assert 1e12 < peaks["fp32"] < 1e14, name
        assert peaks["fp16"] <= 989.4e12, name  # twice as much would be with sparsity
        assert peaks["fp32"] < peaks.get("tf32", peaks["fp16"]) <= peaks["fp16"], name
        assert peaks.get("bf16", peaks["fp16"]) == peaks["fp16"], name


# --- a measured peak ------------------------------------------------------------------------------


@dataclass
class Reading:
    device_seconds: float


class ProductClock:
    """A clock of a device that multiplies at a known rate, every second time half as fast."""

    def __init__(self, rate):
        self.rate, self.num_blocks, self.dtypes = rate, 0, set()

    def time_calls(self, call, num_calls):
        result = call()
        self.dtypes.add(result.dtype)
        self.num_blocks += 1
        noise = 1 + self.num_blocks % 2
        return Reading(noise * num_calls * 2 * result.shape[0] ** 3 / self.rate)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_measured_peak_is_the_best_rate_of_products(monkeypatch, precision, dtype):
    monkeypatch.setattr("depthbench.timing.costs._CPU_PEAK_SIDES", (32, 64))
    clock = ProductClock(3e9)
    assert measured_peak(CPU, precision, clock) == pytest.approx(3e9)
    assert clock.dtypes == {dtype}


def test_flops_do_not_depend_on_how_parallel_modules_run():
    loop = variant_of("mlp", "parallel_shallow", branches=2)
    fused = replace(loop, execution="fused")
    assert flops(loop, "train_step") == flops(fused, "train_step")
