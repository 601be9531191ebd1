"""What a call costs: FLOPs counted from shapes, and the share of the device's peak they reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from depthbench.errors import TrialError
from depthbench.grammar import BACKBONE_STAGES
from depthbench.models import build
from depthbench.models.count import count, is_uniform
from depthbench.models.decoding import decoder
from depthbench.spec import Problem, Variant
from depthbench.timing.cells import Cell
from depthbench.timing.precisions import INFERENCE_TYPES, arithmetic

# Batch norm in training needs more than one example.
_COUNTED_EXAMPLES = 2

# Dense products, no sparsity, accumulated in float32 but for fp16 on Volta and Turing; FLOPs a
# second, by the name that PyTorch gives a device. fp32 is that of the CUDA cores. Many datasheets
# print tensor-core figures with sparsity: those are halved here. Devices whose clocks are set by
# the card's maker (GeForce) have no one peak.
# Source: NVIDIA's datasheets of V100, T4, A10, A30, A40, A100, L4, L40S, H100 and H200.
_V100_PCIE = {"fp32": 14e12, "fp16": 112e12}
_V100_SXM2 = {"fp32": 15.7e12, "fp16": 125e12}
_A100 = {"fp32": 19.5e12, "tf32": 156e12, "bf16": 312e12, "fp16": 312e12}
_H100_SXM = {"fp32": 67e12, "tf32": 494.7e12, "bf16": 989.4e12, "fp16": 989.4e12}
KNOWN_PEAKS: dict[str, dict[str, float]] = {
    "Tesla V100-PCIE-16GB": _V100_PCIE,
    "Tesla V100-PCIE-32GB": _V100_PCIE,
    "Tesla V100-SXM2-16GB": _V100_SXM2,
    "Tesla V100-SXM2-32GB": _V100_SXM2,
    "Tesla T4": {"fp32": 8.1e12, "fp16": 65e12},
    "NVIDIA A10": {"fp32": 31.2e12, "tf32": 62.5e12, "bf16": 125e12, "fp16": 125e12},
    "NVIDIA A30": {"fp32": 10.3e12, "tf32": 82e12, "bf16": 165e12, "fp16": 165e12},
    "NVIDIA A40": {"fp32": 37.4e12, "tf32": 74.8e12, "bf16": 149.7e12, "fp16": 149.7e12},
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA L4": {"fp32": 30.3e12, "tf32": 60e12, "bf16": 121e12, "fp16": 121e12},
    "NVIDIA L40S": {"fp32": 91.6e12, "tf32": 183e12, "bf16": 362e12, "fp16": 362e12},
    "NVIDIA H100 PCIe": {"fp32": 51.2e12, "tf32": 378e12, "bf16": 756e12, "fp16": 756e12},
    "NVIDIA H100 80GB HBM3": _H100_SXM,
    "NVIDIA H200": _H100_SXM,
}

# Sides of the square matrices that a peak is measured with: enough to fill the device.
_PEAK_SIDES = {"cuda": (4096, 8192, 16384)}
_CPU_PEAK_SIDES = (512, 1024, 2048)
_PEAK_REPEATS = 5


class Reading(Protocol):
    """Name what is read of a clock."""

    @property
    def device_seconds(self) -> float:
        """Return the seconds that the device took."""


class BlockClock(Protocol):
    """Name what a peak is measured with."""

    def time_calls(self, call: Callable[[], object], num_calls: int) -> Reading:
        """Return what so many calls take together."""


def cost_columns(
    cell: Cell,
    median_seconds: float | None,
    device_name: str,
    measured_peaks: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return the FLOPs of a call and how near they come to the device's peak; null: unknown.

    Args:
        cell: what was timed.
        median_seconds: of one call on the device; None where there is none.
        device_name: as PyTorch reports it.
        measured_peaks: FLOPs a second by precision, measured here; they go before known ones.

    Raises:
        TrialError: more FLOPs a second than the device can do: a wrong time, count or peak.
    """
    flops = call_flops(cell)
    known = KNOWN_PEAKS.get(device_name, {}).get(cell.precision)
    peak = (measured_peaks or {}).get(cell.precision, known)
    achieved = flops / median_seconds if median_seconds else None
    fraction = achieved / peak if achieved is not None and peak else None
    if fraction is not None and fraction > 1:
        raise TrialError(
            f"timing: {cell.phase} in {cell.precision} reached {fraction:.2f} of the peak of "
            f"{device_name}, {peak:.4g} FLOPs a second: the time, the count or that peak is wrong; "
            "measure the peak again on an idle device"
        )
    return {
        "call_flops": flops,
        "achieved_flops_per_second": achieved,
        "peak_flops_per_second": peak,
        "flops_utilization_fraction": fraction,
    }


