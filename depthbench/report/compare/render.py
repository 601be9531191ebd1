"""Print a comparison: the answer, the balance, what changed, then what was not compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from depthbench.report.compare.answer import balance_text
from depthbench.report.compare.changes import VERDICTS, Change, RunComparison
from depthbench.report.compare.columns import (
    NUM_NAMES,
    STACKS,
    columns_of,
    ending_lines,
    left_out,
    legend,
    page_of,
    ranked,
    title_of,
)
from depthbench.report.compare.render_ci import (
    comparison_head,
    comparison_junit,
    comparison_summary,
    items,
)
from depthbench.report.narrow_tables import laid_out
from depthbench.report.tables import (
    CI_FORMATS,
    captured,
    check_format,
    markdown_table,
    plain_line,
    rich_table,
    to_csv,
    to_json,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_STYLES = {"worse": "bold red", "better": "green", "unresolved": "yellow"}
_CSV_KEYS = tuple(name for name in Change.__dataclass_fields__ if name != "facts")


def render_comparison(
    comparison: RunComparison, format: str = "terminal", console: Console | None = None
) -> str:
    """Return a comparison as text.

    Args:
        comparison: what to print.
        format: terminal, md, json, csv, junit or github.
        console: whose width and colours the terminal format takes (default: standard output's).

    Raises:
        ResultError: there is no such format.
    """
    check_format(format, CI_FORMATS)
    if format == "json":
        counts = {verdict: comparison.count(verdict) for verdict in VERDICTS}
        return to_json(asdict(comparison) | {"num_by_verdict": counts})
    if format == "csv":
        return to_csv(_CSV_KEYS, [asdict(change) for change in comparison.changes])
    if format == "md":
        return _markdown(comparison)
    if format == "junit":
        return comparison_junit(comparison)
    if format == "github":
        return comparison_summary(comparison)
    from rich.console import Console

    console = console or Console(highlight=False)
    return captured(_parts(comparison, console.width), console)


def _parts(comparison: RunComparison, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(plain_line(title_of(comparison)), style="dim")
    yield Text()
    yield Text(plain_line(comparison.answer), style="bold")
    for balance in comparison.balances:
        yield Text(balance_text(balance))
    shown = page_of(comparison.changes)
    if shown:
        yield Text()
        yield from _table_parts(shown, width)
    yield Text()
    lines = (*legend(comparison, shown), *left_out(comparison, len(shown)), *comparison.notes)
    for line in lines:
        yield Text(plain_line(line), style="dim")


def _table_parts(changes: Sequence[Change], width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    styles = [_STYLES.get(change.verdict, "") for change in changes]
    tables = laid_out(*columns_of(changes), STACKS, width, NUM_NAMES)
    for index, (headings, cells) in enumerate(tables):
        if index:
            yield Text()
        yield rich_table(headings, cells, styles, width=width)


def _markdown(comparison: RunComparison) -> str:
    blocks = comparison_head(comparison)
    if comparison.endings:
        blocks += ["### Ended otherwise", items(ending_lines(comparison))]
    if comparison.changes:
        table = markdown_table(*columns_of(ranked(comparison.changes)))
        lines = list(legend(comparison, comparison.changes))
        blocks += ["### Changes", table, items(lines)]
    blocks.append(items(comparison.notes))
    return "\n\n".join(block for block in blocks if block) + "\n"
