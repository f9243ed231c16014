"""Exchange rates over HTTP: list, put one. A later quote for the same day replaces a rate; none is removed."""

from __future__ import annotations

from typing import Any

from litestar import get, put

from app.http import bodies, dispatch, list_envelope, listing, request_context, shared
from app.http.filters import Filter, Filters
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.param_types import CURRENCY
from app.http.request_context import Http
from app.http.response import JsonResponse
from domain import exchange_rate
from projections import exchange_rates as rates
from projections.directory import queries as directory_queries
from projections.exchange_rates import ExchangeRate

TAG = "Exchange rates"
PATH = "/api/exchange-rates"
READ_ONLY = frozenset({"updated_at"})
EXAMPLE = {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.0835"}
SHOWN: dict[str, Any] = {**EXAMPLE, "updated_at": "2026-01-01T08:00:00Z"}
TABLE = ListSpec(
    Filters((Filter("currency", CURRENCY, description="Of this currency."),)),
    orderings=(),
    order=(),
    fields=ExchangeRate.__struct_fields__,
)


@get(
    PATH,
    opt=describe(
        TAG,
        "List exchange rates",
        description="By currency, the latest day first.",
        answer=ExchangeRate,
        answer_example={"count": 1, "next": None, "previous": None, "results": [SHOWN]},
        table=TABLE,
    ),
)
async def list_exchange_rates(request: Http) -> JsonResponse:
    identity = request_context.from_request(request).identity
    asked = await listing.parse(request, TABLE)
    currencies = [code for condition in asked.conditions for code in condition.values]
    statement = rates.page(identity.org_id, asked.page.limit, asked.page.offset, currencies)
    items, count = await shared.from_request(request).read_pool.row(identity, *statement)
    return listing.envelope(request, asked, list_envelope.joined(items), count)


@put(
    PATH,
    opt=describe(
        TAG,
        "Set an exchange rate",
        description="For admins. Replaces the rate of that day, if there is one.",
        body=exchange_rate.Set,
        body_example=EXAMPLE,
        errors=(404,),
        answer=ExchangeRate,
        answer_example=SHOWN,
        versioned=True,
    ),
)
async def set_exchange_rate(request: Http) -> JsonResponse:
    identity = request_context.from_request(request).identity
    command = await bodies.read(request, exchange_rate.Set, READ_ONLY)
    stream_id = exchange_rate.stream_id(identity.org_id, command.currency)
    outcome = await dispatch.execute(request, command, stream_id=stream_id)
    # The outcome shows the rate set last, which may be another day's.
    statement = directory_queries.exchange_rate(stream_id, command.valid_from)
    (body,) = await shared.from_request(request).read_pool.row(identity, *statement)
    outcome.body = body.decode()
    return dispatch.answer(outcome)


HANDLERS = (list_exchange_rates, set_exchange_rate)
