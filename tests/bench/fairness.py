"""What one token's dear questions cost everybody else: the latency of plain requests beside them and alone, of another token of the
same org and of another org.

``python -m tests.bench.fairness PORT`` reads the dear requests from its input, as JSON, and sends them over ``ASKERS`` connections
until its input ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import cache
from itertools import cycle
from typing import Any, Literal
from urllib.parse import quote

import msgspec
import uvloop

from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.bench import databases, load
from tests.bench.rig import Rig, Sample
from tests.bench.workload import ROOT

ASKERS = 16
THEIR_DEALS = 200
Whose = Literal["same org", "other org"]


@cache
def of(rig: Rig) -> Fairness:
    return Fairness(rig)


class Fairness:
    """``same org`` asks with a token of its own in the org whose first token asks what is dear."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._port = rig.ours.port
        token = self._made("/api/tokens/", rig.work.loaded.token, {"name": "bench, fairness"})["token"]
        with closing(Committer(rig.url)) as committer:
            theirs = create_org(committer, "Another org", "USD", "admin@other.example")
        account = self._made("/api/accounts/", theirs.token, {"name": "Acme"})["id"]
        self._tokens: dict[Whose, str] = {"same org": token, "other org": theirs.token}
        self._accounts: dict[Whose, Any] = {"same org": rig.work.accounts[0], "other org": account}
        self._ids: dict[Whose, list[Any]] = {
            "same org": rig.work.ids[:500],
            "other org": [self._made(ROOT, theirs.token, self._deal("other org"))["id"] for _ in range(THEIR_DEALS)],
        }

    def _made(self, path: str, token: str, body: object) -> Any:
        status, answer = load.fetch(self._port, load.request("POST", path, _bearer(token), body))
        assert status == 201, answer
        return msgspec.json.decode(answer)

    def _deal(self, whose: Whose) -> dict[str, Any]:
        day = self._rig.work.today + timedelta(days=30)
        return {"name": "Annual", "account_id": self._accounts[whose], "amount": "1000.00", "close_date": day}

    def dear(self) -> list[bytes]:
        """The dearest questions that may be asked."""
        past = quote((self._rig.work.loaded.loaded_at - timedelta(days=1)).isoformat())
        queries = ("?search=e%20a", f"forecast/?group_by=account&as_of={past}", "?next_step__icontains=zz&ordering=name")
        return [self._rig.work.get(ROOT + query) for query in queries]

    def requests(self, verb: str, whose: Whose) -> Iterator[bytes]:
        headers = _bearer(self._tokens[whose])
        match verb:
            case "list":
                return load.same(load.request("GET", f"{ROOT}?stage=proposal", headers))
            case "detail":
                return cycle([load.request("GET", f"{ROOT}{id_}/", headers) for id_ in self._ids[whose]])
            case "forecast":
                return load.same(load.request("GET", f"{ROOT}forecast/", headers))
        return load.same(load.request("POST", ROOT, headers, self._deal(whose)))

    def sample(self, verb: str, whose: Whose) -> Sample:
        """The p99 of one request at a time."""
        expect = b"201" if verb == "create" else b"200"
        found = self._rig.hit(self._rig.ours, self.requests(verb, whose), expect=expect, connections=1)
        assert found.p99 is not None
        return Sample(found.p99, "ms", found.p50, found.p99, found.cpu)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Meanwhile one token asks what is dear."""
        command = [sys.executable, "-m", "tests.bench.fairness", str(self._port)]
        process = subprocess.Popen(
            command, cwd=databases.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdout as output:
            process.stdin.write(msgspec.json.encode([one.decode() for one in self.dear()]) + b"\n")
            process.stdin.flush()
            assert output.readline() == b"asking\n"
            try:
                yield
            finally:
                process.stdin.close()
                answers = output.read().decode().strip()
                process.wait()
        self._rig.report(f"dear questions meanwhile: {answers}")


def beside(verb: str, whose: Whose) -> Callable[[Rig], Sample]:
    def take(rig: Rig) -> Sample:
        with of(rig).asked():
            return of(rig).sample(verb, whose)

    return take


def alone(verb: str, whose: Whose) -> Callable[[Rig], Sample]:
    return lambda rig: of(rig).sample(verb, whose)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def main(port: int, requests: Sequence[str]) -> dict[str, int]:
    """How often each status was answered."""
    statuses: dict[str, int] = {}

    async def client(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        for number in range(first, 1 << 30):
            writer.write(requests[number % len(requests)].encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            status = head[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1

    clients = [asyncio.create_task(client(number)) for number in range(ASKERS)]
    await asyncio.sleep(0.5)  # until all have asked, and the first ones are being answered
    print("asking", flush=True)
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    await asyncio.wait([ended, *clients], return_when=asyncio.FIRST_COMPLETED)
    for one in clients:
        if one.done():
            one.result()
        one.cancel()
    return statuses


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.readline(), type=list[str])
    print(msgspec.json.encode(uvloop.run(main(int(sys.argv[1]), given))).decode())
