"""A request and its response in uvicorn's terms, with late refusals and responses written in one piece."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from app.http.problems import Refused


class Flow(FlowControl):
    """Flow control that can also be ``held``: nothing is read until the request is answered, even if the handler asks."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


def scope_of(
    method: str,
    path: str,
    headers: list[tuple[bytes, bytes]],
    server: tuple[str, int | None] | None,
    client: tuple[str, int] | None,
    state: dict[str, Any],
) -> dict[str, Any]:
    """The ASGI scope of a request. The caller adds the raw path, query string and version."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": b"",
        "query_string": b"",
        "headers": headers,
        "server": server,
        "client": client,
        "scheme": "http",
        "root_path": "",
        "state": state.copy(),
    }


class Cycle(RequestResponseCycle):
    """A request and its response. A ``refusal`` is raised when the handler waits for more of the body."""

    refusal: Refused | None = None
    task: asyncio.Task[None] | None = None
    _start: Any = None

    def hang_up(self) -> None:
        """The client is gone: end a read that has not begun to answer. A stream ends by itself, and a write goes on."""
        self.disconnected = True
        if self.task is not None and not self.response_started and self.scope["method"] in ("GET", "HEAD"):
            self.task.cancel()

    async def run_asgi(self, app: Any) -> None:
        async def until_hung_up(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.disconnected:
                    raise

        await super().run_asgi(until_hung_up)

    async def receive(self) -> Any:
        message = await super().receive()
        if self.refusal is not None and not self.response_started:
            raise self.refusal
        return message

    async def send(self, message: Any) -> None:
        """Hold back the start until the body comes, so that a whole response is written at once. uvicorn writes all others."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            if not message.get("more_body") and self._may_write() and (head := self._plain_head(start)):
                self._write_whole(head, message["body"])
                return
            await super().send(start)
        await super().send(message)

    def _may_write(self) -> bool:
        return not (self.flow.write_paused or self.disconnected or self.scope["method"] == "HEAD")

    def _plain_head(self, start: Any) -> bytes | None:
        """The head as bytes; None if uvicorn has to look closer: without a content length, or with a line end in a header."""
        lines = [*map(b": ".join, self.default_headers), *map(b": ".join, start["headers"])]
        if not self.keep_alive:
            lines.append(b"connection: close")
        head = STATUS_LINE[start["status"]] + b"\r\n".join(lines)
        plain = b"\r\ncontent-length: " in head and head.count(b"\r") == head.count(b"\n") == len(lines)
        return head if plain else None

    def _write_whole(self, head: bytes, body: bytes) -> None:
        self.response_started = self.response_complete = True
        self.transport.write(b"\r\n\r\n".join((head, body)))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
