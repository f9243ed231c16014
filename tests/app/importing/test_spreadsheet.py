"""A sheet is read with the numbers of its rows."""

from __future__ import annotations

import io
import zipfile

import pytest

from app.importing import spreadsheet
from app.importing.faults import Unreadable
from app.importing.separated import Row
from tests.app.importing.workbooks import row, text, workbook


def rows(file: io.BytesIO, sheet: str = "Deals") -> list[Row]:
    return list(spreadsheet.rows(file, sheet, spreadsheet.look(file)))


def test_rows_have_their_numbers_and_all_columns() -> None:
    file = workbook(
        f'<row r="3">{text("B3", "Name")}</row><row r="6"><c r="B6"><f>1+1</f><v>2</v></c><c r="C6"><v>1.5</v></c></row>'
    )
    assert spreadsheet.look(file).names == ["Deals"]
    assert [(row.line, row.cells) for row in rows(file)] == [(3, ["", "Name", ""]), (6, ["", 2, 1.5])]


def test_an_empty_sheet_has_no_rows() -> None:
    assert rows(workbook("")) == []


def test_an_unknown_sheet_is_named_beside_those_there_are() -> None:
    with pytest.raises(Unreadable, match="there are Deals"):
        rows(workbook(""), "Other")


def test_an_error_of_a_formula_is_shown_in_its_cell() -> None:
    file = workbook(
        row(1, ["Name", "N"]) + '<row r="2"><c r="A2" t="e"><v>#N/A</v></c><c r="B2" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>'
    )
    assert [one.cells for one in rows(file)] == [["Name", "N"], ["#N/A", "#DIV/0!"]]


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"PK\x03\x04" + b"x" * 1000, b"PK\x05\x06" + b"\0" * 18])
def test_what_only_begins_like_a_workbook_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="no workbook"):
        spreadsheet.look(io.BytesIO(data))


def test_another_archive_is_no_workbook() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(Unreadable, match="no workbook"):
        spreadsheet.look(file)


def test_a_formula_without_a_value_is_told_by_its_place_if_its_sheet_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    file = workbook(row(1, ["Name", "N"]) + '<row r="2"><c r="A2"><v>1</v></c><c r="B2"><f>1+1</f></c></row>')
    with pytest.raises(Unreadable, match="no value: open") as raised:
        rows(file)
    assert (raised.value.fault.line, raised.value.fault.column) == (2, "2")
    assert rows(workbook(row(1, ["Name"]) + '<row r="3"><c r="C3" t="e"><v>#N/A</v></c></row>'))[-1] == Row(3, ["", "", "#N/A"])
    errors = "".join(f'<row r="{number}"><c t="e"><v>#N/A</v></c></row>' for number in range(3, 7))
    monkeypatch.setattr(spreadsheet, "MAX_ERRORS", 3)
    with pytest.raises(Unreadable, match="More than 3 cells") as raised:
        rows(workbook(errors))
    assert raised.value.fault.line == 3
