"""Reads: cheap and dear questions, each on connections of their own, each seeing one org at a time through row-level security.

Every statement also returns the org's identity epoch, so that a cached identity is found outdated, by a revoked token or a changed
role, by the very statement that it was used for. Refuses to write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from msgspec import Struct

from app.process.failures import Unavailable
from app.reading.aside import Aside
from app.reading.lane import Lane
from app.reading.presence import Presence
from app.reading.turns import Asker, Turns
from domain.errors import Unauthenticated
from domain.permissions import Role
from projections.clock import Clock
from projections.questions import GAUGES, IDENTITY, OTHER, PING, LaneName, Question

MAX_IDENTITIES = 50_000
MAX_WAITING = 16
"""The dear questions of a token that wait; each further one is refused."""
_NOBODY: Asker = (None, None)
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


class ReadPool:
    """``row`` and ``rows`` for one org; ``identity`` for a token's hash, cached. ``clock`` has the database's time.

    Cheap questions have ``connections`` and the timeout ``statement_timeout_ms``, dear ones ``dear_connections`` and
    ``dear_timeout_ms``; one token holds at most half of these. Questions from what is kept leave one of ``connections`` to all
    others, and a token holds at most half of what they may have.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 3,
        dear_connections: int = 2,
        statement_timeout_ms: int = 15_000,
        dear_timeout_ms: int = 15_000,
        folder: str | None = None,
    ) -> None:
        self.presence = Presence(folder)
        self.aside = Aside(self.presence, folder)
        self._identities: dict[str, Identity] = {}
        self.clock = Clock()
        cheap, kept = Turns(connections, connections), _shared(max(1, connections - 1))
        self._lanes: dict[LaneName, Lane] = {
            "cheap": Lane("cheap", url, cheap, self.clock, self.aside, timeout_ms=statement_timeout_ms, kept=kept),
            "dear": Lane("dear", url, _shared(dear_connections, MAX_WAITING), self.clock, self.aside, timeout_ms=dear_timeout_ms),
        }

    async def close(self) -> None:
        for lane in self._lanes.values():
            await lane.close()

    async def row(self, identity: Identity, text: str, params: Mapping[str, Any], question: Question = OTHER) -> tuple[Any, ...]:
        """The row of a statement that always returns exactly one. Raises as ``rows``."""
        return (await self.rows(identity, text, params, question))[0]

    async def rows(
        self, identity: Identity, text: str, params: Mapping[str, Any], question: Question = OTHER
    ) -> list[tuple[Any, ...]]:
        """All rows of a statement with named parameters, as the identity's org sees them.

        Raises ``Unauthenticated`` if the token had become invalid when the statement began, ``RoleChanged`` if its role had
        changed, ``TooManyWaiting`` if the token asks too much, ``Unavailable`` if the database does not answer.
        """
        epoch, rows = await self.rows_of_org(identity.org_id, text, params, question, identity.token_id)
        if epoch != identity.epoch:
            await self._require_the_same(identity, epoch)
        return rows

    async def rows_of_org(
        self,
        org_id: UUID,
        text: str,
        params: Mapping[str, Any],
        question: Question = OTHER,
        token_id: UUID | None = None,
    ) -> tuple[int, list[tuple[Any, ...]]]:
        """The identity epoch of an org and all rows of a statement, as the org sees them. Raises ``TooManyWaiting``,
        ``Unavailable``."""
        lane, values = self._lanes[question.lane], {**params, "epoch_org": org_id}
        found = await lane.rows((org_id, token_id), org_id, _with_epoch(text), values, question)
        return found[0][0], [row[2:] for row in found if row[1]]

    async def current(self, identity: Identity) -> Identity:
        """The identity with the role it has now. Raises ``Unauthenticated``, ``Unavailable``."""
        try:
            await self.rows(identity, "SELECT 1", {}, IDENTITY)
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
        if identity is None or (identity.expires_at is not None and identity.expires_at <= self.clock.now()):
            return None
        self.presence.note(identity.token_id)
        return identity

    async def identities(self, hashes: Collection[str]) -> dict[str, Identity]:
        """The owners of the tokens with these SHA-256; expired ones are included. Raises ``Unavailable``."""
        rows = await self._ask(_HOLDERS, {"hashes": list(hashes)}, IDENTITY)
        found = {row[6]: Identity(*row) for row in rows}
        if len(self._identities) + len(found) > MAX_IDENTITIES:
            self._identities.clear()
        self._identities |= found
        return found

    async def gauges(self, text: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement for ``/metrics``, which concerns no particular org. Raises ``Unavailable``."""
        return await self._ask(text, params, GAUGES)

    async def ping(self) -> None:
        """Query the time. Raises ``Unavailable`` if the database does not answer."""
        self.clock.expire()
        await self._ask("SELECT 1", {}, PING)

    async def _ask(self, text: str, params: Mapping[str, Any], question: Question) -> list[tuple[Any, ...]]:
        """All rows of a statement of our own, which concerns no particular org."""
        return await self._lanes[question.lane].rows(_NOBODY, None, text, params, question)


def _shared(places: int, most: int | None = None) -> Turns:
    return Turns(places, max(1, places // 2), most)


@lru_cache(maxsize=2000)
def _with_epoch(text: str) -> str:
    """The statement, with the org's identity epoch and whether the row exists in front of each row."""
    return f"""
        SELECT e.position, q.* FROM (
            SELECT coalesce((SELECT position FROM identity_epochs WHERE org_id = %(epoch_org)s), 0) AS position
        ) e LEFT JOIN LATERAL (SELECT true AS present, t.* FROM ({text}) t) q ON true
    """
