"""What the API does with webhooks beside the commands on endpoints: it shows secrets, judges addresses and asks for deliveries.

Each request opens a connection of its own, for they are rare. Refuses to send anything: it fills the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Cursor

from app import call, idempotency
from app.call import Http
from app.committer import Unavailable
from app.settings import Settings
from consumers import database
from consumers.webhooks import guard, once, signing
from consumers.webhooks.once import Key
from domain.errors import Invalid, Unauthenticated
from domain.event import Actor
from domain.permissions import require_admin
from domain.webhook_url import url_error

Work = Callable[[Cursor[Any]], tuple[UUID, str]]
"""What is to be done, and the id and the JSON that answer it."""


class Desk:
    """Of one application."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.database_url
        self._timeout = settings.statement_timeout_ms
        self._key = b""
        self.rules = settings.webhook_rules()

    async def secret(self, endpoint_id: UUID, generation: int) -> str:
        """Raises ``Unavailable``."""
        if not self._key:
            self._key = await self._in_thread(_key)
        return signing.shown(signing.secret(self._key, endpoint_id, generation))

    async def judge(self, url: object) -> None:
        """Where a URL leads today. What is wrong with it by itself is left to the command. Raises ``Invalid``."""
        if isinstance(url, str) and url_error(url.strip(), self.rules) is None:
            if message := await guard.name_error(url.strip(), self.rules):
                raise Invalid({"url": [message]})

    async def ask(self, request: Http, work: Work) -> tuple[str, bool]:
        """The answer of ``work``, done in one transaction, once for an ``Idempotency-Key``; and whether it is an old one."""
        this = call.of(request)
        key: Key | None = None
        if this.idempotency_key is not None:
            mark = idempotency.fingerprint(this.method, this.path, await request.body())
            key = Key(this.identity.org_id, this.identity.user_id, idempotency.key(this.idempotency_key), mark)

        def run(cursor: Cursor[Any]) -> tuple[str, bool]:
            if key is not None and (body := once.answered(cursor, key)) is not None:
                return body, True
            id_, body = work(cursor)
            if key is not None:
                once.keep(cursor, key, id_, body)
            return body, False

        return await self._in_thread(run)

    async def _in_thread[T](self, work: Callable[[Cursor[Any]], T]) -> T: ...


def _key(cursor: Cursor[Any]) -> bytes: ...


async def admin(request: Http) -> None:
    """Raises ``Forbidden``, ``Unauthenticated``: by what the token is worth now."""
