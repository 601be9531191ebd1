"""Describe a plan before it runs, and the other listings of the command line."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from depthbench.environment import Check
from depthbench.estimate_table import render_estimate
from depthbench.report.option_texts import option_texts
from depthbench.report.tables import Heading, render_table
from depthbench.spec import Trial
from depthbench.suite import Suite
from depthbench.units import counted

if TYPE_CHECKING:
    from rich.console import Console

    from depthbench.data import DatasetStatus

_TRIAL_KEYS = (
    "trial_id",
    "variant_id",
    "family",
    "backbone",
    "dataset",
    "task",
    "depth",
    "width",
    "seed",
    "lr",
    "budget_error_fraction",
)
_VARIANT_HEADINGS = (
    Heading("family", "family"),
    Heading("depth", "L", is_number=True),
    Heading("width", "d", is_number=True),
    Heading("options", "options"),
    Heading("backbone", "backbone"),
    Heading("dataset", "data"),
    Heading("task", "task"),
    Heading("hidden", "d_h", is_number=True),
    Heading("total_params", "weights", is_number=True),
    Heading("forward_flops", "FLOPs", is_number=True),
    Heading("budget", "budget\nerror", is_number=True),
    Heading("num_trials", "trials", is_number=True),
)
# Said once, above the table, where they are the same for all variants.
_SHARED = ("backbone", "dataset", "task")
_OWN_DATA = ("npz", "text")
# A terminal shows the beginning of a larger plan; the other formats show all of it.
_MAX_VARIANTS = 40
# What people paste: a command, or a section of a suite. It is never broken into lines.
_PASTED = re.compile(r"`[^`]*`|(?:\w+: )?\{[^}]*\}")
_HARD_SPACE = "\ue000"  # stands for a space that no line ends at


def describe_plan(suite: Suite, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the plan as plain values; the object that `plan --format json` prints.

    The `options` of a trial are those that tell its variant from the plan's others, in words.
    """
    firsts = {trial.variant_id: trial for trial in reversed(trials)}
    variants = {key: trial.describe() for key, trial in firsts.items()}
    texts = dict(zip(variants, option_texts(list(variants.values())), strict=True))
    return {
        "suite": suite.name,
        "suite_hash": suite.suite_hash,
        "question": suite.question,
        "num_trials": len(trials),
        "trials": [_trial_row(trial, texts[trial.variant_id]) for trial in trials],
    }


def _trial_row(trial: Trial, options: str) -> dict[str, Any]:
    row = {key: getattr(trial, key) for key in _TRIAL_KEYS}
    row |= {
        "options": options,
        "hidden": trial.variant.hidden,
        "total_params": trial.cost.total_params,
        "trainable_params": trial.cost.trainable_params,
        "active_params": trial.cost.active_params,
        "body_params": trial.cost.body_params,
        "forward_flops": trial.cost.forward_flops,
        "total_heads": trial.cost.total_heads,
        "budgets": [
            asdict(share) | {"is_on_budget": share.is_on_budget} for share in trial.budgets
        ],
    }
    return row


def render_plan(plan: dict[str, Any], format: str, console: Console | None = None) -> str:
    """Return a plan as text: json whole, csv a line a trial, else a line a variant.

    A terminal shows the first variants of a large plan. Backbone, data and task have a column only
    where there are several.
    """
    if format == "json":
        return json.dumps(plan)
    if format == "csv":
        counts = ("total_params", "trainable_params", "active_params", "body_params")
        keys = (*_TRIAL_KEYS, "options", "hidden", *counts, "forward_flops", "total_heads")
        headings = [Heading(key, key) for key in keys]
        return render_table(headings, plan["trials"], "csv")
    variants: dict[Any, dict[str, Any]] = {}
    for trial in plan["trials"]:
        key = (trial["variant_id"], trial["dataset"], trial["task"], trial["total_params"])
        row = variants.setdefault(key, trial | {"num_trials": 0, "budget": _errors(trial)})
        row["num_trials"] += 1
    rows = list(variants.values())
    limit = _MAX_VARIANTS if format == "terminal" else None
    shared = [name for name in _SHARED if len({row[name] for row in rows}) == 1]
    unsaid = [] if any(row["options"] for row in rows) else ["options"]
    count = f"{counted(plan['num_trials'], 'trial')} of {counted(len(variants), 'variant')}"
    alike = "".join(f", {rows[0][name]}" for name in shared)
    table = render_table(
        [heading for heading in _VARIANT_HEADINGS if heading.key not in (*shared, *unsaid)],
        rows[:limit],
        format,
        title=f"{plan['suite']} ({plan['suite_hash']}): {count}{alike}",
        note=plan["question"],
        console=console,
        num_names=3 if unsaid else 4,
    )
    parts = [table]
    num_more = len(variants) - _MAX_VARIANTS if limit else 0
    if num_more > 0:
        parts.append(f"{num_more:,} more variants; all of them: --format md, csv or json")
    if "estimate" in plan:
        parts.append(render_estimate(plan["estimate"], format, console))
    return "\n\n".join(parts) if len(parts) > 1 else table


def _errors(trial: dict[str, Any]) -> str | None:
    """Return how far a variant is off each of its budgets."""
    shares = [
        f"{share['error_fraction']:+.2%}" + ("" if share["is_on_budget"] else " (off)")
        for share in trial["budgets"]
    ]
    return ", ".join(shares) or None


