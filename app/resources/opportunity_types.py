"""How an opportunity looks to a client: the types behind the OpenAPI schemas, and examples."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct, defstruct, structs

from app.http.json_schema import shown
from domain import activity, contact
from domain.custom_field import Definition
from projections.opportunities.rows import AfterStakeholders, Detail, UntilOwner

ID = "0197a3c2-7d1e-7b5a-8c3f-2f1e5d6a7b8c"
ACCOUNT_ID = "0197a3c2-7c00-7000-8000-00000000a001"
OWNER_ID = "0197a3c2-7c00-7000-8000-00000000b034"
CONTACT_ID = "0197a3c2-7c00-7000-8000-00000000c012"


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


CREATE = {
    "name": "Acme — Annual 2026",
    "account_id": ACCOUNT_ID,
    "amount": "24000",
    "currency": "USD",
    "stage": "discovery",
    "close_date": "2026-06-30",
    "stakeholder_ids": [CONTACT_ID],
    "custom_fields": {"competitor": "incumbent_vendor"},
}
CHANGE_STAGE = {"stage": "negotiation"}
UPDATE = {"amount": "26000", "custom_fields": {"competitor": None}}
_ITEM = {
    "id": ID,
    "name": "Acme — Annual 2026",
    "account": {"id": ACCOUNT_ID, "name": "Acme Corp"},
    "amount": "24000.00",
    "currency": "USD",
    "stage": "proposal",
    "probability": 60,
    "close_date": "2026-06-30",
    "owner": {"id": OWNER_ID, "email": "rep@yours.com"},
    "stakeholders": [{"id": CONTACT_ID, "first_name": "Jane", "last_name": "Doe"}],
    "custom_fields": {"competitor": "incumbent_vendor"},
    "created_at": "2026-03-01T10:00:00Z",
    "status": "open",
    "tags": [],
    "stage_entered_at": "2026-03-04T09:30:00Z",
    "updated_at": "2026-03-04T09:30:00Z",
    "version": 2,
}
ITEM = {name: _ITEM.get(name) for name in Opportunity.__struct_fields__}
LIST = {"count": 1, "next": None, "previous": None, "results": [ITEM]}
RECORD = {
    **ITEM,
    "stakeholders": [
        {
            "id": CONTACT_ID,
            "first_name": "Jane",
            "last_name": "Doe",
            "email": "jane@acme.example",
            "phone": None,
            "title": "CFO",
            "account_id": ACCOUNT_ID,
            "created_at": "2026-02-01T10:00:00Z",
            "updated_at": "2026-02-01T10:00:00Z",
            "version": 1,
        }
    ],
    "activities": [],
    "activities_url": f"/api/opportunities/{ID}/activities/",
    "custom_field_definitions": [],
    "probability_source": "stage",
}
