"""What a decision must know of other records of its org, and how its command asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Literal
from uuid import UUID

from msgspec import Struct, UnsetType

from domain.event import Command

Named = tuple[str, str]
"""A kind of record and an external id."""


class References(Struct, frozen=True, kw_only=True):
    """What a command asks about other records of its org; it determines which of the ``Facts`` are filled in.

    ``records`` are ids of accounts, users and contacts, ``known`` ids of records of which it only matters that they exist or did.
    ``external_ids`` and ``emails`` are what records are named by; the external id that the command's record is to have is among
    them, and ``restored`` asks for the one that it had. ``opportunity_id`` is the deal whose owner is needed. ``deals`` is the role
    in which deals name the command's record; ``stages`` asks for ``in_use``. ``other_users`` asks for ``other_admins`` and
    ``email_taken``, ``tokens_of_others`` for ``last_admin_token``, ``issued_tokens`` for both facts about tokens.
    """

    records: frozenset[UUID] = frozenset()
    known: frozenset[UUID] = frozenset()
    external_ids: frozenset[Named] = frozenset()
    emails: frozenset[str] = frozenset()
    restored: bool = False
    opportunity_id: UUID | None = None
    deals: Literal["account", "stakeholder"] | None = None
    stages: bool = False
    other_users: bool = False
    email: str | None = None
    tokens_of_others: bool = False
    issued_tokens: bool = False


class Facts(Struct, frozen=True):
    """What a decision must know of other records of the same org; only what the command's ``References`` ask about is filled.

    ``accounts``, ``users`` (active ones), ``owners`` (users who may own deals), ``contacts`` and ``opportunities`` are the ids
    named by the command that exist; ``known`` has kind and id of those that exist or did. ``named`` are the live records with the
    external ids that are asked about, ``by_email`` the active users with the addresses, which are in the form that is looked up.
    ``in_use`` counts live deals by stage key.
    ``email_taken`` is about the command's email.
    ``owner_id`` is the owner of the opportunity that an activity is about. ``deals`` is the number of live deals that name the
    account or contact to be deleted. ``other_admins`` is the number of active admins other than the user that the command is about.
    ``issued_tokens`` are the valid tokens that were issued with the token that the command is about, or with one of these.
    ``last_admin_token`` says that without it and them, or without those of the user that the command is about, no token with an
    admin's rights would be left.
    """

    accounts: frozenset[UUID] = frozenset()
    users: frozenset[UUID] = frozenset()
    owners: frozenset[UUID] = frozenset()
    contacts: frozenset[UUID] = frozenset()
    opportunities: frozenset[UUID] = frozenset()
    known: AbstractSet[tuple[str, UUID]] = frozenset()
    named: Mapping[Named, UUID] = {}
    by_email: Mapping[str, UUID] = {}
    in_use: Mapping[str, int] = {}
    email_taken: bool = False
    owner_id: UUID | None = None
    deals: int = 0
    other_admins: int = 0
    issued_tokens: tuple[UUID, ...] = ()
    last_admin_token: bool = False


def to_records(*ids: UUID | UnsetType | None) -> References:
    """References to the accounts, users and contacts among these ids; values that are not ids are skipped."""
    return References(records=frozenset(id_ for id_ in ids if isinstance(id_, UUID)))


def no_references(command: Command) -> References:
    """The ``references`` of an aggregate whose decisions look at no other record."""
    return References()
