"""What is wrong with a file is told by line and column, with what to do about it; what only looks odd is read."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from app.importing.faults import MAX_CELL, MAX_COLUMNS, Fault, Unreadable
from tests.app.importing.reading import Read, read
from tests.app.importing.workbooks import row, workbook

HEAD = b"Name,Account,Amount,Close date\n"


def refusal(data: bytes) -> Fault:
    with pytest.raises(Unreadable) as raised:
        read(data)
    return raised.value.fault


def wide(columns: int) -> bytes:
    """A file of so many columns."""
    names = ["Name", "Account", *(f"More {number}" for number in range(columns - 2))]
    return f"{','.join(names)}\n{','.join(['A', 'Acme', *['x'] * (columns - 2)])}\n".encode()


BOOK: list[list[str | int]] = [["Name", "Account", "Amount"], ["A", "Acme", 1], ["Grand total", "", 1]]
WHOLE = [
    ("an empty file", b"", 0, "", "empty: send one"),
    ("nothing but lines", b"\r\n\r\n", 0, "", "empty: send one"),
    ("nothing but a mark", b"\xff\xfe", 0, "", "empty: send one"),
    ("a column too many", wide(MAX_COLUMNS + 1), 1, "", "has 1001 columns; a file has at most 1000: leave"),
    ("columns too many", wide(10_000), 1, "", "has 10000 columns; a file has at most 1000: leave"),
    ("a cell too long", HEAD + b"A,Acme,1,\nB,%b,1,\n" % (b"x" * (MAX_CELL + 1)), 3, "Account", "at most 32768: shorten"),
    ("NUL", HEAD + b"A,Acme,1,\nB,Ac\0me,1,\n", 3, "Account", "NUL.*: remove it, or say the encoding"),
    ("NUL far below", HEAD + b"A,Acme,1,\n" * 100 + b"B,Ac\0me,1,\n", 102, "Account", "NUL.*: remove it"),
    ("a quote that stays open", HEAD + b'A,Acme,1,\nB,"Acme,1,\n' + b"C,Acme,1,\n" * 50, 3, "", "not closed by line 53: double"),
    ("a quote within a cell", HEAD + b'A,"Acme "new" Ltd",1,\n', 2, "", "closing quote.*: double"),
    ("bytes of another encoding", "\ufeff".encode() + HEAD + "Ä,Acme,1,\n".encode("cp1252"), 2, "", "say which encoding"),
    ("UTF-16 that is cut off", (HEAD.decode() + "Ä,Acme,1,\n").encode("utf-16-be")[:-1], 2, "", "say which encoding"),
    ("the same with a mark", b"\xfe\xff" + (HEAD.decode() + "Ä,Acme,1,\n").encode("utf-16-be")[:-1], 2, "", "say which encoding"),
    ("a web page called a workbook", b"<html><table><tr><td>Name</td></tr></table></html>", 0, "", "web page.*: save it as"),
    ("a JSON array", b'[{"name": "A"}]', 0, "", "JSON array: write an object a line"),
    ("a PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", 0, "", "PDF: save the table"),
    ("a workbook of 1997", b"\xd0\xcf\x11\xe0" + b"\0" * 600, 0, "", "Excel 97.*: save it as XLSX"),
    ("NDJSON that breaks off", b'{"name": "A"}\n{"name": \n', 2, "", "no JSON"),
    ("NDJSON with NUL", b'{"name": "A"}\n{"name": "B\\u0000"}\n', 2, "name", "NUL.*: remove it"),
    ("NDJSON with long values", json.dumps({"name": "x" * (MAX_CELL + 1)}).encode(), 1, "name", "at most 32768: shorten"),
    ("NDJSON of many names", b"".join(b'{"n%d": 1}\n' % number for number in range(1_001)), 1_001, "", "more than 1000"),
    ("a sheet with many columns", workbook(row(1, ["x"] * 1_001)).getvalue(), 0, "", "1001 columns; a file has at most"),
    ("a formula without a value", workbook(row(1, ["Name"]) + '<row r="2"><c r="A2"><f>1+1</f><v/></c></row>').getvalue(),
     2, "Name", "formula and no value: open the workbook"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "line", "column", "message"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE])
def test_a_file_that_cannot_be_read_is_refused_with_the_place_and_the_remedy(
    data: bytes, line: int, column: str, message: str
) -> None:
    fault = refusal(data)
    assert (fault.line, fault.column) == (line, column)
    assert re.search(message, fault.message), fault.message


ROWS = [
    ("a negative amount", HEAD + b'A,Acme,"(1,200)",\n', 2, "Amount", "(1,200)", "must not be negative"),
    ("another decimal mark", HEAD + b'A,Acme,"1,200.00",\nB,Acme,1.50,\nC,Acme,"1.234,56",\n', 4, "Amount", "1.234,56", "locale"),
    ("no date", HEAD + b"A,Acme,1,soon\n", 2, "Close date", "soon", "such as 2026-06-30, or 6/30/2026: correct it or"),
    ("a day that is none", HEAD + b"A,Acme,1,2026-02-30\n", 2, "Close date", "2026-02-30", "no date"),
    ("an error of a spreadsheet", HEAD + b"A,Acme,#REF!,\n", 2, "Amount", "#REF!", "formula went wrong: correct"),
    ("a value without a column", HEAD + b"A,Acme,1,,new\n", 2, "Column 5", "new", "no header for this value: name its column"),
    ("a deal without an account", HEAD + b"A,,1,\n", 2, "Account", "", "needs an account: map a column"),
]


@pytest.mark.parametrize(("data", "line", "column", "value", "message"), [one[1:] for one in ROWS], ids=[one[0] for one in ROWS])
def test_a_row_that_cannot_be_read_is_told_by_line_and_column(
    data: bytes, line: int, column: str, value: str, message: str
) -> None:
    (fault,) = read(data).faults
    assert (fault.line, fault.column, fault.value) == (line, column, value)
    assert message in fault.message


def only(data: bytes, **options: Any) -> dict[str, Any]:
    """The values of the file's one deal."""
    found = read(data, **options)
    assert found.faults == []
    (deal,) = found.deals
    return deal.values


