"""Mixtures of experts: feed-forward layers of which a router chooses a few for each position.

Source: "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer" (arXiv
1701.06538) for the layer; the gates are softmax probabilities over all experts, of which the K
largest are used as they are, as in Vision MoE (arXiv 2106.05974), without its noise. So one expert
is the plain layer, and K = E a weighted mean. The loss that keeps experts equally busy is that of
Switch Transformers (arXiv 2101.03961), equation 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthbench.models.mlp import MLPModule
from depthbench.models.norms import feature_norm
from depthbench.spec import Variant


class MixtureModule(nn.Module):
    """Normalise each position, let a router choose K of E experts, and sum their gated answers.

    No position is ever dropped.

    Shapes:
        (B, D) -> (B, D), or (B, T, D) -> (B, T, D); probabilities (N, E), N positions.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        assert variant.experts is not None
        self.num_experts, self.num_active = variant.experts, variant.active_experts or 1
        self.balance_weight = variant.balance or 0.0
        # The balance of each run in training since somebody asked for it; None: nobody does.
        self.balances: list[Tensor] | None = None
        self.norm = feature_norm(variant.norm, variant.width, variant.norm_affine)
        self.router = nn.Linear(variant.width, variant.experts, bias=False)
        own = replace(variant, norm="none")  # all read what is normalised once
        self.experts = nn.ModuleList(MLPModule(own) for _ in range(variant.experts))

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
        if self.training and self.balances is not None:
            self.balances.append(self._balance(probabilities, chosen))
        total = self._summed(h, gates.to(h.dtype), chosen)  # (N, D)
        return total.view(z.shape)

    def _summed(self, h: Tensor, gates: Tensor, chosen: Tensor) -> Tensor:
        """Return the gated sum, each expert run once, on the rows that chose it."""
        total = torch.zeros_like(h)  # (N, D)
        if h.is_meta:  # nothing is chosen there: any K experts stand for those of all rows
            parts = zip(self.experts, gates.unbind(1), strict=False)
            return total + sum(gate[:, None] * expert(h) for expert, gate in parts)
        for index, expert in enumerate(self.experts):
            rows, ranks = torch.where(chosen == index)  # (n,) twice
            if len(rows):
                answer = expert(h[rows]) * gates[rows, ranks, None]  # (n, D)
                total.index_add_(0, rows, answer.to(total.dtype))
        return total

    def _balance(self, probabilities: Tensor, chosen: Tensor) -> Tensor:
        """Return E sum_e f_e P_e: f_e the share of choices on expert e, P_e its mean probability.

        It is 1 where all experts are equally busy, and E at most.
        """
        picked = F.one_hot(chosen, self.num_experts).float().sum(1)  # (N, E)
        shares = picked.mean(0) / self.num_active  # (E,)
        return self.num_experts * (shares * probabilities.mean(0)).sum()


class Balance:
    """Gather the balance of all mixtures of a network over one forward pass in training."""

    def __init__(self, mixtures: Sequence[MixtureModule]) -> None:
        self.mixtures = mixtures

    def begin(self) -> None:
        """Let each mixture note its balance from now on."""
        for mixture in self.mixtures:
            mixture.balances = []

    def end(self) -> Tensor | float:
        """Return the weighted sum of what was noted, once for each run of a mixture."""
        total: Tensor | float = 0.0
        for mixture in self.mixtures:
            for balance in mixture.balances or ():
                total = total + mixture.balance_weight * balance
            mixture.balances = None
        return total


def feed_forward(variant: Variant) -> nn.Module:
    """Return the feed-forward module of a variant: the plain one, or a mixture of experts."""
    return MLPModule(variant) if (variant.experts or 1) == 1 else MixtureModule(variant)


def balance_of(network: nn.Module) -> Balance | None:
    """Return what gathers the balance of a network's mixtures; None where none has a weight."""
    mixtures = [
        module
        for module in network.modules()
        if isinstance(module, MixtureModule) and module.balance_weight
    ]
    return Balance(mixtures) if mixtures else None
