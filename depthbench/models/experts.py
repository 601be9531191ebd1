"""Mixtures of experts: feed-forward layers of which a router chooses a few for each position.

Source: "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer" (arXiv
1701.06538) for the layer; the gates are softmax probabilities over all experts, of which the K
largest are used as they are, as in Vision MoE (arXiv 2106.05974), without its noise. So one expert
is the plain layer, and K = E a weighted mean. The loss that keeps experts equally busy is that of
Switch Transformers (arXiv 2101.03961), equation 4.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthbench.models.activations import ACTIVATIONS
from depthbench.models.mlp import MLPModule
from depthbench.models.norms import feature_norm
from depthbench.spec import Variant


class Expert(nn.Module):
    """Compute down(activation(up(h))).

    Shapes:
        (N, D) -> (N, D)
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        width, hidden, bias = variant.width, variant.hidden, bool(variant.bias)
        assert hidden is not None
        self.up = nn.Linear(width, hidden, bias)
        self.activation = ACTIVATIONS[str(variant.activation)]
        self.down = nn.Linear(hidden, width, bias)

    def forward(self, h: Tensor) -> Tensor:
        """Return the expert's answer for each row."""
        return self.down(self.activation(self.up(h)))


class MixtureModule(nn.Module):
    """Normalise each position, let a router choose K of E experts, and sum their gated answers.

    No position is ever dropped. `balance` is, after a forward pass in training, E sum_e f_e P_e
    over the experts: f_e the share of choices that fell on expert e, P_e its mean probability; it
    is 1 where all are equally busy, and E at most.

    Shapes:
        (B, D) -> (B, D), or (B, T, D) -> (B, T, D); probabilities (N, E), N positions.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        assert variant.experts is not None
        self.num_experts, self.num_active = variant.experts, variant.active_experts or 1
        self.balance_weight = variant.balance or 0.0
        self.balance: Tensor | None = None
        self.norm = feature_norm(variant.norm, variant.width, variant.norm_affine)
        self.router = nn.Linear(variant.width, variant.experts, bias=False)
        self.experts = nn.ModuleList(Expert(variant) for _ in range(variant.experts))

    @property
    def num_idle_params(self) -> int:
        """Return the weights of the experts that do not work for a position."""
        own = sum(weight.numel() for weight in self.experts[0].parameters())
        return (self.num_experts - self.num_active) * own

    def forward(self, z: Tensor) -> Tensor:
        """Return the update of the stream."""
        h = self.norm(z).flatten(0, -2)  # (N, D)
        probabilities = self.router(h).float().softmax(1)  # (N, E)
        gates, chosen = probabilities.topk(self.num_active, dim=1)  # (N, K) twice
        if self.training and self.balance_weight:
            self.balance = self._balance(probabilities, chosen)
        if h.is_meta:  # which rows an expert has is not known there, but that it is K in all
            total = sum(self.experts[index](h) for index in range(self.num_active))
            return torch.as_tensor(total).view(z.shape)
        return self._dispatched(h, gates.to(h.dtype), chosen).view(z.shape)

    def _dispatched(self, h: Tensor, gates: Tensor, chosen: Tensor) -> Tensor:
        """Return the gated sum, each expert run once, on the rows that chose it."""
        total = torch.zeros_like(h)  # (N, D)
        for index, expert in enumerate(self.experts):
            rows, ranks = torch.where(chosen == index)  # (n,) twice
            if len(rows):
                answer = expert(h[rows]) * gates[rows, ranks, None]  # (n, D)
                total = total.index_add(0, rows, answer.to(total.dtype))
        return total

    def _balance(self, probabilities: Tensor, chosen: Tensor) -> Tensor:
        picked = F.one_hot(chosen, self.num_experts).float().sum(1)  # (N, E)
        shares = picked.mean(0) / self.num_active  # (E,)
        return self.num_experts * (shares * probabilities.mean(0)).sum()


def feed_forward(variant: Variant) -> nn.Module:
    """Return the feed-forward module of a variant: the plain one, or a mixture of experts."""
    return MLPModule(variant) if (variant.experts or 1) == 1 else MixtureModule(variant)


def balance_loss(network: nn.Module) -> Callable[[], Tensor] | None:
    """Return what gives the weighted balance of all mixtures after a pass; None: no mixture.

    A mixture that several modules share counts once, as it was in its last run.
    """
    mixtures = [
        module
        for module in network.modules()
        if isinstance(module, MixtureModule) and module.balance_weight
    ]
    if not mixtures:
        return None

    def loss() -> Tensor:
        parts = [m.balance_weight * m.balance for m in mixtures if m.balance is not None]
        return torch.stack(parts).sum()

    return loss
