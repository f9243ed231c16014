"""Rules of webhook endpoints."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from domain import webhook_endpoint
from domain.errors import Forbidden, NotFound
from domain.permissions import Role
from domain.webhook_endpoint import Create, Delete, Disable, RotateSecret, Update, WebhookFilters
from domain.webhook_url import STRICT
from tests.support.domain import NOW, REP, Given

URL = "https://hooks.example.com/opportunities"
MADE = webhook_endpoint.Created(url=URL, events=("opportunity.won", "opportunity.lost"))
HTTP = replace(STRICT, http=True)


def create(**fields: Any) -> Create:
    return Create(**{"url": URL, "events": ("opportunity.won", "opportunity.lost"), **fields})


def test_an_endpoint_has_an_address_and_events_each_once() -> None:
    events = ("opportunity.won", "opportunity.lost", "opportunity.won")
    Given(by="admin").when(create(url=f" {URL} ", events=events)).then(MADE)


@pytest.mark.parametrize("role", ["manager", "rep", "read_only"])
def test_only_an_admin_has_to_do_with_endpoints(role: Role) -> None:
    for command in (Update(active=False), RotateSecret(), Disable("gone", URL), Delete()):
        with pytest.raises(Forbidden):
            Given(MADE, by=role).when(command)
    with pytest.raises(Forbidden):
        Given(by=role).when(create())


def test_all_that_is_wrong_is_said_at_once() -> None:
    filters = WebhookFilters(
        stage=("No Key",), currency=("XXZ",), amount__gte=Decimal(-1), amount__lte=Decimal("1E+20"), custom_fields={"": 1}
    )
    bad = create(url="http://example.com", events=(), description="x" * 256, filters=filters)
    assert set(Given(by="admin").refused(bad)) == {
        "url", "events", "description", "filters.stage", "filters.currency", "filters.amount__gte", "filters.amount__lte",
        "filters.custom_fields",
    }  # fmt: skip


@pytest.mark.parametrize(
    "filters",
    [
        WebhookFilters(amount__gte=Decimal(2), amount__lte=Decimal(1)),
        WebhookFilters(amount__gte=Decimal("NaN")),
        WebhookFilters(stage=tuple(f"s{n}" for n in range(101))),
        WebhookFilters(custom_fields={f"k{n}": 1 for n in range(101)}),
        WebhookFilters(custom_fields={"region": []}),
        WebhookFilters(custom_fields={"region": None}),
        WebhookFilters(custom_fields={"region": {"a": 1}}),
        WebhookFilters(custom_fields={"region": ["a\0"]}),
        WebhookFilters(custom_fields={"region": 10**30}),
    ],
)
def test_a_filter_that_nothing_could_be_compared_with_is_refused(filters: WebhookFilters) -> None:
    assert all(name.startswith("filters.") for name in Given(by="admin").refused(create(filters=filters)))


def test_the_rules_of_the_installation_decide_about_the_address() -> None:
    Given(by="admin").when(create(url="http://example.com", rules=HTTP))
    assert "url" in Given(MADE, by="admin").refused(Update(url="http://example.com"))
    assert Given(MADE, by="admin").when(Update(url="http://example.com", rules=HTTP)).state.url == "http://example.com"


def test_an_address_that_the_rules_no_longer_allow_does_not_keep_other_fields_from_changing() -> None:
    old = structs.replace(MADE, url="http://example.com")
    Given(old, by="admin").when(Update(description="new")).then(webhook_endpoint.Updated(description="new"))


def test_an_update_says_what_changed_and_nothing_if_nothing_did() -> None:
    filters = WebhookFilters(owner=(REP,), custom_fields={"pilot": True})
    given = Given(MADE, by="admin").when(Update(url=URL, filters=filters)).then(webhook_endpoint.Updated(filters=filters))
    given.when(Update(url=URL, filters=filters, active=True)).then()
    given.when(Update(filters=WebhookFilters())).then(webhook_endpoint.Updated(filters=WebhookFilters()))


def test_a_pause_is_an_event_of_its_own_and_ends_with_active() -> None:
    given = Given(MADE, by="admin").when(Update(active=False)).then(webhook_endpoint.Disabled(reason="paused"))
    assert (given.state.active, given.state.disabled_reason) == (False, "paused")
    given.when(Update(active=False)).then()
    given.when(Update(active=True, description="x"))
    given.then(webhook_endpoint.Updated(description="x"), webhook_endpoint.Enabled())
    assert (given.state.active, given.state.disabled_reason) == (True, None)


def test_one_is_made_active_unless_told_otherwise() -> None:
    state = Given(by="admin").when(create()).state
    assert (state.active, state.disabled_reason) == (True, None)


def test_without_events_it_hears_which_there_are() -> None:
    (message,) = Given(by="admin").refused(create(events=()))["events"]
    assert "opportunity.created, opportunity.updated, " in message


@pytest.mark.parametrize(
    ("least", "most"), [(None, None), (5, None), (None, 5), (5, 5), (0, 0), (0, "999999999999999.99"), ("0.001", 1)]
)
def test_an_amount_may_have_one_bound_or_two_that_meet(least: Any, most: Any) -> None:
    bounds = [value if value is None else Decimal(value) for value in (least, most)]
    assert Given(by="admin").when(create(filters=WebhookFilters(amount__gte=bounds[0], amount__lte=bounds[1]))).events


@pytest.mark.parametrize("amount", ["-0.01", "1000000000000000", "Infinity"])
def test_no_deal_has_such_an_amount(amount: str) -> None:
    both = WebhookFilters(amount__gte=Decimal(amount), amount__lte=Decimal(amount))
    assert set(Given(by="admin").refused(create(filters=both))) == {"filters.amount__gte", "filters.amount__lte"}


def test_one_can_be_made_paused() -> None:
    state = Given(by="admin").when(create(active=False)).state
    assert (state.active, state.disabled_reason) == (False, "paused")


def test_the_sender_disables_the_address_that_gave_the_reason_and_no_other() -> None:
    given = Given(MADE, by="admin").when(Disable("gone", "https://other.example.com")).then()
    given.when(Disable("gone", URL)).then(webhook_endpoint.Disabled(reason="gone"))
    given.when(Disable("failing", URL)).then()
    assert given.state.disabled_reason == "gone"
    assert given.when(Update(active=True)).state.active


def test_each_rotation_is_a_generation() -> None:
    given = Given(MADE, by="admin")
    assert (given.state.secret_generation, given.state.secret_rotated_at) == (1, None)
    given.when(RotateSecret()).then(webhook_endpoint.SecretRotated(generation=2))
    assert given.state.secret_rotated_at > NOW
    given.when(RotateSecret()).then(webhook_endpoint.SecretRotated(generation=3))


def test_a_deleted_endpoint_is_not_there() -> None:
    given = Given(MADE, by="admin").when(Delete()).then(webhook_endpoint.Deleted())
    for command in (Update(active=False), RotateSecret(), Disable("gone", URL), Delete()):
        with pytest.raises(NotFound):
            given.when(command)
        with pytest.raises(NotFound):
            Given(by="admin").when(command)
