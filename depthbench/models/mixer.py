"""The mixer backbone: positions are mixed by weights of their places, not by attention.

f_i is that of a transformer with token mixing in place of attention: u = mix(norm(z)),
f = u + mlp(z + u); stem and head are the transformer's. On text the weights are masked, so that no
token sees those after it; on images every patch reads from all. `attention_every: n` makes every
n-th module a transformer's, which gives the hybrid.

Token-mixing weights start uniform in +-1/sqrt(T), as PyTorch's convolutions over T channels do,
biases 0; all else as in the transformer.

Source: "Masked Mixers for Language Generation and Retrieval" (arXiv 2409.01482): a convolution of
size 1 over the tokens, masked to a lower triangle, "flat" with one matrix, "expanded" with two and
an activation between; the one activation is the variant's, where the paper's is SiLU. On images
"MLP-Mixer" (arXiv 2105.01601). Positions are learned and added in the stem, which the paper's
mixers do without, so that hybrids and transformers differ in the mixing alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depthbench.models.activations import ACTIVATIONS
from depthbench.models.attention import Attention
from depthbench.models.starts import start_uniform
from depthbench.spec import Problem, Variant


class TokenMixer(nn.Module):
    """Mix positions: flat, out = W z, or expanded, out = W2 act(W1 z), with a bias a place.

    A hidden place (t, j), j < e, belongs to token t: masked, it reads from tokens up to t, and is
    read by tokens from t on.

    Shapes:
        (B, T, D) -> (B, T, D); fewer positions than the context may be given. Weights are (T, T)
        flat, (e T, T) and (T, e T) expanded.
    """

    mask: Tensor

    def __init__(self, variant: Variant, num_positions: int, *, is_causal: bool) -> None:
        super().__init__()
        self.expansion = variant.token_expansion or 0
        self.activation = ACTIVATIONS[str(variant.activation)]
        sizes = [num_positions]
        if self.expansion:
            sizes = [self.expansion * num_positions, num_positions]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        num_inputs = num_positions
        for size in sizes:
            self.weights.append(torch.empty(size, num_inputs))
            start_uniform(self.weights[-1], num_inputs**-0.5)
            if variant.bias:
                self.biases.append(torch.zeros(size))
            num_inputs = size
        ones = torch.ones(num_positions, num_positions, dtype=torch.bool)
        self.register_buffer("mask", ones.tril() if is_causal else ones, persistent=False)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what the positions read.

        Args:
            z: the normalised stream.
            mask: (B, 1, T, T), true where row may read from column; replaces the causal rule.
        """
        num = z.shape[1]
        allowed = self.mask[:num, :num] if mask is None else mask.squeeze(1)  # (T, T), (B, T, T)
        h = z
        for index, weight in enumerate(self.weights):
            rows, columns = (size // len(self.mask) * num for size in weight.shape)
            own = weight[:rows, :columns] * _repeated(allowed, rows // num, columns // num)
            h = own @ h  # (B, T, D), between two matrices (B, e T, D)
            if len(self.biases):
                h = h + self.biases[index][:rows, None]
            if index + 1 < len(self.weights):
                h = self.activation(h)
        return h


def _repeated(allowed: Tensor, rows: int, columns: int) -> Tensor:
    """Return a mask (*, T, T) as (*, rows T, columns T): a token's hidden places are together."""
    if rows > 1:
        allowed = allowed.repeat_interleave(rows, -2)
    return allowed.repeat_interleave(columns, -1) if columns > 1 else allowed


def mixing(variant: Variant, problem: Problem, index: int, num_positions: int) -> nn.Module:
    """Return what mixes the positions in module `index`, from 0: weights, or attention."""
    is_causal = problem.vocabulary is not None
    every = variant.attention_every or 0
    if every and (index + 1) % every == 0:
        return Attention(variant, is_causal=is_causal)
    return TokenMixer(variant, num_positions, is_causal=is_causal)
