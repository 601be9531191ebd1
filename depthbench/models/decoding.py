"""Decode one token at a time: attention that keeps the keys and values of the tokens before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depthbench.models.attention import Attention
from depthbench.models.network import Network
from depthbench.models.transformer import TokenStem


class CachedAttention(nn.Module):
    """Read from the tokens given now and from those whose keys and values are kept.

    What is given is written after the first `num_cached` places of the cache, which is as long as
    the whole text. `num_cached` stays as it is: the same call does the same each time.

    Shapes:
        (B, T, D) -> (B, T, D); T is 1 where there are cached tokens.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, attention: Attention, batch_size: int, capacity: int) -> None:
        super().__init__()
        self.attention = attention
        self.num_cached = 0
        weight = attention.out.weight
        shape = (batch_size, attention.num_kv_heads, capacity, attention.head_size)
        self.register_buffer("keys", weight.new_zeros(shape), persistent=False)
        self.register_buffer("values", weight.new_zeros(shape), persistent=False)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what the positions read; there are no documents to keep apart."""
        assert mask is None
        queries, keys, values = self.attention.project(z)
        start, end = self.num_cached, self.num_cached + z.shape[1]
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        h = self.attention.read(
            queries,
            self.keys[:, :, :end],
            self.values[:, :, :end],
            is_causal=end - start > 1,  # a single token reads from all before it
        )  # (B, H, T, S)
        return self.attention.join(h)


class NextTokenStem(nn.Module):
    """Embed a token at one position.

    Shapes:
        (B, 1) int64 -> (B, 1, D)
    """

    def __init__(self, stem: TokenStem, position: int) -> None:
        super().__init__()
        self.stem = stem
        self.position = position

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream at the start."""
        return self.stem.tokens(x) + self.stem.positions.weight[self.position]  # (B, 1, D)


def decoder(network: nn.Module, tokens: Tensor) -> Network:
    """Turn a causal decoder of text into one of the next token alone, and return it.

    The network itself is changed. Its cache holds the tokens given; each call computes the logits
    that the whole network gives at the position after them, and leaves the cache as it was there.

    Args:
        network: a transformer for text, in evaluation mode.
        tokens: the text so far, all positions of the context but the last; there may be none.

    Shapes:
        tokens: (B, T - 1) int64; the decoder maps (B, 1) int64 -> (B, 1, K).
    """
    assert isinstance(network, Network)
    assert isinstance(network.stem, TokenStem)
    batch_size, num_cached = tokens.shape
    caches = []
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Attention):
                caches.append(CachedAttention(child, batch_size, num_cached + 1))
                module.add_module(name, caches[-1])
    if num_cached:
        with torch.no_grad():
            network(tokens)
    for cache in caches:
        cache.num_cached = num_cached
    network.stem = NextTokenStem(network.stem, num_cached)
    return network
