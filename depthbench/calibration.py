"""calibration.json: the noise floors of a suite's cells, and the environment that they hold in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from depthbench import environment
from depthbench.errors import ResultError
from depthbench.folder import write_atomically
from depthbench.record import SCHEMA_VERSION

NAME = "calibration.json"
AGAIN = "`depthbench calibrate SUITE` measures it again"
# Settings of `timing` that make no other cell, only a noisier or a quieter one.
_EFFORT = ("target_precision", "time_budget_seconds")


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The fraction that 95% of changes between equal runs stay within, and how well it is known.

    `degrees` are those of freedom of the spread over runs behind it: a few runs say little of how
    large a change is seen once in a thousand.
    """

    fraction: float
    degrees: float


@dataclass(frozen=True)
class Calibration:
    """What runs of the same code differed by: `floors` are by cell_id.

    `environment` is what `environment.collect` returned; of it the comparable facts decide whether
    the floors hold elsewhere. So does `effort`, how long cells were timed; None in older files.
    """

    suite: str
    suite_hash: str
    device: str
    num_runs: int
    created_at: str
    environment: dict[str, Any]
    floors: dict[str, NoiseFloor]
    false_positives: dict[str, Any] | None = None
    effort: dict[str, Any] | None = None


def calibration_path(out: Path, suite: str) -> Path:
    """Return where a suite's calibration lies: beside its runs."""
    return Path(out) / suite / NAME


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration, in place of a former one.

    Raises:
        ResultError: the file cannot be written.
    """
    text = json.dumps({"schema_version": SCHEMA_VERSION} | asdict(calibration), indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{path.parent}: cannot be made: {error.strerror or error}") from error
    write_atomically(path, (text + "\n").encode())


def read_calibration(path: Path) -> Calibration | None:
    """Return a calibration, None where there is none.

    Raises:
        ResultError: the file is not a calibration.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        fields = {name: found.get(name) for name in Calibration.__dataclass_fields__}
        fields["num_runs"] = int(found["num_runs"])
        fields["floors"] = {
            str(key): _floor(value, fields["num_runs"]) for key, value in found["floors"].items()
        }
        fields["environment"] = dict(found["environment"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ResultError(f"{path}: not a readable calibration: {reason}. {AGAIN}") from error
    return Calibration(**fields)


def _floor(value: Any, num_runs: int) -> NoiseFloor:
    """Return a floor; an older file has no degrees, so they are those of its runs alone."""
    if isinstance(value, dict):
        return NoiseFloor(float(value["fraction"]), float(value["degrees"]))
    return NoiseFloor(float(value), num_runs - 1.0)


def effort_of(canonical: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a canonical suite says of how long a cell is timed, on which its noise depends.

    None stands for the default, so a suite that writes the default out is another one.
    """
    timing = canonical.get("timing") or {}
    return {name: timing.get(name) for name in _EFFORT}


def load_floors(
    out: Path, suite: str, facts: Mapping[str, Any], effort: Mapping[str, Any]
) -> tuple[dict[str, NoiseFloor], str | None]:
    """Return the noise floors that hold in an environment, and why there are none.

    Args:
        out: folder of all results.
        suite: name of the suite.
        facts: the environment of what is to be judged, as run.json has it.
        effort: how long its cells are timed, by `effort_of`.

    Returns:
        Floors by cell_id, and None; or no floors and a sentence that says why.

    Raises:
        ResultError: the file is not a calibration.
    """
    path = calibration_path(out, suite)
    found = read_calibration(path)
    if found is None:
        return {}, f"{suite} is not calibrated; `depthbench calibrate SUITE` measures its noise"
    differing = environment.differences(found.environment, facts)
    if differing:
        what = ", ".join(f"{key} {a} there, {b} here" for key, (a, b) in differing.items())
        return {}, f"{path}: holds in another environment only ({what}). {AGAIN}"
    if found.effort not in (None, effort):
        there, here = (_effort_text(each) for each in (found.effort, effort))
        return {}, f"{path}: cells were timed with {there} there and {here} here. {AGAIN}"
    return found.floors, None


def _effort_text(effort: Mapping[str, Any]) -> str:
    given = [f"{name} {value:g}" for name, value in effort.items() if value is not None]
    return " and ".join(given) or "the default effort"
