"""API tokens as their holders have them: how they are made, and what is kept of them."""

from __future__ import annotations

import hashlib
import secrets

PREFIX = "opp_"
SHOWN = 8
"""Characters of a token that are kept and shown, to recognize it by."""


def new() -> tuple[str, str]:
    """A token of 256 random bits, and its SHA-256, which is what is kept."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, hashed(secret)


def hashed(secret: str) -> str:
    """The form in which a token is kept and looked up."""
    return hashlib.sha256(secret.encode()).hexdigest()


def shown(secret: str) -> str:
    return secret[:SHOWN]
