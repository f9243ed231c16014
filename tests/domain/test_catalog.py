"""The catalog of stored events, and the golden files: one event of every name ever stored, readable for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid5

import pytest

from domain import (
    account,
    catalog,
    custom_field,
    event_store,
    exchange_rate,
    opportunity,
    organization,
    pipeline,
    webhook_endpoint,
)
from domain.event import Command, Event
from domain.opportunity.events import Changes
from tests.support.domain import ORG, STREAM, created, recorded

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"), key=lambda path: path.name)


def covers(new: Any, old: Any) -> bool:
    """Whether all of an old JSON value is in a new one, which may have more keys."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and covers(new[key], value) for key, value in old.items())
    return bool(new == old)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_event_once_stored_is_read_and_written_back_with_nothing_lost(path: Path) -> None:
    stored = path.read_bytes()
    name = stored_name(path)
    recorded = event_store.decode(name, stored, STREAM, 1)
    assert catalog.name_of(type(recorded.event)) == name
    assert covers(json.loads(event_store.encode(recorded.event, recorded.meta)), json.loads(stored))


def test_every_stored_name_has_a_golden_file() -> None:
    assert {stored_name(path) for path in GOLDEN} >= set(catalog.EVENTS)


def stored_name(path: Path) -> str:
    """Of a golden file: what stands before a ``+`` with the field that was added since."""
    return path.stem.partition("+")[0]


def test_every_event_class_has_a_stored_name() -> None:
    def concrete(class_: type[Event]) -> set[type[Event]]:
        return {sub for one in class_.__subclasses__() for sub in ({one} | concrete(one))}

    assert concrete(Event) == set(catalog.EVENTS.values())


def test_a_stored_name_begins_with_the_kind_of_its_aggregate() -> None:
    for name, class_ in catalog.EVENTS.items():
        assert catalog.kind_of_event(class_) in catalog.AGGREGATES
        assert catalog.aggregate_of(name) is catalog.aggregate_of(class_)


def test_every_command_belongs_to_an_aggregate() -> None:
    kinds = {catalog.kind_of(command) for command in Command.__subclasses__() if command.__module__.startswith("domain.")}
    assert kinds == set(catalog.AGGREGATES)


def test_an_unknown_name_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(KeyError):
        catalog.class_of("opportunity.exploded.v1")
    with pytest.raises(KeyError, match="Command"):
        catalog.kind_of(Command)


def test_an_upcast_runs_before_the_event_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "opportunity.updated.v1"
    path = next(path for path in GOLDEN if path.stem == name)
    monkeypatch.setattr(catalog, "UPCASTS", {name: lambda state: state.replace(b"2026/27", b"2027")})
    event = event_store.decode(name, path.read_bytes(), STREAM, 2).event
    assert isinstance(event, opportunity.Updated)
    assert event.changes.name == "Acme — Annual 2027"


def test_a_kind_of_record_is_for_admins_alone_until_it_says_otherwise() -> None:
    new = catalog.Aggregate(account)
    assert (new.published, new.visible_to) == (False, "admins")


def test_what_admins_alone_may_read_is_not_published() -> None:
    assert {"token", "webhook_endpoint"} == catalog.FOR_ADMINS
    assert catalog.AGGREGATES.keys() - catalog.FOR_ADMINS - {"user"} == catalog.PUBLISHED


def test_what_is_not_shown_of_a_record_are_fields_of_it() -> None:
    """A name that is misspelt would hide nothing."""
    for aggregate in catalog.AGGREGATES.values():
        assert aggregate.secret | aggregate.not_in_history <= set(aggregate.module.State.__struct_fields__)


def test_webhooks_are_of_every_type_of_event_of_a_deal() -> None:
    of_deals = [catalog.public_name(name) for name in catalog.EVENTS if name.startswith("opportunity.")]
    assert list(webhook_endpoint.EVENT_TYPES) == list(dict.fromkeys(of_deals))


def test_what_a_stage_may_require_are_fields_of_a_deal() -> None:
    names = {name for fields in pipeline.REQUIRABLE_BY_TYPE.values() for name in fields}
    assert names <= set(Changes.__struct_fields__)


def test_the_streams_of_an_org_have_ids_that_never_change() -> None:
    assert organization.stream_id(ORG) == ORG
    assert pipeline.stream_id(ORG) == uuid5(ORG, "pipeline")
    assert custom_field.stream_id(ORG) == uuid5(ORG, "custom_field")
    assert exchange_rate.stream_id(ORG, "eur") == uuid5(ORG, "exchange_rate/EUR")


def test_an_event_that_is_not_in_the_log_yet_has_no_place_in_it() -> None:
    assert recorded(created()).position == 0
