"""Records that are taken over with their past: what a stream must be, whatever was allowed then."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from domain import account, activity, contact, exchange_rate, external_id, opportunity
from domain.adoption import Happened
from domain.errors import Conflict, Errors, Forbidden, Invalid
from domain.event import Event, Origin
from domain.facts import Facts
from domain.fields import MAX_EMAIL
from domain.opportunity import Changes
from domain.pipeline import MAX_CODE
from tests.support.domain import ACCOUNT, ADMIN, FACTS, JANE, NOW, ORG, OTHER_ACCOUNT, STREAM, UNKNOWN, decide, fold, policy

ORIGIN = Origin(org_id=ORG, recorded_at=NOW, actor="rita@old.example")
LONG_AGO = NOW - timedelta(days=900)
KNOWN = structs.replace(
    FACTS,
    known=frozenset(
        {("account", ACCOUNT), ("account", OTHER_ACCOUNT), ("user", ADMIN), ("contact", JANE), ("opportunity", STREAM)}
    ),
)
CREATED = opportunity.Created(
    changes=Changes(
        name="Annual", account_id=OTHER_ACCOUNT, currency="USD", stage="demo", status="open", probability=30,
        probability_source="manual", owner_id=ADMIN, amount=Decimal("5.00"), external_id="D-1",
    )
)  # fmt: skip
MOVED = opportunity.StageChanged(changes=Changes(stage="proposal", account_id=ACCOUNT))
WON = opportunity.Won(
    changes=Changes(stage="won", status="won", probability=100, actual_amount=Decimal(4), actual_close_date=date(2025, 1, 1))
)
ADOPT: dict[str, Any] = {
    "account": account.Adopt,
    "activity": activity.Adopt,
    "contact": contact.Adopt,
    "exchange_rate": exchange_rate.Adopt,
    "opportunity": opportunity.Adopt,
}


def past(*events: Event, begin: datetime = LONG_AGO, **more: Any) -> Any:
    """The command for a record with these events, a day apart."""
    kind = type(events[0]).__module__.split(".")[1]
    happened = [Happened(event=one, at=begin + timedelta(days=number), origin=ORIGIN, **more) for number, one in enumerate(events)]
    return ADOPT[kind](happened=tuple(happened))


def adopted(*events: Event, **surroundings: Any) -> tuple[Event, ...]:
    return decide(None, past(*events), **{"by": "admin", "facts": KNOWN, **surroundings})


def wrong(*events: Event, **surroundings: Any) -> Errors:
    with pytest.raises(Invalid) as refusal:
        adopted(*events, **surroundings)
    return refusal.value.errors


def changed(event: Any, **changes: Any) -> Any:
    return structs.replace(event, changes=structs.replace(event.changes, **changes))


def test_a_deal_comes_with_its_past_and_with_stages_that_there_are_no_more() -> None:
    reopened = opportunity.Reopened(changes=Changes(stage="proposal", status="open", actual_amount=None, actual_close_date=None))
    events = (CREATED, MOVED, WON, reopened, opportunity.Deleted(), opportunity.Restored())
    assert adopted(*events) == (*events[:2], changed(WON, actual_amount=Decimal("4.00")), *events[3:])


def test_a_live_deal_must_fit_the_org_as_it_is_and_a_deleted_one_need_not() -> None:
    remedy = "The pipeline has no stage 'demo': add it, or say under values.stage which one it means. "
    assert wrong(CREATED)["0.stage"][0].startswith(remedy)
    assert wrong(changed(CREATED, stage="won"))["0.stage"] == ["The deal is open in stage 'won', which is won here."]
    assert adopted(CREATED, opportunity.Deleted())
    gone = structs.replace(KNOWN, accounts=frozenset())
    assert wrong(CREATED, MOVED, facts=gone) == {"1.account_id": [f"Account {ACCOUNT} is deleted."]}
    strict = policy(mode="strict")
    assert set(wrong(changed(CREATED, custom_fields={"x": 1}), MOVED, policy=strict)) == {"1.custom_fields.x"}
    assert adopted(CREATED, MOVED, policy=strict)


def test_an_external_id_must_be_free_in_the_end_and_not_before() -> None:
    taken = structs.replace(KNOWN, named={("opportunity", "D-1"): UNKNOWN})
    with pytest.raises(Conflict, match="has the external id"):
        adopted(CREATED, MOVED, facts=taken)
    assert adopted(CREATED, MOVED, opportunity.Deleted(), facts=taken)
    assert adopted(CREATED, changed(MOVED, external_id="D-2"), facts=taken)


@pytest.mark.parametrize(
    ("events", "place"),
    [
        ((MOVED,), "0.type"),
        ((CREATED, CREATED), "1.type"),
        ((CREATED, opportunity.Restored()), "1.type"),
        ((CREATED, opportunity.Deleted(), MOVED), "2.type"),
        ((CREATED, opportunity.Updated(changes=Changes(stage="proposal"))), "1.stage"),
        ((CREATED, opportunity.Updated(changes=Changes(status="won"))), "1.stage"),
        ((CREATED, opportunity.StageChanged(changes=Changes(name="x"))), "1.stage"),
        ((CREATED, changed(MOVED, status="won")), "1.stage"),
        ((CREATED, opportunity.Lost(changes=WON.changes)), "1.stage"),
        ((CREATED, opportunity.Reopened(changes=MOVED.changes)), "1.stage"),
        ((CREATED, changed(WON, actual_amount=None)), "1.actual_amount"),
        ((changed(CREATED, owner_id=UNKNOWN),), "0.owner_id"),
        ((changed(CREATED, account_id=UNKNOWN),), "0.account_id"),
        ((changed(CREATED, stakeholder_ids=(JANE, UNKNOWN)),), "0.stakeholder_ids"),
        ((changed(CREATED, stakeholder_ids=(JANE,) * 101),), "0.stakeholder_ids"),
        ((changed(CREATED, amount=Decimal(-1)),), "0.amount"),
        ((changed(CREATED, currency="JPY", amount=Decimal("0.5")),), "0.amount"),
        ((changed(CREATED, currency="XXY"),), "0.currency"),
        ((changed(CREATED, probability=101),), "0.probability"),
        ((changed(CREATED, name=None),), "0.name"),
        ((changed(CREATED, name="a\0"),), "0.name"),
        ((changed(CREATED, stage="Not a key"),), "0.stage"),
        ((changed(CREATED, tags=("a,b",)),), "0.tags"),
        ((changed(CREATED, lost_reason_code="a\nb"),), "0.lost_reason_code"),
        ((changed(CREATED, custom_fields={"x": None}),), "0.custom_fields.x"),
        ((changed(CREATED, custom_fields={"x": "\0"}),), "0.custom_fields.x"),
        ((changed(CREATED, custom_fields={f"x{n}": n for n in range(101)}),), "0.custom_fields"),
        ((account.Created(name=""),), "0.name"),
        ((account.Created(name="A"), account.Deleted(), account.Updated(name="B")), "2.type"),
        ((contact.Created(first_name="Jane", last_name="Doe", account_id=UNKNOWN),), "0.account_id"),
        ((contact.Created(first_name="Jane", last_name="Doe", email="nobody"),), "0.email"),
        ((activity.Logged(opportunity_id=UNKNOWN, type="call", subject="x", occurred_at=NOW),), "0.opportunity_id"),
        (
            (activity.Logged(opportunity_id=STREAM, type="call", subject="x", occurred_at=NOW.replace(tzinfo=None)),),
            "0.occurred_at",
        ),
        ((activity.Logged(opportunity_id=STREAM, type="call", subject="", occurred_at=NOW),), "0.subject"),
        ((exchange_rate.Quoted(currency="EUR", valid_from=date(2025, 1, 1), rate=Decimal(0)),), "0.rate"),
        ((exchange_rate.Quoted(currency="USD", valid_from=date(2025, 1, 1), rate=Decimal(1)),), "0.currency"),
    ],
)
def test_events_follow_from_each_other_and_their_values_are_within_limits(events: tuple[Event, ...], place: str) -> None:
    assert list(wrong(*events)) == [place]


def test_rates_are_of_one_currency() -> None:
    euro = exchange_rate.Quoted(currency="EUR", valid_from=date(2025, 1, 1), rate=Decimal("1.1"))
    assert adopted(euro, euro) == (euro, euro)
    assert wrong(euro, structs.replace(euro, currency="JPY")) == {"1.currency": ["These are rates of EUR."]}


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (NOW, "in the future"),
        (datetime(1969, 12, 31, tzinfo=UTC), "before 1970"),
        (LONG_AGO.replace(tzinfo=None), "time zone"),
    ],
)
def test_times_are_of_the_past(begin: datetime, words: str) -> None:
    errors = wrong_at(past(account.Created(name="A"), account.Updated(name="B"), begin=begin))
    ((place, messages),) = errors.items()
    assert place.endswith(".occurred_at")
    assert words in messages[0]


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), NOW])
def test_the_first_and_the_last_time_are_taken_and_two_events_may_have_one(at: datetime) -> None:
    happened = tuple(Happened(event=one, at=at, origin=ORIGIN) for one in (account.Created(name="A"), account.Updated(name="B")))
    assert len(decide(None, account.Adopt(happened=happened), by="admin", facts=KNOWN)) == 2


def wrong_at(command: Any) -> Errors:
    with pytest.raises(Invalid) as refusal:
        decide(None, command, by="admin", facts=KNOWN)
    return refusal.value.errors


def test_times_go_on() -> None:
    command = past(account.Created(name="A"), account.Updated(name="B"))
    backwards = structs.replace(command, happened=(command.happened[1], command.happened[0]))
    swapped = [structs.replace(one, event=before.event) for one, before in zip(backwards.happened, command.happened, strict=True)]
    assert wrong_at(account.Adopt(happened=tuple(swapped))) == {
        "1.occurred_at": ["This time is before that of the event before it."]
    }


def test_who_did_it_and_why_are_lines_and_texts() -> None:
    command = past(account.Created(name="A"), comment="\0")
    unknown = structs.replace(command.happened[0], comment=None, origin=structs.replace(ORIGIN, actor="a\nb"))
    assert list(wrong_at(command)) == ["0.comment"]
    assert list(wrong_at(account.Adopt(happened=(unknown,)))) == ["0.origin.actor"]


def test_texts_are_kept_in_normal_form() -> None:
    assert adopted(account.Created(name=" Acme ", custom_fields={"a": 1})) == (
        account.Created(name="Acme", custom_fields={"a": 1}),
    )
    kept = adopted(contact.Created(first_name="Jane", last_name="Doe ", account_id=ACCOUNT))
    assert kept == (contact.Created(first_name="Jane", last_name="Doe", account_id=ACCOUNT),)
    call = activity.Logged(opportunity_id=STREAM, type="call", subject="Call ", occurred_at=LONG_AGO, body=" ")
    assert adopted(call) == (structs.replace(call, subject="Call", body=None),)


def test_only_an_admin_takes_a_record_over_and_only_once() -> None:
    command = past(account.Created(name="A"))
    with pytest.raises(Forbidden):
        decide(None, command, by="manager", facts=KNOWN)
    with pytest.raises(Conflict, match="already exists"):
        decide(fold([account.Created(name="A")]), command, by="admin", facts=KNOWN)


def test_a_record_has_some_events_and_not_too_many() -> None:
    assert set(wrong_at(account.Adopt(happened=()))) == {"events"}
    one = past(account.Created(name="A")).happened
    assert set(wrong_at(account.Adopt(happened=one * 5_001))) == {"events"}


def test_nothing_is_known_unless_it_was_looked_up() -> None:
    assert set(wrong(CREATED, facts=Facts())) == {"0.account_id", "0.owner_id"}


def test_an_order_that_cannot_be_is_said_in_words() -> None:
    created, renamed = account.Created(name="A"), account.Updated(name="B")
    assert wrong(created, created) == {"1.type": ["Created comes first, and once."]}
    assert wrong(renamed) == {"0.type": ["Updated cannot be the first."]}
    assert wrong(created, account.Deleted(), renamed) == {"2.type": ["Updated cannot follow: the record is deleted."]}
    assert wrong(CREATED, opportunity.Restored()) == {"1.type": ["Restored cannot follow: the record is not deleted."]}


def test_a_comment_may_be_blank_and_an_address_has_an_end() -> None:
    assert decide(None, past(account.Created(name="A"), comment=""), by="admin", facts=KNOWN)
    (one,) = past(account.Created(name="A")).happened
    long = structs.replace(one, origin=structs.replace(ORIGIN, actor="a" * (MAX_EMAIL + 1)))
    assert list(wrong_at(account.Adopt(happened=(long,)))) == ["0.origin.actor"]


def test_who_is_missing_is_named() -> None:
    assert wrong(changed(CREATED, stakeholder_ids=(UNKNOWN, ADMIN))) == {
        "0.stakeholder_ids": [f"There is no contact {UNKNOWN}, {ADMIN}."]
    }


def test_what_a_deal_ever_named_is_looked_up() -> None:
    command = past(changed(CREATED, stakeholder_ids=(JANE,)), MOVED)
    found = opportunity.references(command)
    assert found.records == found.known == {OTHER_ACCOUNT, ACCOUNT, ADMIN, JANE}
    assert found.external_ids == external_id.of_events("opportunity", command)
    assert found.external_ids


def test_bounds_of_an_adopted_deal_are_taken_at_them() -> None:
    stakeholders = tuple(UUID(int=number) for number in range(1, 101))
    knows = structs.replace(KNOWN, known=KNOWN.known | {("contact", id_) for id_ in stakeholders})
    assert adopted(changed(CREATED, stakeholder_ids=stakeholders), MOVED, facts=knows)
    assert adopted(changed(CREATED, lost_reason_code="a" * MAX_CODE), MOVED)
    assert list(wrong(changed(CREATED, lost_reason_code="a" * (MAX_CODE + 1)), MOVED)) == ["0.lost_reason_code"]
    one = past(account.Created(name="A")).happened
    assert decide(None, account.Adopt(happened=one + _renamed(4_999)), by="admin", facts=KNOWN)


def _renamed(number: int) -> tuple[Happened, ...]:
    return tuple(
        past(account.Updated(name="B"), begin=LONG_AGO + timedelta(minutes=minute)).happened[0] for minute in range(number)
    )


def test_a_deal_that_was_lost_says_so_and_what_does_not_fit_is_said_whole() -> None:
    lost = opportunity.Lost(
        changes=Changes(stage="lost", status="lost", probability=0, lost_reason="price", actual_close_date=date(2025, 1, 1))
    )
    assert adopted(CREATED, lost)
    said = "Reopened does not fit a change from open to open, stage 'demo'."
    assert wrong(CREATED, opportunity.Reopened(changes=Changes(stage="demo", status="open"))) == {"1.stage": [said]}


def test_a_custom_field_may_be_cleared_that_was_there_and_others_are_kept_with_amounts() -> None:
    with_field = changed(CREATED, custom_fields={"x": 1}, amount=Decimal(5), name=" Annual ")
    cleared = opportunity.Updated(changes=Changes(custom_fields={"x": None}, name="Renewal "))
    taken: tuple[Any, ...] = adopted(with_field, cleared, MOVED)
    first, second, _ = taken
    assert (first.changes.name, first.changes.custom_fields, str(first.changes.amount)) == ("Annual", {"x": 1}, "5.00")
    assert second.changes.name == "Renewal"
    assert set(wrong(changed(CREATED, stage="gone", custom_fields={"x": 1}), policy=policy(mode="strict"))) == {
        "0.stage",
        "0.custom_fields.x",
    }
