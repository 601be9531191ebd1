"""Self-attention of several heads, by PyTorch's fused kernels where the device has them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from depthbench.spec import Variant


class Attention(nn.Module):
    """Let each position read from all of them, or, if causal, from none after itself.

    Shapes:
        (B, T, D) -> (B, T, D)
    """

    def __init__(self, variant: Variant, *, is_causal: bool) -> None:
        super().__init__()
        width, bias = variant.width, bool(variant.bias)
        assert variant.heads is not None
        self.num_heads = variant.heads
        self.is_causal = is_causal
        self.queries_keys_values = nn.Linear(width, 3 * width, bias)
        self.out = nn.Linear(width, width, bias)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what the positions read.

        Args:
            z: the normalised stream.
            mask: (B, 1, T, T), true where row may read from column; replaces the causal rule.
        """
        queries, keys, values = self.project(z)
        h = F.scaled_dot_product_attention(
            queries, keys, values, mask, is_causal=self.is_causal and mask is None
        )  # (B, heads, T, D / heads)
        return self.join(h)

    def project(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of each position, (B, heads, T, D / heads) each."""
        joined = self.queries_keys_values(z).unflatten(2, (3, self.num_heads, -1))
        queries, keys, values = joined.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D / heads)
        return queries, keys, values

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
