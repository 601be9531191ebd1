"""Contests: all variants on one data set under one training, whatever budgets they stand under.

A ranking holds one budget fixed. What wins under another cost, such as time or memory, is a
question to all of them at once; the draws over seeds that answer it are made here, once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from depthbench.report.draws import NUM_DRAWS, mean_draws
from depthbench.report.groups import Entry, Gathering, names_of
from depthbench.report.ranking import ranking_metric
from depthbench.report.statistics import MIN_SEEDS, Estimate
from depthbench.report.values import Group, Timing, VariantRow

_MANY = 500  # contenders, of which there are fewer draws


@dataclass(frozen=True)
class Contender:
    """One variant of a contest.

    `short` is its name where its family may do without depth and width. `label` is what
    contenders are told apart by when only that matters: the family, where there are several.
    `values` are the metric's, one for each of `seeds`.
    """

    name: str
    short: str
    label: str
    entry: Entry
    row: VariantRow
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    estimate: Estimate

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the rows of a panel say of which variant they are about."""
        found = {"variant": self.name, "short": self.short, "family": self.row.family}
        return found | {"depth": self.row.depth, "width": self.row.width}


@dataclass(frozen=True)
class Contest:
    """Variants that may be compared by any cost: equal in data, task and training.

    `where` names it, empty where it is the only one. `groups` are the places of its budget groups;
    `ranked` holds, for each of them, the places of the contenders with a rank there. `rows` are
    all its variants; contenders those of which the metric is known and no seed diverged, since a
    mean over the survivors would flatter. `metric` is None where there is none; lower is better.
    """

    where: str
    metric: str | None
    groups: tuple[int, ...]
    rows: tuple[VariantRow, ...]
    contenders: tuple[Contender, ...]
    ranked: dict[int, tuple[int, ...]]
    draws: Any  # (contender, draw) of the mean metric

    @property
    def group(self) -> int | None:
        """Return its group where there is but one."""
        return self.groups[0] if len(self.groups) == 1 else None

    @property
    def num_draws(self) -> int:
        """Return how often each mean was drawn."""
        return int(self.draws.shape[1])

    def has_seeds(self, places: Sequence[int]) -> bool:
        """Say whether each of these contenders has enough seeds for a probability."""
        return all(len(self.contenders[place].values) >= MIN_SEEDS for place in places)


def contests_of(gatherings: Sequence[Gathering], groups: Sequence[Group]) -> tuple[Contest, ...]:
    """Return the contests of a run, in the order of its groups."""
    places: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, gathering in enumerate(gatherings):
        places[gathering.dataset, gathering.task, gathering.training].append(index)
    return tuple(
        _contest(indices, gatherings, groups, is_alone=len(places) == 1)
        for indices in places.values()
    )


def _contest(
    indices: Sequence[int],
    gatherings: Sequence[Gathering],
    groups: Sequence[Group],
    *,
    is_alone: bool,
) -> Contest:
    entries = {e.settings["variant_id"]: e for i in indices for e in gatherings[i].entries}
    rows = {row.variant_id: row for i in indices for row in groups[i].rows}
    first = gatherings[indices[0]]
    metric = ranking_metric(list(entries.values()))
    named = dict(zip(entries, names_of(list(entries.values())), strict=True))
    contenders = _contenders(metric, entries, rows, named)
    keys = [contender.row.variant_id for contender in contenders]
    return Contest(
        where="" if is_alone else ", ".join(p for p in (first.dataset, first.training) if p),
        metric=metric,
        groups=tuple(indices),
        rows=tuple(rows[key] for key in entries),
        contenders=contenders,
        ranked={index: _ranked(groups[index], keys) for index in indices},
        draws=mean_draws(
            [found.values for found in contenders],
            [found.seeds for found in contenders],
            num_draws=_num_draws(contenders),
        ),
    )


def _num_draws(contenders: Sequence[Contender]) -> int:
    return NUM_DRAWS if len(contenders) <= _MANY else NUM_DRAWS // 4


def _name(row: VariantRow, extra: str) -> str:
    return f"{row.family} (L {row.depth}, d {row.width}{', ' + extra if extra else ''})"


def _ranked(group: Group, keys: Sequence[str]) -> tuple[int, ...]:
    wanted = {row.variant_id for row in group.rows if row.rank is not None}
    return tuple(place for place, key in enumerate(keys) if key in wanted)


def _contenders(
    metric: str | None,
    entries: dict[str, Entry],
    rows: dict[str, VariantRow],
    named: dict[str, tuple[str, str]],
) -> tuple[Contender, ...]:
    if metric is None:
        return ()
    known = [
        key for key, entry in entries.items() if entry.values(metric) and not rows[key].num_diverged
    ]
    names = [_name(rows[key], named[key][1]) for key in known]
    labels = _labels([rows[key] for key in known], names)
    found = []
    for key, name, label in zip(known, names, labels, strict=True):
        by_seed = entries[key].values(metric)
        seeds = tuple(sorted(by_seed))
        values = tuple(by_seed[seed] for seed in seeds)
        estimate = rows[key].metrics[metric]
        short, row = named[key][0], rows[key]
        found.append(Contender(name, short, label, entries[key], row, seeds, values, estimate))
    return tuple(found)


def _labels(rows: Sequence[VariantRow], names: Sequence[str]) -> list[str]:
    """Return the family of each where families differ, else the depth, else the whole name."""
    for labels in ([row.family for row in rows], [f"L {row.depth}" for row in rows]):
        if len(set(labels)) > 1:
            return labels
    return list(names)


def seconds_of(row: VariantRow, labels: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return a variant's times by the names of its cells: of each process, or the median alone."""
    wanted = set(labels)
    return {
        timing.label: found
        for timing in row.timings
        if timing.label in wanted and (found := _seconds(timing))
    }


def _seconds(timing: Timing) -> tuple[float, ...]:
    if timing.status != "ok" or not timing.median_seconds:
        return ()
    return timing.process_seconds or (timing.median_seconds,)


def labels_of(rows: Sequence[VariantRow]) -> list[str]:
    """Return the names of the kinds of timed cells, in the order in which variants have them."""
    return list(dict.fromkeys(timing.label for row in rows for timing in row.timings))
