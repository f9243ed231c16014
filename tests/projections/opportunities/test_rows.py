"""A version of a deal as its row: the columns are the table's, and the parts of its JSON make up what the API shows."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from domain.opportunity import State
from projections.opportunities import DDL
from projections.opportunities.conditions import COLUMNS, ORDERINGS
from projections.opportunities.rows import AfterStakeholders, Compared, Detail, Row, UntilOwner, render

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
DEAL = State(
    id=UUID(int=1),
    org_id=UUID(int=2),
    version=3,
    created_at=AT,
    updated_at=AT,
    name="Acme — Annual 2026",
    account_id=UUID(int=4),
    currency="USD",
    stage="proposal",
    status="open",
    probability=60,
    probability_source="stage",
    owner_id=UUID(int=5),
    stage_entered_at=AT,
    amount=Decimal(24000),
    close_date=date(2026, 6, 30),
    tags=("renewal",),
    custom_fields={"b": 1, "a": "Größe", "plain": "x"},
)


def shown(state: State) -> dict[str, Any]:
    """The record, with its account, owner and stakeholders left empty."""
    row = render(state, 7)
    text = f"{row.json_until_account}null{row.json_until_owner}null{row.json_after_stakeholders}{row.json_detail}}}"
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_row_has_the_columns_of_the_table() -> None:
    table = DDL[DDL.index("CREATE TABLE opportunities (") : DDL.index("PRIMARY KEY")]
    columns = re.findall(r"^ {4}(\w+) \w", table, re.MULTILINE)
    assert sorted(columns) == sorted(Row.__struct_fields__)


def test_the_parts_of_the_json_make_up_the_record_in_its_order() -> None:
    names = [name for part in (UntilOwner, AfterStakeholders, Detail) for name in part.__struct_fields__]
    record = shown(DEAL)
    assert [name for name in record if name not in ("id", "name", "account", "owner")] == names
    assert list(record)[:4] == ["id", "name", "account", "amount"]
    assert record["custom_fields"] == DEAL.custom_fields
    assert list(record["custom_fields"]) == ["a", "b", "plain"]


@pytest.mark.parametrize(("currency", "amount"), [("USD", "24000.00"), ("JPY", "24000"), ("BHD", "24000.000")])
def test_money_is_shown_with_its_currencys_decimals(currency: str, amount: str) -> None:
    record = shown(structs.replace(DEAL, currency=currency, actual_amount=Decimal("24000.00")))
    assert (record["amount"], record["actual_amount"]) == (amount, amount)


def test_what_is_compared_is_the_value_of_the_state() -> None:
    row = render(DEAL, 7)
    assert {name: getattr(row, name) for name in Compared.__struct_fields__} == {
        name: getattr(DEAL, name) for name in Compared.__struct_fields__
    }


def test_only_texts_beyond_ascii_have_a_form_to_be_searched_in() -> None:
    assert render(DEAL, 7).folded == {"custom_fields.a": "grosse"}
    assert render(structs.replace(DEAL, custom_fields={"a": "x"}), 7).folded is None


def test_every_column_that_is_compared_filters_and_orders() -> None:
    assert set(Compared.__struct_fields__) <= set(COLUMNS)
    assert set(Compared.__struct_fields__) <= ORDERINGS
    assert COLUMNS["amount"] == ("o.amount", "numeric", True, "o.amount_key")
    assert COLUMNS["status"] == ("o.status", "text", False, None)
    assert COLUMNS["created_at"] == ("o.created_at", "timestamptz", False, None)
