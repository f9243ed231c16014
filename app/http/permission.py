"""Role checks, made before a request's body and parameters are read.

The committer checks again, under the lock, and against the record too.
"""

from __future__ import annotations

from app.http import request_context, shared
from app.http.request_context import Http
from app.reading.read_pool import Identity
from domain import catalog
from domain.errors import Forbidden
from domain.event import Command
from domain.permissions import Actor, require_admin


async def require(request: Http, command: type[Command]) -> None:
    """Raise ``Forbidden`` for a role that may never give such a command; also raises ``Unauthenticated``, ``Unavailable``.

    It trusts the cached role to allow, and looks the role up again before it refuses, so that a promotion counts at once.
    """
    try:
        catalog.require_role(command, _actor(request_context.from_request(request).identity))
    except Forbidden:
        await require_at_present(request, command)


async def require_at_present(request: Http, command: type[Command]) -> None:
    """As ``require``, with the role that the token has now."""
    catalog.require_role(command, _actor(await _current(request)))


async def require_an_admin(request: Http) -> None:
    """Checks the role that the token has now. Raises ``Forbidden``, ``Unauthenticated``, ``Unavailable``."""
    require_admin(_actor(await _current(request)))


async def _current(request: Http) -> Identity:
    return await shared.from_request(request).read_pool.current(request_context.from_request(request).identity)


def _actor(identity: Identity) -> Actor:
    return Actor(identity.user_id, identity.role, identity.email)
