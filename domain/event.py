"""The vocabulary every aggregate shares: Event, Command, Meta, Recorded and the Context of a decision.

Refuses clocks, ids and I/O: whatever a decision needs to know comes in through its Context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import UNSET, Struct

from domain.permissions import Role
from domain.text import normal

if TYPE_CHECKING:
    from domain import custom_field, organization, pipeline, token


class Event(Struct, frozen=True, kw_only=True):
    """A fact, named in the past tense. Its stored name is in ``domain.catalog``; fields are only ever added."""


class Command(Struct, frozen=True, kw_only=True):
    """An intent. A request body decodes straight into one."""


class Meta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who recorded an event, when and on whose behalf.

    ``occurred_at`` is when it became true and never decreases along a stream; ``recorded_at`` is when it was
    appended. They differ only for imported or demo history. ``command_id`` tells an ambiguous commit from a conflict.
    """

    org_id: UUID
    command_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    actor_id: UUID | None = None
    token_id: UUID | None = None
    request_id: str = ""
    comment: str | None = None


class State(Struct, frozen=True, kw_only=True):
    """What every aggregate's state has: its stream, org, version and the instants of its first and last event."""

    id: UUID
    org_id: UUID
    version: int
    created_at: datetime
    updated_at: datetime


class Recorded(Struct, frozen=True):
    """An event at its place: stream, version in the stream (from 1) and position in the log (0 until appended)."""

    originator_id: UUID
    originator_version: int
    event: Event
    meta: Meta
    position: int = 0

    def head(self) -> dict[str, object]:
        """The fields of ``State`` as they stand after the first event of a stream; ``tail`` for the later ones."""
        at = self.meta.occurred_at
        return {
            "id": self.originator_id,
            "org_id": self.meta.org_id,
            "version": self.originator_version,
            "created_at": at,
            "updated_at": at,
        }

    def tail(self) -> dict[str, object]:
        return {"version": self.originator_version, "updated_at": self.meta.occurred_at}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, with the role that their token leaves them.

    ``user_id`` is None for the operator at the command line, who has every right.
    """

    user_id: UUID | None
    role: Role
    email: str = ""


OPERATOR = Actor(user_id=None, role="admin")


@dataclass(frozen=True, slots=True)
class Policy:
    """The org's own rules, read under the lock of the decision. ``custom_fields`` is None before the first one."""

    organization: organization.State
    pipeline: pipeline.State
    custom_fields: custom_field.State | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision must know of other records of the same org; only what the command asks about is filled.

    ``accounts``, ``users`` (active ones), ``owners`` (those of them who may have deals), ``contacts`` and ``opportunities``
    hold those of the ids named by the command that exist. ``in_use`` counts live deals by stage key. ``email_taken`` is
    about the command's email. ``owner_id`` is the owner of the opportunity that an activity is about; ``deals`` how many
    live deals name the account or contact to be deleted; ``other_admins`` how many active admins there are beside the
    user the command is about. ``issued_tokens`` are those still good that were issued with the token the command is about,
    or with one of these; ``last_admin_token`` says that without it and them, or without those
    of the user the command is about, no token with an admin's rights would be left.
    """

    accounts: frozenset[UUID] = frozenset()
    users: frozenset[UUID] = frozenset()
    owners: frozenset[UUID] = frozenset()
    contacts: frozenset[UUID] = frozenset()
    opportunities: frozenset[UUID] = frozenset()
    in_use: Mapping[str, int] = field(default_factory=dict)
    email_taken: bool = False
    owner_id: UUID | None = None
    deals: int = 0
    other_admins: int = 0
    issued_tokens: tuple[UUID, ...] = ()
    last_admin_token: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """Everything outside the aggregate that a decision may depend on.

    ``new_id`` is the id of the stream the command is about: fresh for a creation. ``now`` becomes ``occurred_at``.
    ``token`` is the one the command came with, None for the operator.
    """

    org_id: UUID
    actor: Actor
    now: datetime
    recorded_at: datetime
    command_id: UUID
    new_id: UUID
    policy: Policy
    facts: Facts = Facts()
    token: token.State | None = None
    request_id: str = ""
    comment: str | None = None


def given(struct: Struct) -> dict[str, Any]:
    """The fields of an event or command that were given at all, by name."""
    return {name: value for name in struct.__struct_fields__ if (value := getattr(struct, name)) is not UNSET}


def changed(state: State, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted values, by field, that differ from the state's, texts in normal form; empty when there is nothing to change."""
    differing: dict[str, Any] = {}
    for name, value in wanted.items():
        old = getattr(state, name)
        new = normal(value) if isinstance(value, str) and value != old else value
        if new != old:
            differing[name] = new
    return differing
