"""What may be asked of a deal. A request body decodes straight into a command. Refuses to know what is allowed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from msgspec import UNSET, UnsetType

from domain import event
from domain.fields import CustomFields, StakeholderIds, Tags


class Create(event.Command, frozen=True):
    """Unless given, ``currency`` is the org's, ``stage`` the first open one, ``owner_id`` the actor and ``probability``
    the stage's."""

    name: str
    account_id: UUID
    amount: Decimal | None = None
    currency: str | None = None
    stage: str | None = None
    probability: int | None = None
    close_date: date | None = None
    owner_id: UUID | None = None
    stakeholder_ids: StakeholderIds | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None
    actual_amount: Decimal | None = None
    actual_close_date: date | None = None
    lost_reason: str | None = None


class Update(event.Command, frozen=True):
    """Changes what is given (PATCH). None clears, and brings ``probability`` back to the stage's; ``custom_fields``
    merges by key, where None removes a key."""

    name: str | UnsetType = UNSET
    account_id: UUID | UnsetType = UNSET
    amount: Decimal | UnsetType | None = UNSET
    currency: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    probability: int | UnsetType | None = UNSET
    close_date: date | UnsetType | None = UNSET
    owner_id: UUID | UnsetType = UNSET
    stakeholder_ids: StakeholderIds | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    custom_fields: CustomFields | UnsetType | None = UNSET
    actual_amount: Decimal | UnsetType | None = UNSET
    actual_close_date: date | UnsetType | None = UNSET
    lost_reason: str | UnsetType | None = UNSET


class Replace(event.Command, frozen=True):
    """The whole deal anew (PUT). What is left out is cleared, ``currency`` becomes the org's, but ``stage``,
    ``owner_id`` and ``probability`` stay."""

    name: str
    account_id: UUID
    amount: Decimal | None = None
    currency: str | None = None
    stage: str | UnsetType = UNSET
    probability: int | UnsetType | None = UNSET
    close_date: date | None = None
    owner_id: UUID | UnsetType = UNSET
    stakeholder_ids: StakeholderIds | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None
    actual_amount: Decimal | None = None
    actual_close_date: date | None = None
    lost_reason: str | None = None


class ChangeStage(event.Command, frozen=True):
    """To another stage, with whatever that stage asks for. ``comment`` goes into the log by way of the context."""

    stage: str
    actual_amount: Decimal | UnsetType | None = UNSET
    actual_close_date: date | UnsetType | None = UNSET
    lost_reason: str | UnsetType | None = UNSET
    probability: int | UnsetType | None = UNSET
    comment: str | None = None
    amount: Decimal | UnsetType | None = UNSET
    currency: str | UnsetType = UNSET
    close_date: date | UnsetType | None = UNSET
    stakeholder_ids: StakeholderIds | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    custom_fields: CustomFields | UnsetType | None = UNSET


class Delete(event.Command, frozen=True):
    pass


class Restore(event.Command, frozen=True):
    pass
