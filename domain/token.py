"""An API token of a user. Refuses to know the token itself: the log has its SHA-256 and a prefix to recognise it by."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

from msgspec import structs

from domain import event
from domain.errors import Errors, Forbidden, Invalid, NotFound
from domain.fields import REQUIRED, instant_error, line_error
from domain.text import normal


class Issued(event.Event, frozen=True):
    """``hash`` is the SHA-256 of the token, in hex."""

    name: str
    user_id: UUID
    hash: str
    prefix: str
    expires_at: datetime | None = None


class Revoked(event.Event, frozen=True):
    pass


class State(event.State, frozen=True):
    name: str
    user_id: UUID
    hash: str
    prefix: str
    expires_at: datetime | None = None
    revoked: bool = False


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    if isinstance(happened, Issued):
        return State(**recorded.head(), **event.given(happened))  # type: ignore[arg-type]
    assert state is not None
    assert isinstance(happened, Revoked)
    return structs.replace(state, **recorded.tail(), revoked=True)


class Issue(event.Command, frozen=True):
    """A token for a user, the actor unless another is named. ``hash`` and ``prefix`` are of the token itself."""

    name: str
    user_id: UUID | None = None
    expires_at: datetime | None = None
    hash: str = ""
    prefix: str = ""


class Revoke(event.Command, frozen=True):
    pass


_SHA256 = re.compile(r"[0-9a-f]{64}")


def decide(state: State | None, command: event.Command, context: event.Context) -> tuple[event.Event, ...]:
    match command:
        case Issue():
            assert state is None
            assert _SHA256.fullmatch(command.hash)
            return (_issued(command, context),)
        case Revoke():
            if state is None:
                raise NotFound("No such token.")
            _require_for(state.user_id, context)
            return () if state.revoked else (Revoked(),)
    raise TypeError(command)


def _issued(command: Issue, context: event.Context) -> Issued:
    user_id = command.user_id or context.actor.user_id
    _require_for(user_id, context)
    errors: Errors = {}
    name = normal(command.name)
    if message := line_error(name):
        errors["name"] = [message]
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
    return Issued(
        name=name,
        user_id=user_id,
        hash=command.hash,
        prefix=command.prefix,
        expires_at=command.expires_at and command.expires_at.astimezone(UTC),
    )


def _require_for(user_id: UUID | None, context: event.Context) -> None:
    if context.actor.role != "admin" and user_id != context.actor.user_id:
        raise Forbidden("Only an admin may issue or revoke tokens of others.")
