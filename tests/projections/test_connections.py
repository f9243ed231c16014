"""A connection whose statements may take hours: it waits for a server that is at work, and for no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

import psycopg
import pytest

from app.process.children import wait_until
from projections import connections
from projections.connections import Silent
from tests.support.proxy import Proxy, ask_soon, proxied

SECONDS = 8.0
"""How long it may take to be sure: each time it asks, and a connection may take two seconds to come about."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_soon(monkeypatch)


@pytest.fixture
def proxy(shared_database_url: str) -> Iterator[Proxy]:
    with proxied(shared_database_url) as proxy:
        yield proxy


def test_a_statement_that_takes_long_is_waited_for(proxy: Proxy) -> None:
    with connections.connect_patiently(proxy.url, "test") as connection:
        assert connection.execute("SELECT 1 FROM pg_sleep(2)").fetchone() == (1,)


def test_a_lock_that_somebody_else_has_is_waited_for(shared_database_url: str, proxy: Proxy) -> None:
    with (
        psycopg.connect(shared_database_url, autocommit=True) as other,
        connections.connect_patiently(proxy.url, "test") as connection,
    ):
        other.execute("SELECT pg_advisory_lock(17)")
        given_back = threading.Timer(2, lambda: other.execute("SELECT pg_advisory_unlock(17)"))
        given_back.start()
        connection.execute("SELECT pg_advisory_lock(17)")
        given_back.join()


def test_a_silent_server_is_given_up(proxy: Proxy) -> None:
    connection = connections.connect_patiently(proxy.url, "test")
    proxy.silent = True
    began = monotonic()
    with pytest.raises(Silent):
        connection.execute("SELECT 1")
    assert monotonic() - began < SECONDS
    assert connection.closed


@pytest.mark.parametrize("lost", ["hang", "hang after"], ids=["the statement", "the answer"])
def test_a_connection_that_lost_something_is_given_up_though_others_work(proxy: Proxy, lost: str) -> None:
    connection = connections.connect_patiently(proxy.url, "test")
    proxy.point = b"SELECT 'lost'"
    proxy.at_commit.append("hang" if lost == "hang" else "hang after")
    began = monotonic()
    with pytest.raises(Silent):
        connection.execute("SELECT 'lost'")
    assert monotonic() - began < SECONDS


def test_who_listens_for_longer_than_a_statement_may_take_is_not_taken_for_silent(shared_database_url: str) -> None:
    with connections.connect(shared_database_url, "test", statement_timeout_ms=200) as connection:
        connection.execute("LISTEN nothing")
        assert list(connection.notifies(timeout=1)) == []
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_notices_in_the_middle_of_a_statement_that_we_are_gone(
    shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise what we had locked would stay so until its end."""
    monkeypatch.setattr(connections, "CLIENT_CHECK_MS", 100)
    connection = connections.connect_patiently(shared_database_url, "test")
    connection.execute("SELECT pg_advisory_lock(18)")
    connection.pgconn.send_query(b"SELECT pg_sleep(60)")
    connection.close()
    with psycopg.connect(shared_database_url, autocommit=True) as other:
        assert wait_until(lambda: other.execute("SELECT pg_try_advisory_lock(18)").fetchone() == (True,), 10)
