"""Cheap questions wait for no dear one, a token for its own, and what nobody waits for any more ends in the database."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.process.children import wait_until
from app.reading.aside import Aside
from app.reading.lane import Lane
from app.reading.presence import Presence
from app.reading.turns import Turns
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from projections.clock import Clock
from projections.questions import OTHER
from tests.support.scenarios import Org, refused
from tests.support.server import Server, serving

OURS, THEIRS = UUID(int=1), UUID(int=2)
TOKEN = UUID(int=3)
WATERFALL = "/api/opportunities/forecast/changes/?from=2026-01-01T00:00:00Z&expand=opportunities"
ROUTE = "/api/opportunities/forecast/changes"
MAX_WAITING = 16


def reading(url: str, scenario: Callable[[Lane], Awaitable[None]], places: int = 1) -> None:
    async def run() -> None:
        lane = Lane("dear", url, Turns(places, places), Clock(), Aside(Presence()), timeout_ms=30_000)
        try:
            await scenario(lane)
        finally:
            await lane.close()

    asyncio.run(run())


async def ask(lane: Lane, text: str, org: UUID = OURS, **params: Any) -> Any:
    return (await lane.rows((org, TOKEN), org, text, params, OTHER))[0][0]


def running(url: str, mark: str) -> int:
    """How many statements with this text among their parameters, or in themselves, the server is working on."""
    with psycopg.connect(url, autocommit=True) as other:
        row = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE %s",
            (f"%{mark}%",),
        ).fetchone()
    assert row is not None
    return int(row[0])


async def begun(url: str, mark: str) -> None:
    assert await asyncio.to_thread(wait_until, lambda: running(url, mark) == 1, 10)


def test_a_question_whose_caller_is_gone_ends_in_the_database_and_its_connection_goes_on(shared_database_url: str) -> None:
    async def scenario(lane: Lane) -> None:
        pid = await ask(lane, "SELECT pg_backend_pid()")
        for _ in range(3):
            call = asyncio.create_task(ask(lane, "SELECT pg_sleep(60) AS left_alone"))
            await begun(shared_database_url, "left_alone")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await ask(lane, "SELECT pg_backend_pid()") == pid
            assert running(shared_database_url, "left_alone") == 0

    reading(shared_database_url, scenario)


def test_a_place_is_free_only_when_the_question_of_the_caller_who_is_gone_has_ended(shared_database_url: str) -> None:
    """Otherwise whoever asks and hangs up again and again would have as many statements running as they like."""

    async def scenario(lane: Lane) -> None:
        calls = []
        for _ in range(20):
            calls.append(asyncio.create_task(ask(lane, "SELECT pg_sleep(0.2) AS hung_up")))
            await asyncio.sleep(0.01)
            calls[-1].cancel()
            assert running(shared_database_url, "hung_up") <= 1
        await asyncio.gather(*calls, return_exceptions=True)
        assert await ask(lane, "SELECT 1") == 1

    reading(shared_database_url, scenario)


def test_a_caller_who_leaves_while_a_connection_changes_orgs_leaves_it_seeing_none(shared_database_url: str) -> None:
    sees = "SELECT current_setting('app.org_id')"

    async def scenario(lane: Lane) -> None:
        assert await ask(lane, sees, OURS) == str(OURS)
        call = asyncio.create_task(ask(lane, sees, THEIRS))
        await asyncio.sleep(0)  # the statement that changes the org is sent, and cannot be answered yet
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await ask(lane, sees, OURS) == str(OURS)

    reading(shared_database_url, scenario)


def test_who_needs_the_tables_may_cancel_a_question_again_and_again(shared_database_url: str) -> None:
    """As a swap does until it has them; under load it takes more than one try."""

    async def scenario(lane: Lane) -> None:
        pid = await ask(lane, "SELECT pg_backend_pid()")
        call = asyncio.create_task(ask(lane, "SELECT pg_sleep(0.5) IS NULL AS swapped"))
        with psycopg.connect(shared_database_url, autocommit=True) as other:

            def cancelled(last: list[Any]) -> bool:
                """Cancel the statement if it has begun since the last time."""
                row = other.execute(
                    "SELECT query_start, pg_cancel_backend(pid) FROM pg_stat_activity"
                    " WHERE pid = %s AND state = 'active' AND query LIKE '%%swapped%%' AND query_start > %s",
                    (pid, last[-1]),
                ).fetchone()
                last += [row[0]] if row else []
                return row is not None

            last: list[Any] = ["-infinity"]
            for _ in range(3):
                assert await asyncio.to_thread(wait_until, lambda: cancelled(last), 10)
        assert await call is False

    reading(shared_database_url, scenario)


def test_a_lane_that_closes_ends_what_was_left(shared_database_url: str) -> None:
    async def scenario(lane: Lane) -> None:
        call = asyncio.create_task(ask(lane, "SELECT pg_sleep(60) AS at_the_end"))
        await begun(shared_database_url, "at_the_end")
        call.cancel()
        await asyncio.wait([call])

    reading(shared_database_url, scenario)
    assert running(shared_database_url, "at_the_end") == 0


@contextmanager
def waterfalls_wait(url: str) -> Iterator[None]:
    """The ledger is locked: who asks for a waterfall waits, and nobody else."""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE forecast_entries IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def held_up(url: str) -> int:
    """How many statements wait for the ledger."""
    with psycopg.connect(url, autocommit=True) as other:
        row = other.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = 'forecast_entries'::regclass AND NOT granted"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def orgs(database_url: str, request: pytest.FixtureRequest) -> Iterator[tuple[Server, Org, Org]]:
    """Two orgs on a server of the test's own."""
    with ExitStack() as stack:
        committer = stack.enter_context(closing(Committer(database_url)))
        server = stack.enter_context(serving(database_url, **getattr(request, "param", {})))
        ours, theirs = (
            stack.enter_context(closing(Org(server, create_org(committer, name, "USD", "a@b.example"))))
            for name in ("Ours", "Theirs")
        )
        yield server, ours, theirs


