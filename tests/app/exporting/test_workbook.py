"""Workbooks as a reader of them sees them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from app.exporting.export import require_room
from app.exporting.sheets import Sheet
from app.exporting.workbook import MAX_ROWS, MAX_TEXT, Workbook
from domain.errors import Invalid


def account(**fields: Any) -> bytes:
    common: dict[str, Any] = {"id": "1", "name": "", "domain": None, "custom_fields": {}, "external_id": None, "version": 1}
    times = {"created_at": "2026-06-30T12:00:00.5Z", "updated_at": "2026-06-30T12:00:00Z"}
    return json.dumps({**common, **times, **fields}).encode()


def written(sheet: Sheet, *items: bytes) -> bytes:
    book = Workbook(sheet, "accounts")
    return b"".join([book.begin(), *(book.rows([item]) for item in items), book.end()])


@pytest.mark.parametrize("text", ["<b>&\"'", " spaces  ", "two\nlines", "=1+1", "ÄÖ 漢字 🎉", "_x0041_ is no A"])
def test_texts_come_back_as_they_were(text: str) -> None:
    data = written(Sheet("accounts", ("name",)), account(name=text))
    assert CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0).to_python()[1] == [
        text.replace("_x0041_", "_x0041_")
    ]


def test_values_have_their_types_and_a_long_text_its_beginning() -> None:
    custom = {"a": 0.1, "b": 12345678901234567890, "c": True, "d": [1, {"e": 2}], "f": "x" * 40_000}
    data = written(Sheet("accounts", ("custom_fields",), sorted(custom)), account(custom_fields=custom), account())
    _, first, *_ = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0).to_python()
    assert first[:4] == [0.1, "12345678901234567890", True, '[1,{"e":2}]']
    assert len(str(first[4])) == MAX_TEXT


def test_the_header_stays_in_sight_and_readers_of_plain_archives_can_open_it() -> None:
    with zipfile.ZipFile(io.BytesIO(written(Sheet("accounts"), account(name="a")))) as archive:
        assert archive.testzip() is None
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
        assert all(entry.extract_version <= 20 for entry in archive.infolist())
    assert '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>' in sheet


@pytest.mark.parametrize(("rows", "columns"), [(MAX_ROWS + 1, 1), (1_000_000, 40), (1, 16_385)])
def test_a_list_that_no_sheet_holds_is_refused_with_what_to_do(rows: int, columns: int) -> None:
    with pytest.raises(Invalid) as refused:
        require_room(rows, columns)
    assert "csv" in refused.value.errors["format"][0]
