"""What may be asked of a deal. A request body decodes straight into a command. Refuses to know what is allowed."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from msgspec import UNSET, UnsetType

from domain import event
from domain.fields import CustomFields, Day, Line, Note, Percent, StakeholderIds, Tags, Text
from domain.money import Currency


class Create(event.Command, frozen=True):
    """Unless given, ``currency`` is the org's, ``stage`` the first open one, ``owner_id`` the actor and ``probability``
    the stage's."""

    name: Line
    account_id: UUID
    amount: Decimal | None = None
    currency: Currency | None = None
    stage: str | None = None
    probability: Percent | None = None
    close_date: Day | None = None
    owner_id: UUID | None = None
    stakeholder_ids: StakeholderIds | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None
    actual_amount: Decimal | None = None
    actual_close_date: Day | None = None
    lost_reason: Text | None = None


class Update(event.Command, frozen=True):
    """Changes what is given (PATCH). None clears, and brings ``probability`` back to the stage's; ``custom_fields``
    merges by key, where None removes a key."""

    name: Line | UnsetType = UNSET
    account_id: UUID | UnsetType = UNSET
    amount: Decimal | UnsetType | None = UNSET
    currency: Currency | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    probability: Percent | UnsetType | None = UNSET
    close_date: Day | UnsetType | None = UNSET
    owner_id: UUID | UnsetType = UNSET
    stakeholder_ids: StakeholderIds | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    custom_fields: CustomFields | UnsetType | None = UNSET
    actual_amount: Decimal | UnsetType | None = UNSET
    actual_close_date: Day | UnsetType | None = UNSET
    lost_reason: Text | UnsetType | None = UNSET


class Replace(event.Command, frozen=True):
    """The whole deal anew (PUT). What is left out is cleared, ``currency`` becomes the org's, but ``stage``,
    ``owner_id`` and ``probability`` stay."""

    name: Line
    account_id: UUID
    amount: Decimal | None = None
    currency: Currency | None = None
    stage: str | UnsetType = UNSET
    probability: Percent | UnsetType | None = UNSET
    close_date: Day | None = None
    owner_id: UUID | UnsetType = UNSET
    stakeholder_ids: StakeholderIds | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None
    actual_amount: Decimal | None = None
    actual_close_date: Day | None = None
    lost_reason: Text | None = None


class ChangeStage(event.Command, frozen=True):
    """To another stage, with whatever that stage asks for. ``comment`` goes into the log by way of the context."""

    stage: str
    actual_amount: Decimal | UnsetType | None = UNSET
    actual_close_date: Day | UnsetType | None = UNSET
    lost_reason: Text | UnsetType | None = UNSET
    probability: Percent | UnsetType | None = UNSET
    comment: Note | None = None
    amount: Decimal | UnsetType | None = UNSET
    currency: Currency | UnsetType = UNSET
    close_date: Day | UnsetType | None = UNSET
    stakeholder_ids: StakeholderIds | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    custom_fields: CustomFields | UnsetType | None = UNSET


class Delete(event.Command, frozen=True):
    pass


class Restore(event.Command, frozen=True):
    pass
