"""A workbook is opened only if what it unpacks to fits into memory, whatever it says of itself."""

from __future__ import annotations

import io

import pytest

from app.importing import workbook_check
from app.importing.faults import MAX_COLUMNS, Unreadable
from app.importing.workbook_check import NO_VALUE, check
from tests.app.importing.workbooks import row, text, workbook


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
        check(workbook(cells))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_check, "MAX_UNPACKED", 10_000_000)
    with pytest.raises(Unreadable, match="Unpacked"):
        check(workbook("", {"xl/media/bomb.bin": b"\0" * 10_000_001}))


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    data = workbook("", {"xl/media/lies.bin": b"\0" * 1_000_000}).getvalue()
    lying = data.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != data
    with pytest.raises(Unreadable, match="no workbook"):
        check(io.BytesIO(lying))


def test_cut_off_anywhere_it_is_refused_or_read() -> None:
    data = workbook(f'<row r="1">{text("A1", "x")}</row>').getvalue()
    for size in range(0, len(data), 97):
        with pytest.raises(Unreadable):
            check(io.BytesIO(data[:size]))


FAR = [
    '<row r="1048576"><c y="&gt;" x=">" r="XFD1048576"><v>1</v></c></row>',
    '<row r="1048576"><c r = "XFD1048576"><v>1</v></c></row>',
    '<row r="1048576"><c r="xfd1048576"><v>1</v></c></row>',
    '<row r="4000000"><c r="A400000000"><v>1</v></c></row>',
    '<row r="1048576"><x:c xmlns:x="y" r="XFD1048576"><v>1</v></x:c></row>',
    f'<row r="1048576"><c x="{"y" * 1_100_000}" r="XFD1048576"><v>1</v></c></row>',
    """<row r="1048576"><c x="<c y='" r="XFD1048576"><v>1</v></c></row>""",
    '<row r="1048576"><c r="A1" r="XFD1048576"><v>1</v></c></row>',
]
"""A cell so far away that who opens the workbook ends, written in ways that a reader takes who is not strict."""


@pytest.mark.parametrize("far", FAR)
def test_a_cell_far_away_is_noticed_however_it_is_written(far: str) -> None:
    with pytest.raises(Unreadable):
        check(workbook(row(1, [1]) + far))


@pytest.mark.parametrize("path", ["xl/elsewhere.xml", "sheet.dat", "xl/worksheets/sheet2.xml"])
@pytest.mark.parametrize("before", ["", "junk", '<!DOCTYPE x [<!ENTITY y "z">]>', "<other/>"])
def test_a_sheet_is_looked_at_wherever_it_is(path: str, before: str) -> None:
    far = f'{before}<worksheet><sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
    with pytest.raises(Unreadable):
        check(workbook(row(1, [1]), {path: far.encode()}))


@pytest.mark.parametrize(("name", "kind"), [("xl/workbook.bin", "XLSB"), ("content.xml", "ODS")])
def test_other_workbooks_are_named(name: str, kind: str) -> None:
    with pytest.raises(Unreadable, match=f"{kind}: save it as XLSX"):
        check(workbook("", {name: b""}))


def test_what_is_no_sheet_may_hold_anything() -> None:
    others = {
        "xl/drawings/a.vml": b"<xml><br></xml>",
        "xl/media/a.png": b"\x89PNG<c r='XFD1'>",
        "docProps/a.svg": b"<!DOCTYPE svg><svg/>",
    }
    assert check(workbook(row(1, [1]), others)) == {"Deals": {}}


def test_formulas_are_known_by_their_values() -> None:
    """An empty text is a value; a formula that was never worked out has none."""
    computed = '<c t="str"><f>""</f><v></v></c><c><f>1</f><v>1</v></c><c t="e"><f>1/0</f><v>#DIV/0!</v></c>'
    assert check(workbook(f'<row r="2">{computed}</row>')) == {"Deals": {(2, 3): "#DIV/0!"}}
    for cell in ("<c><f>1</f></c>", "<c><f>1</f><v/></c>", '<c t="str"><f>""</f></c>'):
        assert check(workbook(f'<row r="7"><c><v>1</v></c>{cell}</row>')) == {"Deals": {(7, 2): NO_VALUE}}
