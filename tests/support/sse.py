"""A reader of server-sent events, as browsers read them, except that it does not reconnect by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple, Self

SECONDS = 30


class Told(NamedTuple):
    id: int
    """The position in the cursor."""
    event: str
    data: dict[str, Any]
    cursor: str


class Events:
    """An open stream. Raises ``OSError`` where nothing comes for ``SECONDS``."""

    def __init__(self, port: int, token: str, query: str = "", **headers: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        sent = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"/api/events/{query}", headers=sent)
        self.response: HTTPResponse = self._connection.getresponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def blocks(self) -> Iterator[dict[str, str]]:
        """The blocks between empty lines, fields by name; comments under the empty name. Ends with the stream."""
        block: dict[str, str] = {}
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(":")
                block[name] = value.removeprefix(" ")
            elif block:
                yield block
                block = {}

    def progress(self) -> Iterator[dict[str, Any]]:
        """How imports stand, which is told beside the events of the log, without an id."""
        for block in self.blocks():
            if block.get("event") == "import.progress":
                assert "id" not in block
                yield json.loads(block["data"])

    def told(self) -> Iterator[Told]:
        for block in self.blocks():
            if "id" in block and "data" in block:
                yield Told(int(block["id"].partition("-")[0]), block["event"], json.loads(block["data"]), block["id"])

    def take(self, number: int) -> list[Told]:
        return list(islice(self.told(), number))
