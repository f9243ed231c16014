"""An API token of a user. Refuses to know the token itself: the log has its SHA-256 and a prefix to recognise it by.

A token is worth its user's role, or less where it has a role of its own. Whoever is no admin by the token they use issues
further ones for themselves alone, none of which is worth more or lives longer than that one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import assert_never
from uuid import UUID

from msgspec import structs

from domain import event
from domain.context import Context, References, to_records
from domain.errors import Conflict, Errors, Forbidden, Invalid, NotFound
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
    """``issued_with`` is the id of the token that was used to issue this one, None where the operator did."""

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
    """A token for a user, the actor unless another is named. ``hash`` and ``prefix`` are of the token itself.

    ``role`` caps the user's. Left out, it and ``expires_at`` are those of the token that is used, but for an admin.
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
            raise Forbidden(f"With a token of role {cap} none that is worth more can be revoked.")


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
                    "No token with an admin's rights would be left: create another one and revoke this one with that, or have"
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
    """When the token ends and what caps it. Raises ``Forbidden`` where that goes beyond what the actor's own token is worth."""
    used, actor = context.credential, context.actor
    if actor.role == "admin" or used is None:
        return command.expires_at, command.role
    expires_at = command.expires_at or used.expires_at
    if used.expires_at and expires_at and expires_at > used.expires_at:
        raise Forbidden(f"expires_at must not be later than {used.expires_at.isoformat()}, when the token you use ends.")
    if command.role and exceeds(command.role, actor.role):
        raise Forbidden(f"role must not be more than {actor.role}, which the token you use is worth.")
    return expires_at, command.role or used.role
