"""The failed rows of a file are a file of its format, which an import reads again."""

from __future__ import annotations

import io
import json
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
    parts = [file.begin(), *(file.rows([Failed(packed(cells), "Amount: This is no number.", 7)]) for cells in rows), file.end()]
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
    assert file.rows([Failed('["\u00c4", "1;5"]', "漢", 2)]) == b'\xc4;"1;5";;;?\r\n'
    assert file.rows([Failed(None, "x", 3)]) == b";;;;x\r\n"


def test_of_a_file_with_history_they_are_the_lines_of_records_with_the_reason_in_the_one_that_is_wrong() -> None:
    file = written(Form("history"), ["kind", "id"])
    kept = packed(["opportunity", "d", 4, '{"version":1,"data":{"amount":1.10}}', 6, '{"version":2}'])
    found = file.begin() + file.rows([Failed(kept, "No.", 6), Failed(packed(["account", "a"]), "Too long.", 9)]) + file.end()
    assert found.splitlines()[0] == b'{"version":1,"data":{"amount":1.10}}'
    assert [json.loads(line) for line in found.splitlines()[1:]] == [
        {"version": 2, REASON: "No."},
        {"kind": "account", "id": "a", REASON: "Too long."},
    ]


def test_nul_is_kept_as_what_stands_for_it_and_a_text_that_looks_like_it_as_it_is() -> None:
    assert json.loads(packed(["a\0b", r"c\u0000d"])) == ["a\ufffdb", r"c\u0000d"]
