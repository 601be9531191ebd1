"""First weights other than a backbone's own: critical, DeepScaleLM's, DeepNorm's.

They are drawn anew after the network is built, in the order of its modules, so that equal seeds
still give equal weights to families of the same modules. Biases stay as they are where nothing is
said of them.

critical (mlp, conv): W ~ N(0, C_W / fan_in), b ~ N(0, C_b), where C_W and C_b are those of the
activation that a layer reads, or 1 and 0 where it reads the stream or a norm as they are. Then the
variance of what activations read neither explodes nor vanishes with depth, which plain stacks
(`skip: none`) need; beside skips the stream still grows by what modules add. For gelu and silu that
holds at one variance, K*, so the first layer draws it: its weights have variance K* / fan_in.

deepscale (transformer, mixer): every branch gives variance 1 and is added as z <- c z + s f(z),
c^2 + s^2 = 1, so the stream keeps its variance over any depth.

norm_position: deep, whatever the backbone: the layers of modules start Xavier normal with gain
(4 M)^-1/4, M branches, queries and keys with gain 1.

Source:
    critical: "The Principles of Deep Learning Theory" (arXiv 2106.10165), sections 5.1 to 5.3, for
    multilayer perceptrons. Ours: which activation a layer reads, since modules of mlp have linear
    layers in a row, and convolutions' fan_in, which counts the taps that padding leaves.
    deepscale: "Transformers Get Stable" (arXiv 2403.09635). As there: normalised sums, embeddings
    that sum to variance 1, queries and keys of variance 1, values, out and feed-forward that keep
    variance 1. Ours: two embeddings, of 1/2 each, for its three; feed-forward's up keeps variance 1
    by itself and down makes up for the activation, where the paper gives both the same deviation;
    that attention averages positions is not made up for, which there depends on the correlation of
    the data, so its branch has less variance than 1, and the stream's goes from 1 towards the mean
    of the branches' whatever the depth; token mixing, experts, and the head. A tied embedding of
    deviation 1/2^1/2 would give logits of deviation (D / 2)^1/2, so the head multiplies its input
    to have the effective deviation of the default, 0.02, or 4 / D where that is less.
    deep: "DeepNet" (arXiv 2203.00555), figure 2: (8 N)^-1/4 for N layers of two branches. Ours:
    mlp, conv, token mixing and experts, in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import prod, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from depthbench.models.activations import ACTIVATIONS
from depthbench.models.attention import Attention
from depthbench.models.conv import stream_size
from depthbench.models.experts import MixtureModule
from depthbench.models.mixer import TokenMixer
from depthbench.models.network import Network
from depthbench.models.readout import multiply_readout, readout_of
from depthbench.models.starts import start_normal, start_zero
from depthbench.models.sums import num_branches
from depthbench.spec import Problem, Variant

_HEAD_DEVIATION = 0.02
# A tied head reads a stream that holds the token's own embedding, which adds about D / 2 times its
# effective deviation to the logit of that token.
_HEAD_SUM = 4.0
_NUM_NODES = 201


class Criticality(NamedTuple):
    """C_W and C_b of an activation, and K*, the variance that they keep; 1 where any is kept."""

    weight: float
    bias: float
    variance: float = 1.0


CRITICAL: dict[str, Criticality] = {
    "relu": Criticality(2.0, 0.0),
    "identity": Criticality(1.0, 0.0),
    "tanh": Criticality(1.0, 0.0),
    "gelu": Criticality(1.98305826, 0.17292239, 3.56155281),
    "silu": Criticality(1.98800468, 0.55514317, 14.32017362),
}


def start_weights(network: Network, variant: Variant, problem: Problem) -> None:
    """Draw the first weights of a network anew, where its variant says how; else do nothing.

    Args:
        network: as its backbone starts it; on the meta device there is nothing to draw.
        variant: whose `init` and `norm_position` say how.
        problem: what the network is built for.
    """
    if variant.init == "critical":
        _start_critical(network, variant, problem)
    elif variant.init == "deepscale":
        _start_deepscale(network, variant)
    elif variant.norm_position == "deep":
        _start_deepnorm(network, variant)


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield modules with weights, one of those that share a weight."""
    seen: set[int] = set()
    for path, module in network.named_modules():
        weight = next(module.parameters(recurse=False), None)
        if weight is not None and id(weight) not in seen:
            seen.add(id(weight))
            yield path, module


