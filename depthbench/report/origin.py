"""Where a run's results are from, in words: what they were measured on, and how to cite them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depthbench.report.tables import cell_text
from depthbench.report.values import Origin, RunReport

_BYTES = "_bytes"
# What a citation says of the machine and its software, where it is known.
_CITED_FACTS = ("gpu_name", "cpu_model")
_CITED_VERSIONS = ("torch",)


def origin_of(facts: Mapping[str, Any]) -> Origin:
    """Return what run.json says of where a run is from; what it does not say is None."""
    environment = facts.get("environment")
    return Origin(
        suite_hash=_text(facts.get("suite_hash")),
        depthbench=_text(facts.get("depthbench")),
        finished_at=_text(facts.get("finished_at")),
        environment=dict(environment) if isinstance(environment, Mapping) else {},
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def state_text(status: str) -> str:
    """Return what became of a run that has not finished whole, as the rest of a sentence."""
    known = {
        "running": "is still running, or was killed",
        "finished": "is done in part",
        "partial": "is done in part",
        "interrupted": "was interrupted",
        "failed": "ended with an error",
    }
    return known.get(status, f"is {status}")


def environment_facts(origin: Origin) -> list[tuple[str, str]]:
    """Return the name and the value of each fact about the machine that is known, as text."""
    found = []
    for name, value in origin.environment.items():
        if name.endswith(_BYTES) and isinstance(value, (int, float)):
            found.append((_words(name.removesuffix(_BYTES)), f"{value / 1e9:.1f} GB"))
        elif isinstance(value, Mapping):
            given = [f"{key} {inner}" for key, inner in value.items() if inner is not None]
            if given:
                found.append((_words(name), ", ".join(given)))
        elif value is not None:
            found.append((_words(name), str(value) if name == "python" else cell_text(value)))
    return found


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def run_facts(report: RunReport) -> list[tuple[str, str]]:
    """Return the name and the value of each fact that tells this run from others."""
    origin = report.origin
    facts = [
        ("suite", report.suite),
        ("suite hash", origin.suite_hash),
        ("run", report.run),
        ("begun", report.created_at),
        ("finished", origin.finished_at),
        ("trials", f"{report.num_finished:,} of {report.num_trials:,}"),
        ("device", report.device),
        ("depthbench", origin.depthbench),
    ]
    return [(name, value) for name, value in facts if value]


def citation(report: RunReport) -> str:
    """Return a line that names these results for a paper: suite, hash, run, date, machine."""
    origin = report.origin
    facts = origin.environment
    versions = facts.get("versions")
    versions = versions if isinstance(versions, Mapping) else {}
    machine = next((str(facts[name]) for name in _CITED_FACTS if facts.get(name)), "")
    software = [f"{name} {versions[name]}" for name in _CITED_VERSIONS if versions.get(name)]
    parts = [
        f"depthbench {origin.depthbench}" if origin.depthbench else "depthbench",
        f"suite {report.suite}" + (f" ({origin.suite_hash})" if origin.suite_hash else ""),
        f"run {report.run}" + (f" of {str(report.created_at)[:10]}" if report.created_at else ""),
        " on ".join(part for part in (report.device or "", machine) if part),
        *software,
    ]
    return ", ".join(part for part in parts if part) + "."
