"""How an event is told: who, when, and which fields changed from what to what."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import structs

from domain import account, exchange_rate, token, webhook_endpoint
from domain.event import Event, Origin
from domain.fold import change
from projections.history import HistoryEntry, difference, entry, public_type
from tests.support.domain import ADMIN, NOW, REP, STREAM, created, fold, recorded, uuid, won

ACME = account.Created(name="Acme", custom_fields={"b": 1, "a": [1]})


def told(event: Event, *past: Event, **meta: Any) -> HistoryEntry:
    happened = recorded(event, len(past) + 1)
    happened = structs.replace(happened, position=42, meta=structs.replace(happened.meta, **meta))
    return entry(change(fold(past), happened), {ADMIN: {"id": ADMIN, "name": "Ada"}})


def test_an_entry_says_who_did_what_and_when() -> None:
    later = NOW.replace(hour=11)
    origin = Origin(org_id=uuid(8), recorded_at=NOW, actor="ada@old.example")
    found = told(ACME, recorded_at=later, token_id=uuid(5), request_id="r1", import_id=uuid(6), comment="A good one", origin=origin)
    assert structs.replace(found, changes={}) == HistoryEntry(
        position=42,
        type="account.created",
        id=STREAM,
        version=1,
        occurred_at=NOW,
        recorded_at=later,
        actor={"id": ADMIN, "name": "Ada"},
        token_id=uuid(5),
        request_id="r1",
        comment="A good one",
        import_id=uuid(6),
        origin=origin,
        changes={},
    )


def test_an_actor_without_a_card_is_an_id_and_the_operator_is_nobody() -> None:
    assert told(ACME, actor_id=REP).actor == {"id": REP}
    assert told(ACME, actor_id=None).actor is None
    assert told(ACME).request_id is None


def test_a_creation_tells_what_it_set_and_nothing_that_is_empty() -> None:
    assert told(ACME).changes == {"name": (None, "Acme"), "custom_fields.a": (None, [1]), "custom_fields.b": (None, 1)}
    assert list(told(ACME).changes)[1:] == ["custom_fields.a", "custom_fields.b"]
    assert told(account.Created(name="")).changes == {}


def test_a_change_tells_the_old_and_the_new_of_what_changed() -> None:
    changed = account.Updated(domain="acme.example", custom_fields={"a": None, "c": 2})
    assert told(changed, ACME).changes == {
        "domain": (None, "acme.example"),
        "custom_fields.a": ([1], None),
        "custom_fields.c": (None, 2),
    }
    assert told(account.Updated(domain=None), account.Created(name="A", domain="a.example")).changes == {
        "domain": ("a.example", None)
    }
    assert told(account.Deleted(), ACME).changes == {"deleted": (False, True)}


def test_a_won_deal_tells_how_it_was_won_and_not_since_when_it_is_in_its_stage() -> None:
    found = told(won(), created())
    assert found.type == "opportunity.won"
    assert found.changes["stage"] == ("discovery", "won")
    assert found.changes["actual_amount"] == (None, Decimal("23000.00"))
    assert "stage_entered_at" not in found.changes
    assert "closed_at" not in found.changes


def test_neither_a_token_s_hash_nor_a_webhook_s_url_is_told() -> None:
    issued = token.Issued(name="CI", user_id=REP, hash="9f" * 32, prefix="opp_9f86")
    assert told(issued).changes == {"name": (None, "CI"), "user_id": (None, REP), "prefix": (None, "opp_9f86")}
    hook = webhook_endpoint.Created(url="https://x.example/secret", events=("opportunity.won",))
    assert "url" not in told(hook).changes


def test_a_rate_tells_its_own_day_alone() -> None:
    first = exchange_rate.Quoted(currency="EUR", valid_from=date(2026, 1, 1), rate=Decimal("1.1"))
    other = structs.replace(first, valid_from=date(2026, 2, 1))
    again = structs.replace(first, rate=Decimal("1.2"))
    assert told(first).changes["rates"] == (None, {date(2026, 1, 1): Decimal("1.1")})
    assert told(other, first).changes == {"rates": ({}, {date(2026, 2, 1): Decimal("1.1")})}
    assert told(again, first, other).changes == {"rates": ({date(2026, 1, 1): Decimal("1.1")}, {date(2026, 1, 1): Decimal("1.2")})}


def test_two_states_that_are_the_same_do_not_differ() -> None:
    state = fold([ACME])
    assert difference(state, state) == {}


def test_the_outside_hears_no_version_of_a_stored_form() -> None:
    assert public_type(recorded(created())) == "opportunity.created"
