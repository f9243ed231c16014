"""What the API does for webhooks beside the commands on endpoints: show secrets, check addresses, and queue deliveries on request.

Each request to the queue opens a connection of its own, because they are rare. Nothing is sent from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import getaddrinfo
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import Cursor

from app.http import bodies, idempotency_key, request_context
from app.http.request_context import Http
from app.process.failures import Unavailable
from app.settings import Settings
from consumers import database
from consumers.webhooks import deliveries, signing, ssrf_guard
from consumers.webhooks.ssrf_guard import Lookup
from domain.errors import Invalid
from domain.webhook_url import url_error
from projections import idempotency_records
from projections.idempotency_records import Kept, Key

T = TypeVar("T")
Work = Callable[[Cursor[Any]], tuple[UUID, str]]
"""The work to do; it returns the id and the JSON of the response."""


class WebhookRequests:
    """One per application. ``lookup`` resolves the host names of endpoints' URLs."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.database_url
        self._timeout = settings.statement_timeout_ms
        self._key = b""
        self.rules = settings.webhook_rules()
        self.lookup: Lookup = getaddrinfo

    async def secret(self, endpoint_id: UUID, generation: int) -> str:
        """The secret as it is shown to an admin, once. Raises ``Unavailable``."""
        if not self._key:
            self._key = await self.in_transaction(deliveries.key)
        return signing.shown(signing.secret(self._key, endpoint_id, generation))

    async def check_url(self, url: object) -> None:
        """Check whether the host name in a URL resolves to a forbidden address; the command checks the rest. Raises ``Invalid``."""
        if not isinstance(url, str) or url_error(url.strip(), self.rules):
            return
        if message := await ssrf_guard.name_error(url.strip(), self.rules, self.lookup):
            raise Invalid({"url": [message]})

    async def run_once(self, request: Http, work: Work) -> tuple[str, bool]:
        """Do ``work`` in one transaction, once per ``Idempotency-Key``. Returns its response, and whether it is a repeat."""
        context = request_context.from_request(request)
        if context.idempotency_key is None:
            return await self.in_transaction(lambda cursor: (work(cursor)[1], False))
        key = Key(context.identity.org_id, context.identity.user_id, idempotency_key.parse(context.idempotency_key))
        fingerprint = idempotency_key.fingerprint(context.method, context.path, await bodies.sent(request))

        def run(cursor: Cursor[Any]) -> tuple[str, bool]:
            idempotency_records.await_turn(cursor, key)
            if kept := idempotency_records.find(cursor, [key])().get(key):
                idempotency_records.require_same(key, kept.fingerprint, fingerprint)
                return kept.body, True
            id_, body = work(cursor)
            idempotency_records.keep(cursor, {key: Kept(fingerprint, id_, 0, body)})
            return body, False

        return await self.in_transaction(run)

    async def in_transaction(self, work: Callable[[Cursor[Any]], T]) -> T:
        def run() -> T:
            with (
                database.connect(self._url, "webhook requests", statement_timeout_ms=self._timeout) as connection,
                connection.transaction(),
                connection.cursor() as cursor,
            ):
                return work(cursor)

        try:
            return await asyncio.to_thread(run)
        except psycopg.OperationalError as error:
            raise Unavailable(str(error)) from error


def from_request(request: Http) -> WebhookRequests:
    requests: WebhookRequests = request.app.state.webhook_requests
    return requests
