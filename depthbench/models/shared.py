"""Let modules share their weights over depth, each with norms of its own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from depthbench.models.branches import Gain

# What stays each module's own: norms, and the gains that some of them go with.
_OWN = (nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d, nn.BatchNorm2d, Gain)


def share_weights(modules: Sequence[nn.Module], *, own_norms: bool) -> None:
    """Put the weights of the first module in place of those of the others, which are like it.

    Args:
        modules: of one structure; the others' own draws are given up.
        own_norms: whether norms and gains keep weights of their own.

    Source:
        WideNet, "Go Wider Instead of Deeper" (arXiv 2107.11817): individual layer norms are what
        lets shared layers see streams of different statistics.
    """
    first, *others = modules
    for other in others:
        for path, source in first.named_modules():
            if own_norms and isinstance(source, _OWN):
                continue
            target = other.get_submodule(path)
            for name, weight in source.named_parameters(recurse=False):
                setattr(target, name, weight)
