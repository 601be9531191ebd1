"""A table is whole where it fits, stacked where it does not, and split where nothing else helps."""

import pytest

from depthbench.report.narrow_tables import laid_out
from depthbench.report.tables import Heading, captured, rich_table

HEADINGS = [
    Heading("verdict", "verdict"),
    Heading("name", "variant"),
    Heading("before", "baseline", is_number=True),
    Heading("after", "candidate", is_number=True),
    Heading("why", "why"),
]
CELLS = [
    ["worse", "parallel_shallow (L 8, d 23)", "1.20 ms", "2.74 ms", ""],
    ["unresolved", "deep (L 8, d 23)", "-", "-", "candidate: oom\nout of memory"],
]
STACKS = ((("verdict",),), (("name",), ("why",)), (("before", "after"),))


def tables(width, cells=CELLS):
    return list(laid_out(HEADINGS, cells, STACKS, width, num_names=2))


def shown(width):
    return captured([rich_table(*table, width=width) for table in tables(width)])


def test_a_table_that_fits_is_as_it_was():
    assert tables(120) == [(HEADINGS, CELLS)]


@pytest.mark.parametrize("width", [45, 60, 80])
def test_one_that_does_not_has_rows_of_several_lines(width):
    ((headings, rows),) = tables(width)
    assert [heading.title.split("\n")[:2] for heading in headings] == [
        ["verdict", ""],
        ["variant", "why"],
        ["baseline", "to candidate"],
    ]
    assert rows == [
        [("worse",), ("parallel_shallow (L 8, d 23)",), ("1.20 ms to 2.74 ms",)],
        # What is not known has no line, and a name from a file only one.
        [("unresolved",), ("deep (L 8, d 23)", "candidate: oom out of memory"), ()],
    ]


@pytest.mark.parametrize("width", [45, 60, 80])
def test_no_word_of_a_stacked_table_is_broken(width):
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    assert ("1.20 ms to 2.74 ms" in text) == (width > 45)  # names give way first
    for row in CELLS:
        assert {word for cell in row for word in cell.split()} - {"-"} <= set(text.split())


def test_a_pair_of_which_a_column_is_left_out_keeps_the_other():
    headings = [heading for heading in HEADINGS if heading.key not in ("before", "why")]
    cells = [["worse", "parallel_shallow (L 8, d 23)" * 2, "2.74 ms"]]
    ((narrow, rows),) = laid_out(headings, cells, STACKS, 60, num_names=2)
    assert (narrow[2].title, rows[0][2]) == ("candidate", ("2.74 ms",))


def test_where_the_longest_words_do_not_fit_beside_one_another_the_table_is_split():
    parts = tables(32)
    assert len(parts) > 1
    assert all([heading.key for heading in part[0]][:2] == ["verdict", "name"] for part in parts)
    assert max(map(len, shown(32).splitlines())) <= 32
