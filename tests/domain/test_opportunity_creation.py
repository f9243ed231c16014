"""Rules of creating a deal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain import opportunity
from domain.custom_field import Definition
from domain.errors import Conflict, Forbidden, Invalid
from domain.facts import Facts
from domain.opportunity import Create
from domain.permissions import OPERATOR
from tests.support.domain import (
    ACCOUNT,
    JANE,
    MANAGER,
    NOW,
    OMAR,
    OTHER_REP,
    REP,
    TODAY,
    UNKNOWN,
    Given,
    changes,
    created,
    policy,
)


def test_name_and_account_are_enough() -> None:
    deal = Given().when(Create(name="Annual", account_id=ACCOUNT))
    deal.then(
        opportunity.Created(
            changes=changes(
                name="Annual",
                account_id=ACCOUNT,
                currency="USD",
                stage="discovery",
                status="open",
                probability=20,
                probability_source="stage",
                owner_id=MANAGER,
            )
        )
    )
    assert deal.state.stage_entered_at == NOW
    assert deal.state.amount is None
    assert deal.state.close_date is None


def test_the_body_of_the_seed_becomes_a_deal() -> None:
    body = {
        "name": "Acme — Annual 2026",
        "account_id": str(ACCOUNT),
        "amount": "24000",
        "currency": "USD",
        "stage": "discovery",
        "close_date": "2026-06-30",
        "stakeholder_ids": [str(JANE)],
        "custom_fields": {"competitor": "incumbent_vendor"},
    }
    deal = Given().when(msgspec.json.decode(msgspec.json.encode(body), type=Create)).state
    assert str(deal.amount) == "24000.00"
    assert deal.stakeholder_ids == (JANE,)
    assert deal.custom_fields == {"competitor": "incumbent_vendor"}
    assert deal.probability == 20


@pytest.mark.parametrize("number", [b"24000", b"24000.0", b'"24000.00"', b"2.4e4"])
def test_an_amount_is_a_string_or_a_number(number: bytes) -> None:
    command = msgspec.json.decode(b'{"name":"A","account_id":"%s","amount":%s}' % (str(ACCOUNT).encode(), number), type=Create)
    assert str(Given().when(command).state.amount) == "24000.00"


def test_an_explicit_probability_of_zero_is_kept() -> None:
    deal = Given().when(Create(name="A", account_id=ACCOUNT, probability=0)).state
    assert (deal.probability, deal.probability_source) == (0, "manual")


def test_defaults_are_those_of_the_org() -> None:
    deal = Given(policy=policy(currency="EUR")).when(Create(name="A", account_id=ACCOUNT, stage="proposal")).state
    assert (deal.currency, deal.probability, deal.probability_source) == ("EUR", 60, "stage")


def test_a_deal_created_won_needs_what_winning_needs() -> None:
    assert Given().refused(Create(name="A", account_id=ACCOUNT, stage="won")).keys() == {
        "actual_amount",
        "actual_close_date",
    }
    assert Given().refused(Create(name="A", account_id=ACCOUNT, stage="lost")).keys() == {"lost_reason"}


def test_a_deal_created_won_is_created_and_won() -> None:
    command = Create(name="A", account_id=ACCOUNT, stage="won", probability=5, actual_amount=Decimal(0), actual_close_date=TODAY)
    deal = Given().when(command)
    assert [type(event) for event in deal.events] == [opportunity.Created, opportunity.Won]
    assert (deal.state.status, deal.state.probability, deal.state.actual_amount) == ("won", 100, 0)
    _, won = deal.events
    assert isinstance(won, opportunity.Won)
    assert won.changes == changes(stage="won", status="won", actual_amount=Decimal("0.00"), actual_close_date=TODAY)


def test_a_deal_created_lost_is_created_and_lost() -> None:
    deal = Given().when(Create(name="A", account_id=ACCOUNT, stage="lost", lost_reason="PRICE"))
    assert [type(event) for event in deal.events] == [opportunity.Created, opportunity.Lost]
    assert (deal.state.probability, deal.state.lost_reason, deal.state.lost_reason_code) == (0, "PRICE", "price")
    (_, lost) = deal.events
    assert lost == opportunity.Lost(changes=changes(stage="lost", status="lost", lost_reason="PRICE", lost_reason_code="price"))


def test_all_that_is_wrong_is_said_at_once() -> None:
    command = Create(
        name=" ",
        account_id=UNKNOWN,
        amount=Decimal("1.005"),
        probability=101,
        owner_id=UNKNOWN,
        stakeholder_ids=(JANE, UNKNOWN),
        tags=("a,b",),
        custom_fields={"seats": "many"},
        actual_amount=Decimal(1),
        lost_reason="price",
    )
    errors = Given(policy=policy(Definition(key="seats", label="Seats", type="number"))).refused(command)
    assert set(errors) == {
        "name", "account_id", "amount", "probability", "owner_id", "stakeholder_ids", "tags",
        "custom_fields.seats", "actual_amount", "lost_reason",
    }  # fmt: skip
    assert str(UNKNOWN) in errors["stakeholder_ids"][0]
    assert str(JANE) not in errors["stakeholder_ids"][0]


def test_an_unknown_stage_is_answered_with_the_nearest() -> None:
    (message,) = Given().refused(Create(name="A", account_id=ACCOUNT, stage="propsal"))["stage"]
    assert "'proposal'" in message
    assert "negotiation" in message
    (message,) = Given().refused(Create(name="A", account_id=ACCOUNT, stage="x" * 65))["stage"]
    assert f" {'x' * 64!r}. " in message


def test_duplicates_collapse() -> None:
    command = Create(name="A", account_id=ACCOUNT, stakeholder_ids=(OMAR, JANE, OMAR), tags=("x", " y ", "x"))
    deal = Given().when(command).state
    assert (deal.stakeholder_ids, deal.tags) == ((OMAR, JANE), ("x", "y"))


def test_required_custom_fields_must_come_with_a_new_deal() -> None:
    fields = policy(Definition(key="region", label="Region", type="text", required=True))
    assert Given(policy=fields).refused(Create(name="A", account_id=ACCOUNT)).keys() == {"custom_fields.region"}
    assert Given(policy=fields).when(Create(name="A", account_id=ACCOUNT, custom_fields={"region": "EMEA"})).events


def test_a_rep_creates_deals_only_of_their_own() -> None:
    assert Given().when(Create(name="A", account_id=ACCOUNT), by="rep").state.owner_id == REP
    with pytest.raises(Forbidden):
        Given().when(Create(name="A", account_id=ACCOUNT, owner_id=OTHER_REP), by="rep")
    assert Given().when(Create(name="A", account_id=ACCOUNT, owner_id=OTHER_REP), by="manager").state.owner_id == OTHER_REP


def test_a_reader_creates_nothing() -> None:
    with pytest.raises(Forbidden):
        Given().when(Create(name="A", account_id=ACCOUNT), by="read_only")


def test_the_owner_may_default_to_an_actor_whom_no_fact_names() -> None:
    facts = Facts(accounts=frozenset({ACCOUNT}))
    assert Given().when(Create(name="A", account_id=ACCOUNT), facts=facts).state.owner_id == MANAGER


def test_the_operator_must_name_an_owner() -> None:
    assert "owner_id" in Given().refused(Create(name="A", account_id=ACCOUNT), by=OPERATOR)


def test_a_deal_is_created_once() -> None:
    assert Given(created()).refused_as(Conflict, Create(name="A", account_id=ACCOUNT)) == ("exists", {})


@pytest.mark.parametrize("field", ["name", "stage", "currency"])
def test_an_empty_text_is_no_name_stage_or_currency(field: str) -> None:
    wanted: dict[str, Any] = {"name": "Annual", "account_id": ACCOUNT, field: ""}
    command = Create(**wanted)
    with pytest.raises(Invalid) as refused:
        Given().when(command)
    assert set(refused.value.errors) == {field}
