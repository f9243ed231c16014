"""Which endpoint hears of which event."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from consumers.webhooks.endpoints import Deal, Document, Owner, Version, at, matches, passes
from domain.webhook_endpoint import WebhookFilters
from tests.support.domain import OTHER_REP, REP, uuid

ENDPOINT = uuid(1)
DEAL = Deal(
    id=uuid(2),
    stage="won",
    currency="USD",
    amount=Decimal("24000.00"),
    owner=Owner(REP),
    custom_fields={"region": "EMEA", "seats": 72, "pilot": True, "modules": ["crm", "erp"], "flag": 1},
)


def version(position: int = 1, *, active: bool = True, events: tuple[str, ...] = ("opportunity.won",)) -> Version:
    return Version(ENDPOINT, position, active, Document("https://x", frozenset(events), WebhookFilters(), 1, None))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"stage": ("won", "lost")}, True),
        ({"stage": ("lost",)}, False),
        ({"owner": (REP, OTHER_REP)}, True),
        ({"owner": (OTHER_REP,)}, False),
        ({"currency": ("EUR",)}, False),
        ({"amount__gte": Decimal(24000)}, True),
        ({"amount__gte": Decimal("24000.01")}, False),
        ({"amount__lte": Decimal(24000)}, True),
        ({"amount__lte": Decimal("23999.99")}, False),
        ({"custom_fields": {"region": "EMEA"}}, True),
        ({"custom_fields": {"region": ["NA", "EMEA"]}}, True),
        ({"custom_fields": {"region": "emea"}}, False),
        ({"custom_fields": {"seats": 72.0}}, True),
        ({"custom_fields": {"seats": "72"}}, False),
        ({"custom_fields": {"pilot": True}}, True),
        ({"custom_fields": {"pilot": 1}}, False),
        ({"custom_fields": {"flag": True}}, False),
        ({"custom_fields": {"modules": "erp"}}, True),
        ({"custom_fields": {"modules": ["hr", "crm"]}}, True),
        ({"custom_fields": {"modules": "hr"}}, False),
        ({"custom_fields": {"missing": "x"}}, False),
        ({"custom_fields": {"region": "EMEA", "seats": 1}}, False),
        ({"stage": ("won",), "amount__gte": Decimal(1), "owner": (REP,), "custom_fields": {"pilot": True}}, True),
    ],
)
def test_every_condition_must_hold_and_of_several_values_any(fields: dict[str, Any], expected: bool) -> None:
    assert passes(WebhookFilters(**fields), DEAL) is expected


def test_a_deal_without_an_amount_passes_no_bound() -> None:
    deal = msgspec.structs.replace(DEAL, amount=None)
    assert not passes(WebhookFilters(amount__gte=Decimal(0)), deal)
    assert not passes(WebhookFilters(amount__lte=Decimal(10)), deal)
    assert passes(WebhookFilters(), deal)


def test_an_endpoint_hears_what_it_subscribes_to_while_it_is_active() -> None:
    assert matches(version(), "opportunity.won", DEAL)
    assert not matches(version(), "opportunity.lost", DEAL)
    assert not matches(version(active=False), "opportunity.won", DEAL)
    for stage in ("won", "lost"):
        filtered = version()._replace(document=msgspec.structs.replace(version().document, filters=WebhookFilters(stage=(stage,))))
        assert matches(filtered, "opportunity.won", DEAL) is (stage == "won")


def test_an_endpoint_is_taken_as_it_stood_at_the_event() -> None:
    history = [version(5), version(9, active=False), version(12)]
    assert at(history, 4) is None
    assert [found.position for position in (5, 8, 9, 11, 12, 99) if (found := at(history, position))] == [5, 5, 9, 9, 12, 12]
