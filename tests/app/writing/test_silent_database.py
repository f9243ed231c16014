"""A database that takes what is sent and says nothing, as behind a firewall that drops packets: what waits for it is told in time,
the process is not ready, and all goes on by itself once it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Any

import psycopg
import pytest

from app.process.children import wait_until
from app.resources import health
from app.writing import command_queue
from app.writing.committer import Committer
from domain import account
from projections import connections
from projections.connections import Silent
from tests.support.commands import Company
from tests.support.inprocess import InProcess, running
from tests.support.proxy import Proxy, proxied

TIMEOUT_MS = 2_000
SECONDS = 2 * TIMEOUT_MS / 1000 + 0.5
"""How long anybody waits at the most: twice the timeout, and what a busy machine takes."""


@pytest.fixture
def proxy(shared_database_url: str) -> Iterator[Proxy]:
    with proxied(shared_database_url) as proxy:
        yield proxy


@pytest.fixture
def process(proxy: Proxy) -> Iterator[InProcess]:
    with running(proxy.url, statement_timeout_ms=TIMEOUT_MS) as process:
        yield process
        proxy.silent = False


def status(process: InProcess, method: str, path: str, company: Company, body: Any = None) -> tuple[int, float]:
    began = monotonic()
    reply = process.request(method, path, body, token=company.admin.token)
    return reply.status, monotonic() - began


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/api/accounts/", {"name": "Silence"}), ("GET", "/api/accounts/", None)],
    ids=["write", "read"],
)
def test_who_asks_a_silent_database_is_told_in_time_and_served_again_afterwards(
    process: InProcess, proxy: Proxy, company: Company, method: str, path: str, body: Any
) -> None:
    answered, _ = status(process, method, path, company, body)
    assert answered in (200, 201)
    proxy.silent = True
    answered, took = status(process, method, path, company, body)
    assert answered == 503
    assert took <= SECONDS
    answered, took = status(process, method, path, company, body)
    assert answered == 503
    assert took <= SECONDS
    proxy.silent = False
    assert wait_until(lambda: status(process, method, path, company, body)[0] in (200, 201), 10)


def test_a_write_whose_commit_met_silence_is_done_once_under_its_key(
    shared_database_url: str, proxy: Proxy, company: Company
) -> None:
    with_key = company.envelope(account.Create(name="Once"), idempotency=("key", b"fingerprint"))
    committer = Committer(proxy.url, statement_timeout_ms=TIMEOUT_MS)
    proxy.at_commit.append("hang after")
    began = monotonic()
    (result,) = committer.run([with_key])
    assert monotonic() - began <= SECONDS
    assert not isinstance(result, Exception), "its commit was looked up on another connection"
    (again,) = company.committer.run([with_key])
    assert not isinstance(again, Exception)
    assert (again.stream_id, again.replayed) == (result.stream_id, True)
    committer.close()


def test_a_process_whose_writer_or_readers_hear_nothing_is_not_ready_until_they_do(
    process: InProcess, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_queue, "FRESH_SECONDS", 0)
    monkeypatch.setattr(health, "PING_SECONDS", 1)

    def ready() -> int:
        return process.request("GET", "/health/ready").status

    assert ready() == 200
    proxy.silent = True
    assert ready() == 503
    proxy.silent = False
    assert wait_until(lambda: ready() == 200, 10)


def test_readiness_asks_the_writer_too(process: InProcess, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_queue, "FRESH_SECONDS", 0)
    monkeypatch.setattr(health, "PING_SECONDS", 1)
    assert process.request("GET", "/health/ready").status == 200

    async def unheard() -> None:
        proxy.silent = True
        await process.app.shared.command_queue.ping(1)

    with pytest.raises(Exception, match="writer"):
        process.wait(unheard())


def test_who_listens_and_whatever_else_asks_gives_up_a_silent_connection(proxy: Proxy) -> None:
    connection = connections.connect(proxy.url, "test", statement_timeout_ms=500)
    proxy.silent = True
    with pytest.raises(Silent):
        connection.execute("SELECT 1")
    assert connection.closed

    async def asynchronous() -> None:
        proxy.silent = False
        connection = await connections.connect_async(proxy.url, "test", statement_timeout_ms=500, role="reader")
        proxy.silent = True
        with pytest.raises(Silent):
            await connection.execute("SELECT 1")
        assert connection.closed

    asyncio.run(asynchronous())


def test_a_statement_longer_than_the_timeout_is_ended_by_the_server_and_the_connection_goes_on(shared_database_url: str) -> None:
    with connections.connect(shared_database_url, "test", statement_timeout_ms=500) as connection:
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(5)")
        assert connection.execute("SELECT 1").fetchone() == (1,)
