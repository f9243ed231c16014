"""API tokens as their holders have them: how one is made, and what of it is kept."""

from __future__ import annotations

import hashlib
import secrets

PREFIX = "opp_"
SHOWN = 8
"""How many characters of a token are kept and shown, to tell it from others."""


def new() -> tuple[str, str]:
    """A token of 256 random bits and the SHA-256 of it that is kept."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, hashed(secret)


def hashed(secret: str) -> str:
    """The form in which a token is kept and looked up."""
    return hashlib.sha256(secret.encode()).hexdigest()


def shown(secret: str) -> str:
    return secret[:SHOWN]
