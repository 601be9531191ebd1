"""Write the charts of reports as files for papers: svg and png, under names that stay the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from depthbench.errors import ResultError
from depthbench.report.charts import png, specification, svg
from depthbench.report.render_terminal import group_title
from depthbench.report.values import Panel, RunReport, Summary

_MAX_NAME = 80


def write_figures(summary: Summary, folder: Path) -> list[Path]:
    """Write each panel's chart as svg and png, and return the files.

    Names say the kind of panel and, where a run has several, its group and a number; charts of
    several runs lie in a folder a run.

    Raises:
        ResultError: a file cannot be written.
    """
    written = []
    for report in summary.runs:
        place = folder / _slug(f"{report.suite}-{report.run}") if len(summary.runs) > 1 else folder
        for name, panel in _named(report):
            spec = specification(panel)
            if spec is not None:
                written.append(_write(place / f"{name}.svg", svg(spec).encode("utf-8")))
                written.append(_write(place / f"{name}.png", png(spec)))
    return written


def _named(report: RunReport) -> Iterator[tuple[str, Panel]]:
    """Yield the panels of a run with a name each."""
    names = [_name(report, panel) for panel in report.panels]
    num_alike, num_seen = Counter(names), Counter[str]()
    for name, panel in zip(names, report.panels, strict=True):
        num_seen[name] += 1
        yield (f"{name}-{num_seen[name]}" if num_alike[name] > 1 else name), panel


def _name(report: RunReport, panel: Panel) -> str:
    parts = [panel.kind.replace("_", " ")]
    if panel.group is not None and len(report.groups) > 1:
        parts.append(group_title(report.groups[panel.group]))
    return _slug(" ".join(parts))


def _slug(text: str) -> str:
    """Return text as a file name: small letters, digits and hyphens."""
    return re.sub("[^a-z0-9]+", "-", text.lower().replace(",", ""))[:_MAX_NAME].strip("-") or "run"


def _write(path: Path, content: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ResultError(
            f"{path}: cannot be written: {error.strerror or error}; choose another --figures DIR"
        ) from error
    return path
