"""Bearer tokens: from an ``Authorization`` header to the identity behind it. Tokens are looked up by their SHA-256."""

from __future__ import annotations

from typing import Protocol

from app.http.problems import CHALLENGE, Refused
from app.reading.read_pool import Identity
from app.writing.token_secrets import hashed
from domain.errors import Unauthenticated

MAX_TOKEN = 512


class Identities(Protocol):
    async def identity(self, hashed: str) -> Identity | None: ...


async def authenticate(authorization: str | None, identities: Identities) -> Identity:
    """The sender's identity. Raises ``Refused`` for a missing or malformed header, ``Unauthenticated`` for a token that is not
    valid."""
    if authorization is None:
        raise Refused(401, "unauthenticated", "Send a token: Authorization: Bearer <token>.", CHALLENGE)
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
        raise Refused(401, "unauthenticated", "The Authorization header must be: Bearer <token>.", CHALLENGE)
    identity = await identities.identity(hashed(token))
    if identity is None:
        raise Unauthenticated("This token is unknown, revoked or expired, or its user is not active.")
    return identity
