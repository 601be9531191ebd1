"""Levels of a budget: what a contest's variants may cost, and which of them compete at each.

At the suite's own budgets those compete that are on budget. Under another cost (time, memory,
weights that no budget holds) a level is what can be afforded, and all that cost no more compete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from depthbench.report.contests import Contest
from depthbench.report.costs import costs_of, write_cost
from depthbench.report.values import Group

MAX_LEVELS = 5
_MATCHED = {"total_params": "weights", "forward_flops": "flops"}


@dataclass(frozen=True, slots=True)
class Level:
    """One level of one budget: those that compete, by their places among the contenders."""

    basis: str
    is_equal: bool
    value: float
    unit: str
    places: tuple[int, ...]

    @property
    def text(self) -> str:
        """Return the level as people read it."""
        return write_cost(self.value, self.unit)


def levels_of(contest: Contest, groups: Sequence[Group]) -> list[list[Level]]:
    """Return the levels of each budget, from the smallest on: the suite's own budgets first."""
    by_basis: dict[str, list[Level]] = {}
    for level in (*_equal(contest, groups), *_affordable(contest, groups)):
        by_basis.setdefault(level.basis, []).append(level)
    return [sorted(found, key=lambda level: level.value) for found in by_basis.values()]


def _equal(contest: Contest, groups: Sequence[Group]) -> Iterator[Level]:
    """Yield the suite's own budgets, one level a target."""
    for index in contest.groups:
        budget, places = groups[index].budget, contest.ranked[index]
        if budget is not None and places:
            unit = "FLOPs" if budget.match == "forward_flops" else "weights"
            yield Level(f"equal {budget.match}", True, budget.target, unit, places)


def _affordable(contest: Contest, groups: Sequence[Group]) -> Iterator[Level]:
    """Yield levels of each cost that the suite holds equal in no budget."""
    budgets = (groups[index].budget for index in contest.groups)
    held = {_MATCHED.get(budget.match) for budget in budgets if budget}
    for cost in costs_of(contest):
        if cost.key in held:
            continue
        values = {place: cost.value(place) or 0.0 for place in cost.known}
        for level in _spaced(list(values.values())):
            places = tuple(place for place, value in values.items() if value <= level)
            yield Level(cost.title, False, level, cost.unit, places)


def _spaced(values: Sequence[float]) -> list[float]:
    """Return a few of the values, about evenly in their logarithm, from the least to the most."""
    lowest, highest = min(values), max(values)
    steps = [lowest * (highest / lowest) ** (step / (MAX_LEVELS - 1)) for step in range(MAX_LEVELS)]
    below = [max(v for v in values if v <= step or v == lowest) for step in steps[:-1]]
    return list(dict.fromkeys([*below, highest]))
