"""The examples of an opportunity in OpenAPI, AsyncAPI and a webhook's test: what is sent and what is shown."""

from __future__ import annotations

from app.resources.opportunity_types import Opportunity

ID = "0197a3c2-7d1e-7b5a-8c3f-2f1e5d6a7b8c"
ACCOUNT_ID = "0197a3c2-7c00-7000-8000-00000000a001"
OWNER_ID = "0197a3c2-7c00-7000-8000-00000000b034"
CONTACT_ID = "0197a3c2-7c00-7000-8000-00000000c012"
CREATE = {
    "name": "Acme — Annual 2026",
    "account_id": ACCOUNT_ID,
    "amount": "24000",
    "currency": "USD",
    "stage": "discovery",
    "close_date": "2026-06-30",
    "stakeholder_ids": [CONTACT_ID],
    "custom_fields": {"competitor": "incumbent_vendor"},
    "external_id": "CRM-4711",
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
    "external_id": "CRM-4711",
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
            "external_id": None,
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
