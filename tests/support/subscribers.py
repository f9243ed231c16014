"""Many subscribers of the event feed in a process of their own: bare sockets on one loop that note which events came when.

``python -m tests.support.subscribers PORT NUMBER AFTER TOKEN...`` prints ``ready`` when all have their first answer; told the
last position on its input, it prints as JSON what they got once all have got that one, or no more after a minute.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from msgspec import Struct

ROOT = Path(__file__).parents[2]
PATIENCE = 60
_ID = re.compile(rb"^id: (\d+)-[0-9a-f]{8}\nevent", re.MULTILINE)
_RECORDED = re.compile(rb'^id: (\d+)-[0-9a-f]{8}\n.*\n.*"recorded_at":"([^"]+)"', re.MULTILINE)


class Got(Struct):
    """What all subscribers got. ``positions`` are those of the first one; ``different`` counts those who got others, or in another
    order. Lags are seconds from the recording of an event to its arrival, by rising share."""

    positions: list[int]
    different: int
    deliveries: int
    lags: dict[str, float]


class Subscriber(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.answered = asyncio.get_running_loop().create_future()
        self.arrivals: list[tuple[float, list[bytes]]] = []
        self.keep: bytearray | None = None
        self.last = 0
        self._goal: asyncio.Future[None] | None = None
        self._wanted = 0

    def connection_made(self, transport: Any) -> None:
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(data.startswith(b"HTTP/1.1 200"))
        whole, mark, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest
        if mark and (ids := _ID.findall(whole)):
            self.arrivals.append((time.time(), ids))
            self.last = int(ids[-1])
            if self.keep is not None:
                self.keep += whole + mark
            if self._goal is not None and self.last >= self._wanted and not self._goal.done():
                self._goal.set_result(None)

    async def reached(self, position: int) -> None:
        if self.last < position:
            self._wanted, self._goal = position, asyncio.get_running_loop().create_future()
            await self._goal

    def got(self) -> list[int]:
        return [int(id_) for _, ids in self.arrivals for id_ in ids]


def _same(subscriber: Subscriber) -> Subscriber:
    return subscriber


async def subscribe(port: int, number: int, after: int, tokens: Sequence[str]) -> list[Subscriber]:
    """Connected and answered, a few at a time."""
    loop = asyncio.get_running_loop()
    found: list[Subscriber] = []
    for n in range(number):
        request = (
            f"GET /api/events/?after={after} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {tokens[n % len(tokens)]}\r\n\r\n"
        )
        subscriber = Subscriber(request.encode())
        await loop.create_connection(partial(_same, subscriber), "127.0.0.1", port)
        found.append(subscriber)
        if n % 50 == 0:
            await subscriber.answered
    if not all(await asyncio.gather(*(one.answered for one in found))):
        raise SystemExit("a subscriber was refused")
    return found


async def main(port: int, number: int, after: int, tokens: Sequence[str]) -> None:
    subscribers = await subscribe(port, number, after, tokens)
    subscribers[0].keep = bytearray()
    print("ready", flush=True)
    last = int(await asyncio.to_thread(sys.stdin.readline))
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(one.reached(last) for one in subscribers))
    print(msgspec.json.encode(summed(subscribers)).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def summed(subscribers: Sequence[Subscriber]) -> Got:
    positions = subscribers[0].got()
    assert subscribers[0].keep is not None
    recorded = {id_: datetime.fromisoformat(at.decode()).timestamp() for id_, at in _RECORDED.findall(subscribers[0].keep)}
    lags = sorted(at - recorded[id_] for one in subscribers for at, ids in one.arrivals for id_ in ids if id_ in recorded)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return Got(
        positions,
        sum(one.got() != positions for one in subscribers),
        len(lags),
        {name: lags[min(len(lags) - 1, int(len(lags) * share))] for name, share in shares.items()} if lags else {},
    )


class Subscribers:
    """The process. ``got`` ends the counting, ``close`` the subscriptions."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def got(self, last: int) -> Got:
        """What they got when all had the event at position ``last``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{last}\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Got)

    def close(self) -> None:
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def subscribed(port: int, number: int, tokens: Sequence[str], after: int = 0) -> Iterator[Subscribers]:
    command = [sys.executable, "-m", "tests.support.subscribers", *map(str, (port, number, after)), *tokens]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    subscribers = Subscribers(process)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the subscribers did not get their first answers")
        yield subscribers
    finally:
        subscribers.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
