"""What panels are made of, found once, and the form in which they put their tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from depthbench.report.answer import budget_text
from depthbench.report.contests import Contest, contests_of
from depthbench.report.tables import Heading

if TYPE_CHECKING:
    from depthbench.report.groups import Gathering
    from depthbench.report.values import DepthTax, Group, Problem
    from depthbench.store import Run


@dataclass(frozen=True)
class Evidence:
    """What a panel is made of: a run's tables and what has been found of them so far.

    `gatherings` are the groups of trials that are compared; `groups`, one for each of them and in
    the same order, how they were ranked. `depth_tax` is what the timings say of depth; `problems`
    what did not end well.
    """

    run: Run
    gatherings: tuple[Gathering, ...]
    groups: tuple[Group, ...]
    depth_tax: DepthTax
    problems: tuple[Problem, ...] = ()

    @cached_property
    def contests(self) -> tuple[Contest, ...]:
        """Return all that may be compared by any cost, with draws over seeds."""
        return contests_of(self.gatherings, self.groups)

    def ranked_groups(self) -> Iterator[tuple[int, Gathering, Group, str]]:
        """Yield each group in which something has a value: place, trials, ranking, metric."""
        for place, (gathering, group) in enumerate(zip(self.gatherings, self.groups, strict=True)):
            if group.metric is not None:
                yield place, gathering, group, group.metric

    def where(self, place: int) -> str:
        """Return what a group is about, empty where it is the only one."""
        if len(self.groups) == 1:
            return ""
        group = self.groups[place]
        budget = budget_text(group.budget) if group.budget else ""
        return ", ".join(part for part in (group.dataset, budget, group.training) if part)


def titled(title: str, where: str) -> str:
    """Return a panel's title, with what it is about where there are several."""
    return f"{title}: {where}" if where else title


def filled(
    headings: Sequence[Heading], texts: Sequence[Sequence[str]]
) -> tuple[tuple[Heading, ...], tuple[tuple[str, ...], ...]]:
    """Return headings and texts without the columns in which no row has anything."""
    kept = [i for i in range(len(headings)) if any(row[i] not in ("", "-") for row in texts)]
    return (
        tuple(headings[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in texts),
    )