def _start_critical(network: Network, variant: Variant, problem: Problem) -> None:
    own, plain = CRITICAL[str(variant.activation)], CRITICAL["identity"]
    for path, layer in _layers(network):
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        found = own if _reads_activation(path, variant) else plain
        if path.startswith("stem."):
            found = Criticality(own.variance, 0.0)
        fan_in = float(prod(layer.weight.shape[1:]))
        if isinstance(layer, nn.Conv2d) and not path.startswith("stem."):
            sides = stream_size(variant, problem)
            fan_in = layer.in_channels * prod(_taps(side, layer.kernel_size[0]) for side in sides)
        start_normal(layer.weight, sqrt(found.weight / fan_in))
        start_zero(layer.bias)
        if layer.bias is not None and found.bias:
            start_normal(layer.bias, sqrt(found.bias))


def _reads_activation(path: str, variant: Variant) -> bool:
    """Say whether a layer reads what an activation gives, without a norm between."""
    name = path.rpartition(".")[2]
    if variant.backbone == "mlp":
        return name == "down"
    if variant.hidden is None and variant.hidden_sizes is None:
        return variant.norm == "none"  # conv's stream is made of activations, its head's too
    return name in ("conv", "up")


@cache
def _taps(side: int, kernel: int) -> float:
    """Return by how many pixels of a row convolutions in a row are read, padding left out.

    The growth of a row of images of ones under sums over `kernel` neighbours: less than the kernel
    where borders are near.
    """
    distances = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    return float(np.linalg.eigvalsh((distances <= kernel // 2).astype(float))[-1])


def _start_deepscale(network: Network, variant: Variant) -> None:
    kept = sqrt(second_moment(str(variant.activation)))
    for path, module in _layers(network):
        if path.startswith("head."):
            continue
        if isinstance(module, nn.Embedding):
            start_normal(module.weight, sqrt(0.5))
        elif path == "stem.linear":
            start_normal(_weight(module), sqrt(0.5 / _weight(module).shape[1]))
        elif isinstance(module, nn.Linear) and not path.endswith(".router"):
            is_down = path.endswith(".down")
            gain = _gate_gain(network, path) / kept if is_down else 1.0
            start_normal(module.weight, gain / sqrt(module.in_features))
    for module in network.modules():
        if isinstance(module, TokenMixer):
            _start_mixing(module, kept)
    _, _, linear = readout_of(network.head)
    if variant.tie_embeddings and isinstance(getattr(network.stem, "tokens", None), nn.Embedding):
        effective = min(_HEAD_DEVIATION, _HEAD_SUM / linear.in_features)
        multiply_readout(network.head, effective / sqrt(0.5))


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def _gate_gain(network: nn.Module, path: str) -> float:
    """Return what makes up for the gates of an expert's layer, about 1 / E each at the start."""
    owner = network.get_submodule(path.rpartition(".experts.")[0]) if ".experts." in path else None
    if not isinstance(owner, MixtureModule):
        return 1.0
    return owner.num_experts / sqrt(owner.num_active)


def _start_mixing(mixer: TokenMixer, kept: float) -> None:
    """Give each position variance 1 for as many as it reads."""
    reads = mixer.mask.sum(1)  # (T,)
    for index, weight in enumerate(mixer.weights):
        start_normal(weight, 1.0)
        if weight.is_meta:
            continue
        rows, columns = (size // len(reads) for size in weight.shape)
        num_read = (reads * columns).repeat_interleave(rows)  # (rows T,)
        gain = 1.0 if index == 0 else 1 / kept
        with torch.no_grad():
            weight.mul_(gain / num_read.sqrt().unsqueeze(1))


@cache
def second_moment(activation: str, variance: float = 1.0) -> float:
    """Return the mean square of an activation of normal numbers of a variance."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NUM_NODES)
    with torch.device("cpu"):
        values = ACTIVATIONS[activation](torch.from_numpy(nodes * sqrt(variance)))
    return float((weights / weights.sum()) @ values.square().numpy())


def _start_deepnorm(network: Network, variant: Variant) -> None:
    beta = (4 * num_branches(variant)) ** -0.25
    for path, layer in _layers(network.blocks):
        if isinstance(layer, nn.Linear | nn.Conv2d) and not path.endswith(("router", "_values")):
            _start_xavier(layer.weight, beta)
    for module in network.blocks.modules():
        if isinstance(module, Attention):
            sizes = (module.num_heads, module.num_kv_heads, module.num_kv_heads)
            rows = [size * module.head_size for size in sizes]
            parts = module.queries_keys_values.weight.detach().split(rows)
            for part, gain in zip(parts, (1.0, 1.0, beta), strict=True):
                _start_xavier(part, gain)
        elif isinstance(module, TokenMixer):
            for weight in module.weights:
                _start_xavier(weight, beta)


def _start_xavier(weight: Tensor, gain: float) -> None:
    """Draw a weight (D_out, D_in, *) by Xavier's rule, for fan-in and fan-out together."""
    start_normal(weight, gain * sqrt(2 / (prod(weight.shape[1:]) + weight[:, 0].numel())))
