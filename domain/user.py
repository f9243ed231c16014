"""A user of the org: email, name, role, active or not. Refuses to leave the org without an active admin."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec import UNSET, UnsetType, structs

from domain import event
from domain.context import Context, admins_only
from domain.errors import Conflict, Invalid, NotFound
from domain.facts import References
from domain.fields import Email, Line, email_error, limit_errors
from domain.permissions import Role
from domain.text import normalised


class Created(event.Event, frozen=True):
    email: str
    name: str
    role: Role


class Updated(event.Event, frozen=True):
    email: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class State(event.State, frozen=True):
    email: str
    name: str
    role: Role
    active: bool = True


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    if isinstance(happened, Created):
        return State(**recorded.initial_fields(), **event.set_fields(happened))  # type: ignore[arg-type]
    assert state is not None
    assert isinstance(happened, Updated)
    return structs.replace(state, **recorded.updated_fields(), **event.set_fields(happened))


class Create(event.Command, frozen=True):
    email: Email
    name: Line
    role: Role = "rep"


class Update(event.Command, frozen=True):
    """Changes the fields given. A user is deactivated, never deleted, because deals and history name them."""

    email: Email | UnsetType = UNSET
    name: Line | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    active: bool | UnsetType = UNSET


Command = Create | Update


def references(command: Command) -> References:
    email = command.email if isinstance(command.email, str) else None
    demotes = isinstance(command, Update) and (command.role, command.active) != (UNSET, UNSET)
    return References(other_users=True, email=email, tokens_of_others=demotes)


permit = admins_only


def decide(state: State | None, command: Command, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    match command:
        case Create():
            if state is not None:
                raise Conflict("exists", "This user already exists.")
            created = normalised(event.set_fields(command))
            _require_valid(created, command, context)
            return (Created(**created),)
        case Update():
            if state is None:
                raise NotFound("No such user.")
            changes = event.changed_fields(state, event.set_fields(command))
            _require_valid(changes, command, context)
            _require_an_admin(state, changes, context)
            return (Updated(**changes),) if changes else ()
        case _:
            assert_never(command)


def _require_valid(values: dict[str, Any], command: Create | Update, context: Context) -> None:
    """An email is compared exactly, without surrounding space."""
    errors = limit_errors(values, Create)
    if "email" in values and "email" not in errors and (message := email_error(str(command.email))):
        errors["email"] = [message]
    if errors:
        raise Invalid(errors)
    if "email" in values and context.facts.email_taken:
        raise Conflict("email_taken", f"There is already a user with the email {values['email']}.")


def _require_an_admin(state: State, changes: dict[str, Any], context: Context) -> None:
    is_admin = state.active and state.role == "admin"
    stays = changes.get("active", True) and changes.get("role", "admin") == "admin"
    if not is_admin or stays:
        return
    if not context.facts.other_admins:
        raise Conflict("last_admin", "This is the last active admin: make another user an admin first.")
    if context.actor.user_id and context.facts.last_admin_token:
        raise Conflict("last_admin_token", "No other admin has a token with an admin's rights: create one for them first.")
