"""Normalisation by the word a suite uses, for streams of features and for streams of images.

layer and rms normalise over the features of each position: the last axis of a stream (B, D) or
(B, T, D), the channels of each pixel of a stream (B, D, H, W). batch normalises each feature over
the batch (and the positions). Weights start at 1 and biases at 0; eps is 1e-5 everywhere.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

EPS = 1e-5


class PixelLayerNorm(nn.LayerNorm):
    """Normalise the channels of each pixel to mean 0 and variance 1.

    Shapes:
        (B, D, H, W) -> (B, D, H, W)
    """

    def forward(self, z: Tensor) -> Tensor:
        """Return the image with every pixel's channels normalised."""
        z = z.movedim(1, -1)  # (B, H, W, D)
        return super().forward(z).movedim(-1, 1)  # (B, D, H, W)


class RMSNorm(nn.RMSNorm):
    """Divide each position's features by their root mean square, in the precision of the weights.

    Shapes:
        (*, D) -> (*, D)
    """

    def forward(self, z: Tensor) -> Tensor:
        """Return the features divided by their size."""
        # Autocast leaves rms norm alone, and PyTorch has no fast path for a bf16 stream beside
        # fp32 weights; it has one for layer norm.
        return super().forward(z if self.weight is None else z.to(self.weight.dtype))


class FeatureBatchNorm(nn.BatchNorm1d):
    """Normalise each feature over the batch and, where there are any, the positions.

    Shapes:
        (B, D) -> (B, D) or (B, T, D) -> (B, T, D)
    """

    def forward(self, z: Tensor) -> Tensor:
        """Return the stream with every feature normalised."""
        return super().forward(z if z.ndim == 2 else z.flatten(0, 1)).view_as(z)


class PixelRMSNorm(RMSNorm):
    """Divide the channels of each pixel by their root mean square.

    Shapes:
        (B, D, H, W) -> (B, D, H, W)
    """

    def forward(self, z: Tensor) -> Tensor:
        """Return the image with every pixel's channels divided by their size."""
        z = z.movedim(1, -1)  # (B, H, W, D)
        return super().forward(z).movedim(-1, 1)  # (B, D, H, W)


_FEATURE_NORMS: dict[str, Any] = {
    "layer": lambda width, affine: nn.LayerNorm(width, EPS, affine),
    "rms": lambda width, affine: RMSNorm(width, EPS, affine),
    "batch": lambda width, affine: FeatureBatchNorm(width, EPS, affine=affine),
}
_PIXEL_NORMS: dict[str, Any] = {
    "layer": lambda width, affine: PixelLayerNorm(width, EPS, affine),
    "rms": lambda width, affine: PixelRMSNorm(width, EPS, affine),
    "batch": lambda width, affine: nn.BatchNorm2d(width, EPS, affine=affine),
}


def feature_norm(kind: str | None, width: int, affine: bool | None) -> nn.Module:
    """Return the norm of a stream (B, D) or (B, T, D); `none` is the identity, without weights."""
    return _norm(_FEATURE_NORMS, kind, width, affine)


def pixel_norm(kind: str | None, width: int, affine: bool | None) -> nn.Module:
    """Return the norm of a stream (B, D, H, W); `none` is the identity and has no weights."""
    return _norm(_PIXEL_NORMS, kind, width, affine)


def _norm(norms: dict[str, Any], kind: str | None, width: int, affine: bool | None) -> nn.Module:
    if kind in (None, "none"):
        return nn.Identity()
    norm: nn.Module = norms[str(kind)](width, bool(affine))
    return norm
