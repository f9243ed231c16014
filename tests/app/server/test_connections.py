"""Connections that are slow, silent, greedy or too many: none takes what is everybody's. A test can wait for the bounds here."""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from app.process import children
from app.writing.committer import Committer
from app.writing.provisioning import Provisioned, create_org
from tests.support.scenarios import refused
from tests.support.server import Reply, Server, serving

LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
PATIENCE = 1.5
ROOM = 20


@pytest.fixture(scope="module")
def org(shared_database_url: str) -> Provisioned:
    committer = Committer(shared_database_url)
    made = create_org(committer, "Acme", "USD", "ada@acme.example")
    committer.close()
    return made


@pytest.fixture(scope="module")
def hasty(shared_database_url: str) -> Iterator[Server]:
    """Waits a second and a half for a head or body, half a second for its next byte, and has few connections."""
    with serving(
        shared_database_url,
        OPPORTUNITIES_HEAD_TIMEOUT_S=str(PATIENCE),
        OPPORTUNITIES_BODY_TIMEOUT_S=str(PATIENCE),
        OPPORTUNITIES_KEEP_ALIVE_S="6",
        OPPORTUNITIES_MAX_CONNECTIONS=str(ROOM),
    ) as server:
        yield server


@contextmanager
def connected(server: Server, *sent: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for data in sent:
            connection.sendall(data)
        yield connection


def answer(connection: socket.socket) -> Reply:
    response = HTTPResponse(connection)
    response.begin()
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def drip(connection: socket.socket, text: bytes, every: float) -> None:
    """Send a byte now and then, until the server has enough of it."""

    def run() -> None:
        with suppress(OSError):
            for at in range(len(text)):
                connection.sendall(text[at : at + 1])
                time.sleep(every)

    threading.Thread(target=run, daemon=True).start()


def post(org: Provisioned, length: int) -> bytes:
    lines = ["POST /api/accounts/ HTTP/1.1", "host: x", f"authorization: Bearer {org.token}", "content-type: application/json"]
    return "\r\n".join([*lines, f"content-length: {length}", "", ""]).encode()


def test_a_head_that_stops_is_answered_408(hasty: Server) -> None:
    with connected(hasty, LIVE[:20]) as connection:
        started = time.monotonic()
        assert refused(answer(connection), 408)["code"] == "head_timeout"
        assert time.monotonic() - started < PATIENCE
        assert connection.recv(1) == b""


def test_a_head_that_drips_is_answered_408(hasty: Server) -> None:
    with connected(hasty) as connection:
        drip(connection, LIVE[:-2] + b"x: " + b"y" * 1_000, 0.1)
        assert refused(answer(connection), 408)["code"] == "head_timeout"


@pytest.mark.parametrize("every", [60, 0.1], ids=["stops", "drips"])
def test_a_body_that_stops_or_drips_is_answered_408(hasty: Server, org: Provisioned, every: float) -> None:
    with connected(hasty, post(org, 1_000)) as connection:
        drip(connection, b" " * 1_000, every)
        reply = answer(connection)
        assert refused(reply, 408)["code"] == "body_timeout"
        assert reply.headers["connection"] == "close"


def test_a_connection_that_says_nothing_is_closed(hasty: Server) -> None:
    with connected(hasty) as connection:
        assert connection.recv(1) == b""


def test_a_body_that_nobody_waits_for_is_not_awaited_for_long(hasty: Server) -> None:
    """A 401 comes before the body, and the body never."""
    with connected(hasty, b"POST /api/accounts/ HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n") as connection:
        refused(answer(connection), 401)
        assert connection.recv(1) == b""


def test_an_idle_connection_is_kept_for_as_long_as_is_set(hasty: Server) -> None:
    """Longer than for the 5 seconds that uvicorn has: a load balancer must let go of it before we do."""
    with connected(hasty, LIVE) as used, connected(hasty, LIVE) as left:
        assert answer(used).status == answer(left).status == 200
        answered = time.monotonic()
        time.sleep(5.3)
        used.sendall(LIVE)
        assert answer(used).status == 200
        assert left.recv(1) == b""
        assert 5.9 < time.monotonic() - answered < 9


def test_an_answer_that_nobody_reads_ends_its_connection(hasty: Server) -> None:
    with connected(hasty) as connection, pytest.raises(ConnectionError):
        connection.sendall(LIVE * 1_000_000)


def test_silent_connections_give_way(hasty: Server, org: Provisioned) -> None:
    with ExitStack() as stack:
        for _ in range(ROOM * 5):
            stack.enter_context(connected(hasty))
        time.sleep(1.1)
        with hasty.client(org.token) as client:
            assert client.get("/api/accounts/").status == 200


def test_a_full_process_answers_for_its_health_and_nothing_else(hasty: Server, org: Provisioned) -> None:
    with ExitStack() as stack:
        for _ in range(ROOM):
            client = stack.enter_context(hasty.client(org.token))
            assert client.get("/api/users/me/").status == 200
        with hasty.client(org.token) as late:
            reply = late.get("/api/users/me/")
            assert refused(reply, 503)["code"] == "busy"
            assert (reply.headers["retry-after"], reply.headers["connection"]) == ("1", "close")
            for path in ("/health/live", "/health/ready"):
                assert late.get(path).status == 200
        many = [stack.enter_context(connected(hasty)) for _ in range(100)]
        many[-1].settimeout(10)
        assert b" 503 " in many[-1].recv(4_096)

    def let_in() -> bool:
        with hasty.client(org.token) as client:
            return client.get("/api/users/me/").status == 200

    assert children.wait_until(let_in, 10)


def memory(server: Server) -> float:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_who_sends_ahead_and_reads_nothing_costs_next_to_nothing(server: Server, org: Provisioned) -> None:
    """Four of them, each with 300,000 requests at once, as fast as they are taken."""
    with ExitStack() as stack:
        client = HTTPConnection("127.0.0.1", server.port)

        def seconds() -> float:
            started = time.perf_counter()
            client.request("GET", "/api/users/me/", headers={"Authorization": f"Bearer {org.token}"})
            assert client.getresponse().read()
            return time.perf_counter() - started

        for _ in range(200):
            seconds()
        before = memory(server)
        flood = LIVE * 300_000
        greedy = [stack.enter_context(connected(server)) for _ in range(4)]
        for connection in greedy:
            threading.Thread(target=_send, args=(connection, flood), daemon=True).start()
        taken = [seconds() for _ in range(200)]
        assert memory(server) - before < 12
        assert statistics.quantiles(taken, n=10)[-1] < 0.25
        client.close()


def _send(connection: socket.socket, data: bytes) -> None:
    connection.settimeout(60)
    with suppress(OSError):
        connection.sendall(data)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_header_without_end_is_not_kept(server: Server) -> None:
    with connected(server, LIVE) as connection:
        answer(connection)
        before = memory(server)
        with suppress(OSError):
            connection.sendall(LIVE[:-2] + b"x: ")
            for _ in range(100):
                connection.sendall(b"y" * 1_000_000)
        assert memory(server) - before < 8


def test_a_process_that_stops_closes_idle_connections_and_answers_the_others(shared_database_url: str, org: Provisioned) -> None:
    body = b'{"name": "Late"}'
    with serving(shared_database_url) as server:
        with (
            connected(server, LIVE) as idle,
            connected(server, LIVE[:20]) as begun,
            connected(server, post(org, len(body))) as busy,
        ):
            assert answer(idle).status == 200
            busy.sendall(body[:5])
            assert server.process is not None
            server.process.terminate()
            assert idle.recv(1) == b""
            assert begun.recv(1) == b""
            busy.sendall(body[5:])
            reply = answer(busy)
            assert (reply.status, reply.headers["connection"]) == (201, "close")
        assert server.stop() == 0


def test_paths_in_logs_are_cut(database_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        serving(database_url) as server,
        connected(server, b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n") as connection,
    ):
        assert "a" * 513 not in refused(answer(connection), 404)["detail"]
    lines = [line for line in capfd.readouterr().err.splitlines() if "a" * 100 in line]
    assert [len(json.loads(line)["path"]) for line in lines] == [512]
