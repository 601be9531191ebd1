"""How a family lays its modules out: how many run side by side in each stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from depthbench.spec import Variant

Layout = Callable[[Variant], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Family:
    """Describe one family, for the builder and for `depthbench families`.

    Args:
        layout: the number of parallel modules in each stage, in order; sums to the depth.
        formula: one line, what the network computes.
        depth_meaning: what depth counts.
        depth_examples: three networks and their depth.
        source: where the family comes from.
    """

    layout: Layout
    formula: str
    depth_meaning: str
    depth_examples: tuple[str, str, str]
    source: str


def sequential(variant: Variant) -> tuple[int, ...]:
    """Return L stages of one module each."""
    return (1,) * variant.depth


def parallel(variant: Variant) -> tuple[int, ...]:
    """Return L / k stages of k modules each, k being `branches`, all of them by default."""
    branches = variant.branches or variant.depth
    return (branches,) * (variant.depth // branches)
