"""Write a step summary for GitHub: the answer, a short table, the rest folded; at most 1 MiB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from depthbench.report.tables import Heading, markdown_table

# GitHub refuses a longer summary as a whole; what other commands of the step write counts, too.
MAX_BYTES = 1_000_000
# What closes a cut text has room within that.
_RESERVED_BYTES = 500
_CUT = "The rest is too long for a summary; `--format json` has all."


@dataclass(frozen=True, slots=True)
class Folded:
    """A table behind a line that opens it. `summary` is ours: nothing in it is escaped."""

    summary: str
    headings: Sequence[Heading]
    cells: Sequence[Sequence[str]]


def step_summary(
    blocks: Iterable[str], folded: Iterable[Folded] = (), max_bytes: int = MAX_BYTES
) -> str:
    """Return blocks of Markdown and folded tables as one text that GitHub takes.

    Args:
        blocks: Markdown, what comes from files escaped; empty ones are left out.
        folded: tables, shown whole as long as there is room.
        max_bytes: of the text in UTF-8.
    """
    text = _cut("\n\n".join(block for block in blocks if block), max_bytes - _RESERVED_BYTES)
    for part in folded:
        if not part.cells:
            continue
        room = max_bytes - _RESERVED_BYTES - len(text.encode())
        table = _cut(markdown_table(part.headings, part.cells), room)
        text += f"\n\n<details><summary>{part.summary}</summary>\n\n{table}\n\n</details>"
    return text + "\n"


def _cut(text: str, max_bytes: int) -> str:
    """Return as many whole lines as there is room for, and say so where that is not all."""
    if len(text.encode()) <= max_bytes:
        return text
    kept: list[str] = []
    num_bytes = len(_CUT) + 2
    for line in text.split("\n"):
        num_bytes += len(line.encode()) + 1
        if num_bytes > max_bytes:
            break
        kept.append(line)
    return "\n".join([*kept, "", _CUT])
