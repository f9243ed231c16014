"""Connections for reading: a few async connections per process, each seeing one org at a time through row-level security.

Every statement also returns the org's identity epoch, so that a cached identity is found outdated, by a revoked token or a changed
role, by the very statement that it was used for. Refuses to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from app.process.failures import Unavailable
from app.reading.read_connection import ReadConnection
from domain.errors import Unauthenticated
from domain.permissions import Role
from projections import connections
from projections.clock import NOW, Clock
from projections.connections import Silent

MAX_IDENTITIES = 50_000
STEP_ASIDE_SECONDS = 0.05
"""Pause after a statement was cancelled by somebody who needs the tables, so that they can get them."""
_HOLDERS = """
    SELECT i.org_id, i.user_id, i.role, i.email, i.token_id, i.epoch, h.hash, i.expires_at, i.cap
    FROM unnest(%(hashes)s::text[]) AS h (hash) CROSS JOIN LATERAL identity_of(h.hash) i
"""


class Identity(Struct, frozen=True):
    """The owner of a request's token. ``epoch`` is the org's identity epoch when it was looked up by ``hash``.

    ``role`` is the token's role: its user's, or ``cap`` if that is lower.
    """

    org_id: UUID
    user_id: UUID
    role: Role
    email: str
    token_id: UUID
    epoch: int
    hash: str
    expires_at: datetime | None = None
    cap: Role | None = None


class RoleChanged(Unavailable):
    """The statement ran for another role than the token now has. ``identity`` is the one to run it again with."""

    def __init__(self, identity: Identity) -> None:
        super().__init__("the role of the token's user changed during the request")
        self.identity = identity


class _Bytes(Loader):
    """JSON bodies are cast to varchar in SQL and arrive as bytes, to be sent as they are."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class ReadPool:
    """``row`` and ``rows`` for one org; ``identity`` for a token's hash, cached. ``clock`` has the database's time."""

    def __init__(self, url: str, *, connections: int = 4, statement_timeout_ms: int = 15_000) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._free: list[ReadConnection] = []
        self._slots = asyncio.Semaphore(connections)
        self._identities: dict[str, Identity] = {}
        self.clock = Clock()

    async def close(self) -> None:
        while self._free:
            await self._free.pop().close()

    async def row(self, identity: Identity, text: str, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """The row of a statement that always returns exactly one. Raises as ``rows``."""
        return (await self.rows(identity, text, params))[0]

    async def rows(self, identity: Identity, text: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement with named parameters, as the identity's org sees them.

        Raises ``Unauthenticated`` if the token had become invalid when the statement began, ``RoleChanged`` if its role had
        changed, ``Unavailable`` if the database does not answer.
        """
        epoch, rows = await self.rows_of_org(identity.org_id, text, params)
        if epoch != identity.epoch:
            await self._require_the_same(identity, epoch)
        return rows

    async def rows_of_org(self, org_id: UUID, text: str, params: Mapping[str, Any]) -> tuple[int, list[tuple[Any, ...]]]:
        """The identity epoch of an org and all rows of a statement, as the org sees them. Raises ``Unavailable``."""
        found = await self._fetch(org_id, _with_epoch(text), {**params, "epoch_org": org_id})
        return found[0][0], [row[2:] for row in found if row[1]]

    async def current(self, identity: Identity) -> Identity:
        """The identity with the role it has now. Raises ``Unauthenticated``, ``Unavailable``."""
        try:
            await self.rows(identity, "SELECT 1", {})
        except RoleChanged as changed:
            return changed.identity
        return identity

    async def _require_the_same(self, identity: Identity, epoch: int) -> None:
        """Look the token up again, unless that was done since the org's identities last changed."""
        known = self._identities.get(identity.hash)
        if known is not None and known.epoch < epoch:
            del self._identities[identity.hash]
        current = await self.identity(identity.hash)
        if current is None:
            raise Unauthenticated("This token is revoked or has expired.")
        if current.role != identity.role:
            raise RoleChanged(current)

    async def identity(self, hashed: str) -> Identity | None:
        """The owner of the token with this SHA-256 (hex), or None if it is unknown, revoked or expired."""
        identity = self._identities.get(hashed)
        if identity is None:
            identity = (await self.identities([hashed])).get(hashed)
        if identity is not None and identity.expires_at is not None and identity.expires_at <= self.clock.now():
            return None
        return identity

    async def identities(self, hashes: Collection[str]) -> dict[str, Identity]:
        """The owners of the tokens with these SHA-256; expired ones are included. Raises ``Unavailable``."""
        rows = await self._fetch(None, _HOLDERS, {"hashes": list(hashes)})
        found = {row[6]: Identity(*row) for row in rows}
        if len(self._identities) + len(found) > MAX_IDENTITIES:
            self._identities.clear()
        self._identities |= found
        return found

    async def rows_without_org(self, text: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement that concerns no particular org. Raises ``Unavailable``."""
        return await self._fetch(None, text, params)

    async def ping(self) -> None:
        """Query the time. Raises ``Unavailable`` if the database does not answer."""
        self.clock.expire()
        await self._fetch(None, "SELECT 1", {})

    async def _fetch(self, org_id: UUID | None, text: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._slots:
            cancelled = False
            while True:
                reader, fresh = await self._take(org_id)
                asked = monotonic()
                try:
                    if org_id is not None and reader.org_id != org_id:
                        await reader.rows("SELECT set_config('app.org_id', %(org_id)s::text, false)", {"org_id": str(org_id)})
                        reader.org_id = org_id
                    if self.clock.due():
                        asked = monotonic()
                        self.clock.tell((await reader.rows(NOW, {}))[0][0], asked)
                    rows = await reader.rows(text, params)
                except psycopg.OperationalError as error:
                    if not reader.closed:  # a timeout: the connection is still good
                        self._free.append(reader)
                        if not cancelled and _was_cancelled(error, monotonic() - asked, self._timeout):
                            cancelled = True
                            await asyncio.sleep(STEP_ASIDE_SECONDS)
                            continue
                        raise Unavailable(str(error)) from error
                    if fresh or isinstance(error, Silent):
                        raise Unavailable(str(error)) from error
                    continue  # it died while idle: take another
                except BaseException:
                    await reader.close()
                    raise
                self._free.append(reader)
                return rows

    async def _take(self, org_id: UUID | None) -> tuple[ReadConnection, bool]:
        """A free connection, preferably one that sees the org already, or a new one."""
        for reader in reversed(self._free):
            if reader.org_id == org_id or org_id is None:
                self._free.remove(reader)
                return reader, False
        if self._free:
            return self._free.pop(), False
        return await self._open(), True

    async def _open(self) -> ReadConnection:
        try:
            connection = await connections.connect_async(self._url, "reader", statement_timeout_ms=self._timeout, role="reader")
        except psycopg.OperationalError as error:
            raise Unavailable(str(error)) from error
        connection.adapters.register_loader("varchar", _Bytes)
        return ReadConnection(connection, connection.patience)


def _was_cancelled(error: psycopg.Error, seconds: float, timeout_ms: int) -> bool:
    """Whether the statement was cancelled from outside, as a rebuild does to get the tables, and not by its own timeout."""
    return isinstance(error, psycopg.errors.QueryCanceled) and seconds * 1000 < timeout_ms


@lru_cache(maxsize=2000)
def _with_epoch(text: str) -> str:
    """The statement, with the org's identity epoch and whether the row exists in front of each row."""
    return f"""
        SELECT e.position, q.* FROM (
            SELECT coalesce((SELECT position FROM identity_epochs WHERE org_id = %(epoch_org)s), 0) AS position
        ) e LEFT JOIN LATERAL (SELECT true AS present, t.* FROM ({text}) t) q ON true
    """
