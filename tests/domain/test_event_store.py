"""The log is the event-sourcing library's own, readable with its stock parts; in commit order; and never changed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import IntegrityError, Notification
from psycopg import errors, sql
from uuid_utils.compat import uuid7

from app.writing.committer import Committer
from domain import activity, catalog, contact, custom_field, event_store, exchange_rate, fold, opportunity, webhook_endpoint
from domain.event import Meta, Recorded, State
from domain.log import Restore, stream_id
from tests.support.commands import Company, log, state
from tests.support.domain import EPOCH


class Opportunities(Application[UUID]):
    """The library's application as it is; the name of the class is that of our table."""


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    """An org with records of several kinds and a deal with a past."""
    committer = Committer(database_url)
    company = Company(committer)
    company.do(contact.Create(first_name="Jane", last_name="Doe", email="jane@acme.example"))
    company.do(custom_field.Create(key="seats", label="Seats", type="number"), custom_field.stream_id(company.id))
    euro = exchange_rate.stream_id(company.id, "EUR")
    company.do(exchange_rate.Set(currency="EUR", valid_from=date(2026, 1, 1), rate=Decimal("1.08")), euro)
    company.do(webhook_endpoint.Create(url="https://hooks.acme.example", events=("opportunity.won",)))
    deal = company.deal(custom_fields={"seats": 5})
    company.do(activity.Log(opportunity_id=deal, type="call", subject="Pricing"))
    company.do(opportunity.ChangeStage(stage="proposal"), deal)
    company.do(opportunity.ChangeStage(stage="lost", lost_reason="price"), deal)
    yield company
    committer.close()


@pytest.fixture
def stock(database_url: str) -> Iterator[Opportunities]:
    parts = urlsplit(database_url)
    application = Opportunities(
        event_store.ENVIRONMENT
        | {
            "POSTGRES_DBNAME": parts.path.lstrip("/"),
            "POSTGRES_HOST": parts.hostname or "",
            "POSTGRES_PORT": str(parts.port or 5432),
            "POSTGRES_USER": unquote(parts.username or ""),
            "POSTGRES_PASSWORD": unquote(parts.password or "none"),
        }
    )
    yield application
    application.close()


def project(state: State | None, events: Iterable[Any]) -> State | None:
    """Our aggregates as the library's ``projector_func``."""
    for recorded in events:
        state = fold.change(state, recorded).after
    return state


def test_the_stock_repository_reads_every_stream(database_url: str, company: Company, stock: Opportunities) -> None:
    company.as_operator(Restore(epoch=EPOCH), stream_id(company.id))
    streams = {recorded.stream_id for recorded in log(database_url)}
    kinds = set()
    for id_ in streams:
        aggregate: Any = stock.repository.get(id_, projector_func=project)
        assert aggregate == state(database_url, id_)
        kinds.add(catalog.kind_of(type(aggregate)))
    assert kinds == catalog.AGGREGATES.keys()


def test_the_stock_repository_reads_a_stream_as_of_any_version(database_url: str, company: Company, stock: Opportunities) -> None:
    deal = next(r.stream_id for r in log(database_url) if isinstance(r.event, opportunity.Created))
    stages = []
    for version in (1, 2, 3):
        then: Any = stock.repository.get(deal, version=version, projector_func=project)
        stages.append((then.version, then.stage))
    assert stages == [(1, "discovery"), (2, "proposal"), (3, "lost")]
    with pytest.raises(AggregateNotFoundError):
        stock.repository.get(uuid7(), projector_func=project)


def test_the_stock_notification_log_gives_every_event_in_order(database_url: str, company: Company, stock: Opportunities) -> None:
    notifications: list[Notification] = []
    while page := stock.notification_log.select(notifications[-1].id + 1 if notifications else 1, limit=3):
        notifications += page
    expected = log(database_url)
    assert [notification.id for notification in notifications] == [recorded.position for recorded in expected]
    for notification, recorded in zip(notifications, expected, strict=True):
        told: Any = stock.mapper.to_domain_event(notification)
        assert (told.stream_id, told.version) == (recorded.stream_id, recorded.version)
        assert (told.event, told.meta) == (recorded.event, recorded.meta)


