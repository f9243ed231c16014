"""Who writes for other read models than the database has is refused, before anything is appended, and until that is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from uuid_utils.compat import uuid7

from app.migrations import migrate
from app.process.children import wait_until
from app.process.failures import OtherVersion
from app.writing.committer import Committer
from app.writing.connection import APPLICATION
from app.writing.envelope import Result
from domain import account, event_store
from domain.event import Meta, Recorded
from projections import registry
from projections.forecast.ledger import ForecastLedger
from tests.support.commands import Company, log, outcome

VERSION = ForecastLedger.version


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


@pytest.mark.parametrize(
    ("change", "back", "told"),
    [
        (
            "UPDATE read_models SET version = 99 WHERE name = 'forecast'",
            f"UPDATE read_models SET version = {VERSION} WHERE name = 'forecast'",
            f"Read model forecast is at version 99, this program's is {VERSION}: use the version that migrated the database.",
        ),
        (
            "UPDATE read_models SET version = 0 WHERE name = 'forecast'",
            f"UPDATE read_models SET version = {VERSION} WHERE name = 'forecast'",
            f"Read model forecast is at version 0, this program's is {VERSION}: run `opportunities migrate`.",
        ),
        (
            "INSERT INTO read_models (name, version) VALUES ('chain', 1)",
            "DELETE FROM read_models WHERE name = 'chain'",
            "Read model chain is not known to this program: use the version that migrated the database.",
        ),
        (
            "DELETE FROM read_models WHERE name = 'forecast'",
            f"INSERT INTO read_models (name, version) VALUES ('forecast', {VERSION})",
            f"Read model forecast is at version None, this program's is {VERSION}: run `opportunities migrate`.",
        ),
    ],
    ids=["newer", "older", "unknown", "missing"],
)
def test_writes_for_other_read_models_are_refused_until_they_are_right(
    database_url: str, company: Company, change: str, back: str, told: str
) -> None:
    before = log(database_url)
    with psycopg.connect(database_url, autocommit=True) as operator:
        operator.execute(change.encode())
        results = company.committer.run(
            [
                company.envelope(company.creation("Lost")),
                company.envelope(account.Create(name="Lost")),
                company.envelope(company.creation("Lost")),
            ]
        )
        assert [(type(result), str(result)) for result in results] == [(OtherVersion, told)] * 3
        assert log(database_url) == before
        operator.execute(back.encode())
    assert company.do(company.creation("Found")).status == "created"


def test_who_waits_for_the_log_while_a_read_model_changes_is_refused(database_url: str, company: Company) -> None:
    before = log(database_url)
    results: list[Result] = []
    batch = [company.envelope(company.creation("Late"))]
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event = 'advisory' AND datname = current_database()"
    )
    thread = threading.Thread(target=lambda: results.extend(company.committer.run(batch)))
    with (
        psycopg.connect(database_url, autocommit=True) as onlooker,
        psycopg.connect(database_url) as migrator,
        migrator.cursor() as cursor,
    ):
        event_store.lock(cursor)
        thread.start()
        assert wait_until(lambda: bool(onlooker.execute(waiting, (APPLICATION,)).fetchall()), 10)
        cursor.execute("UPDATE read_models SET version = version + 1 WHERE name = 'directory'")
        migrator.commit()
        thread.join()
    assert [type(result) for result in results] == [OtherVersion]
    assert log(database_url) == before


def test_a_process_of_version_0_1_writes_until_a_read_model_is_of_a_newer_version(database_url: str, company: Company) -> None:
    append = """
        SELECT append_events(
            ARRAY[%s]::uuid[], ARRAY[1]::bigint[], ARRAY['account.created.v1'], ARRAY['{}'::bytea], ARRAY[%s]::uuid[], %s
        )
    """
    with psycopg.connect(database_url) as old:
        old.execute("SET ROLE opportunities_writer")
        with pytest.raises(psycopg.OperationalError, match="newer version"):  # which it answers with 503
            old.execute("SELECT lock_log()")
        old.rollback()
        old.execute("RESET ROLE")
        old.execute("UPDATE read_models SET version = 1")
        old.execute("SET ROLE opportunities_writer")
        row = old.execute("SELECT lock_log()").fetchone()
        assert row == (event_store.head(old.cursor()) + 1,)
        old.execute(append, (uuid7(), company.id, *row))
        assert event_store.head(old.cursor()) == row[0]
        old.rollback()


def test_the_read_models_are_told_as_the_database_writes_them(database_url: str, company: Company) -> None:
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        event_store.lock(cursor)
        told = event_store.opening(cursor).read_models
    assert told == registry.to_text({model.name: model.version for model in registry.READ_MODELS})
    assert outcome(company.committer.run([company.envelope(company.creation())])[0]).status == "created"


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=1)], ids=["in time", "a day ahead"])
def test_a_log_from_before_there_was_one_clock_goes_on_at_its_end_or_now(
    database_url: str, company: Company, ahead: timedelta
) -> None:
    """Whatever the clock of the process was that wrote its last event."""
    last = datetime.now(UTC) + ahead
    meta = Meta(org_id=company.id, command_id=uuid7(), occurred_at=last, recorded_at=last)
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        event_store.lock(cursor)
        created = account.Created(name="Of old")
        event_store.append(cursor, [Recorded(uuid7(), 1, created, meta)], event_store.opening(cursor))
        cursor.execute("DROP FUNCTION open_log(), append_events(uuid[], bigint[], text[], bytea[], uuid[], bigint, bigint)")
        cursor.execute("DROP SEQUENCE log_clock")
        cursor.execute("DELETE FROM migrations WHERE name = '0007_one_clock'")
    assert migrate(database_url) == ["applied 0007_one_clock"]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        event_store.lock(cursor)
        assert last - ahead < event_store.opening(cursor).now < datetime.now(UTC)