def call_flops(cell: Cell) -> int:
    """Return the FLOPs of one call, as `depthbench.models.count` counts.

    A backward pass costs twice its forward pass, less the gradients that nothing asks for: those
    by the examples themselves, and by weights that are not trained. What a kernel computes again
    rather than keeps is no FLOP of the model. The optimizer's own are not counted.
    """
    match cell.phase:
        case "inference" | "forward":
            return count(cell.variant, cell.problem).forward_flops * cell.batch_size
        case "decode":
            flops = _extrapolated(cell.variant, cell.problem, _decode_flops)
        case "backward":
            flops = _extrapolated(cell.variant, cell.problem, _backward_flops)
        case _:
            forward = count(cell.variant, cell.problem).forward_flops * _COUNTED_EXAMPLES
            flops = forward + _extrapolated(cell.variant, cell.problem, _backward_flops)
    return flops * cell.batch_size // _COUNTED_EXAMPLES


def measured_peak(device: torch.device, precision: str, clock: BlockClock) -> float:
    """Return the most FLOPs a second that square matrix products reach on a device.

    Args:
        device: where.
        precision: of the matrices.
        clock: times one product.
    """
    sides = _PEAK_SIDES.get(device.type, _CPU_PEAK_SIDES)
    with arithmetic(device, precision), torch.inference_mode():
        return max(_product_rate(side, device, precision, clock) for side in sides)


def _product_rate(side: int, device: torch.device, precision: str, clock: BlockClock) -> float:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(side, side, generator=generator)  # zeros would draw less power
    matrix = matrix.to(device, INFERENCE_TYPES[precision])  # (side, side)

    def multiply() -> Tensor:
        return matrix @ matrix

    clock.time_calls(multiply, 1)
    seconds = (clock.time_calls(multiply, 1).device_seconds for _ in range(_PEAK_REPEATS))
    return float(2 * side**3 / min(seconds))


@lru_cache(maxsize=4096)
def _extrapolated(
    variant: Variant, problem: Problem, flops_of: Callable[[Variant, Problem], int]
) -> int:
    """Return the FLOPs of a network, where its modules are alike from those of two shallow ones.

    Of a training step with stochastic depth all modules count: which are left out is chance.
    """
    survival = None if variant.survival is None else 1.0
    plain = replace(variant, execution=None, defaults=(), survival=survival)
    if not is_uniform(plain):
        return flops_of(plain, problem)
    num_stages = BACKBONE_STAGES.get(variant.backbone, 1)
    plain = replace(plain, branches=None if variant.branches is None else 1)
    first, second = (
        flops_of(replace(plain, depth=times * num_stages), problem) for times in (1, 2)
    )
    return first + (variant.depth // num_stages - 1) * (second - first)


def _backward_flops(variant: Variant, problem: Problem) -> int:
    """Return the FLOPs of the gradients by all trained weights, of the examples that we count."""
    with torch.device("meta"):
        network = build(variant, problem).train()
    # Attention as plain products: a fused kernel's backward pass would count some of them again.
    with sdpa_kernel(SDPBackend.MATH):
        outputs = network(_examples(problem)).sum()
        with FlopCounterMode(display=False) as counter:
            outputs.backward()
    return int(counter.get_total_flops())


def _decode_flops(variant: Variant, problem: Problem) -> int:
    """Return the FLOPs of the last token alone, of the examples that we count."""
    tokens = _examples(problem)
    with torch.device("meta"), torch.no_grad():
        network = decoder(build(variant, problem).eval(), tokens[:, :-1])
        with FlopCounterMode(display=False) as counter:
            network(tokens[:, -1:])
    return int(counter.get_total_flops())


def _examples(problem: Problem) -> Tensor:
    dtype = torch.float32 if problem.vocabulary is None else torch.int64
    return torch.empty(_COUNTED_EXAMPLES, *problem.input_shape, dtype=dtype, device="meta")
