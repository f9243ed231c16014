"""What the role of a token rules out, asked before a request's body and parameters are looked at.

The committer asks again, under the lock, and of the record too.
"""

from __future__ import annotations

from app.http import request_context
from app.http.request_context import Http
from app.reading.read_pool import Identity
from domain import catalog
from domain.errors import Forbidden
from domain.event import Command
from domain.permissions import Actor, require_admin


async def require(request: Http, command: type[Command]) -> None:
    """Raises ``Forbidden`` for a role that may not give such a command whatever is in it, ``Unauthenticated``, ``Unavailable``.

    It goes by the role that is known here, and looks again before it refuses: who was promoted a moment ago is let in.
    """
    try:
        catalog.require_role(command, _actor(request_context.from_request(request).identity))
    except Forbidden:
        await require_at_present(request, command)


async def require_at_present(request: Http, command: type[Command]) -> None:
    """As ``require``, by what the token is worth at this moment."""
    catalog.require_role(command, _actor(await _current(request)))


async def require_an_admin(request: Http) -> None:
    """By what the token is worth at this moment. Raises ``Forbidden``, ``Unauthenticated``, ``Unavailable``."""
    require_admin(_actor(await _current(request)))


async def _current(request: Http) -> Identity:
    current: Identity = await request.app.state.read_pool.current(request_context.from_request(request).identity)
    return current


def _actor(identity: Identity) -> Actor:
    return Actor(identity.user_id, identity.role, identity.email)
