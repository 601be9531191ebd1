"""Which cohorts a run would plan: measured for some shapes, for the others as for their like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from depthbench.cohorts import Choose, Cohort, Stacking, max_members, plan_cohorts, shapes_of
from depthbench.shape_costs import kind_of, log_flops, shape_of, some_shapes
from depthbench.spec import Trial
from depthbench.trial import TrialContext, best_stacking, execution_key, faster_execution

# More shapes are not measured, but two of each kind of network: it takes as long as to time them.
MAX_SHAPES = 8


def likely_cohorts(
    trials: Sequence[Trial],
    device: str,
    num_workers: int,
    *,
    choose: Choose | None = None,
    max_shapes: int = MAX_SHAPES,
) -> list[Cohort]:
    """Return the cohorts that a run will most likely plan; reads no data.

    Args:
        trials: what is to be trained.
        device: where, such as "cpu".
        num_workers: how many cohorts train at a time.
        choose: says how trials of a shape are stacked (default: measures it, as a run does).
        max_shapes: how many shapes it is asked of at most, two of each kind always.
    """
    most = max_members(device)
    measure = choose or partial(_measured, device, most, num_workers)
    groups = [Cohort(tuple(group)) for group in shapes_of(trials) if len(group) > 1]
    shapes = {shape_of(group): group for group in reversed(groups)}
    asked = {
        shape: measure(shapes[shape].trials)
        for shape in some_shapes(shapes, max_shapes)
        if shapes[shape].trials[0].train.seconds is None
    }

    def choose_alike(group: Sequence[Trial]) -> tuple[Stacking | None, int]:
        """Return what was found of the nearest shape of this kind."""
        wanted = Cohort(tuple(group))
        near = [shape for shape in asked if kind_of(shapes[shape]) == kind_of(wanted)]
        at = log_flops(wanted)
        best = min(near, key=lambda shape: abs(log_flops(shapes[shape]) - at), default=None)
        return (None, 1) if best is None else asked[best]

    return plan_cohorts(trials, choose_alike, most, num_workers)


def _measured(
    device: str, most: int, num_workers: int, group: Sequence[Trial]
) -> tuple[Stacking | None, int]:
    """Return how trials of a shape are stacked best, with the execution that a run would choose."""
    context = TrialContext("", "", Path(), device, None, {})
    if group[0].variant.execution == "auto":
        context.executions[execution_key(group[0])] = faster_execution(group[0], context)
    return best_stacking(group, context=context, max_members=most, num_workers=num_workers)
