"""The application in this process, called over ASGI without sockets: for tests that send thousands of requests.

Its event loop has a thread of its own, so any number of threads may call it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from app.main import Application, create_app
from app.settings import Settings
from tests.support.server import Reply

T = TypeVar("T")


class InProcess:
    """One process's application; start it with ``running``."""

    def __init__(self, app: Application, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self._loop = loop

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def request(self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> Reply:
        """``headers`` by their names with underscores: ``If_Match="3"``."""
        sent = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
        if token:
            sent.append((b"authorization", f"Bearer {token}".encode()))
        raw = b"" if body is None else json.dumps(body).encode()
        if raw:
            sent += [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        return self.wait(self._ask(method, path, raw, [(b"host", b"test"), *sent]))

    async def _ask(self, method: str, path: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> Reply:
        got: list[Any] = []
        asked = False

        async def receive() -> Any:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()  # the client stays
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            got.append(message)

        await self.app(scope(method, path, headers), receive, send)
        answered = {name.decode().lower(): value.decode() for name, value in got[0]["headers"]}
        return Reply(got[0]["status"], answered, b"".join(message.get("body", b"") for message in got[1:]))


def scope(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> Any:
    """A request as ASGI has it."""
    parts = urlsplit(path)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }


@contextmanager
def running(database_url: str, **settings: Any) -> Iterator[InProcess]:
    app = create_app(Settings(database_url=database_url, **settings))
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        stop = asyncio.Event()
        try:
            async with app.lifespan():
                started.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()
        except BaseException as fault:
            if not started.done():
                started.set_exception(fault)
            raise

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="in-process", daemon=True)
    thread.start()
    loop, stop = started.result(30)
    try:
        yield InProcess(app, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
