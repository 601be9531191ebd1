"""Parametrisations: how first weights, multipliers and learning rates follow width and depth.

A parametrisation takes what is right for a base shape, base_width and base_depth, to any other; at
the base it is sp, bit for bit. Each weight has two growths, those of its fan-in and its fan-out
from the network of base width to this one: m is that of a size which follows the width, and 1 that
of one which does not, such as classes, experts, a hidden size given as a count or heads of a fixed
number and size. Its role follows from them, whatever module it is in:

| role   | fan-in | fan-out | such as                                                           |
| ------ | ------ | ------- | ----------------------------------------------------------------- |
| input  | 1      | m       | lift, patches, token and position embeddings, biases, norms, gains |
| hidden | m      | m       | up, down, attention, convolutions                                 |
| output | m      | 1       | the head's layer; a router; shared keys and values                |
| fixed  | 1      | 1       | token mixing, averages over depth, trained scales, the head's bias |

What follows is relative to the base, for fan-in growth i, fan-out growth o and multiplier c, which
only the head's layer has:

|                  | mup, depth_mup, completep               | ntk                          |
| ---------------- | --------------------------------------- | ---------------------------- |
| head's c         | 1 / i                                   | i^-1/2                       |
| deviation        | i^-1/2 / c; output (and head) i^-1 / c  | i^-1/2 / c                   |
| Adam's rate      | 1 / (i c)                               | 1 / (i o^1/2 c)              |
| SGD's rate       | o / (i c^2)                             | 1 / (i c^2)                  |
| Adam's epsilon   | c / o                                   | c / o^1/2                    |
| attention scores | times S_base^1/2 / S, S the head size   | as in sp: S^-1/2             |

So under mup an Adam rate is 1/m for hidden weights and 1 for input and head, and an SGD rate 1 for
hidden weights and m for input and head. A token embedding that is also the head's layer has one
rate, since both roles ask for the same. AdamW's and SGD's decay is divided by the rate, so that
their product, the strength of the decay, is that of the base.

In depth, with M = L / base_depth, depth_mup (a = 1/2) and completep (a = 1) multiply branches by
M^-a (`sums.py`) and, of weights within branches, Adam's rate by M^(a-1), SGD's by M^(2a-1) and
epsilon by M^-a. Weights that all modules share have gradients M times as large: epsilon by M^(1-a),
SGD's rate by M^(2a-2). What stands in the stream itself, norms after sums and averages over depth,
acts with a = 0.

ntk is the parametrisation in which training becomes that of a fixed kernel as the width grows:
outputs change by as much as at the base, features by m^-1/2 of that. It is given without its
multipliers 1 / fan_in^1/2 but for the head's: a weight times c, started with 1/c of the deviation,
learns the same at 1/c^2 of SGD's rate or 1/c of Adam's (abc-equivalence), so they are in the rates.

Limits. Queries with keys shared by a fixed number of heads are one weight with these: under SGD it
has the lower of their rates. sp draws layers that write to a transformer's stream by the depth;
depth_mup and completep draw them as at base depth.

Source:
    mup: "Tensor Programs V" (arXiv 2203.03466), tables 3 and 8, with the head as in table 8; SGD
    after table 3 and its code's MuSGD. abc-parametrisations and ntk: "Tensor Programs IV" (arXiv
    2011.14522); ntk for Adam: the adaptive form of "Tensor Programs IVb" (arXiv 2308.01814), here
    derived, not copied. depth_mup: "Tensor Programs VI" (arXiv 2310.02244), without its centring of
    features. completep: arXiv 2505.01618, table 1; SGD's and shared weights' rates in depth, and
    norms after sums, are derived here. Where that table has two epsilons, for branches and for
    embedding and head, its code has one. There biases and norms have no decay; here they have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from depthbench.models.attention import Attention
from depthbench.models.network import Network
from depthbench.models.rates import Rates
from depthbench.models.readout import multiply_readout, readout_of
from depthbench.models.sums import depth_growth, depth_scale
from depthbench.spec import Variant

Shapes = dict[str, tuple[int, ...]]

# Linear layers and convolutions start by PyTorch's default, within 1 / fan_in^1/2, biases too; in
# other backbones first weights do not follow the width.
_STARTED_BY_FAN_IN = ("mlp", "conv")


class Growth(NamedTuple):
    """How many times the fan-in and the fan-out of the base a weight has."""

    fan_in: float = 1.0
    fan_out: float = 1.0

    def deviation(self, rule: str, multiplier: float = 1.0) -> float:
        """Return what a rule, ntk or any mup, has the deviation of first weights multiplied by."""
        is_output = self.fan_in != 1.0 and self.fan_out == 1.0
        return self.fan_in ** (-1.0 if is_output and rule != "ntk" else -0.5) / multiplier

    def rates(self, rule: str, multiplier: float = 1.0) -> Rates:
        """Return the rates of a rule at base depth."""
        is_ntk, c = rule == "ntk", multiplier
        reached = self.fan_out**0.5 if is_ntk else self.fan_out
        return Rates(
            adam=1 / (self.fan_in * (reached if is_ntk else 1.0) * c),
            sgd=(1.0 if is_ntk else self.fan_out) / (self.fan_in * c * c),
            gradient=c / reached,
            size=self.deviation(rule, c),
        )


class Part(NamedTuple):
    """Rows of a weight that grow alike."""

    num_rows: int
    growth: Growth


def base_of(variant: Variant) -> Variant:
    """Return the variant at its base width, in sp, as deep: its weights have the same names."""
    assert variant.base_width is not None
    ratio = variant.base_width / variant.width
    sizes = variant.hidden_sizes
    return replace(
        variant,
        width=variant.base_width,
        hidden=variant.base_hidden,
        hidden_sizes=None if sizes is None else tuple(max(1, round(n * ratio)) for n in sizes),
        heads=variant.base_heads,
        head_size=variant.base_head_size,
        parametrization=None,
        execution=None,
        defaults=(),
    )


def shapes_of(network: nn.Module) -> Shapes:
    """Return the shape of every weight by name; of one in several places, by each of its names."""
    named = network.named_parameters(remove_duplicate=False)
    return {name: tuple(weight.shape) for name, weight in named}


def parametrize(network: Network, variant: Variant, base: Shapes) -> None:
    """Give a network as sp draws it the weights, multipliers and rates of its parametrisation.

    Args:
        network: of the variant, on any device.
        variant: with another parametrisation than sp.
        base: the shapes of `base_of(variant)`.
    """
    rule = str(variant.parametrization)
    head, fan_in = _head(network, base)
    multiplier = fan_in ** (-0.5 if rule == "ntk" else -1.0)
    in_places = network.named_parameters(remove_duplicate=False)
    num_places = Counter(id(weight) for _, weight in in_places)
    rates: dict[str, Rates] = {}
    for name, module, weight in _weights(network):
        c = multiplier if name == head else 1.0
        parts = _parts(name, module, weight, variant, base)
        started = _started(name, module, variant, base)
        _multiply_rows(weight, [(n, growth.deviation(rule, c) / started) for n, growth in parts])
        slowest = min((part.growth for part in parts), key=lambda growth: growth.fan_out)
        rates[name] = _in_depth(slowest.rates(rule, c), name, variant, num_places[id(weight)])
    if rule != "ntk":
        _scale_scores(network, variant)
    if multiplier != 1.0:
        multiply_readout(network.head, multiplier)
    network.rates = rates if any(own != Rates() for own in rates.values()) else None


def _head(network: Network, base: Shapes) -> tuple[str, float]:
    """Return the name of the weight of the head's layer, and how its fan-in has grown."""
    _, _, linear = readout_of(network.head)
    (path,) = (path for path, module in network.named_modules() if module is linear)
    name = f"{path}.weight"
    return name, linear.in_features / base[name][1]


