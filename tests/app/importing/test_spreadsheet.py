"""A sheet is read with the numbers of its rows, and only if what it unpacks to fits into memory."""

from __future__ import annotations

import io
import zipfile

import pytest

from app.importing import spreadsheet
from app.importing.faults import MAX_COLUMNS, Unreadable
from app.importing.spreadsheet import rows, sheet_names
from tests.app.importing.workbooks import text, workbook


def test_rows_have_their_numbers_and_all_columns() -> None:
    file = workbook(
        f'<row r="3">{text("B3", "Name")}</row><row r="6"><c r="B6"><f>1+1</f><v>2</v></c><c r="C6"><v>1.5</v></c></row>'
    )
    assert sheet_names(file) == ["Deals"]
    assert [(row.line, row.cells) for row in rows(file, "Deals")] == [(3, ["", "Name", ""]), (6, ["", 2, 1.5])]


def test_an_empty_sheet_has_no_rows() -> None:
    assert list(rows(workbook(""), "Deals")) == []


def test_an_unknown_sheet_is_named_beside_those_there_are() -> None:
    with pytest.raises(Unreadable, match="there are Deals"):
        list(rows(workbook(""), "Other"))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (text("A1", "x") + text("XFD1048576", "x"), "columns"),
        (f'<row r="1">{text("A1", "x")}</row><row r="1048576">{text("L1048576", "x")}</row>', "cells"),
        ('<row r="1"><c/><c><v>1</v></c></row><row r="999999"><c/>' + "<c/>" * 20 + "<c><v>1</v></c></row>", "cells"),
        ("<row r='1'>" + "<c/>" * (MAX_COLUMNS + 1) + "</row>", "columns"),
    ],
)
def test_a_sheet_with_cells_far_apart_is_refused_before_it_is_opened(cells: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        sheet_names(workbook(cells))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "MAX_UNPACKED", 10_000_000)
    with pytest.raises(Unreadable, match="Unpacked"):
        sheet_names(workbook("", **{"xl/media/bomb.bin": b"\0" * 10_000_001}))


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    data = workbook("", **{"xl/media/lies.bin": b"\0" * 1_000_000}).getvalue()
    lying = data.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != data
    with pytest.raises(Unreadable, match="no workbook"):
        sheet_names(io.BytesIO(lying))


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"PK\x03\x04" + b"x" * 1000, b"PK\x05\x06" + b"\0" * 18])
def test_what_only_begins_like_a_workbook_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="no workbook"):
        sheet_names(io.BytesIO(data))


def test_another_archive_is_no_workbook() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(Unreadable, match="no workbook"):
        sheet_names(file)


def test_cut_off_anywhere_it_is_refused_or_read() -> None:
    data = workbook(f'<row r="1">{text("A1", "x")}</row>').getvalue()
    for size in range(0, len(data), 97):
        with pytest.raises(Unreadable):
            sheet_names(io.BytesIO(data[:size]))
