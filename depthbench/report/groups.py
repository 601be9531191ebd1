"""Sort trials into entries (a variant at its best learning rate) and entries into groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from depthbench.errors import ResultError
from depthbench.grammar import TrainSettings
from depthbench.record import FAILURES, METRICS, SPLITS
from depthbench.report.option_texts import NETWORK_COLUMNS, OPTION_COLUMNS, option_texts
from depthbench.report.rows import (
    Key,
    Row,
    distinguishing,
    key_of,
    records,
    settings_text,
)
from depthbench.report.values import Budget
from depthbench.selection import Outcome, badness

if TYPE_CHECKING:
    from pandas import DataFrame

METRIC_COLUMNS = tuple(f"{split}_{metric}" for metric in METRICS for split in SPLITS)
SHAPE_COLUMNS = ("input_shape", "output_shape")
SIZE_COLUMNS = ("total_params", "trainable_params", "body_params", "forward_flops")
TRAIN_COLUMNS = tuple(name for name in TrainSettings.model_fields if name != "lr")
# What a suite says of its data besides how many examples there are.
_DATA_SETTINGS = (
    "dataset",
    "dataset_file",
    "vocabulary",
    "context",
    "document_mask",
    "num_classes",
)
_EXAMPLE_COUNTS = ("train_examples", "validation_examples")
# Trials that differ in one of these learn something else: they are never compared, nor averaged.
DATA_COLUMNS = (*_DATA_SETTINGS, *_EXAMPLE_COUNTS, "task", "noise")
# What entries are made of.
ENTRY_COLUMNS = tuple(
    dict.fromkeys(
        (
            *("trial_id", "variant_id", "status", "error", *NETWORK_COLUMNS, "seed"),
            *("lr", "is_selected", "budgets"),
            *OPTION_COLUMNS,
            *DATA_COLUMNS,
            *SHAPE_COLUMNS,
            *TRAIN_COLUMNS,
            *SIZE_COLUMNS,
            *METRIC_COLUMNS,
        )
    )
)


@dataclass(frozen=True)
class Entry:
    """The trials of one variant under one data set, task and training, at one learning rate.

    `every_trial` are those at all rates.

    Raises:
        ResultError: two trials have one seed, so that one would stand for both.
    """

    settings: Row
    trials: tuple[Row, ...]
    num_lrs: int
    is_provisional: bool
    every_trial: tuple[Row, ...] = ()

    def __post_init__(self) -> None:
        known: dict[int, Row] = {}
        for trial in self.trials:
            if trial["seed"] in known:
                raise _two_of_one_seed(known[trial["seed"]], trial)
            known[trial["seed"]] = trial

    def key(self, columns: Sequence[str]) -> Key:
        """Return the values of these settings, hashable."""
        return key_of(self.settings, columns)

    def values(self, metric: str) -> dict[int, float]:
        """Return seed to value, of the trials that are ok and have a finite one."""
        return {
            trial["seed"]: trial[metric]
            for trial in self.trials
            if trial["status"] == "ok" and trial[metric] is not None and isfinite(trial[metric])
        }

    def count(self, *statuses: str) -> int:
        """Return how many trials ended so."""
        return sum(trial["status"] in statuses for trial in self.trials)

    @property
    def num_failed(self) -> int:
        """Return how many trials failed, of which divergence is no part."""
        return self.count(*FAILURES)

    def share(self, budget: Budget) -> Row | None:
        """Return how this variant stands under a budget, or None where it does not."""
        for share in self.settings["budgets"] or ():
            if (share["match"], share["target"]) == (budget.match, budget.target):
                return share
        return None


def _two_of_one_seed(first: Row, second: Row) -> ResultError:
    network = f"{first['family']} (L {first['depth']}, d {first['width']})"
    return ResultError(
        f"trials.parquet: trials {first['trial_id']} and {second['trial_id']} of {network} have "
        f"the same settings and seed {first['seed']}, so they cannot both count. Remove one of "
        "them, or make the run again under another name: depthbench run SUITE --run NAME"
    )


@dataclass(frozen=True)
class Gathering:
    """Entries that are compared with one another, and what tells them from other ones."""

    budget: Budget | None
    dataset: str
    task: str
    training: str
    entries: tuple[Entry, ...]


def entries_of(trials: DataFrame) -> list[Entry]:
    """Return the entries of a table of trials, in the table's order."""
    return entries_of_rows(records(trials, ENTRY_COLUMNS))


def entries_of_rows(rows: Sequence[Row]) -> list[Entry]:
    """Return the entries of rows that have `ENTRY_COLUMNS`, in their order."""
    _fill_example_counts(rows)
    for row in rows:  # a table of another program may lack the column
        row["family"] = row["family"] or "unknown"
    by_key: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        by_key[key_of(row, ("variant_id", *DATA_COLUMNS, *TRAIN_COLUMNS))].append(row)
    return [_entry(rows) for rows in by_key.values()]


