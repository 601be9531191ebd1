"""Which shapes a suite has, which of them are measured, and what that says of the others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

from depthbench.cohorts import Cohort
from depthbench.step_times import Spent, StepTimes
from depthbench.workload import rough_step_of

Measure = Callable[[Cohort, str], StepTimes]


def shape_of(cohort: Cohort) -> Hashable:
    """Return what makes cohorts cost the same a step: not the seed, nor the learning rate."""
    first = cohort.trials[0]
    train = first.train
    return (
        *(first.variant_id, first.problem, first.task_settings),
        first.dataset_settings.document_mask,
        *(train.batch_size, train.precision, train.optimizer, train.momentum, train.nesterov),
        *(train.clip_norm, train.label_smoothing, train.augment),
        *(cohort.stacking, len(cohort.trials)),
    )


class ShapeCosts:
    """Hold what each shape of a run costs, measured or taken from its neighbours.

    Args:
        cohorts: the trials as they train together.
        device: where, such as "cpu".
        measure: returns what a cohort costs.
        max_shapes: how many are measured at most, two of each kind of network always.
    """

    def __init__(
        self, cohorts: Sequence[Cohort], device: str, measure: Measure, max_shapes: int
    ) -> None:
        # The first of each.
        self.shapes = {shape_of(cohort): cohort for cohort in reversed(cohorts)}
        chosen = some_shapes(self.shapes, max_shapes)
        if chosen:
            measure(self.shapes[chosen[0]], device)  # what loads at first is no cost of a shape
        self.measured = {shape: measure(self.shapes[shape], device) for shape in chosen}
        self.times = {
            shape: self.measured[shape] if shape in self.measured else self._between(cohort)
            for shape, cohort in self.shapes.items()
        }

    def of(self, cohort: Cohort) -> StepTimes:
        """Return what a cohort costs."""
        return self.times[shape_of(cohort)]

    def largest(self) -> Cohort:
        """Return the cohort that takes most memory."""
        shape = max(self.shapes, key=lambda shape: self.times[shape].peak_bytes or 0)
        return self.shapes[shape]

    def _between(self, cohort: Cohort) -> StepTimes:
        """Return what a shape that was not measured costs, by the nearest two in FLOPs.

        Each says how far a step is off its rough prediction, which knows depth as well.
        """
        at = log_flops(cohort)
        near = sorted(
            (abs(log_flops(other) - at) + 1e-9, index, self.measured[shape], _rough(other))
            for index, (shape, other) in enumerate(self.shapes.items())
            if shape in self.measured and kind_of(other) == kind_of(cohort)
        )[:2]
        # The memory of the dearest shapes is measured: between them, not beyond.
        scaled = [
            replace(times.scaled(_rough(cohort) / rough), peak_bytes=times.peak_bytes)
            for _, _, times, rough in near
        ]
        total = sum(1 / distance for distance, *_ in near)
        return _mean(scaled, [1 / distance / total for distance, *_ in near])


def some_shapes(shapes: Mapping[Hashable, Cohort], max_shapes: int) -> list[Hashable]:
    """Return all shapes, or some of each kind, from the cheapest to the dearest."""
    if len(shapes) <= max_shapes:
        return list(shapes)
    kinds: dict[Hashable, list[Hashable]] = defaultdict(list)
    for shape, cohort in shapes.items():
        kinds[kind_of(cohort)].append(shape)
    chosen: list[Hashable] = []
    for members in kinds.values():
        members.sort(key=lambda shape: _rough(shapes[shape]))
        num = min(len(members), max(2, max_shapes * len(members) // len(shapes)))
        last = len(members) - 1
        chosen += [members[round(place * last / max(1, num - 1))] for place in range(num)]
    return list(dict.fromkeys(chosen))


def kind_of(cohort: Cohort) -> Hashable:
    """Return what shapes must share to tell of one another."""
    first = cohort.trials[0]
    return first.backbone, first.problem, first.train.precision, cohort.stacking


def log_flops(cohort: Cohort) -> float:
    """Return the logarithm of the FLOPs of a step, where shapes lie as far apart as they differ."""
    first = cohort.trials[0]
    flops = max(1, first.cost.forward_flops) * first.train.batch_size
    return math.log(flops * len(cohort.trials))


def _rough(cohort: Cohort) -> float:
    return rough_step_of(cohort.trials[0]) * len(cohort.trials)


def _mean(times: Sequence[StepTimes], weights: Sequence[float]) -> StepTimes:
    def of(name: str) -> Spent:
        parts = (getattr(t, name) * w for t, w in zip(times, weights, strict=True))
        return sum(parts, Spent())

    pairs = [(t.peak_bytes, w) for t, w in zip(times, weights, strict=True)]
    peaks = [peak * weight for peak, weight in pairs if peak is not None]
    return replace(
        times[0],
        build=of("build"),
        step=of("step"),
        evaluation_batch=of("evaluation_batch"),
        evaluation_example=of("evaluation_example"),
        peak_bytes=round(sum(peaks)) if len(peaks) == len(pairs) else None,
    )
