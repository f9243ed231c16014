"""The application: routes, the middleware around them, and what is opened at startup and closed at shutdown.

There is no global state: everything a request needs hangs on the application that ``create_app`` made.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import LifeSpanReceive, LifeSpanScope, LifeSpanSend, Receive, Scope, Send

from app.http import middleware, problems
from app.http.export_turns import Exports
from app.http.middleware import Access, Limits
from app.http.rate_limit import RateLimit
from app.http.renderer import Renderer
from app.http.schema_check import SchemaCheck
from app.http.shared import Shared
from app.http.uploads import Uploads
from app.reading.embedded_cards import EmbeddedCards
from app.reading.keeper import Keeper
from app.reading.live_feed import LiveFeed
from app.reading.notifications import Notifications
from app.reading.read_pool import ReadPool
from app.resources import api_root
from app.resources.webhook_requests import WebhookRequests
from app.routes import ROUTES
from app.schema import asyncapi, openapi, pages
from app.settings import Settings
from app.writing.command_queue import CommandQueue
from app.writing.committer import Committer

SWITCH_SECONDS = 0.0001
"""After how long a thread that renders or commits hands the interpreter to the event loop, which needs it several times for each
request: Python's own five milliseconds are more than a record takes."""


class Application(Litestar):
    """Litestar with ``Access`` around all of it, including its routing."""

    access: Access
    shared: Shared

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self.access(scope, receive, send)  # type: ignore[arg-type]
        else:
            await super().__call__(scope, receive, send)

    async def routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


def create_app(settings: Settings, routes: Sequence[Any] = ROUTES) -> Application:
    """An application that opens its connections at startup. ``shared`` has what its handlers use."""
    reads = ReadPool(
        settings.database_url,
        connections=settings.read_connections,
        dear_connections=settings.dear_connections,
        statement_timeout_ms=settings.statement_timeout_ms,
        dear_timeout_ms=min(settings.dear_timeout_ms, settings.statement_timeout_ms),
        folder=os.environ.get("PROMETHEUS_MULTIPROC_DIR"),
    )
    draining = asyncio.Event()
    arrivals = Notifications(settings.database_url, draining, statement_timeout_ms=settings.statement_timeout_ms)
    shared = Shared(
        read_pool=reads,
        keeper=Keeper(reads),
        embedded_cards=EmbeddedCards(),
        renderer=Renderer(reads.aside),
        notifications=arrivals,
        live_feed=LiveFeed(reads, arrivals, draining, per_token=settings.streams_per_token, per_org=settings.streams_per_org),
        draining=draining,
        schema=SchemaCheck(settings.database_url),
        public_url=settings.public_url,
        metrics_token=settings.metrics_token,
        max_body_bytes=settings.max_body_bytes,
        uploads=Uploads(settings.database_url, settings.statement_timeout_ms),
        exports=Exports(settings.database_url, reads, settings.exports, settings.export_seconds),
    )
    app = Application(
        list(routes),
        state=State({"shared": shared, "webhook_requests": WebhookRequests(settings)}),
        lifespan=[_lifespan(settings, shared)],
        exception_handlers={Exception: problems.to_response},
        openapi_config=None,
        logging_config=None,
    )
    app.access = Access(
        app.routed,
        reads,
        middleware.allowed(app.routes),
        _limits(settings),
        origins=settings.origins(),
        compressing=settings.compression,
    )
    app.shared = shared
    shared.index = api_root.document(app)
    shared.openapi = pages.packed(openapi.document(app, settings.public_url))
    shared.asyncapi = pages.packed(asyncapi.document(settings))
    return app


def _limits(settings: Settings) -> Limits | None:
    rate = settings.rate_limit
    if not rate:
        return None
    users, strangers = RateLimit(rate, "requests of one user"), RateLimit(rate, "invalid tokens from one address")
    return Limits(users, strangers, settings.proxies())


def _lifespan(settings: Settings, shared: Shared) -> Callable[[Litestar], Any]:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        writer = CommandQueue(Committer(settings.database_url, statement_timeout_ms=settings.statement_timeout_ms))
        writer.start()
        shared.command_queue = writer
        sys.setswitchinterval(SWITCH_SECONDS)
        _drain_on_sigterm(shared.draining)
        try:
            yield
        finally:
            await shared.live_feed.close()
            await shared.notifications.close()
            await writer.close()
            await shared.read_pool.close()

    return lifespan


def _drain_on_sigterm(draining: asyncio.Event) -> None:
    """Set ``draining`` on SIGTERM, and pass the signal on to the server."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(number)

        def drain(got: int, frame: FrameType | None, previous: Any = previous) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(draining.set)
            if callable(previous):
                previous(got, frame)

        signal.signal(number, drain)
