"""Gather what did not end well: trials and timings, alike ones together, each with its reason."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from depthbench.report.rows import Row
from depthbench.report.values import Problem

if TYPE_CHECKING:
    from depthbench.store import Run

_MAX_REASON = 300


def problems_of(run: Run) -> list[Problem]:
    """Return what did not end well, alike ones counted together, with an example's reason."""
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    network = ("family", "depth", "width", "status", "error")
    for row in run.rows("trials", network, ("status",), _is_problem):
        found[f"trial {_network(row)}", row["status"], _reason(row)] += 1
    for row in run.rows("timings", (*network, "phase", "batch_size"), ("status",), _is_problem):
        what = f"timing {_network(row)}, {row['phase']} batch {row['batch_size']}"
        found[what, row["status"], _reason(row)] += 1
    return [Problem(what, status, num, reason) for (what, status, reason), num in found.items()]


def _is_problem(status: str | None) -> bool:
    return status not in ("ok", None)


def _network(row: Row) -> str:
    return f"{row['family']} (L {row['depth']}, d {row['width']})"


def _reason(row: Row) -> str:
    text = " ".join(str(row["error"] or "").split())
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 3] + "..."
