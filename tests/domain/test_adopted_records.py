"""Accounts, contacts, activities and rates that are taken over with their past: what each kind asks for beside the others."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from domain import account, activity, contact, exchange_rate
from domain.errors import Conflict
from domain.event import Event
from domain.facts import References
from domain.fields import MAX_CUSTOM_FIELDS
from tests.domain.test_adoption import KNOWN, LONG_AGO, adopted, past, wrong
from tests.support.domain import ACCOUNT, JANE, OTHER_ACCOUNT, STREAM, UNKNOWN, Given

ACME = account.Created(name="Acme", external_id="X-1")
DOE = contact.Created(first_name="Jane", last_name="Doe", account_id=ACCOUNT, external_id="X-1")
CALL = activity.Logged(opportunity_id=STREAM, type="call", subject="Call", occurred_at=LONG_AGO, body="They asked.")
EURO = exchange_rate.Quoted(currency="EUR", valid_from=date(2025, 1, 1), rate=Decimal("1.1"))


@pytest.mark.parametrize(
    ("module", "events", "asked"),
    [
        (
            account,
            (ACME, account.Updated(external_id=" X-2"), account.Deleted()),
            References(external_ids=frozenset({("account", "X-1"), ("account", "X-2")})),
        ),
        (
            contact,
            (DOE, contact.Updated(account_id=OTHER_ACCOUNT), contact.Updated(external_id="X-2"), contact.Deleted()),
            References(known=frozenset({ACCOUNT, OTHER_ACCOUNT}), external_ids=frozenset({("contact", "X-1"), ("contact", "X-2")})),
        ),
        (activity, (CALL,), References(known=frozenset({STREAM}))),
    ],
)
def test_what_a_record_ever_named_is_looked_up(module: Any, events: tuple[Event, ...], asked: References) -> None:
    assert module.references(past(*events)) == asked


@pytest.mark.parametrize(
    ("kind", "events", "deleted"),
    [("account", (ACME,), account.Deleted()), ("contact", (DOE,), contact.Deleted())],
)
def test_an_external_id_must_be_free_unless_the_record_is_deleted(kind: str, events: tuple[Event, ...], deleted: Event) -> None:
    taken = structs.replace(KNOWN, named={(kind, "X-1"): UNKNOWN})
    with pytest.raises(Conflict, match=f"Another {kind}"):
        adopted(*events, facts=taken)
    assert adopted(*events, deleted, facts=taken) == (*events, deleted)
    assert adopted(*events, facts=structs.replace(KNOWN, named={("opportunity", "X-1"): JANE})) == events


@pytest.mark.parametrize("event", [CALL, EURO])
def test_a_record_that_is_there_is_not_taken_over(event: Event) -> None:
    assert Given(event, by="admin", facts=KNOWN).refused_as(Conflict, past(event)) == ("exists", {})


@pytest.mark.parametrize(
    ("events", "place"),
    [
        ((account.Created(name="A", custom_fields={"x": None}),), "0.custom_fields.x"),
        ((account.Created(name="A", custom_fields={"x": "\0"}), account.Updated(name="")), "0.custom_fields.x"),
        (
            (
                account.Created(name="A", custom_fields={f"x{n}": n for n in range(MAX_CUSTOM_FIELDS)}),
                account.Updated(custom_fields={"y": 1}),
            ),
            "1.custom_fields",
        ),
        ((account.Created(name="A", custom_fields={"": 1}),), "0.custom_fields."),
        ((account.Created(name="\0", domain="a"),), "0.name"),
        ((account.Created(name="A"), account.Created(name="A")), "1.type"),
        ((DOE, DOE), "1.type"),
        ((DOE, contact.Updated(phone="a\nb")), "1.phone"),
        ((CALL, CALL), "1.type"),
        ((structs.replace(CALL, body="\0"),), "0.body"),
        ((EURO, structs.replace(EURO, currency="eur")), "1.currency"),
    ],
)
def test_values_of_each_kind_are_within_limits(events: tuple[Event, ...], place: str) -> None:
    assert list(wrong(*events)) == [place]


def test_all_that_is_wrong_with_an_event_is_said_at_once() -> None:
    assert set(wrong(account.Created(name="", custom_fields={"x": None}))) == {"0.name", "0.custom_fields.x"}
    assert set(wrong(contact.Created(first_name="", last_name="", account_id=UNKNOWN))) == {
        "0.first_name",
        "0.last_name",
        "0.account_id",
    }
    assert wrong(structs.replace(DOE, account_id=UNKNOWN)) == {"0.account_id": [f"There is no account {UNKNOWN}."]}
    assert wrong(structs.replace(CALL, subject="\0", opportunity_id=UNKNOWN)) == {
        "0.subject": ["Must be one line, without control characters and direction overrides; this has U+0000."],
        "0.opportunity_id": [f"There is no opportunity {UNKNOWN}."],
    }
    assert set(wrong(structs.replace(EURO, currency="USD", rate=Decimal(0)))) == {"0.currency", "0.rate"}


def test_a_custom_field_of_an_account_may_be_cleared_that_was_there() -> None:
    events = (account.Created(name="A", custom_fields={"x": 1}), account.Updated(custom_fields={"x": None}))
    assert adopted(*events) == events


def test_a_time_of_an_activity_is_kept_in_utc() -> None:
    local = structs.replace(CALL, occurred_at=LONG_AGO.astimezone(timezone(timedelta(hours=2))))
    (kept,) = adopted(local)
    assert isinstance(kept, activity.Logged)
    assert kept.occurred_at == LONG_AGO
    assert kept.occurred_at.tzinfo is UTC


def test_a_time_without_a_zone_or_at_the_end_of_all_years_is_refused_in_words() -> None:
    zone = timezone(timedelta(hours=-2))
    for at in (LONG_AGO.replace(tzinfo=None), datetime(9999, 12, 31, 23, tzinfo=zone)):
        assert list(wrong(structs.replace(CALL, occurred_at=at))) == ["0.occurred_at"]


def test_the_body_of_an_activity_is_kept_and_an_empty_one_is_none() -> None:
    assert adopted(structs.replace(CALL, body=" They asked. ")) == (CALL,)
    assert adopted(structs.replace(CALL, body=None)) == (structs.replace(CALL, body=None),)
