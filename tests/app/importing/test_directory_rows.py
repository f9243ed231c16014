"""Rows of accounts, contacts and users."""

from __future__ import annotations

import io
from typing import Any

import pytest

from app.importing import directory_rows
from app.importing.cells import Cells
from app.importing.inspection import inspect
from app.importing.options import Kind, Options
from tests.app.importing.reading import EXPORTS, NOW, VOCABULARY


def read(kind: Kind, data: bytes) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    table, inspection = inspect(io.BytesIO(data), kind, Options(), VOCABULARY, NOW)
    cells = Cells(table.columns, inspection.options)
    values, faults = [], []
    for row in table.rows():
        entry = directory_rows.read(kind, cells, row, VOCABULARY, NOW)
        values += [entry.values] if entry else []
        faults += [(fault.line, fault.column) for fault in cells.faults]
    return values, faults


def test_the_accounts_of_the_exports_have_their_ids() -> None:
    hubspot, _ = read("accounts", (EXPORTS / "hubspot/companies.csv").read_bytes())
    salesforce, _ = read("accounts", (EXPORTS / "salesforce/Account.csv").read_bytes())
    assert hubspot[0] == {"name": "Northwind Traders", "external_id": "700000", "domain": "northwindtraders.example"}
    assert salesforce[5] == {"name": "Škoda Servis", "external_id": "0015i0000700005"}
    assert [one["name"] for one in hubspot] == [one["name"] for one in salesforce]


def test_users_of_an_export_may_be_inactive() -> None:
    users, _ = read("users", b"Id,Name,Email,IsActive\n1,Rita,rita@example.com,true\n2,Tom,tom@example.com,false\n")
    assert users == [
        {"email": "rita@example.com", "name": "Rita", "active": True}, {"email": "tom@example.com", "name": "Tom", "active": False},
    ]  # fmt: skip


def test_a_contact_s_name_is_taken_apart() -> None:
    contacts, _ = read("contacts", b"Name,Email\nJane van Roe,jane@example.com\nCher,\n")
    assert [(one["first_name"], one["last_name"]) for one in contacts] == [("Jane van", "Roe"), ("Cher", "—")]


@pytest.mark.parametrize(
    ("kind", "data", "column"),
    [
        ("accounts", b"Name,Domain\n,x.example\n", "Name"),
        ("contacts", b"Email,First name,Last name\nx@example.com,,\n", "Last name"),
        ("users", b"Email,Name,Role\n,X,rep\n", "Email"),
        ("users", b"Email,Name,Role\nx@example.com,X,king\n", "Role"),
        ("users", b"Email,Name,Active\nx@example.com,X,maybe\n", "Active"),
    ],
)
def test_a_bad_cell_is_told_by_line_and_column(kind: Kind, data: bytes, column: str) -> None:
    assert read(kind, data) == ([], [(2, column)])
