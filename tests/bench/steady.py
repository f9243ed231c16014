"""Requests at a steady rate from a process of their own: each is sent at its time, whatever is still under way.

``python -m tests.bench.steady PORT RATE`` reads the requests from its input, as JSON, and prints the seconds from the time of each
to the end of its answer.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec
import uvloop

from tests.bench import databases

CONNECTIONS = 8


async def main(port: int, rate: float, requests: Sequence[str]) -> list[float]:
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    took: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            due, data = await waiting.get()
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            took.append(time.perf_counter() - due)
            waiting.task_done()

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client()) for _ in range(CONNECTIONS)]
        began = time.perf_counter()
        for number, data in enumerate(requests):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            waiting.put_nowait((due, data.encode()))
        await waiting.join()
        for one in clients:
            one.cancel()
    return took


class Steady:
    """A process that has been told what to send."""

    def __init__(self, port: int, rate: float, requests: Sequence[bytes]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.steady", str(port), str(rate)],
            cwd=databases.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode([one.decode() for one in requests]))
        self._process.stdin.close()

    def took(self) -> list[float]:
        """Seconds of every request, the quickest first, when all are answered."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            text = output.read()
        if self._process.wait():
            raise RuntimeError("not every request was answered with 200")
        return sorted(msgspec.json.decode(text, type=list[float]))


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=list[str])
    print(msgspec.json.encode(uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), given))).decode())
