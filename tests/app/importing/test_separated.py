"""Values are separated by what separates most records alike; what is no record is told by the line at which it begins."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.importing.faults import MAX_CELL, MAX_COLUMNS, MAX_ROW, Unreadable
from app.importing.separated import rows, separator
from app.importing.text_lines import lines


def read(text: str, by: str = ",") -> list[tuple[int, list[str]]]:
    return [(row.line, row.cells) for row in rows(lines([text]), by)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b;c\n1,5;2,5;x\n", ";"),
        ("a\tb\n1, 2\t3\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("sep=;\na;b\n", ";"),
        ('name;"note, long"\nx;"1,2,3,4"\n', ";"),
        ("alone\n1\n2\n", ","),
    ],
)
def test_the_separator_is_the_one_that_agrees(text: str, found: str) -> None:
    assert separator(lines([text])) == found


def test_records_begin_at_their_lines_whatever_ends_lines() -> None:
    text = 'a,b\r\n1,"two\nlines"\r3,4\n\n5,6'
    assert read(text) == [(1, ["a", "b"]), (2, ["1", "two\nlines"]), (4, ["3", "4"]), (6, ["5", "6"])]


def test_a_line_that_names_the_separator_is_no_record() -> None:
    assert read("sep=;\na;b\n", ";") == [(2, ["a", "b"])]


def test_a_quote_that_is_not_closed_is_told_by_the_line_that_opens_it() -> None:
    text = "a,b\n" + "1,2\n" * 50_000 + '3,"x\n' + "4,5\n" * 50_000
    with pytest.raises(Unreadable, match="not closed") as raised:
        read(text)
    assert raised.value.fault.line == 50_002


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('a,b\n"x"y,2\n', 2, "After a closing quote"),
        ("a,b\nx\0,2\n", 2, "NUL"),
        ("a,b\n" + "x" * (MAX_CELL + 1) + ",2\n", 2, "characters"),
        ("a" + ",b" * MAX_COLUMNS + "\n", 1, "columns"),
    ],
)
def test_what_is_no_record_is_told_by_line(text: str, line: int, message: str) -> None:
    with pytest.raises(Unreadable, match=message) as raised:
        read(text)
    assert raised.value.fault.line == line


def test_a_line_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(Unreadable, match="characters") as raised:
        list(lines(["a\n", *("x" * 65_536 for _ in range(MAX_ROW // 65_536 + 2)), "\n"]))
    assert raised.value.fault.line == 2


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=2, max_size=4), max_size=5
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 9),
)
def test_what_was_written_is_read_in_pieces_of_any_size(table: list[list[str]], end: str, size: int) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["first", "row"], *table])
    text = file.getvalue()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert "".join(lines(pieces)) == text
    assert [row.cells for row in rows(lines(pieces), ",")] == [["first", "row"], *(cells for cells in table if any(cells))]
