"""Solve widths for a budget: the integer width whose network is nearest to the target.

Counts grow with the width, so the search needs few of them: it grows by the square root, as
weights do by the square, then closes the bracket by the same rule until two neighbours remain.
Neighbours are widths that the network can have: those of transformers are divided by their heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from math import ceil, sqrt
from typing import Protocol

from depthbench.errors import BlockError, MatchError
from depthbench.grammar import MAX_WIDTH, BackboneSettings, VariantSettings
from depthbench.models.count import count
from depthbench.spec import Problem
from depthbench.variants import (
    base_of,
    is_narrow_enough,
    resolve_variant,
    value_of,
    whole_width,
    with_heads,
)

# Beyond this a larger tolerance is no longer advice: the budget itself does not fit.
_LARGE_ERROR = 0.1
# Widths at which a size dips below its neighbours': a preact as wide as its stem needs no
# projection in its first stage.
_DIPS: dict[str, tuple[int, ...]] = {"preact": (16,)}

# What a user's block may want its width to be a multiple of.
_BLOCK_STEPS = (1, 2, 4, 8, 16, 32, 64)

Size = Callable[[int], int]


class _Whole(Protocol):
    """The nearest width that the network can have, from a width up or down."""

    def __call__(self, width: int, *, below: bool = False) -> int: ...


@dataclass(frozen=True, slots=True)
class Solution:
    """State a solved width, or number of heads, and its relative error.

    The error is (size - target) / target, signed.
    """

    width: int
    error_fraction: float


@lru_cache(maxsize=65536)
def solve_width(
    settings: VariantSettings,
    backbone: BackboneSettings,
    problem: Problem,
    *,
    match: str,
    target: float,
    tolerance: float,
) -> Solution:
    """Return the width whose network is nearest to the target, within the tolerance.

    A user's block that refuses a width (one that its groups do not divide, say) is asked for
    multiples of 2, 4, ... instead, until it refuses none on the way.

    Raises:
        MatchError: No width is within the tolerance; names the two nearest.
        SuiteError: The data do not fit the backbone, or a user's block does not.
    """

    @cache
    def size(width: int) -> int:
        return count(resolve_variant(settings, backbone, width), problem).of(match)

    if not backbone.import_:
        whole: _Whole = partial(whole_width, settings, backbone)
        below, above, *others = _nearest_widths(size, whole, settings, backbone, target)
    else:
        below, above, *others = _widths_of_block(size, settings, backbone, target)
    nearest = min((below, above, *others), key=lambda width: abs(size(width) - target))
    solution = Solution(nearest, (size(nearest) - target) / target)
    if abs(solution.error_fraction) > tolerance:
        name = f"{settings.family} of depth {settings.depth}"
        sizes = {width: size(width) for width in (below, above)}
        raise MatchError(_message(name, sizes, match, target, tolerance))
    return solution


def solve_heads(
    settings: VariantSettings,
    backbone: BackboneSettings,
    problem: Problem,
    *,
    target: float,
    tolerance: float,
) -> Solution:
    """Return the attention heads a module for which those of all modules are nearest to the target.

    Raises:
        MatchError: No number of heads is within the tolerance; names the nearest.
        SuiteError: The data do not fit the backbone.
    """
    assert isinstance(settings.width, int)
    fewest = value_of("kv_heads", settings, backbone) or 1
    least = with_heads(settings, backbone, fewest)
    num_places = count(resolve_variant(least, backbone, settings.width), problem).total_heads
    num_places //= fewest
    heads = fewest * max(1, round(target / num_places / fewest))
    error = (heads * num_places - target) / target
    if abs(error) > tolerance:
        raise MatchError(
            f"heads: match: {num_places} modules with attention cannot have {target:g} heads: "
            f"{heads} each make {heads * num_places}, off by {100 * error:+.1f}%, and tolerance is "
            f"{100 * tolerance:g}%; change the depth, the target or the tolerance"
        )
    return Solution(heads, error)


def _nearest_widths(
    size: Size,
    whole: _Whole,
    settings: VariantSettings,
    backbone: BackboneSettings,
    target: float,
) -> list[int]:
    """Return the widths below and above the target, then any others that may be nearer."""
    lowest = whole(_lowest_width(settings, backbone))
    below, above = _bracket(size, whole, lowest, target)
    below, above = _neighbours(size, whole, below, above, target)
    dips = [width for width in _DIPS.get(base_of(backbone), ()) if width >= lowest]
    return [below, above, *dips]


def _widths_of_block(
    size: Size, settings: VariantSettings, backbone: BackboneSettings, target: float
) -> list[int]:
    """Return the widths around the target that a user's block can have.

    Raises:
        BlockError: why the block refused a width, where no multiple helps.
    """
    refusals: list[BlockError] = []
    for step in _BLOCK_STEPS:
        whole = partial(_multiple, step)
        try:
            return _nearest_widths(size, whole, settings, backbone, target)
        except BlockError as error:
            refusals.append(error)
    raise refusals[0]


def _multiple(step: int, width: int, *, below: bool = False) -> int:
    return max(1, width // step if below else -(-width // step)) * step


def _lowest_width(settings: VariantSettings, backbone: BackboneSettings) -> int:
    """Return the smallest width that leaves an hourglass its waist; 1 for other families."""
    if is_narrow_enough(settings, backbone, 1):
        return 1
    low, high = 1, 2
    while not is_narrow_enough(settings, backbone, high) and high < MAX_WIDTH:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if is_narrow_enough(settings, backbone, middle) else (middle, high)
        )
    return high


def _bracket(size: Size, whole: _Whole, lowest: int, target: float) -> tuple[int, int]:
    """Return widths around the target, or the first or last two there are."""
    below, above, highest = lowest, whole(lowest + 1), whole(MAX_WIDTH, below=True)
    if size(below) >= target:
        return below, above
    while size(above) < target and above < highest:
        grown = ceil(above * sqrt(target / size(above))) if size(above) else 2 * above
        below, above = above, min(whole(min(max(grown, above + 1), MAX_WIDTH)), highest)
    return below, above


def _neighbours(
    size: Size, whole: _Whole, below: int, above: int, target: float
) -> tuple[int, int]:
    """Return the bracket narrowed to two widths next to each other."""
    num_steps = 0
    if size(above) < target:
        return whole(above - 1, below=True), above
    while whole(below + 1) < above:
        num_steps += 1
        middle = (below + above) // 2 if num_steps % 4 == 0 else _guess(size, below, above, target)
        middle = whole(middle) if whole(middle) < above else whole(middle, below=True)
        below, above = (middle, above) if size(middle) < target else (below, middle)
    return below, above


def _guess(size: Size, below: int, above: int, target: float) -> int:
    """Return the width between two where the square root of the size would meet the target's."""
    low, high = sqrt(size(below)), sqrt(size(above))
    share = (sqrt(target) - low) / (high - low) if high > low else 0.5
    return min(max(below + round(share * (above - below)), below + 1), above - 1)


def _percent(fraction: float) -> str:
    return f"{fraction:+,.0%}" if abs(fraction) > 1 else f"{100 * fraction:+.3g}%"


def _message(name: str, sizes: dict[int, int], match: str, target: float, tolerance: float) -> str:
    found = " and ".join(
        f"width {width} with {size:,} ({_percent((size - target) / target)})"
        for width, size in sizes.items()
    )
    enough = ceil(1000 * min(abs(size - target) / target for size in sizes.values())) / 1000
    needed = f"set tolerance: {enough:g}, " if enough <= _LARGE_ERROR else ""
    return (
        f"width: match: no width of {name} has {match} {target:,.15g} within {100 * tolerance:g}%; "
        f"the nearest are {found}; {needed}change the target or the depth, or give the "
        "width as a number"
    )
