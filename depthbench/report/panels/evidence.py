"""What panels are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depthbench.report.groups import Gathering
    from depthbench.report.values import DepthTax, Group
    from depthbench.store import Run


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a panel is made of: a run's tables and what has been found of them so far.

    `gatherings` are the groups of trials that are compared; `groups`, one for each of them and in
    the same order, how they were ranked. `depth_tax` is what the timings say of depth.
    """

    run: Run
    gatherings: tuple[Gathering, ...]
    groups: tuple[Group, ...]
    depth_tax: DepthTax