def send(stack: ExitStack, server: Server, token: str, path: str) -> socket.socket:
    """A request whose response nobody reads yet."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
    return connection


def measured(org: Org, name: str) -> float:
    lines = org.admin.get("/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def dear(org: Org) -> tuple[float, float]:
    """Dear questions that are being answered, and those that wait."""
    return measured(org, 'read_connections_in_use{lane="dear"}'), measured(org, 'read_questions_waiting{lane="dear"}')


def test_a_token_that_asks_dear_questions_keeps_nobody_else_waiting(orgs: tuple[Server, Org, Org], database_url: str) -> None:
    server, ours, theirs = orgs
    colleague = ours.client(ours.user("manager"))
    deal = ours.opportunity()
    with waterfalls_wait(database_url), ExitStack() as stack:
        for _ in range(1 + MAX_WAITING):
            send(stack, server, ours.token, WATERFALL)
        assert wait_until(lambda: dear(ours) == (1, MAX_WAITING), 10)
        problem = ours.admin.get(WATERFALL)
        assert refused(problem, 429)["code"] == "too_many_waiting"
        assert int(problem.headers["retry-after"]) >= 1
        for client in (ours.admin, colleague):  # what is cheap is answered, also to who asks too much
            assert client.get("/api/opportunities/").json()["count"] == 1
            assert client.get(f"/api/opportunities/{deal['id']}/").status == 200
        assert colleague.get("/api/opportunities/?search=annual").json()["count"] == 1
        assert theirs.admin.get("/api/opportunities/?search=annual").json()["count"] == 0
        refused(ours.admin.get("/api/opportunities/?search=pilot"), 429)
        assert ours.admin.get("/api/opportunities/?search=annual").json()["count"] == 1, "it was counted, and is little"
    assert wait_until(lambda: dear(ours) == (0, 0), 10)
    assert ours.admin.get(WATERFALL).status == 200


def test_who_hangs_up_has_nothing_left_running_or_waiting(orgs: tuple[Server, Org, Org], database_url: str) -> None:
    server, ours, theirs = orgs
    with waterfalls_wait(database_url):
        with ExitStack() as stack:
            for org in (ours, ours, ours, theirs):
                send(stack, server, org.token, WATERFALL)
            assert wait_until(lambda: held_up(database_url) == 2, 10)
            assert wait_until(lambda: dear(ours) == (2, 2), 10)
        assert wait_until(lambda: held_up(database_url) == 0, 5), "long before their timeout of 15 seconds"
        assert wait_until(lambda: dear(ours) == (0, 0), 5)
    assert measured(ours, f'http_request_duration_seconds_count{{method="GET",route="{ROUTE}",status="499"}}') == 4
    assert theirs.admin.get(WATERFALL).status == 200


def test_a_question_is_gone_within_a_second_after_its_client_hung_up(orgs: tuple[Server, Org, Org], database_url: str) -> None:
    """Mostly, so that a machine with other work to do does not make it red."""
    server, ours, _ = orgs
    took = []
    with waterfalls_wait(database_url):
        for _ in range(5):
            with ExitStack() as stack:
                send(stack, server, ours.token, WATERFALL)
                assert wait_until(lambda: held_up(database_url) == 1, 10)
            began = time.monotonic()
            assert wait_until(lambda: held_up(database_url) == 0, 10)
            took.append(time.monotonic() - began)
    assert statistics.median(took) < 1, took


@pytest.mark.parametrize("orgs", [{"OPPORTUNITIES_SHUTDOWN_TIMEOUT_S": "1"}], indirect=True)
def test_a_process_that_stops_leaves_no_question_running(orgs: tuple[Server, Org, Org], database_url: str) -> None:
    server, ours, _ = orgs
    with waterfalls_wait(database_url), ExitStack() as stack:
        send(stack, server, ours.token, WATERFALL)
        assert wait_until(lambda: held_up(database_url) == 1, 10)
        assert server.stop() == 0
        assert held_up(database_url) == 0


@pytest.mark.parametrize("orgs", [{"OPPORTUNITIES_DEAR_TIMEOUT_MS": "300"}], indirect=True)
def test_a_dear_question_has_a_timeout_of_its_own(orgs: tuple[Server, Org, Org], database_url: str) -> None:
    _, ours, _ = orgs
    with waterfalls_wait(database_url):
        assert refused(ours.admin.get(WATERFALL), 503)["code"] == "unavailable"
    assert ours.admin.get(WATERFALL).status == 200


def test_the_time_of_questions_is_measured_by_their_kind(orgs: tuple[Server, Org, Org]) -> None:
    _, ours, _ = orgs
    for path in ("/api/opportunities/", "/api/opportunities/", "/api/opportunities/?search=x", WATERFALL):
        assert ours.admin.get(path).status == 200
    for lane, kind, number in (("cheap", "list", 2), ("dear", "list_search", 1), ("dear", "waterfall_expanded", 1)):
        name = f'read_questions_total{{lane="{lane}",question="{kind}"}}'
        assert wait_until(lambda name=name, number=number: measured(ours, name) == number, 5), name  # type: ignore[misc]
        assert measured(ours, name.replace("questions_total", "question_seconds_total")) > 0
