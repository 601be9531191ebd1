"""Which shapes a suite has, which of them are measured, and what that says of the others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

from depthbench.spec import Trial
from depthbench.step_times import Spent, StepTimes
from depthbench.workload import rough_step_seconds

Group = tuple[Trial, ...]
Measure = Callable[[Group, str], StepTimes]


def shape_of(group: Group) -> Hashable:
    """Return what makes groups cost the same a step: not the seed, nor the learning rate."""
    first = group[0]
    train = first.train
    return (
        *(first.variant_id, first.problem, first.task_settings),
        first.dataset_settings.document_mask,
        *(train.batch_size, train.precision, train.optimizer, train.momentum, train.nesterov),
        *(train.clip_norm, train.label_smoothing, train.augment),
        len(group),
    )


class ShapeCosts:
    """Hold what each shape of a run costs, measured or taken from its neighbours.

    Args:
        groups: the trials as they train together.
        device: where, such as "cpu".
        measure: returns what a group costs.
        max_shapes: how many are measured at most, two of each kind of network always.
    """

    def __init__(
        self, groups: Sequence[Group], device: str, measure: Measure, max_shapes: int
    ) -> None:
        self.shapes = {shape_of(group): group for group in reversed(groups)}  # the first of each
        chosen = _chosen(self.shapes, max_shapes)
        if chosen:
            measure(self.shapes[chosen[0]], device)  # what loads at first is no cost of a shape
        self.measured = {shape: measure(self.shapes[shape], device) for shape in chosen}
        self.times = {
            shape: self.measured[shape] if shape in self.measured else self._between(group)
            for shape, group in self.shapes.items()
        }

    def of(self, group: Group) -> StepTimes:
        """Return what a group costs."""
        return self.times[shape_of(group)]

    def largest(self) -> Group:
        """Return the group that takes most memory."""
        shape = max(self.shapes, key=lambda shape: self.times[shape].peak_bytes or 0)
        return self.shapes[shape]

    def _between(self, group: Group) -> StepTimes:
        """Return what a shape that was not measured costs, by the nearest two in FLOPs.

        Each says how far a step is off its rough prediction, which knows depth as well.
        """
        at = _log_flops(group)
        near = sorted(
            (abs(_log_flops(other) - at) + 1e-9, index, self.measured[shape], _rough(other))
            for index, (shape, other) in enumerate(self.shapes.items())
            if shape in self.measured and _kind(other) == _kind(group)
        )[:2]
        # The memory of the dearest shapes is measured: between them, not beyond.
        scaled = [
            replace(times.scaled(_rough(group) / rough), peak_bytes=times.peak_bytes)
            for _, _, times, rough in near
        ]
        total = sum(1 / distance for distance, *_ in near)
        return _mean(scaled, [1 / distance / total for distance, *_ in near])


def _chosen(shapes: Mapping[Hashable, Group], max_shapes: int) -> list[Hashable]:
    """Return the shapes to measure: all, or some of each kind, from the cheapest to the dearest."""
    if len(shapes) <= max_shapes:
        return list(shapes)
    kinds: dict[Hashable, list[Hashable]] = defaultdict(list)
    for shape, group in shapes.items():
        kinds[_kind(group)].append(shape)
    chosen: list[Hashable] = []
    for members in kinds.values():
        members.sort(key=lambda shape: _rough(shapes[shape]))
        num = min(len(members), max(2, max_shapes * len(members) // len(shapes)))
        last = len(members) - 1
        chosen += [members[round(place * last / max(1, num - 1))] for place in range(num)]
    return list(dict.fromkeys(chosen))


def _kind(group: Group) -> Hashable:
    """Return what shapes must share to tell of one another."""
    first = group[0]
    return first.backbone, first.problem, first.train.precision, len(group) > 1


def _rough(group: Group) -> float:
    first = group[0]
    flops, batch_size = first.cost.forward_flops, first.train.batch_size
    return rough_step_seconds(first.depth, flops, batch_size) * len(group)


def _log_flops(group: Group) -> float:
    first = group[0]
    return math.log(max(1, first.cost.forward_flops) * first.train.batch_size * len(group))


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
