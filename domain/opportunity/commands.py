"""The commands of a deal. A request body decodes straight into one; ``decisions`` says what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from domain import adoption, event
from domain.deal_fields import NamedRecords, NamedStakeholders
from domain.fields import Line, Note
from domain.money import Currency


class Create(NamedRecords, event.Command, frozen=True, kw_only=True):
    """Defaults: ``currency`` is the org's, ``stage`` the first open one, ``owner_id`` the actor and ``probability`` the stage's."""

    INSTEAD: ClassVar[Mapping[str, str]] = {"account_id": "account_external_id"}

    name: Line
    account_id: UUID | UnsetType = UNSET
    currency: Currency | None = None
    stage: str | None = None
    owner_id: UUID | None = None


class Update(NamedRecords, event.Command, frozen=True, kw_only=True):
    """Changes the fields given (PATCH). null clears a field; ``custom_fields`` merges by key, and null removes a key."""

    name: Line | UnsetType = UNSET
    account_id: UUID | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    owner_id: UUID | UnsetType = UNSET


class Replace(NamedRecords, event.Command, frozen=True, kw_only=True):
    """Replaces the whole deal (PUT). What is left out is cleared, and ``currency`` becomes the org's; ``stage``, ``owner_id`` and
    ``probability`` stay."""

    INSTEAD: ClassVar[Mapping[str, str]] = {"account_id": "account_external_id"}

    name: Line
    account_id: UUID | UnsetType = UNSET
    currency: Currency | None = None
    stage: str | UnsetType = UNSET
    owner_id: UUID | UnsetType = UNSET


class ChangeStage(NamedStakeholders, event.Command, frozen=True, kw_only=True):
    """Moves to another stage, with the fields that the stage requires. ``comment`` is recorded with the event."""

    stage: str
    currency: Currency | UnsetType = UNSET
    comment: Note | None = None


class Delete(event.Command, frozen=True):
    pass


class Restore(event.Command, frozen=True):
    pass


class Adopt(adoption.Adopt, event.Command, frozen=True):
    """A deal of another org with its past."""
