"""Behind PgBouncer: by session everything works, by transaction or statement one line says what to change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from app.cli import doctor, main
from app.migrations import pooling, prerequisites
from projections import connections
from tests.support import pgbouncer
from tests.support.pgbouncer import PgBouncer

LINE = f"opportunities: {pooling.BY_TRANSACTION}\n"


@pytest.fixture(scope="module")
def pooler(shared_database_url: str) -> Iterator[PgBouncer]:
    with pgbouncer.pooling(shared_database_url) as pooler:
        yield pooler


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize(
    "verb", [["migrate"], ["serve"], ["relay"], ["webhooks"], ["org", "create", "--name", "A", "--admin-email", "a@a.example"]]
)
def test_by_transaction_a_line_says_what_to_set(
    pooler: PgBouncer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: list[str], mode: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    code = main.run([*verb, "--database-url", pooler.url(mode)])
    told = capfd.readouterr()
    assert (code, told.out, told.err) == (1, "", LINE)


def test_the_doctor_says_it_too(pooler: PgBouncer) -> None:
    said: list[str] = []
    assert not doctor.run(pooler.url("transaction"), said.append)
    assert f"problem  {pooling.BY_TRANSACTION}" in said


def test_by_transaction_is_noticed_among_others_at_work(pooler: PgBouncer) -> None:
    stop = threading.Event()

    def work() -> None:
        with psycopg.connect(pooler.url("transaction"), autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("SELECT pg_sleep(0.002)", prepare=False)

    threads = [threading.Thread(target=work) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(5):
            with pytest.raises(prerequisites.Unmet):
                pooling.check(pooler.url("transaction"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_by_session_a_connection_has_its_settings_and_leaves_none_behind(pooler: PgBouncer) -> None:
    url = pooler.url("session")
    pooling.check(url)
    with connections.connect(url, "writer", connections.BY_KEYS, statement_timeout_ms=1234, role="writer") as connection:
        found = connection.execute(
            "SELECT current_user, current_setting('statement_timeout'), current_setting('search_path'),"
            " current_setting('timezone'), current_setting('enable_hashjoin'), current_setting('application_name')"
        ).fetchone()
    assert found == ("opportunities_writer", "1234ms", "public", "UTC", "off", "opportunities writer")
    with ExitStack() as stack:
        for _ in range(3):
            other = stack.enter_context(psycopg.connect(url))
            row = other.execute("SELECT current_user = session_user, current_setting('statement_timeout')").fetchone()
            assert row == (True, "0")