def _fill_example_counts(rows: Iterable[Row]) -> None:
    """Give trials that failed before their data was read the counts of the others of that set."""
    rows = list(rows)
    for name in _EXAMPLE_COUNTS:
        found: dict[Key, set[int]] = defaultdict(set)
        for row in rows:
            if row[name] is not None:
                found[key_of(row, _DATA_SETTINGS)].add(row[name])
        for row in rows:
            known = found[key_of(row, _DATA_SETTINGS)]
            if row[name] is None and len(known) == 1:
                row[name] = next(iter(known))


def _entry(rows: Sequence[Row]) -> Entry:
    by_lr: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        by_lr[row["lr"]].append(row)
    selected = [row for row in rows if row["is_selected"]]
    is_chosen = len({row["lr"] for row in selected}) == 1
    chosen = selected if is_chosen else _best_so_far(by_lr)
    return Entry(
        settings=chosen[0],
        trials=tuple(chosen),
        num_lrs=len(by_lr),
        is_provisional=not is_chosen and len(by_lr) > 1,
        every_trial=tuple(rows),
    )


def _best_so_far(by_lr: dict[float, list[Row]]) -> list[Row]:
    """Return the trials to show where no rate is selected, or two are while a run is resumed."""
    return by_lr[min(by_lr, key=lambda lr: (*_badness(by_lr[lr]), lr))]


def _badness(rows: Sequence[Row]) -> tuple[bool, int, int, float]:
    return badness([Outcome(row["status"], row["val_loss"]) for row in rows])


def gather(entries: Sequence[Entry]) -> list[Gathering]:
    """Return the groups of entries that are compared: by data, budget and training."""
    by_data: dict[Key, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_data[entry.key(DATA_COLUMNS)].append(entry)
    data_names = _data_names(list(by_data))
    found = []
    for key, members in by_data.items():
        task = members[0].settings["task"]
        for training, trained in _by_training(members):
            for budget in _budgets(trained):
                group = tuple(e for e in trained if budget is None or e.share(budget))
                found.append(Gathering(budget, data_names[key], task, training, group))
    return found


def _data_names(keys: Sequence[Key]) -> dict[Key, str]:
    """Return a name for each data set: with its sizes only where those tell two apart."""
    rows = [dict(zip(DATA_COLUMNS, key, strict=True)) for key in keys]
    shown = distinguishing(rows, DATA_COLUMNS, always=("dataset",))
    names = {}
    for key, row in zip(keys, rows, strict=True):
        parts = [settings_text(row, (name,)) for name in shown if name != "dataset"]
        extra = f" ({', '.join(part for part in parts if part)})" if any(parts) else ""
        names[key] = f"{row['dataset']}{extra}"
    return names


def _by_training(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """Return entries by the axes of their training, and what names each group.

    An axis is a setting that varies within a variant. What differs between variants alone belongs
    to the variant: one whose own value is no point of an axis is compared at each point.
    """
    axes = _training_axes(entries)
    points = [_point(entry, axes) for entry in entries]
    found = []
    for place in dict.fromkeys(points):
        if any(place < other for other in points):
            continue
        settings = dict(place)
        name = settings_text(settings, [column for column in axes if column in settings])
        members = [e for e, point in zip(entries, points, strict=True) if point <= place]
        found.append((name, members))
    return found


def _training_axes(entries: Sequence[Entry]) -> dict[str, set[Any]]:
    """Return the fewest settings that tell each variant's trainings apart, with their values."""
    by_variant: dict[str, list[Row]] = defaultdict(list)
    for entry in entries:
        by_variant[entry.settings["variant_id"]].append(entry.settings)
    found: dict[str, set[Any]] = defaultdict(set)
    for rows in by_variant.values():
        for name in distinguishing(rows, TRAIN_COLUMNS):
            found[name].update(key_of(row, (name,))[0] for row in rows)
    return {name: found[name] for name in TRAIN_COLUMNS if name in found}


def _point(entry: Entry, axes: Mapping[str, set[Any]]) -> frozenset[tuple[str, Any]]:
    """Return where an entry stands on the axes of training, without those it is no point of."""
    values = zip(axes, entry.key(tuple(axes)), strict=True)
    return frozenset((name, value) for name, value in values if value in axes[name])


def _budgets(entries: Sequence[Entry]) -> list[Budget | None]:
    found = {
        (share["match"], share["target"]): Budget(
            share["match"], share["target"], share["tolerance"]
        )
        for entry in entries
        for share in entry.settings["budgets"] or ()
    }
    return [found[key] for key in sorted(found)] or [None]


def names_of(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Return for each entry its short name and the settings that its family, L and d leave open.

    The short name is the family alone where no other entry has it.
    """
    rows = [entry.settings for entry in entries]
    trained = distinguishing(rows, TRAIN_COLUMNS)  # even where names differ: it may be why one wins
    families = Counter(row["family"] for row in rows)
    names = []
    for row, options in zip(rows, option_texts(rows), strict=True):
        extra = ", ".join(filter(None, (options, settings_text(row, trained))))
        where = f" (L {row['depth']}, d {row['width']}{', ' + extra if extra else ''})"
        names.append((row["family"] + ("" if families[row["family"]] == 1 else where), extra))
    return names