def test_the_stock_application_appends_through_our_recorder(database_url: str, company: Company, stock: Opportunities) -> None:
    fresh = noted(company, uuid7(), 1)
    stored = stock.mapper.to_stored_event(fresh)
    before = stock.recorder.max_notification_id() or 0
    recordings = stock.events.put([fresh])
    assert [recording.notification.id > before for recording in recordings] == [True]
    assert stock.recorder.max_notification_id() == recordings[0].notification.id
    assert stock.repository.get(fresh.stream_id, projector_func=project) == project(None, [fresh])
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT org_id, topic, state FROM opportunities_events WHERE originator_id = %s", (fresh.stream_id,)
        ).fetchone()
    assert row == (company.id, "contact.created.v1", stored.state)


def test_a_version_that_exists_is_an_integrity_error_and_leaves_nothing(
    database_url: str, company: Company, stock: Opportunities
) -> None:
    id_, other = uuid7(), uuid7()
    stock.events.put([noted(company, id_, 1)])
    with pytest.raises(IntegrityError):
        stock.events.put([noted(company, other, 1), noted(company, id_, 1)])
    assert [recorded.version for recorded in log(database_url) if recorded.stream_id == id_] == [1]
    assert state(database_url, other) is None


def noted(company: Company, stream_id: UUID, version: int) -> Recorded:
    at = datetime.now(UTC)
    meta = Meta(org_id=company.id, command_id=uuid7(), occurred_at=at, recorded_at=at)
    return Recorded(stream_id, version, contact.Created(first_name="Omar", last_name="Ferreira"), meta)


def test_positions_that_others_took_without_the_lock_undo_the_append(shared_database_url: str, company: Company) -> None:
    before = log(shared_database_url)
    with psycopg.connect(shared_database_url) as connection, connection.cursor() as cursor:
        event_store.lock(cursor)
        opening = event_store.opening(cursor)
        cursor.execute("SELECT nextval('opportunities_events_notification_id_seq')")
        with pytest.raises(errors.SerializationFailure):
            event_store.append(cursor, [noted(company, uuid7(), 1)], opening)
    assert log(shared_database_url) == before


def test_a_follower_that_asks_beyond_the_last_position_misses_nothing(database_url: str, company: Company) -> None:
    writers, per_writer = 6, 40
    begun = [recorded.position for recorded in log(database_url)]
    followed: list[int] = []
    finished = threading.Event()

    def write(number: int) -> None:
        with psycopg.connect(database_url) as connection:
            for n in range(per_writer):
                batch = [noted(company, uuid7(), 1) for _ in range(1 + (n + number) % 3)]
                with connection.cursor() as cursor:
                    event_store.lock(cursor)
                    event_store.append(cursor, batch, event_store.opening(cursor))
                    if n % 5 == number % 5:  # positions that are taken and never used
                        connection.rollback()
                    else:
                        connection.commit()

    def follow() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection, connection.cursor() as cursor:
            last = begun[-1]
            while True:
                over = finished.is_set()
                events = event_store.read_after(cursor, last, 50)
                followed.extend(recorded.position for recorded in events)
                if events:
                    last = events[-1].position
                elif over:
                    return

    follower = threading.Thread(target=follow)
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in [follower, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    finished.set()
    follower.join()
    written = [recorded.position for recorded in log(database_url)][len(begun) :]
    assert followed == written
    assert len(written) > writers * per_writer
    assert written[-1] - begun[-1] > len(written), "no position was given up, so gaps were not tried"


REFUSED = [
    "UPDATE opportunities_events SET topic = 'other'",
    "DELETE FROM opportunities_events",
    "TRUNCATE opportunities_events",
    "TRUNCATE opportunities_events CASCADE",
]


@pytest.mark.parametrize("statement", REFUSED)
@pytest.mark.parametrize("role", ["opportunities_writer", "opportunities_reader", None])
def test_the_log_refuses_to_be_changed(database_url: str, company: Company, statement: str, role: str | None) -> None:
    before = log(database_url)
    with psycopg.connect(database_url) as connection:
        if role:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            connection.execute("SELECT set_config('app.org_id', %s, false)", (str(company.id),))
        said = "permission denied" if role else "append-only"
        with pytest.raises(errors.InsufficientPrivilege, match=said):
            connection.execute(statement)
    assert log(database_url) == before


def test_the_reader_can_write_nowhere(database_url: str, company: Company) -> None:
    with psycopg.connect(database_url) as connection:
        tables = [row[0] for row in connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )]  # fmt: skip
        allowed = connection.execute(
            """
            SELECT t, p FROM unnest(%s::text[]) t, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
            WHERE has_table_privilege('opportunities_reader', t, p)
            """,
            (tables,),
        ).fetchall()
    assert "opportunities_events" in tables
    assert allowed == []
