"""The failed rows of a file are a file of its format, which an import reads again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from app.importing.batch import packed
from app.importing.failed_rows import REASON, Failed, written
from app.importing.table import Form, Table, understand

COLUMNS = ["Name", "Amount", "Close date", "Pilot"]


def again(form: Form | None, *rows: Sequence[Any]) -> Table:
    file = written(form, COLUMNS)
    parts = [file.begin(), *(file.rows([Failed(packed(cells), "Amount: This is no number.")]) for cells in rows), file.end()]
    return understand(io.BytesIO(b"".join(parts)))


def test_of_a_workbook_they_are_a_sheet_of_its_name_with_typed_cells() -> None:
    found = again(Form("xlsx", sheet="Deals"), ["=1+1", 1.5, date(2026, 6, 30), True], ["", 7, None, False])
    assert (found.form.format, found.form.sheet, found.columns) == ("xlsx", "Deals", (*COLUMNS, REASON))
    assert [row.cells for row in found.rows()] == [
        ["=1+1", 1.5, "2026-06-30", True, "Amount: This is no number."],
        ["", 7, "", False, "Amount: This is no number."],
    ]


@pytest.mark.parametrize("title", ["", "a/b:c*d?[e]", "'x'", "y" * 40])
def test_a_title_that_no_sheet_may_have_is_made_into_one(title: str) -> None:
    assert again(Form("xlsx", sheet=title), ["A", 1, "", ""]).form.format == "xlsx"


def test_of_ndjson_they_are_objects_with_their_types() -> None:
    found = again(Form("ndjson"), ["A", 1.5, "soon", True])
    assert [row.cells for row in found.rows()] == [["A", 1.5, "soon", True, "Amount: This is no number."]]


def test_of_separated_values_they_have_the_separator_and_the_encoding() -> None:
    file = written(Form("csv", encoding="cp1252", separator=";"), COLUMNS)
    assert file.begin() == b"Name;Amount;Close date;Pilot;import_error\r\n"
    assert file.rows([Failed('["\u00c4", "1;5"]', "漢")]) == b'\xc4;"1;5";;;?\r\n'
    assert file.rows([Failed(None, "x")]) == b";;;;x\r\n"
