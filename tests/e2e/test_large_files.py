"""Files as large as they may be, and one byte larger: server and worker take them in parts, and their memory stays as it was."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from app.importing.faults import MAX_BYTES, MAX_CELL
from app.process.children import wait_until
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support.imports import BOUNDARY, PATH
from tests.support.processes import command, environment
from tests.support.scenarios import Json, Org, made, refused
from tests.support.server import Reply, serving

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.timeout(3_600),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]
GROWTH = 64
"""MB by which a process may grow beyond what it was."""
HEAD = b"Name,Account,External id,Notes\n"


@contextmanager
def working(url: str) -> Iterator[int]:
    """``opportunities imports``; its process id."""
    worker = subprocess.Popen(command("imports"), env=environment({"DATABASE_URL": url}), stderr=subprocess.DEVNULL)
    try:
        yield worker.pid
    finally:
        worker.terminate()
        assert worker.wait(60) == 0


def memory(pid: int, which: str = "VmHWM") -> float:
    """MB of a process with its children: the most so far, or (``VmRSS``) now."""
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    status = [Path(f"/proc/{one}/status").read_text() for one in pids]
    return sum(int(found[1]) / 1024 for one in status if (found := re.search(rf"{which}:\s+(\d+)", one)))


def file(size: int) -> Iterator[bytes]:
    """A file of deals with a cell as long as cells may be, of exactly so many bytes."""
    yield HEAD
    size -= len(HEAD)
    note = b"x" * MAX_CELL
    number = 0
    while size > MAX_CELL + 1_000:
        number += 1
        line = b"Deal %d,Account %d,E%d,%b\n" % (number, number % 100, number, note)
        size -= len(line)
        yield line
    if size > MAX_CELL:
        line = b"Deal one,Account 0,E-1," + b"x" * 2_000 + b"\n"
        size -= len(line)
        yield line
    rest = b"Deal last,Account 0,E0,"
    yield rest + b"x" * (size - len(rest))


def uploaded(org: Org, pieces: Iterator[bytes], size: int | None) -> Reply:
    """Sent as it is made; without a length if ``size`` is None."""
    parts = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="kind"\r\n\r\nopportunities\r\n--{BOUNDARY}\r\n'
    before = (parts + 'Content-Disposition: form-data; name="file"; filename="deals.csv"\r\n\r\n').encode()
    after = f"\r\n--{BOUNDARY}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield before
        yield from pieces
        yield after

    headers = {"Authorization": f"Bearer {org.token}", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    if size is not None:
        headers["Content-Length"] = str(len(before) + size + len(after))
    connection = HTTPConnection("127.0.0.1", org.server.port, timeout=300)
    with suppress(BrokenPipeError, ConnectionResetError):  # it was refused before it was sent
        connection.request("POST", PATH, body(), headers, encode_chunked=size is None)
    response = connection.getresponse()
    return Reply(response.status, dict(response.getheaders()), response.read())


def reached(org: Org, id_: str, *states: str) -> Json:
    found: list[Json] = []
    client = org.with_token(org.token)

    def there() -> bool:
        found[:] = [made(client.get(f"{PATH}{id_}/"), 200)]
        return found[0]["state"] in states

    assert wait_until(there, 1_800), found
    return found[0]


@contextmanager
def running(url: str) -> Iterator[tuple[Org, int, int]]:
    """An org, and the processes that serve and import, which have done a little already."""
    with closing(Committer(url)) as committer:
        created = create_org(committer, "Large", "USD", "ada@large.example")
    with serving(url) as server, working(url) as worker, closing(Org(server, created)) as org:
        assert server.process is not None
        small = HEAD + b"A,Acme,E,x\n"
        reached(org, made(uploaded(org, iter([small]), len(small)))["id"], "ready")
        yield org, server.process.pid, worker


def test_two_gigabytes_are_taken_in_parts_and_a_byte_more_is_refused(database_url: str) -> None:
    with running(database_url) as (org, server, worker):
        before = memory(server, "VmRSS")
        problem = refused(uploaded(org, file(MAX_BYTES + 1), None), 413)
        assert "2,048 MB together: split" in problem["detail"]
        assert made(org.with_token(org.token).get(PATH), 200)["count"] == 1
        id_ = made(uploaded(org, file(MAX_BYTES), MAX_BYTES))["id"]
        assert memory(server) < before + GROWTH
        at_rest = memory(worker, "VmRSS")
        ready = reached(org, id_, "ready", "failed")
        assert (ready["state"], ready["files"][0]["size"]) == ("ready", MAX_BYTES)
        looked = memory(worker)
        made(org.with_token(org.token).post(f"{PATH}{id_}/start/?dry_run=true"), 202)
        checked = reached(org, id_, "ready", "failed")
        assert (checked["done"], checked["failed"]) == (ready["rows"], 0)
        assert memory(worker) < at_rest + GROWTH
        made(org.with_token(org.token).post(f"{PATH}{id_}/start/"), 202)
        done = reached(org, id_, "done", "failed")
        assert (done["state"], done["created"], done["failed"]) == ("done", ready["rows"], 0)
        assert made(org.with_token(org.token).get("/api/opportunities/?page_size=1"), 200)["count"] == ready["rows"]
        assert memory(worker) < at_rest + GROWTH
        print("MB: server", before, memory(server), "worker", at_rest, looked, memory(worker))
        print("rows", ready["rows"], "a second: checked", checked["rate"], "imported", done["rate"])


def test_a_quote_that_stays_open_at_line_500_000_is_told_by_that_line_and_nothing_is_imported(database_url: str) -> None:
    lines = [HEAD, *(b"Deal %d,Acme,E%d,\n" % (number, number) for number in range(2, 500_000))]
    lines += [b'Deal,"Acme,E,\n', *(b"Deal %d,Acme,E%d,\n" % (number, number) for number in range(500_001, 700_000))]
    with running(database_url) as (org, _, worker):
        before = memory(worker, "VmRSS")
        id_ = made(uploaded(org, iter(lines), sum(map(len, lines))))["id"]
        failed = reached(org, id_, "ready", "failed")
        assert (failed["state"], failed["problem"]["line"]) == ("failed", 500_000)
        assert "is not closed by line" in failed["problem"]["message"]
        assert made(org.with_token(org.token).get("/api/opportunities/"), 200)["count"] == 0
        assert memory(worker) < before + GROWTH
