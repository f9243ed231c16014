"""What all requests of an application share: connections, documents, a few settings, and whether the process is stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from uuid import UUID

from psycopg import Cursor

from app.http.bulk_turns import BulkTurns
from app.http.export_turns import Exports
from app.http.renderer import Renderer
from app.http.request_context import Encoded, Http
from app.reading.embedded_cards import EmbeddedCards
from app.reading.keeper import Keeper
from app.reading.live_feed import LiveFeed
from app.reading.notifications import Notifications
from app.reading.read_pool import ReadPool
from app.writing.bulk import Executor
from app.writing.envelope import Envelope, Outcome
from projections.imports.jobs import Received


class Commands(Executor, Protocol):
    """The command queue, as far as callers need it; through it a handler cannot reach the committer."""

    async def execute(self, envelope: Envelope) -> Outcome: ...

    async def ping(self, seconds: float) -> None: ...


class Receiver(Protocol):
    """What keeps uploaded files: see ``app.http.uploads``."""

    async def receive(self, request: Http, id_: UUID, begin: Callable[[Cursor[Any]], None]) -> Received: ...


class SchemaState(Protocol):
    """What is known of the database's schema."""

    async def check(self) -> None: ...

    def forget(self) -> None: ...


@dataclass(slots=True)
class Shared:
    """``draining`` is set when the process starts to stop. ``command_queue`` is set at startup; the documents are made last,
    because they describe the routes."""

    read_pool: ReadPool
    keeper: Keeper
    embedded_cards: EmbeddedCards
    renderer: Renderer
    notifications: Notifications
    live_feed: LiveFeed
    draining: asyncio.Event
    schema: SchemaState
    public_url: str
    metrics_token: str
    max_body_bytes: int
    uploads: Receiver
    exports: Exports
    bulk_turns: BulkTurns = field(default_factory=BulkTurns)
    command_queue: Commands = field(init=False)
    index: bytes = field(init=False)
    openapi: Encoded = field(init=False)
    asyncapi: Encoded = field(init=False)


def from_request(request: Http) -> Shared:
    return cast("Shared", request.app.state.shared)