def test_as_many_columns_and_as_long_cells_as_there_may_be_are_taken() -> None:
    assert len(read(wide(MAX_COLUMNS)).inspection.columns) == MAX_COLUMNS
    assert only(wide(MAX_COLUMNS))["name"] == "A"
    long = read(b"Name,Account,Notes\nA,Acme,%b\n" % (b"x" * MAX_CELL), mapping={"name": "Name", "account": "Account"})
    assert len(long.deals) == 1


@pytest.mark.parametrize(
    ("cell", "amount"),
    [("$1,200.00", "1200"), ("1,200", "1200"), ("€ 1,200.50", "1200.5"), ("1 200", "1200"), ("1.2e3", "1200"), ("", None)],
)
def test_an_amount_is_read_whatever_is_around_it(cell: str, amount: str | None) -> None:
    found = only(HEAD + f'A,Acme,"{cell}",\n'.encode()).get("amount")
    assert found == (None if amount is None else Decimal(amount))


def test_a_comma_as_decimal_mark_is_noticed() -> None:
    data = b"Name;Account;Amount\nA;Acme;1.234,56\nB;Acme;1.000\n"
    found = read(data)
    assert (found.inspection.options.locale, found.inspection.form.separator) == ("de", ";")
    assert [deal.values["amount"] for deal in found.deals] == [Decimal("1234.56"), Decimal(1000)]


@pytest.mark.parametrize("cell", ["2026-03-01", "03/01/2026", "1 Mar 2026", "Mar 1, 2026", "46082", "20260301"])
def test_a_date_is_read_in_any_form(cell: str) -> None:
    assert only(HEAD + f'A,Acme,1,"{cell}"\n'.encode())["close_date"] == date(2026, 3, 1)


