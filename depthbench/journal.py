"""run.json: what a run is of and where it began, and whether it may be resumed here."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from depthbench import __version__, environment, store
from depthbench.errors import ResultError
from depthbench.record import SCHEMA_VERSION
from depthbench.suite import Suite

# Sections of a suite that may change under a run: they ask of its results, and make none.
UNMEASURED = ("question", "claims")


def default_name() -> str:
    """Return a name for a new run: the time and a few random digits."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def check_resumable(suite: Suite, folder: store.RunFolder, device: str) -> None:
    """Refuse to go on with a run that is of another suite or began in another environment.

    Raises:
        ResultError: says what differs.
    """
    state = store.read_run_json(folder)
    _check_same_suite(state, suite, folder)
    _check_same_environment(state, _environment(suite, device), folder)


def open_run(
    suite: Suite, folder: store.RunFolder, device: str, digests: dict[str, str], num_trials: int
) -> dict[str, Any]:
    """Return run.json's value: a new one, or that of the run to resume, checked.

    Raises:
        ResultError: the run of this name is of another suite, other data, or began in another
            environment.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if folder.run_json.exists():
        check_resumable(suite, folder, device)
        state = store.read_run_json(folder)
        _check_same_data(state, digests, folder)
        state |= {"status": "running", "data_digests": state.get("data_digests", {}) | digests}
        state |= _suite_facts(suite)  # its question and claims may be new
        state |= {"num_trials": num_trials}
        state["resumed_at"] = [*state.get("resumed_at", []), now]
    else:
        state = {
            "schema_version": SCHEMA_VERSION,
            "suite": suite.name,
            "run": folder.path.name,
            **_suite_facts(suite),
            "status": "running",
            "num_trials": num_trials,
            "command": ["depthbench", *sys.argv[1:]],
            "created_at": now,
            "finished_at": None,
            "device": device,
            "depthbench": __version__,
            "environment": _environment(suite, device),
            "data_digests": digests,
            "executions": {},
        }
    store.write_run_json(folder, state)
    return state


def _suite_facts(suite: Suite) -> dict[str, Any]:
    return {
        "suite_hash": suite.suite_hash,
        "suite_text": suite.text,
        "suite_canonical": suite.canonical,
        "question": suite.question,
        "claims": [claim.model_dump(mode="json") for claim in suite.claims],
        "budgets": [budget.model_dump(mode="json") for budget in suite.budgets],
    }


def _environment(suite: Suite, device: str) -> dict[str, Any]:
    return environment.collect(device, Path(suite.source).parent)


def _check_same_suite(state: dict[str, Any], suite: Suite, folder: store.RunFolder) -> None:
    before, after = (
        dict(_leaves(_measured(value))) for value in (state.get("suite_canonical"), suite.canonical)
    )
    if state.get("suite_hash") == suite.suite_hash or before == after:
        return
    changed = [
        f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ][:20]
    raise ResultError(
        f"{folder.path}: this run is of a suite that has changed since:\n  "
        + "\n  ".join(changed)
        + "\nstart a new run under another --run NAME, or undo the change"
    )


def _measured(canonical: Any) -> Any:
    """Return a canonical suite without what no result depends on: its question and its claims."""
    if not isinstance(canonical, dict):
        return canonical
    return {key: value for key, value in canonical.items() if key not in UNMEASURED}


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting of a canonical suite with its dotted place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{place}[{index}]")
    else:
        yield place, json.dumps(value)


def _check_same_environment(
    state: dict[str, Any], here: dict[str, Any], folder: store.RunFolder
) -> None:
    changed = environment.differences(state.get("environment", {}), here)
    if changed:
        shown = "; ".join(f"{key}: {old} -> {new}" for key, (old, new) in changed.items())
        raise ResultError(
            f"{folder.path}: this run began in another environment ({shown}), and one run holds "
            "one environment; start a new run under another --run NAME"
        )


def _check_same_data(
    state: dict[str, Any], digests: dict[str, str], folder: store.RunFolder
) -> None:
    before = state.get("data_digests", {})
    changed = [key for key in digests if before.get(key, digests[key]) != digests[key]]
    if changed:
        raise ResultError(
            f"{folder.path}: the data of this run has changed since it began: "
            f"{_data_text(changed[0])}; start a new run under another --run NAME, or put the old "
            "data back"
        )


def _data_text(settings: str) -> str:
    """Return a data set as a suite would write it, from its settings as JSON."""
    given = json.loads(settings).items()
    return ", ".join(f"{name}: {value}" for name, value in given if value not in (None, False))


def close_run(folder: store.RunFolder, state: dict[str, Any], status: str) -> None:
    """Write how a run ended: finished, interrupted or failed."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    store.write_run_json(folder, state | {"status": status, "finished_at": now})
