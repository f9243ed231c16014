"""What is written into a COPY is read back as it was."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec import Struct, structs

from projections.copied_values import columns


class Row(Struct):
    id: UUID
    texts: tuple[str, ...]
    ids: tuple[UUID, ...]
    numbers: list[int]
    object: dict[str, Any] | None
    at: datetime | str
    day: date | None
    amount: Decimal | None
    valid: bool
    text: str


ID = UUID(int=2**127 + 1)
AT = datetime(2026, 11, 30, 23, 59, 59, 123456, tzinfo=UTC)
ODD = ("", " ", "NULL", "{}", ",", '"', "\\", 'a"\\b,c', "Größe", "tab\tline\n")
FULL = Row(
    ID, ODD, (ID, ID), [-(2**63), 0], {"b": [1, "x\\"], "a": None}, AT, date(1, 1, 1), Decimal("1E+3"), valid=True, text="\\N"
)
EMPTY = Row(ID, (), (), [], None, "infinity", None, None, valid=False, text="")


@pytest.mark.parametrize("row", [FULL, EMPTY], ids=["full", "empty"])
def test_it_is_what_was_written(shared_database_url: str, row: Row) -> None:
    names, values = columns(Row)
    with psycopg.connect(shared_database_url, options="-c timezone=UTC") as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE rows (id uuid, texts text[], ids uuid[], numbers bigint[], object jsonb, at timestamptz,"
            " day date, amount numeric, valid boolean, text text)"
        )
        with connection.cursor().copy("COPY rows FROM STDIN") as copy:
            copy.write_row(values(row))
        shown = "CASE WHEN at = 'infinity' THEN 'infinity' END" if row.at == "infinity" else "at"
        found = connection.execute(f"SELECT {', '.join(names).replace('at,', f'{shown},')} FROM rows".encode()).fetchone()
    expected = [list(value) if isinstance(value, tuple) else value for value in structs.astuple(row)]
    assert found is not None
    assert list(found) == expected