def render_families(format: str, console: Console | None = None) -> str:
    """Return what each family is, with three examples of depth, and what each option is."""
    from depthbench.models import FAMILIES
    from depthbench.models.systems import SYSTEMS, places_of

    rows = [
        {
            "family": name,
            "formula": family.formula,
            "depth": family.depth_meaning,
            "examples": list(family.depth_examples),
            "source": family.source,
        }
        for name, family in FAMILIES.items()
    ]
    systems = [
        {
            "system": name,
            "options": list(system.options),
            "formula": system.formula,
            "for": places_of(system),
            "source": system.source,
            "suite": f"suites/{system.suite}.yaml",
        }
        for name, system in SYSTEMS.items()
    ]
    if format == "md":
        tables = ((rows, "Families"), (systems, "Options"))
        parts = [
            render_table([Heading(key, key) for key in part[0]], part, format, title=title)
            for part, title in tables
        ]
        return "\n\n".join(parts)
    if format != "terminal":
        keys = dict.fromkeys((*rows[0], *systems[0]))
        return render_table([Heading(key, key) for key in keys], [*rows, *systems], format)
    width = _width_of(console)
    blocks = [*map(_block, rows), _OPTIONS_NOTE, *map(_system_block, systems)]
    return "\n\n".join(_wrapped(block, width) for block in blocks)


_OPTIONS_NOTE = (
    "OPTIONS\nEach composes with the families and backbones that it is for; values and defaults: "
    "docs/suites.md."
)


def _block(row: dict[str, Any]) -> str:
    examples = "\n".join(f"    {example}" for example in row["examples"])
    return (
        f"{row['family']}\n  {row['formula']}\n  depth: {row['depth']}\n{examples}\n"
        f"  source: {row['source']}"
    )


def _system_block(row: dict[str, Any]) -> str:
    return (
        f"{row['system']}: {', '.join(row['options'])}\n  {row['formula']}\n  for: {row['for']}\n"
        f"  source: {row['source']}\n  suite: {row['suite']}"
    )


def _width_of(console: Console | None) -> int:
    from rich.console import Console

    return (console or Console()).width


def _wrapped(text: str, width: int, whole: Sequence[str] = ()) -> str:
    """Return text in lines that fit a width, broken between words alone.

    A line that goes on is indented by two more than it began. A path or a command stays whole,
    where it is longer than the width too, so that it can be copied.

    Args:
        text: lines, each with its own indentation.
        width: of the terminal, in characters.
        whole: parts with spaces that are not broken either, such as paths.
    """
    for part in filter(None, whole):
        text = text.replace(part, part.replace(" ", _HARD_SPACE))
    text = _PASTED.sub(lambda found: found[0].replace(" ", _HARD_SPACE), text)
    lines: list[str] = []
    for line in text.split("\n"):
        start = line[: len(line) - len(line.lstrip(" "))]
        lines += textwrap.wrap(
            line.strip(" "),
            width,
            initial_indent=start,
            subsequent_indent=start + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines).replace(_HARD_SPACE, " ")


def render_datasets(statuses: Sequence[Any], format: str, console: Console | None = None) -> str:
    """Return which data sets are here, and how to get the others."""
    rows = [asdict(status) for status in statuses]
    headings = (
        Heading("name", "data"),
        Heading("is_present", "present"),
        Heading("is_complete", "complete"),
        Heading("is_official", "official"),
        Heading("num_train_examples", "train", is_number=True),
        Heading("num_test_examples", "test", is_number=True),
        Heading("licence", "licence"),
    )
    if format in ("json", "csv"):
        more = (Heading("path", "where"), Heading("note", "note"))
        return render_table((*headings, *more), rows, format)
    notes = [f"{row['name']} is in {row['path']}" for row in rows if row["path"]]
    notes += [row["note"] for row in rows if row["note"]]
    table = render_table(headings, rows, format, console=console, num_names=1)
    text = "\n".join(notes)
    if format == "terminal":
        paths = [str(row["path"]) for row in rows if row["path"]]
        text = _wrapped(text, _width_of(console), paths)
    return "\n".join([table.rstrip("\n"), "", text])


def data_checks(statuses: Iterable[DatasetStatus]) -> list[Check]:
    """Return what `doctor` says of data sets: a corrupt one is a problem, an absent one is not.

    A user's own files (npz, text) are not looked for.
    """
    return [_data_check(status) for status in statuses if status.name not in _OWN_DATA]


def _data_check(status: DatasetStatus) -> Check:
    name = f"data: {status.name}"
    if status.is_corrupt:
        return Check(name, False, "corrupt", status.note)
    if not status.is_present:
        return Check(name, None, "not here", "`depthbench datasets` says how to get it")
    found = "complete" if status.is_complete else "incomplete"
    official = "official" if status.is_official else "not the official files"
    is_whole = status.is_complete and status.is_official
    return Check(name, True if is_whole else None, f"{found}, {official}", status.note)


def render_checks(checks: Iterable[Check], format: str, console: Console | None = None) -> str:
    """Return what `doctor` found on this machine."""
    rows = []
    for check in checks:
        row = asdict(check)
        row["state"] = {True: "ok", False: "PROBLEM", None: "note"}[check.is_ok]
        rows.append(row)
    headings = [Heading("state", "state"), Heading("name", "what"), Heading("found", "found")]
    if format in ("json", "csv"):
        headings.append(Heading("advice", "advice"))
    else:
        for row in rows:
            row["found"] = "; ".join(filter(None, (row["found"], row["advice"])))
    return render_table(headings, rows, format, console=console)
