"""How an opportunity looks to a client: the types behind the OpenAPI schemas."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct, defstruct, structs

from app.http.json_schema import shown
from domain import activity, contact
from domain.custom_field import Definition
from projections.opportunities.rows import AfterStakeholders, Detail, UntilOwner


class AccountCard(Struct):
    id: UUID
    name: str


class OwnerCard(Struct):
    id: UUID
    email: str


class ContactCard(Struct):
    id: UUID
    first_name: str
    last_name: str


class _UntilAccount(Struct):
    id: UUID
    name: str
    account: AccountCard


class _People(Struct):
    owner: OwnerCard
    stakeholders: list[ContactCard]


def _joined(*parts: type[Struct]) -> type[Struct]:
    """A struct with the fields of all parts, in order; of two with one name the later one counts, in the earlier one's place."""
    fields = {field.name: field.type for part in parts for field in structs.fields(part)}
    return defstruct("_Joined", list(fields.items()))


class Opportunity(_joined(_UntilAccount, UntilOwner, _People, AfterStakeholders)):  # type: ignore[misc]
    """An opportunity in a list."""


ContactRecord = shown(contact.State, "Contact")
ActivityRecord = shown(activity.State, "Activity")


class _Further(Struct):
    stakeholders: list[ContactRecord]  # type: ignore[valid-type]
    activities: list[ActivityRecord]  # type: ignore[valid-type]
    activities_url: str
    custom_field_definitions: list[Definition]


class OpportunityRecord(_joined(Opportunity, _Further, Detail)):  # type: ignore[misc]
    """An opportunity in full: the stakeholders' whole records, the latest activities, the custom fields' definitions."""


class NextStage(Struct):
    """A stage that the deal may move to, with the fields that must have a value by then and those still missing."""

    stage: str
    label: str
    type: str
    probability: int
    required_fields: list[str]
    missing_fields: list[str]


class PossibleTransitions(Struct):
    """Where a deal stands, and where the policy allows it to move."""

    stage: str
    transitions: list[NextStage]
