"""The fields of a deal that a user may set, declared once for all commands that do: see ``opportunity.commands``."""

from __future__ import annotations

from decimal import Decimal

from msgspec import UNSET, Struct, UnsetType

from domain.external_id import ExternalId, ExternalIds
from domain.fields import CustomFields, Day, Email, Line, Percent, StakeholderIds, Tags, Text


class DealFields(Struct, frozen=True, kw_only=True):
    """Every field may be left out (UNSET), and cleared (None) where its type allows; None resets ``probability`` to the stage's."""

    amount: Decimal | UnsetType | None = UNSET
    probability: Percent | UnsetType | None = UNSET
    close_date: Day | UnsetType | None = UNSET
    next_step: Line | UnsetType | None = UNSET
    external_id: ExternalId | UnsetType | None = UNSET
    stakeholder_ids: StakeholderIds | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    custom_fields: CustomFields | UnsetType | None = UNSET
    actual_amount: Decimal | UnsetType | None = UNSET
    actual_close_date: Day | UnsetType | None = UNSET
    lost_reason: Text | UnsetType | None = UNSET


class NamedStakeholders(DealFields, frozen=True, kw_only=True):
    """Stakeholders by what other systems call them, instead of ``stakeholder_ids``."""

    stakeholder_external_ids: ExternalIds | UnsetType | None = UNSET


class NamedRecords(NamedStakeholders, frozen=True, kw_only=True):
    """Also account and owner by their names, instead of ``account_id`` and ``owner_id``."""

    account_external_id: ExternalId | UnsetType = UNSET
    owner_email: Email | UnsetType = UNSET


NAMES = {"account_external_id": "account_id", "owner_email": "owner_id", "stakeholder_external_ids": "stakeholder_ids"}
"""Field with the names of records → field with their ids."""
CLOSING = ("actual_amount", "actual_close_date", "lost_reason")
"""Only for closed deals, the last one only for lost ones."""
ALWAYS_SET = ("probability",)
CLEARABLE = tuple(name for name in DealFields.__struct_fields__ if name not in ALWAYS_SET)
REQUIRABLE = tuple(name for name in CLEARABLE if name not in CLOSING and name != "custom_fields")
"""Fields that a stage may require; custom fields are named one by one, by key."""
