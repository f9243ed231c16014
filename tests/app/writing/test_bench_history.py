"""The benchmark's history is decided beside the database: it must come to what the committer decides."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec import structs

from app.writing.committer import Committer
from app.writing.provisioning import create_org
from domain import catalog, event_store
from domain.event import Recorded
from projections.rebuild import rebuild, verify
from projections.registry import READ_MODELS
from tests.bench import loader
from tests.bench.deciding import Decider
from tests.bench.history import History
from tests.support.commands import log

DEALS = 60


def told(events: Sequence[Recorded]) -> list[Any]:
    """Events without what is another each time."""
    return [
        (one.stream_id, one.version, one.event, structs.asdict(one.meta) | {"command_id": None, "recorded_at": None})
        for one in events
    ]


def test_what_is_decided_beside_the_database_is_what_the_committer_decides(database_url: str) -> None:
    now = datetime.now(UTC)
    with closing(Committer(database_url)) as writer, psycopg.connect(database_url, autocommit=True) as connection:
        org = create_org(writer, "Bench Sales", "USD", "admin@bench.example", occurred_at=datetime(2020, 1, 1, tzinfo=UTC))
        history = History(org.org_id, now, DEALS)
        writer.run_as_one(list(history.settings()))
        before = len(log(database_url))
        blocks = list(loader.missing(history, DEALS, 0))
        decider = Decider(history, loader.policy(connection, org.org_id), datetime.now(UTC))
        decided: list[Recorded] = []
        for block in blocks:
            found = decider.events(block)
            decided += [
                event_store.decode(topic, state, id_, version)
                for id_, version, topic, state in zip(found.ids, found.versions, found.topics, found.states, strict=True)
            ]
            make = {"account": history.account, "contact": history.contact, "deal": history.deal}[block.kind]
            for number in range(block.first, block.end):
                writer.run_as_one(make(number))
    assert told(log(database_url)[before:]) == told(decided)
    names = {catalog.name_of(type(one.event)) for one in decided}
    assert {"opportunity.created.v1", "opportunity.won.v1", "opportunity.lost.v1"} <= names


def test_a_load_is_whole_once_its_read_models_are_built_and_then_does_nothing(database_url: str) -> None:
    loader.load(database_url, DEALS)
    rebuild(database_url, [model.name for model in READ_MODELS])
    assert verify(database_url) == []
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert loader.loaded(connection).deals == DEALS
        counted = connection.execute("SELECT count(DISTINCT id) FROM opportunities").fetchone()
    assert counted == (DEALS,)
    events = len(log(database_url))
    loader.load(database_url, DEALS)
    assert len(log(database_url)) == events
    with closing(Committer(database_url)) as writer:  # the log goes on
        create_org(writer, "Another", "USD", "admin@another.example")
    assert len(log(database_url)) > events
    assert verify(database_url) == []


def test_an_interrupted_load_goes_on_with_the_next_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BLOCK", 7)
    history = History(UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), DEALS)

    def records(done: int) -> list[tuple[str, int]]:
        return [(block.kind, n) for block in loader.missing(history, DEALS, done) for n in range(block.first, block.end)]

    every = records(0)
    assert len(set(every)) == len(every) == DEALS + 10 + 20
    for done in range(len(every) + 1):
        assert records(done) == every[done:]
