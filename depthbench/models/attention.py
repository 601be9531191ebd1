"""Self-attention of several heads, by PyTorch's fused kernels where the device has them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from depthbench.spec import Variant


class Attention(nn.Module):
    """Let each position read from all of them, or, if causal, from none after itself.

    Groups of heads may share keys and values, and heads may be of any size: together they are then
    wider or narrower than the stream.

    Shapes:
        (B, T, D) -> (B, T, D); H heads of size S, G of them of keys and values.

    Source:
        "Fast Transformer Decoding: One Write-Head is All You Need" (arXiv 1911.02150) for G = 1,
        grouped-query attention (arXiv 2305.13245) for 1 < G < H; heads of a size of their own:
        "Low-Rank Bottleneck in Multi-head Attention Models" (arXiv 2002.07028).
    """

    def __init__(self, variant: Variant, *, is_causal: bool) -> None:
        super().__init__()
        width, bias = variant.width, bool(variant.bias)
        assert variant.heads is not None
        assert variant.size_of_heads is not None
        self.num_heads = variant.heads
        self.num_kv_heads = variant.kv_heads or variant.heads
        self.head_size = variant.size_of_heads
        self.is_causal = is_causal
        # What products of queries and keys are multiplied by; None: 1 / sqrt(S).
        self.scale: float | None = None
        num_projected = self.num_heads + 2 * self.num_kv_heads
        self.queries_keys_values = nn.Linear(width, num_projected * self.head_size, bias)
        self.out = nn.Linear(self.num_heads * self.head_size, width, bias)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what the positions read.

        Args:
            z: the normalised stream.
            mask: (B, 1, T, T), true where row may read from column; replaces the causal rule.
        """
        return self.join(self.read(*self.project(z), mask, is_causal=self.is_causal))

    def project(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (B, H, T, S), keys and values (B, G, T, S) of each position."""
        joined = self.queries_keys_values(z)  # (B, T, (H + 2 G) S)
        if self.num_kv_heads == self.num_heads:
            joined = joined.unflatten(2, (3, self.num_heads, -1))
            queries, keys, values = joined.permute(2, 0, 3, 1, 4)  # each (B, H, T, S)
            return queries, keys, values
        heads = joined.unflatten(2, (-1, self.head_size)).transpose(1, 2)  # (B, H + 2 G, T, S)
        groups = (self.num_heads, self.num_kv_heads, self.num_kv_heads)
        queries, keys, values = heads.split(groups, dim=1)
        return queries, keys, values

    def read(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None = None,
        *,
        is_causal: bool,
    ) -> Tensor:
        """Return what each head reads, (B, H, T, S)."""
        return F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            mask,
            is_causal=is_causal and mask is None,
            scale=self.scale,
            enable_gqa=self.num_kv_heads != self.num_heads,
        )

    def join(self, h: Tensor) -> Tensor:
        """Return the update of the stream from what each head read."""
        return self.out(h.transpose(1, 2).flatten(2))  # (B, T, D)


def document_mask(documents: Tensor) -> Tensor:
    """Return which position may read from which: its own document's, up to itself.

    Shapes:
        (B, T) int64 -> (B, 1, T, T) bool
    """
    is_same = documents.unsqueeze(2) == documents.unsqueeze(1)  # (B, T, T)
    return is_same.tril().unsqueeze(1)  # (B, 1, T, T)
