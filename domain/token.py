"""An API token of a user. The log has its SHA-256 and a prefix to recognize it by, never the token itself.

A token has its user's role, or a lower one of its own. Whoever is not an admin by the token in use can issue tokens only for
themselves, none of which has more rights or lives longer than that one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import assert_never
from uuid import UUID

from msgspec import structs

from domain import event
from domain.context import Context
from domain.errors import Conflict, Errors, Forbidden, Invalid, NotFound
from domain.facts import References, to_records
from domain.fields import REQUIRED, Line, instant_error, limit_errors
from domain.permissions import Role, exceeds, require_writer
from domain.text import normal


class Issued(event.Event, frozen=True):
    """``hash`` is the SHA-256 of the token, in hex."""

    name: str
    user_id: UUID
    hash: str
    prefix: str
    expires_at: datetime | None = None
    role: Role | None = None


class Revoked(event.Event, frozen=True):
    pass


class State(event.State, frozen=True):
    """``issued_with`` is the id of the token that was used to issue this one, None for the operator."""

    name: str
    user_id: UUID
    hash: str
    prefix: str
    role: Role | None = None
    expires_at: datetime | None = None
    revoked: bool = False
    issued_with: UUID | None = None


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    if isinstance(happened, Issued):
        given = event.set_fields(happened)
        return State(**recorded.initial_fields(), **given, issued_with=recorded.meta.token_id)  # type: ignore[arg-type]
    assert state is not None
    assert isinstance(happened, Revoked)
    return structs.replace(state, **recorded.updated_fields(), revoked=True)


class Issue(event.Command, frozen=True):
    """A token for a user, by default the actor. ``hash`` and ``prefix`` are those of the token itself.

    ``role`` caps the user's. If they are left out, ``role`` and ``expires_at`` are those of the token in use, except for an admin.
    """

    name: Line
    user_id: UUID | None = None
    expires_at: datetime | None = None
    role: Role | None = None
    hash: str = ""
    prefix: str = ""


class Revoke(event.Command, frozen=True):
    """``following``: because the token that this one was issued with is revoked."""

    following: bool = False


_SHA256 = re.compile(r"[0-9a-f]{64}")


Command = Issue | Revoke


def references(command: Command) -> References:
    return References(
        issued_tokens=True, records=to_records(command.user_id).records if isinstance(command, Issue) else frozenset()
    )


def permit(state: State | None, command: event.Command, context: Context) -> None:
    actor = context.actor
    if actor.role == "admin" or (isinstance(command, Revoke) and command.following):
        return
    if isinstance(command, Issue):
        require_writer(actor)
        if command.user_id not in (None, actor.user_id):
            raise Forbidden("Only an admin may issue tokens for others.")
    elif state is not None:
        if state.user_id != actor.user_id:
            raise Forbidden("Only an admin may revoke tokens of others.")
        cap = context.credential and context.credential.role
        if cap and (state.role is None or exceeds(state.role, cap)):
            raise Forbidden(f"A token of role {cap} cannot revoke one with more rights.")


def decide(state: State | None, command: Command, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    match command:
        case Issue():
            assert state is None
            assert _SHA256.fullmatch(command.hash)
            return (_issued(command, context),)
        case Revoke():
            if state is None:
                raise NotFound("No such token.")
            if state.revoked:
                return ()
            if context.actor.user_id and context.facts.last_admin_token:
                raise Conflict(
                    "last_admin_token",
                    "No token with an admin's rights would be left: create another one and use it to revoke this one, or let"
                    " the operator do it (`opportunities token revoke`).",
                )
            return (Revoked(),)
        case _:
            assert_never(command)


def _issued(command: Issue, context: Context) -> Issued:
    user_id = command.user_id or context.actor.user_id
    name = normal(command.name)
    errors: Errors = limit_errors({"name": name}, Issue)
    if user_id is None:
        errors["user_id"] = [REQUIRED]
    elif user_id != context.actor.user_id and user_id not in context.facts.users:
        errors["user_id"] = [f"There is no active user {user_id}."]
    if message := instant_error(command.expires_at):
        errors["expires_at"] = [message]
    elif command.expires_at is not None and command.expires_at <= context.now:
        errors["expires_at"] = ["Must be in the future."]
    if errors or user_id is None:
        raise Invalid(errors)
    expires_at, role = _limits(command, context)
    return Issued(
        name=name,
        user_id=user_id,
        hash=command.hash,
        prefix=command.prefix,
        expires_at=expires_at and expires_at.astimezone(UTC),
        role=role,
    )


def _limits(command: Issue, context: Context) -> tuple[datetime | None, Role | None]:
    """When the token expires and what caps it. Raises ``Forbidden`` for more than the actor's own token grants."""
    used, actor = context.credential, context.actor
    if actor.role == "admin" or used is None:
        return command.expires_at, command.role
    expires_at = command.expires_at or used.expires_at
    if used.expires_at and expires_at and expires_at > used.expires_at:
        raise Forbidden(f"expires_at must not be later than {used.expires_at.isoformat()}, when your token expires.")
    if command.role and exceeds(command.role, actor.role):
        raise Forbidden(f"role must not exceed {actor.role}, the role of your token.")
    return expires_at, command.role or used.role
