"""Who may do what: the four roles and the checks on them. Knows nothing of HTTP or tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from domain.errors import Forbidden

Role = Literal["read_only", "rep", "manager", "admin"]
ROLES: tuple[Role, ...] = ("read_only", "rep", "manager", "admin")
"""From the weakest to the strongest: each may do all that those before it may."""


class Actor(Struct, frozen=True):
    """Who acts, with the role that their token grants.

    ``user_id`` is None for the operator at the command line, who has every right.
    """

    user_id: UUID | None
    role: Role
    email: str = ""


OPERATOR = Actor(user_id=None, role="admin")


class Credential(Struct, frozen=True):
    """The token a command came with: the role that caps its user's, None for no cap, and when it expires."""

    id: UUID
    role: Role | None = None
    expires_at: datetime | None = None


def weaker(role: Role, cap: Role | None) -> Role:
    """The weaker of a role and its cap."""
    return role if cap is None or exceeds(cap, role) else cap


def exceeds(role: Role, other: Role) -> bool:
    return ROLES.index(role) > ROLES.index(other)


def require_admin(actor: Actor) -> None:
    """For settings, users and tokens of others, webhooks."""
    if actor.role != "admin":
        raise Forbidden("Only an admin may do this.")


def require_writer(actor: Actor) -> None:
    """For shared records: accounts and contacts."""
    if actor.role == "read_only":
        raise Forbidden("Your role is read_only: it may read everything and change nothing.")


def require_manager(actor: Actor) -> None:
    """For deleting shared records."""
    require_writer(actor)
    if actor.role == "rep":
        raise Forbidden("A rep may create and change this but not delete it: ask a manager.")


def require_deal_writer(actor: Actor, owner_id: UUID | None) -> None:
    """For a deal and its activities: a rep may change only their own deals, a manager or an admin all of them."""
    require_writer(actor)
    if actor.role == "rep" and owner_id != actor.user_id:
        raise Forbidden("A rep may change only deals of their own; ask a manager or the owner.")
