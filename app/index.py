"""``/api/``: where everything is. Refuses to say anything about the org, and so needs no database."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.response.base import ASGIResponse

from app.operations import describe

RESOURCES = {
    "opportunities": "/api/opportunities/",
    "forecast": "/api/opportunities/forecast/",
    "accounts": "/api/accounts/",
    "contacts": "/api/contacts/",
    "users": "/api/users/",
    "me": "/api/users/me/",
    "custom_fields": "/api/custom-fields/",
    "pipeline": "/api/pipeline/",
    "exchange_rates": "/api/exchange-rates/",
    "organization": "/api/organization/",
    "events": "/api/events/",
    "tokens": "/api/tokens/",
    "documentation": "/schema/",
}
_BODY = msgspec.json.encode(RESOURCES)


@get("/api", opt=describe("Operations", "Where everything is", answer=dict[str, str], answer_example=RESOURCES))
async def get_index() -> ASGIResponse:
    return ASGIResponse(body=_BODY)


HANDLERS = (get_index,)
