"""A cursor takes a walk up where it was left, and takes nothing that is not the cursor of this list."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from projections.conditions import Order, part
from projections.opportunities import amounts
from projections.opportunities.cursors import InvalidCursor, after, decode, encode, within

ID = "00000000-0000-0000-0000-000000000007"
BY_NAME = (Order("name", descending=False), Order("id", descending=False))


def keys(*values: str | None) -> str:
    return msgspec.json.encode(values).decode()


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("id", ID, UUID(ID)), ("owner", ID, UUID(ID)), ("name", "Acme, [x]", "Acme, [x]"), ("name", "", ""),
        ("name", "x" * 1_000, "x" * 1_000), ("amount", None, None), ("amount", "24000.00", Decimal("24000.00")),
        ("amount", "-" + "1" * 40 + "." + "2" * 40, Decimal("-" + "1" * 40 + "." + "2" * 40)), ("close_date", None, None),
        ("probability", "-999999999", -999_999_999), ("close_date", "2026-06-30", date(2026, 6, 30)),
        ("created_at", "2026-06-30T12:00:00+02:00", datetime(2026, 6, 30, 10, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_key_comes_back_as_a_value_of_its_column(field: str, text: str | None, value: Any) -> None:
    order = [Order(field, descending=True)]
    cursor = encode(keys(text), order)
    assert "=" not in cursor
    (found,) = decode(cursor, order)
    assert (found, type(found)) == (value, type(value))
    if isinstance(found, datetime):
        assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", None), ("id", None), ("created_at", None), ("id", "7"), ("owner", "x"), ("amount", "1e999999"), ("amount", "NaN"),
        ("amount", "1" * 41), ("amount", "0." + "1" * 41), ("amount", "٣"), ("probability", "1.5"), ("probability", "1234567890"),
        ("close_date", "30.06.2026"), ("created_at", "2026-06-30T12:00:00"), ("created_at", "soon"), ("name", "a\0b"),
        ("name", "x" * 1_001), ("created_at", "0001-01-01T00:00:00+14:00"),
    ],
)  # fmt: skip
def test_a_key_that_its_column_cannot_have_is_no_cursor(field: str, text: str | None) -> None:
    order = [Order(field, descending=False)]
    with pytest.raises(InvalidCursor, match=r"^Not a cursor of this list: start again with an empty one\.$"):
        decode(encode(keys(text), order), order)


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "****", "é", base64.urlsafe_b64encode(b"name,id\xff").decode(), encode("{}", BY_NAME), encode("[1, 2]", BY_NAME)],
)
def test_any_other_text_is_no_cursor(cursor: str) -> None:
    with pytest.raises(InvalidCursor, match=r"^(Not a|This) cursor .* start again with an empty one\.$"):
        decode(cursor, BY_NAME)


def test_a_cursor_has_no_other_characters_in_it() -> None:
    cursor = encode(keys("".join(map(chr, range(32, 600))), ID), BY_NAME)
    assert "-" in cursor
    assert "_" in cursor
    assert decode(cursor, BY_NAME)[1] == UUID(ID)
    for changed in (f"{cursor[:5]}*{cursor[5:]}", f"{cursor} "):
        with pytest.raises(InvalidCursor, match=r"^Not a cursor of this list: start again with an empty one\.$"):
            decode(changed, BY_NAME)


def test_a_cursor_has_a_key_for_each_column() -> None:
    for values in (("Acme",), ("Acme", ID, ID), ()):
        with pytest.raises(InvalidCursor):
            decode(encode(keys(*values), BY_NAME), BY_NAME)


@pytest.mark.parametrize("other", [(), BY_NAME[:1], BY_NAME[::-1], (Order("name", descending=True), BY_NAME[1])])
def test_a_cursor_is_good_for_its_ordering_alone(other: tuple[Order, ...]) -> None:
    cursor = encode(keys("Acme", ID), BY_NAME)
    assert decode(cursor, BY_NAME) == ["Acme", UUID(ID)]
    with pytest.raises(InvalidCursor, match=r"^This cursor is of another ordering"):
        decode(cursor, other)


def test_a_cursor_of_any_length_is_read() -> None:
    for length in range(8):
        name = "ü" * length
        assert decode(encode(keys(name, ID), BY_NAME), BY_NAME)[0] == name


@pytest.mark.parametrize(
    ("order", "values", "sql"),
    [
        (["name", "id"], ["A", ID], "(o.name, o.id) > (%(k0)s, %(k1)s)"),
        (["-created_at", "-id"], ["A", ID], "(o.created_at, o.id) < (%(k0)s, %(k1)s)"),
        (
            ["-created_at", "id"],
            ["A", ID],
            "((o.created_at < %(k0)s::timestamptz) OR (o.created_at = %(k0)s::timestamptz AND o.id > %(k1)s::uuid))",
        ),
        (
            ["amount", "id"],
            [Decimal(5), ID],
            (
                "(((o.amount_key > %(k0)s::bigint OR o.amount_key IS NULL))"
                " OR (o.amount_key = %(k0)s::bigint AND o.id > %(k1)s::uuid))"
            ),
        ),
        (["amount", "id"], [None, ID], "((o.amount_key IS NULL AND o.id > %(k1)s::uuid))"),
        (
            ["-close_date", "amount", "id"],
            [None, Decimal(5), ID],
            (
                "((o.close_date IS NULL AND (o.amount_key > %(k1)s::bigint OR o.amount_key IS NULL))"
                " OR (o.close_date IS NULL AND o.amount_key = %(k1)s::bigint AND o.id > %(k2)s::uuid))"
            ),
        ),
    ],
)
def test_the_rows_beyond_a_cursor(order: list[str], values: list[Any], sql: str) -> None:
    params: dict[str, Any] = {"org_id": 1}
    assert after([Order(name.removeprefix("-"), name.startswith("-")) for name in order], values, params) == sql
    given = [amounts.key(value) if isinstance(value, Decimal) else value for value in values]
    assert params == {"org_id": 1, **{f"k{n}": value for n, value in enumerate(given)}}


def test_a_page_beyond_the_first_shares_its_statement_with_all_others() -> None:
    params: dict[str, Any] = {}
    assert (part(20, 0, params), params) == ("LIMIT 20", {})
    assert part(20, 40, params) == part(5, 1, {}) == "LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint"
    assert params == {"limit": 20, "offset": 40}


@pytest.mark.parametrize(
    ("field", "descending", "value", "expected"),
    [
        ("name", False, "Acme", None),
        ("close_date", False, date(2026, 3, 1), "o.close_date >= %(k0)s::date"),
        ("close_date", True, date(2026, 3, 1), "o.close_date <= %(k0)s::date"),
        ("amount", True, Decimal(1), "o.amount_key <= %(k0)s::bigint"),
        ("amount", False, Decimal(1), "o.amount_key >= %(k0)s::bigint"),
        ("amount", True, None, "false"),
    ],
)
def test_where_the_rows_after_a_cursor_begin(field: str, descending: bool, value: Any, expected: str | None) -> None:
    """Rows without a value come last, so none with one is after a cursor without."""
    assert within(Order(field, descending), value) == expected