def _weights(network: nn.Module) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield every weight once: its first name, the module that has it, and itself."""
    seen: set[int] = set()
    for path, module in network.named_modules():
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) not in seen:
                seen.add(id(weight))
                yield f"{path}.{name}".lstrip("."), module, weight


def _parts(
    name: str, module: nn.Module, weight: Tensor, variant: Variant, base: Shapes
) -> list[Part]:
    """Return how a weight has grown: one part, but where few heads of keys serve all queries."""
    shape, before = weight.shape, base[name]
    grown = [now / then for now, then in zip(shape, before, strict=True)]
    is_embedding = isinstance(module, nn.Embedding)
    fan_out, fan_in = grown[:2] if len(grown) > 1 else (grown[0], 1.0)
    if is_embedding:
        fan_in, fan_out = fan_out, fan_in
    if variant.kv_heads is None or ".queries_keys_values." not in name:
        return [Part(len(weight), Growth(fan_in, fan_out))]
    size, base_size = _head_sizes(variant)
    assert variant.heads is not None
    num_queries = variant.heads * size
    num_others = 2 * variant.kv_heads * size
    return [
        Part(
            num_queries, Growth(fan_in, num_queries / (before[0] - num_others * base_size / size))
        ),
        Part(num_others, Growth(fan_in, size / base_size)),
    ]


def _head_sizes(variant: Variant) -> tuple[int, int]:
    """Return the size of an attention head, here and at base width."""
    assert variant.size_of_heads is not None
    assert variant.base_head_size is not None
    return variant.size_of_heads, variant.base_head_size


def _started(name: str, module: nn.Module, variant: Variant, base: Shapes) -> float:
    """Return what the deviation of a weight as sp draws it is, over that at base width."""
    if variant.backbone not in _STARTED_BY_FAN_IN or not isinstance(module, nn.Linear | nn.Conv2d):
        return 1.0
    own = module.weight.shape[1] / base[f"{name.rpartition('.')[0]}.weight"][1]
    return float(own**-0.5)


def _multiply_rows(weight: Tensor, factors: Sequence[tuple[int, float]]) -> None:
    """Multiply the first rows of a weight by the first factor, the next by the next."""
    start = 0
    with torch.no_grad():
        for num_rows, factor in factors:
            if factor != 1.0 and not weight.is_meta:
                weight[start : start + num_rows].mul_(factor)
            start += num_rows


def _in_depth(rates: Rates, name: str, variant: Variant, num_places: int) -> Rates:
    """Return rates as the depth changes them."""
    growth, place = depth_growth(variant), name.partition(".")[0]
    if growth == 1.0 or place in ("stem", "head"):
        return rates
    scale = depth_scale(variant) if place == "blocks" else 1.0
    uses = growth if num_places > 1 else 1.0
    return replace(
        rates,
        adam=rates.adam / (growth * scale),
        sgd=rates.sgd / (growth * uses * scale**2),
        gradient=rates.gradient * uses * scale,
    )


def _scale_scores(network: nn.Module, variant: Variant) -> None:
    """Let attention multiply products of queries and keys by 1 / S, and as sp at base width."""
    for module in network.modules():
        if isinstance(module, Attention):
            size, base_size = _head_sizes(variant)
            module.scale = None if size == base_size else sqrt(base_size) / size
