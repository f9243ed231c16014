"""``opportunities serve``: several processes on one port, an end with 0, and nobody left behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from app.process import children, ports
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support.server import Server, serving

pytestmark = pytest.mark.e2e


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_it_ends_with_0_when_told_to(database_url: str) -> None:
    for workers in (1, 2):
        server = Server(database_url, workers=workers)
        server.start()
        assert server.stop() == 0
        assert ports.bind_problem("127.0.0.1", server.port) is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_its_workers_do_not_outlive_it(database_url: str) -> None:
    with serving(database_url, workers=2) as server:
        assert server.process is not None
        workers = children_of(server.process.pid)
        assert len(workers) >= 2
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        assert children.wait_until(lambda: not alive(workers), 15), workers


def test_workers_share_what_is_written(database_url: str) -> None:
    committer = Committer(database_url)
    org = create_org(committer, "Acme", "USD", "ada@acme.example")
    committer.close()
    with serving(database_url, workers=2) as server:
        for number in range(8):
            with server.client(org.token) as client:
                assert client.post("/api/accounts/", {"name": f"Account {number}"}).status == 201
            with server.client(org.token) as client:
                assert client.get("/api/accounts/").json()["count"] == number + 1


def test_who_asks_too_fast_is_told_when_to_come_again(database_url: str) -> None:
    committer = Committer(database_url)
    org = create_org(committer, "Acme", "USD", "ada@acme.example")
    committer.close()
    with serving(database_url, OPPORTUNITIES_RATE_LIMIT="0.5") as server, server.client(org.token) as client:
        assert client.get("/api/accounts/").status == 200
        refused = client.get("/api/accounts/")
        assert (refused.status, refused.json()["code"]) == (429, "too_many_requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 2
