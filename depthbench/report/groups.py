"""Sort trials into entries (a variant at its best learning rate) and entries into groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from depthbench.grammar import ModelOptions, TrainSettings
from depthbench.record import FAILURES, METRICS, SPLITS
from depthbench.report.rows import Row, as_text, records
from depthbench.report.values import Budget
from depthbench.selection import Outcome, badness

if TYPE_CHECKING:
    from pandas import DataFrame

Key = tuple[Any, ...]

METRIC_COLUMNS = tuple(f"{split}_{metric}" for metric in METRICS for split in SPLITS)
SIZE_COLUMNS = ("total_params", "trainable_params", "body_params", "forward_flops")
# What may tell apart two variants of one family, depth and width; expansion and bottleneck are
# resolved to `hidden`, and `execution` changes speed alone.
OPTION_COLUMNS = (
    "backbone",
    *(n for n in ModelOptions.model_fields if n not in ("expansion", "bottleneck")),
    "base",
)
TRAIN_COLUMNS = tuple(name for name in TrainSettings.model_fields if name != "lr")
DATA_COLUMNS = ("dataset", "dataset_file", "train_examples", "validation_examples", "task")


@dataclass(frozen=True)
class Entry:
    """The trials of one variant under one data set, task and training, at one learning rate."""

    settings: Row
    trials: tuple[Row, ...]
    num_lrs: int
    is_provisional: bool

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
    columns = ["trial_id", "variant_id", "status", "error", "family", "depth", "width", "seed"]
    columns += ["lr", "is_selected", "budgets"]
    columns += [*OPTION_COLUMNS, *DATA_COLUMNS, *TRAIN_COLUMNS, *SIZE_COLUMNS, *METRIC_COLUMNS]
    rows = records(trials, columns)
    _fill_example_counts(rows)
    by_key: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        by_key[key_of(row, ("variant_id", *DATA_COLUMNS, *TRAIN_COLUMNS))].append(row)
    return [_entry(rows) for rows in by_key.values()]


def _fill_example_counts(rows: Iterable[Row]) -> None:
    """Give trials that failed before their data was read the counts of the others of that set."""
    rows = list(rows)
    for name in ("train_examples", "validation_examples"):
        found: dict[Any, set[int]] = defaultdict(set)
        for row in rows:
            if row[name] is not None:
                found[row["dataset"], row["dataset_file"]].add(row[name])
        for row in rows:
            known = found[row["dataset"], row["dataset_file"]]
            if row[name] is None and len(known) == 1:
                row[name] = next(iter(known))


def _entry(rows: Sequence[Row]) -> Entry:
    by_lr: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        by_lr[row["lr"]].append(row)
    selected = [row for row in rows if row["is_selected"]]
    chosen = selected or by_lr[min(by_lr, key=lambda lr: (*_badness(by_lr[lr]), lr))]
    is_provisional = not selected and len(by_lr) > 1
    return Entry(chosen[0], tuple(chosen), len(by_lr), is_provisional)


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
        for training, trained in _by_training(members).items():
            for budget in _budgets(trained):
                group = tuple(e for e in trained if budget is None or e.share(budget))
                found.append(Gathering(budget, data_names[key], key[-1], training, group))
    return found


def _data_names(keys: Sequence[Key]) -> dict[Key, str]:
    """Return a name for each data set: with its sizes only where those tell two apart."""
    rows = [dict(zip(DATA_COLUMNS, key, strict=True)) for key in keys]
    shown = distinguishing(rows, ("dataset", *DATA_COLUMNS[1:]), always=("dataset",))
    names = {}
    for key, row in zip(keys, rows, strict=True):
        parts = [settings_text(row, (name,)) for name in shown if name != "dataset"]
        extra = f" ({', '.join(part for part in parts if part)})" if any(parts) else ""
        names[key] = f"{row['dataset']}{extra}"
    return names


def _by_training(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return entries by their training, if a variant has several: then trainings are an axis.

    Where each variant has one training, it belongs to the variant, and all are compared.
    """
    variants = [entry.settings["variant_id"] for entry in entries]
    if len(set(variants)) == len(variants):
        return {"": list(entries)}
    shown = distinguishing([entry.settings for entry in entries], TRAIN_COLUMNS)
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[settings_text(entry.settings, shown)].append(entry)
    return found


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
    base = ("family", "depth", "width")
    options = [name for name in OPTION_COLUMNS if not _follows(rows, name, base)]
    shown = distinguishing(rows, (*options, *TRAIN_COLUMNS), always=base)[len(base) :]
    families = [row["family"] for row in rows]
    names = []
    for row in rows:
        extra = settings_text(row, shown)
        where = f" (L {row['depth']}, d {row['width']}{', ' + extra if extra else ''})"
        is_alone = families.count(row["family"]) == 1
        names.append((row["family"] + ("" if is_alone else where), extra))
    return names


def _follows(rows: Sequence[Row], name: str, base: Sequence[str]) -> bool:
    """Say whether a setting never differs between rows of equal base settings."""
    found: dict[Key, set[str]] = defaultdict(set)
    for row in rows:
        found[key_of(row, base)].add(as_text(row[name]))
    return all(len(values) == 1 for values in found.values())


def distinguishing(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], always: Sequence[str] = ()
) -> list[str]:
    """Return columns that together tell rows apart as well as all of them do, few of them."""
    wanted = len({key_of(row, (*always, *columns)) for row in rows})
    shown = list(always)
    for name in columns:
        num_told = len({key_of(row, shown) for row in rows})
        if num_told == wanted:
            break
        if name not in shown and len({key_of(row, (*shown, name)) for row in rows}) > num_told:
            shown.append(name)
    return shown


def settings_text(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """Return settings in words, null ones left out: optimizer sgd, epochs 5."""
    given = [name for name in columns if row[name] is not None]
    return ", ".join(f"{name.replace('_', ' ')} {as_text(row[name])}" for name in given)


def key_of(row: Mapping[str, Any], columns: Sequence[str]) -> Key:
    """Return the values of these columns, lists as tuples."""
    values = (row[name] for name in columns)
    return tuple(tuple(v) if isinstance(v, list) else v for v in values)
