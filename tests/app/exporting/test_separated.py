"""Cells of CSV that no spreadsheet runs, and that come back as they were."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exporting.separated import Csv, safe
from app.exporting.sheets import Sheet


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"), ("+49 30", "'+49 30"), ("-x", "'-x"), ("@SUM(A1)", "'@SUM(A1)"), ("\tx", "'\tx"), ("\rx", "'\rx"),
        ("'=1+1", "''=1+1"), ("'-5", "''-5"), ("'x", "'x"), ("x=1", "x=1"), ("-5", "-5"), ("+1.5", "+1.5"), ("-1e3", "-1e3"),
        ("-5+cmd", "'-5+cmd"), ("-\u0665", "'-\u0665"),
    ],
)  # fmt: skip
def test_what_a_spreadsheet_would_run_is_behind_an_apostrophe(cell: str, written: str) -> None:
    assert safe(cell) == written


_CELLS = st.text(alphabet="'=+-@\t\r5x.e", min_size=1, max_size=6)


@given(_CELLS, _CELLS)
def test_different_cells_are_written_differently(one: str, other: str) -> None:
    assert (safe(one) == safe(other)) == (one == other)


ITEM = b'{"id":"1","name":%b,"domain":null,"custom_fields":%b,"external_id":null,"created_at":"","updated_at":"","version":1}'


def test_values_are_quoted_where_they_must_be() -> None:
    written = Csv(Sheet("accounts", ("name", "domain", "custom_fields"), ["a", "b"]))
    items = [ITEM % (rb'"x,\"y\"\r\nz"', b'{"a":true,"b":0.5,"c":1}'), ITEM % (b'"ok"', b"{}")]
    data = written.begin() + written.rows(items)
    assert data == b'name,domain,cf_a,cf_b\r\n"x,""y""\r\nz",,true,0.5\r\nok,,,\r\n'
    assert list(csv.reader(io.StringIO(data.decode(), newline="")))[1] == ['x,"y"\r\nz', "", "true", "0.5"]
