"""A file is a table whatever its format: the form is guessed, or as it is given."""

from __future__ import annotations

import io

import pytest

from app.importing.faults import Unreadable
from app.importing.table import Form, understand
from tests.app.importing.workbooks import text, workbook


def table(data: bytes, form: Form | None = None) -> tuple[int, tuple[str, ...], list[tuple[int, list[object]]]]:
    found = understand(io.BytesIO(data), form)
    return found.form.header_row, found.columns, [(row.line, row.cells) for row in found.rows()]


def test_the_header_is_the_first_row_as_wide_as_the_others() -> None:
    data = b"Pipeline of the quarter\n\nName,Amount,Stage,Owner\nA,1,x,y\nB,2\n"
    assert table(data) == (3, ("Name", "Amount", "Stage", "Owner"), [(4, ["A", "1", "x", "y"]), (5, ["B", "2", "", ""])])


def test_columns_of_one_name_and_of_none_are_told_apart() -> None:
    assert table(b"Name, Name ,,x\n1,2,3,4\n")[1] == ("Name", "Name (2)", "Column 3", "x")


def test_a_workbook_and_ndjson_are_tables_too() -> None:
    book = workbook(
        f'<row r="2">{text("A2", "Name")}{text("B2", "N")}</row><row r="3">{text("A3", "x")}<c r="B3"><v>2</v></c></row>'
    )
    assert table(book.getvalue()) == (2, ("Name", "N"), [(3, ["x", 2])])
    assert table(b'{"name": "x"}\n\n{"n": 2}\n') == (0, ("name", "n"), [(1, ["x", None]), (3, [None, 2])])


def test_what_is_given_is_not_guessed() -> None:
    assert table(b"x;y\na;b\n1;2\n", Form("csv", separator=";", header_row=2))[1:] == (("a", "b"), [(3, ["1", "2"])])
    assert table("Bräuer\nx\n".encode("cp1250"), Form("csv", encoding="cp1250"))[1] == ("Bräuer",)


def test_an_empty_cell_too_many_is_nothing_but_a_value_stays() -> None:
    assert table(b"a,b\n1,2,,\n1,2,3\n")[2] == [(2, ["1", "2"]), (3, ["1", "2", "3"])]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n\n\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 100, "Excel 97"),
        (b"a,b\n\0\0,1\n", "NUL"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        table(data)


def test_a_header_alone_has_no_rows() -> None:
    assert table(b"Name,Amount\n") == (1, ("Name", "Amount"), [])
