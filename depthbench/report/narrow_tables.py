"""Lay out a table for any width: as it is, or with rows of several lines, or else in parts.

Parts below one another repeat the names of their rows, and what belongs together stands far apart.
So a table that is too wide is stacked first: columns of it become the lines of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from depthbench.report.tables import (
    GAP,
    READABLE,
    Cell,
    Heading,
    column_widths,
    plain_line,
    split_columns,
)

# A column of a stacked table: a line for each of these, which are the keys of columns of the wide
# one, joined by "to" where there are two.
Stack = Sequence[tuple[str, ...]]
Table = tuple[Sequence[Heading], Sequence[Sequence[Cell]]]

_EMPTY = ("", "-")


def laid_out(
    headings: Sequence[Heading],
    cells: Sequence[Sequence[str]],
    stacks: Sequence[Stack],
    width: int,
    num_names: int,
) -> Iterator[Table]:
    """Yield the tables that show rows on a terminal of a width; most often one.

    Args:
        headings: the columns.
        cells: a row each.
        stacks: which columns stand in one where all beside one another are too wide.
        width: of the terminal, in characters.
        num_names: how many columns at the left say what a row is about; these stay unbroken.
    """
    widths = column_widths(headings, cells)
    needed = [
        full if heading.is_number or index < num_names else max(least, min(full, READABLE))
        for index, (heading, (least, full)) in enumerate(zip(headings, widths, strict=True))
    ]
    if _total(needed) <= width:
        yield headings, cells
        return
    narrow, rows = stacked(headings, cells, stacks)
    breakable = [replace(heading, is_number=False) for heading in narrow]
    for titles in (narrow, breakable):
        if _total([least for least, _ in column_widths(titles, rows)]) <= width:
            yield titles, rows
            return
    for columns in split_columns(headings, cells, width, num_names):
        part = [[row[column] for column in columns] for row in cells]
        yield [headings[column] for column in columns], part


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def stacked(
    headings: Sequence[Heading], cells: Sequence[Sequence[str]], stacks: Sequence[Stack]
) -> Table:
    """Return a table of fewer columns, each of several lines; what is not known has no line."""
    place = {heading.key: index for index, heading in enumerate(headings)}
    columns = [[[place[key] for key in keys if key in place] for keys in stack] for stack in stacks]
    columns = [[line for line in column if line] for column in columns if any(column)]
    rows = [[tuple(filter(None, _lines(row, column))) for column in columns] for row in cells]
    titles = [_title(headings, column) for column in columns]
    height = max(len(title) for title in titles)
    narrow = [
        Heading(
            headings[column[0][0]].key,
            # Headings stand on the line below them; with as many lines all begin at the top.
            "\n".join([*title, *[""] * (height - len(title))]),
            is_number=all(headings[place].is_number for places in column for place in places),
        )
        for title, column in zip(titles, columns, strict=True)
    ]
    return narrow, rows


def _lines(row: Sequence[str], column: Sequence[Sequence[int]]) -> Iterator[str]:
    for places in column:
        texts = [plain_line(row[place]) for place in places]
        yield "" if all(text in _EMPTY for text in texts) else " to ".join(texts)


def _title(headings: Sequence[Heading], column: Sequence[Sequence[int]]) -> list[str]:
    """Return the lines above a column; of two in one line the second has its own, as it is long."""
    return [
        f"{'to ' if index else ''}{headings[place].title}"
        for places in column
        for index, place in enumerate(places)
    ]