def test_dates_in_three_forms_in_one_column_are_read_and_said_to_be_ambiguous_if_they_are() -> None:
    def lines(*dates: str) -> Read:
        return read(HEAD + "".join(f"D{number},Acme,1,{cell}\n" for number, cell in enumerate(dates)).encode())

    clear = lines("2026-03-31", "31.03.2026", "31 Mar 2026", "01.04.2026")
    assert [deal.values["close_date"] for deal in clear.deals] == [date(2026, 3, 31)] * 3 + [date(2026, 4, 1)]
    assert not clear.inspection.ambiguous_dates
    both = lines("2026-03-31", "31/03/2026", "30/03/2026", "03/31/2026", "01/04/2026")
    assert len(both.deals) == 5
    assert both.inspection.ambiguous_dates


def test_a_totals_row_at_the_end_is_no_deal() -> None:
    found = read(HEAD + b"A,Acme,1,\nB,Acme,2,\n\nTotal,,3,\n\nConfidential\n")
    assert ([deal.values["name"] for deal in found.deals], found.inspection.footer_line) == (["A", "B"], 5)
    book = read(workbook("".join(row(number, cells) for number, cells in enumerate(BOOK, 1))).getvalue())
    assert ([deal.values["name"] for deal in book.deals], book.inspection.footer_line) == (["A"], 3)


def test_lines_may_end_in_any_way_and_headers_may_repeat() -> None:
    found = read(b"Name,Account,Amount,Amount\rA,Acme,1,2\r\nB,Acme,3,4\nC,Acme,5,6")
    assert [column.name for column in found.inspection.columns] == ["Name", "Account", "Amount", "Amount (2)"]
    assert [(deal.line, deal.values["amount"]) for deal in found.deals] == [(2, 1), (3, 3), (4, 5)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_the_encoding_is_noticed(encoding: str) -> None:
    assert only("Name,Account\nÄrzte für Ölgemälde,Müller & Söhne\n".encode(encoding))["name"] == "Ärzte für Ölgemälde"


def test_of_a_workbook_formulas_have_their_values_merged_cells_the_first_and_errors_fail_their_row() -> None:
    cells = (
        row(1, ["Name", "Account", "Amount"])
        + '<row r="2"><c r="A2" t="str"><f>"A"</f><v>A</v></c><c r="B2" t="inlineStr"><is><t>Acme</t></is></c>'
        '<c r="C2"><f>1+1</f><v>2</v></c></row>'
        + row(3, ["B", "", 1])
        + '<row r="4"><c r="A4" t="inlineStr"><is><t>C</t></is></c><c r="B4" t="inlineStr"><is><t>Acme</t></is></c>'
        '<c r="C4" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>' + row(5, ["D", "Acme", 46082])
    )
    found = read(workbook(cells, merged=["B2:B3"]).getvalue())
    assert [(deal.line, deal.values["amount"]) for deal in found.deals] == [(2, 2), (5, 46082)]
    assert [(fault.line, fault.column, fault.value) for fault in found.faults] == [(3, "Account", ""), (4, "Amount", "#DIV/0!")]


def test_however_long_rows_are_little_of_them_is_in_memory_at_once() -> None:
    """Batches, distinct texts and previews are bounded by their characters."""
    cells = ["x" * MAX_CELL] * 10
    rows = "".join(f"{number},Acme,{','.join(cells)}\n" for number in range(3))
    names = ",".join(f"More {number}" for number in range(len(cells)))
    found = read(f"Name,Account,{names}\n{rows}".encode(), mapping={"name": "Name", "account": "Account", "cf_a": "More 0"})
    assert (found.inspection.rows, len(found.deals)) == (3, 3)
    assert all(len(sample) == 100 for sample in found.inspection.columns[2].samples)
    assert len(found.inspection.preview[0].values["custom_fields"]["a"]) == 1_001


def test_a_row_has_a_bound_too() -> None:
    fault = refusal(f"Name,Account\n{','.join(['x' * MAX_CELL] * 129)}\n".encode())
    assert (fault.line, fault.message.split(": ")[1]) == (2, "shorten it.")
