"""Tables as text for people and machines: terminal, md, csv, json. Names from files are tamed."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from depthbench.errors import ResultError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# A cell of several lines is a tuple of them.
Cell = str | tuple[str, ...]
# Columns of a terminal that a table leaves between two of its own.
GAP = 2
# A column of text may be broken into lines, of so many characters at least.
READABLE = 24

FORMATS = ("terminal", "md", "json", "csv")
# With those of continuous integration: JUnit's XML, and a step summary of GitHub.
CI_FORMATS = (*FORMATS, "junit", "github")
# What a report can be, too.
REPORT_FORMATS = (*FORMATS, "html")


@dataclass(frozen=True, slots=True)
class Heading:
    """Name a column: the key in its rows, the title above it, how it is aligned."""

    key: str
    title: str
    is_number: bool = False


def render_table(  # noqa: PLR0913 - what a table is, and for whom; all but three by name
    headings: Sequence[Heading],
    rows: Iterable[Mapping[str, Any]],
    format: str,
    *,
    title: str | None = None,
    note: str | None = None,
    console: Console | None = None,
    num_names: int = 2,
) -> str:
    """Return rows as text in a format; csv and json hold the rows alone, whole and exact.

    Args:
        headings: the columns, in order.
        rows: key to value.
        format: terminal, md, json or csv.
        title: above the table, for people.
        note: below the title, for people.
        console: whose width and colours the terminal format takes (default: standard output's).
        num_names: how many columns at the left say what a row is about; where a table is wider
            than its terminal it goes on below, after these columns again.

    Raises:
        ResultError: there is no such format.
    """
    check_format(format)
    rows = list(rows)
    if format == "json":
        return to_json(rows)
    if format == "csv":
        return to_csv([heading.key for heading in headings], rows)
    cells = [[cell_text(row.get(heading.key)) for heading in headings] for row in rows]
    if format == "md":
        parts = [f"## {markdown(title)}" if title else "", markdown(note or "")]
        return "\n\n".join([*filter(None, parts), markdown_table(headings, cells)])
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)
    shown: list[RenderableType] = []
    if title:
        shown.append(Text(plain_line(title), style="bold"))
    if note:
        shown.append(Text(plain_line(note)))
    for index, columns in enumerate(split_columns(headings, cells, console.width, num_names)):
        part = [[row[column] for column in columns] for row in cells]
        shown += [Text()] if index else []
        shown.append(rich_table([headings[c] for c in columns], part, width=console.width))
    return captured(shown, console)


def split_columns(
    headings: Sequence[Heading], cells: Sequence[Sequence[str]], width: int, num_names: int
) -> list[list[int]]:
    """Return the columns of tables that fit a width, each begun by those that name its rows."""
    needed = [
        max(least, min(full, READABLE)) if not heading.is_number else full
        for heading, (least, full) in zip(headings, column_widths(headings, cells), strict=True)
    ]
    names = list(range(min(num_names, len(headings))))
    tables = [names]
    for column in range(len(names), len(headings)):
        wider = [*tables[-1], column]
        total = sum(needed[c] for c in wider) + GAP * (len(wider) - 1)
        if total > width and tables[-1] != names:
            wider = [*names, column]
            tables.append(names)
        tables[-1] = wider
    return tables


def column_widths(
    headings: Sequence[Heading], cells: Sequence[Sequence[Cell]]
) -> list[tuple[int, int]]:
    """Return of each column its longest word, or number, and its longest line."""
    from rich.cells import cell_len

    found = []
    for index, heading in enumerate(headings):
        titles = plain_lines(heading.title).split("\n")
        column = [line for row in cells for line in lines_of(row[index])]
        full = max(cell_len(line) for line in (*titles, *column))
        titles = [word for title in titles for word in title.split()]
        words = column if heading.is_number else [word for cell in column for word in cell.split()]
        found.append((max((cell_len(word) for word in (*titles, *words)), default=0), full))
    return found


def _fitted(widths: Sequence[tuple[int, int]], available: int) -> list[int]:
    """Return widths that fit: the widest give way first, none below its longest word if it can."""
    fitted = [full for _, full in widths]
    for floors in ([least for least, _ in widths], [1] * len(widths)):
        while sum(fitted) > available:
            shrinkable = [i for i, floor in enumerate(floors) if fitted[i] > floor]
            if not shrinkable:
                break
            fitted[max(shrinkable, key=lambda i: fitted[i])] -= 1
    return fitted


def check_format(format: str, allowed: Sequence[str] = FORMATS) -> None:
    """Refuse a format that does not exist.

    Raises:
        ResultError: names those that do.
    """
    if format not in allowed:
        raise ResultError(f"--format {format!r}: there is no such format; {', '.join(allowed)}")


def plain_line(text: str) -> str:
    """Return text on one line, in which nothing can command a terminal or reorder what is read."""
    spaced = " ".join(str(text).split())
    if spaced.isascii() and spaced.isprintable():
        return spaced
    return "".join(
        c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in spaced
    )


def markdown(text: str) -> str:
    """Return text on one line in which nothing is Markdown or HTML."""
    escaped = markdown_cell(text)
    return "\\" + escaped if escaped[:1] in tuple("#>+-") else escaped


def markdown_cell(text: str) -> str:
    """Return text for a cell, where what starts a line has no meaning."""
    escaped = plain_line(text).replace("&", "&amp;").replace("<", "&lt;")
    escaped = "".join("\\" + c if c in r"\|`*~" else c for c in escaped)
    return escaped.replace("](", "]\\(")


def cell_text(value: Any) -> str:
    """Return a value as a cell shows it to people."""
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell_text(item) for item in value) or "-"
    return plain_line(str(value))


def captured(parts: Iterable[RenderableType], console: Console | None = None) -> str:
    """Return what a console would print: with its width, and colour only where it has it."""
    from rich.console import Console

    console = console or Console(highlight=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part, highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def rich_table(
    headings: Sequence[Heading],
    cells: Sequence[Sequence[Cell]],
    styles: Sequence[str] = (),
    *,
    width: int,
) -> RenderableType:
    """Return a table for a terminal of a width; numbers to the right, nothing read as markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
        show_edge=False,
        leading=any(isinstance(cell, tuple) for row in cells for cell in row),
    )
    available = width - GAP * (len(headings) - 1)
    fitted = _fitted(column_widths(headings, cells), available)
    for heading, column_width in zip(headings, fitted, strict=True):
        table.add_column(
            Text(plain_lines(heading.title)),
            justify="right" if heading.is_number else "left",
            overflow="fold",
            width=column_width,
        )
    for index, row in enumerate(cells):
        style = styles[index] if styles else ""
        table.add_row(*(Text("\n".join(lines_of(cell))) for cell in row), style=style)
    return table


def lines_of(cell: Cell) -> list[str]:
    """Return the lines of a cell, each of them plain."""
    return [plain_line(line) for line in ((cell,) if isinstance(cell, str) else cell)]


def plain_lines(text: str) -> str:
    """Return text of several lines, each of them plain."""
    return "\n".join(plain_line(line) for line in text.split("\n"))


def markdown_table(headings: Sequence[Heading], cells: Iterable[Sequence[str]]) -> str:
    """Return a table in GitHub's Markdown."""
    lines = [
        "| " + " | ".join(markdown_cell(heading.title) for heading in headings) + " |",
        "| " + " | ".join("--:" if heading.is_number else "---" for heading in headings) + " |",
    ]
    lines += ["| " + " | ".join(markdown_cell(cell) for cell in row) + " |" for row in cells]
    return "\n".join(lines)


def to_csv(keys: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header; null is empty, a list is JSON."""
    lines = [_csv_line(keys)]
    lines += [_csv_line([_csv_value(row.get(key)) for key in keys]) for row in rows]
    return "".join(f"{line}\n" for line in lines)


def _csv_line(values: Sequence[Any]) -> str:
    """Return values as a line of CSV, quoted where they hold a carriage return, too."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(values)  # what ends a line is quoted
    return buffer.getvalue().removesuffix("\r\n")


def _csv_value(value: Any) -> Any:
    value = json_value(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def to_json(value: Any) -> str:
    """Return a value as JSON, numbers in full, NaN and infinities null."""
    return json.dumps(json_value(value), indent=2, allow_nan=False)


def json_value(value: Any) -> Any:
    """Return a value made of what JSON has."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
