"""``/api/opportunities/``: list, create, the record and its verbs. The rules are in the domain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.params import FromPath

from app.http import bodies, bulk, external_ids, filters, list_envelope, listing, paging, request_context, shared
from app.http.bulk_operations import BulkSpec
from app.http.dispatch import answer, execute, record
from app.http.filters import RANGE, Filter, Filters
from app.http.list_spec import ListSpec
from app.http.operations import describe, query
from app.http.paging import Page
from app.http.param_types import CURRENCY, DATE, EXTERNAL_ID, ID, INSTANT, INTEGER, NUMBER, PHRASE, TEXT, USER, ParamType, choice
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.resources import opportunity_examples as examples
from app.resources import opportunity_types as shown
from domain import custom_value, opportunity, pipeline
from domain.errors import Errors, Invalid, NotFound
from domain.event import Command
from domain.text import normal
from projections.conditions import Operator
from projections.directory import queries as directory_queries
from projections.opportunities import cursors, deep, heads, list_query, queries
from projections.opportunities.conditions import COLUMNS, ORDERINGS, Column
from projections.opportunities.counts import CountedPage
from projections.opportunities.deep import DeepPage
from projections.opportunities.heads import FirstDeals
from projections.opportunities.list_query import OpportunityListQuery

TAG = "Opportunities"
PATH = "/api/opportunities"

SEARCH = """\
Every word is in the deal's or its account's name, ignoring case and accents; one or two letters match the beginning of a word."""
_NAMED = (
    Filter("stage", TEXT, description="By key."),
    Filter("status", choice("open", "won", "lost")),
    Filter("owner", USER, description="By id, email address or `me`."),
    Filter("account", ID, description="By id."),
    Filter("currency", CURRENCY),
    Filter("tags", TEXT, ("all",), bare="any", description="Has any of these."),
    Filter("external_id", EXTERNAL_ID, ("isnull",), description="Exactly this; one with commas also as a whole."),
    Filter("search", PHRASE, bare="icontains", description=SEARCH),
    Filter("import", ID, description="Created or changed by this import."),
)
_BY_TYPE: dict[str, tuple[ParamType, tuple[Operator, ...]]] = {
    "text": (TEXT, ("icontains",)),
    "int": (INTEGER, RANGE),
    "numeric": (NUMBER, RANGE),
    "date": (DATE, RANGE),
    "timestamptz": (INSTANT, RANGE),
}
_DESCRIPTIONS = {"amount": "In the deal's own currency."}


def _filter(name: str, column: Column) -> Filter:
    kind, operators = _BY_TYPE[column.type]
    return Filter(name, kind, (*operators, "isnull") if column.nullable else operators, description=_DESCRIPTIONS.get(name, ""))


_OTHERS = {name: column for name, column in COLUMNS.items() if name not in {"id", "name", *(each.name for each in _NAMED)}}
FILTERS = Filters((*_NAMED, *(_filter(name, column) for name, column in _OTHERS.items())), custom=True)
TABLE = ListSpec(
    filters=FILTERS,
    orderings=tuple(sorted(ORDERINGS)),
    order=list_query.DEFAULT_ORDER,
    fields=shown.Opportunity.__struct_fields__,
    cursors=True,
    as_of=True,
)
READ_ONLY = frozenset(shown.OpportunityRecord.__struct_fields__) - frozenset(opportunity.Create.__struct_fields__)

AS_OF = query("as_of", "The record as it stood at this instant.", {"type": "string", "format": "date-time"})


_OPERATIONS: dict[str, type[Command]] = {
    "create": opportunity.Create,
    "update": opportunity.Update,
    "upsert": opportunity.Replace,
    "transition": opportunity.ChangeStage,
    "delete": opportunity.Delete,
    "restore": opportunity.Restore,
}
BULK = BulkSpec("opportunity", _OPERATIONS, READ_ONLY)


@get(
    PATH,
    opt=describe(
        TAG, "List opportunities", table=TABLE, answer=shown.Opportunity, answer_example=examples.LIST,
        description="Custom fields filter as `cf_<key>`, compared by type, also with `__gte __lte __in __isnull __icontains`.",
    ),
)  # fmt: skip
async def list_opportunities(request: Http) -> JsonResponse:
    asked = await listing.parse(request, TABLE)
    identity = request_context.from_request(request).identity
    wanted = OpportunityListQuery(identity.org_id, asked.conditions, asked.order, asked.as_of)
    try:
        items, count, *keys = await _page(request, wanted, asked.page)
    except cursors.InvalidCursor as error:
        raise Invalid({"cursor": [str(error)]}) from error
    following = cursors.encode(keys[0], wanted.keys) if keys and keys[0] else None
    return listing.envelope(request, asked, list_envelope.joined(items), count, following)


async def _page(request: Http, query: OpportunityListQuery, at: Page) -> Sequence[Any]:
    process, identity = shared.from_request(request), request_context.from_request(request).identity
    if heads.are_kept(query, at.limit, at.offset, at.cursor):
        _, _, *row = await process.keeper.row(identity, FirstDeals(query, at.limit, at.offset, at.cursor))
        return row
    if not at.cursor and deep.is_deep(query, at.offset):
        _, _, *row = await process.keeper.row(identity, DeepPage(query, at.limit, at.offset))
        return row
    page = CountedPage(query, at.limit, at.offset, at.cursor)
    if list_query.has_counters(query):
        if at.cursor:  # who walks on sees each name once
            return await process.read_pool.row(identity, *page.from_counters())
        return await process.embedded_cards.row(process.read_pool, identity, page.from_counters)
    return await process.keeper.row(identity, page)


@post(
    PATH,
    opt=describe(
        TAG, "Create an opportunity", status=201, body=opportunity.Create, body_example=examples.CREATE,
        answer=shown.OpportunityRecord, answer_example=examples.RECORD, versioned=True,
        description="Defaults: `stage` the first open one, `probability` the stage's, `currency` the org's, `owner_id` you.",
    ),
)  # fmt: skip
async def create_opportunity(request: Http) -> JsonResponse:
    command = await bodies.read(request, opportunity.Create, READ_ONLY)
    return answer(await execute(request, command), 201, location=f"{PATH}/")


@get(
    PATH + "/{id:uuid}",
    opt=describe(
        TAG, "Get an opportunity", parameters=(AS_OF,), answer=shown.OpportunityRecord, answer_example=examples.RECORD,
        versioned=True,
    ),
)  # fmt: skip
async def get_opportunity(request: Http, id: FromPath[UUID]) -> JsonResponse:
    version, body = await _record(request, id, _as_of(request))
    return record(request, version, body)


@patch(
    PATH + "/{id:uuid}",
    opt=describe(
        TAG, "Change an opportunity", body=opportunity.Update, body_example=examples.UPDATE,
        answer=shown.OpportunityRecord, answer_example=examples.RECORD, versioned=True,
        description="Only the keys sent change; `null` clears; `custom_fields` merge by key. A new `stage` obeys the policy.",
    ),
)  # fmt: skip
async def update_opportunity(request: Http, id: FromPath[UUID]) -> JsonResponse:
    command = await bodies.read(request, opportunity.Update, READ_ONLY)
    return answer(await execute(request, command, stream_id=id))


@put(
    PATH + "/{id:uuid}",
    opt=describe(
        TAG, "Replace an opportunity", body=opportunity.Replace, body_example=examples.CREATE,
        answer=shown.OpportunityRecord, answer_example=examples.RECORD, versioned=True,
        description="Optional keys left out are cleared, but `stage`, `owner_id` and `probability` stay.",
    ),
)  # fmt: skip
async def replace_opportunity(request: Http, id: FromPath[UUID]) -> JsonResponse:
    command = await bodies.read(request, opportunity.Replace, READ_ONLY)
    return answer(await execute(request, command, stream_id=id))


@put(
    PATH + external_ids.PLACE,
    opt=describe(
        TAG, "Create or replace the opportunity with an external id", parameters=(external_ids.PARAMETER,),
        body=opportunity.Replace, body_example=examples.CREATE,
        answer=shown.OpportunityRecord, answer_example=examples.RECORD, versioned=True, creates=True,
        description="As a PUT of the live deal that has this `external_id`, or else as a POST.",
    ),
)  # fmt: skip
async def put_opportunity(request: Http) -> JsonResponse:
    return await external_ids.put(request, opportunity.Replace, opportunity.Create, f"{PATH}/", READ_ONLY)


@delete(
    PATH + "/{id:uuid}",
    status_code=200,
    opt=describe(TAG, "Delete an opportunity", status=204, versioned=True, description="It can be restored."),
)
async def delete_opportunity(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return answer(await execute(request, opportunity.Delete(), stream_id=id), 204)


@post(
    PATH + "/{id:uuid}/transition",
    opt=describe(
        TAG, "Move an opportunity to another stage", body=opportunity.ChangeStage, body_example=examples.CHANGE_STAGE,
        answer=shown.OpportunityRecord, answer_example=examples.RECORD, versioned=True,
        description="Checked by the org's policy. Won requires `actual_amount` and `actual_close_date`, lost `lost_reason`.",
    ),
)  # fmt: skip
async def transition_opportunity(request: Http, id: FromPath[UUID]) -> JsonResponse:
    command = await bodies.read(request, opportunity.ChangeStage)
    return answer(await execute(request, command, stream_id=id, comment=normal(command.comment or "") or None))


@post(
    PATH + "/{id:uuid}/restore",
    opt=describe(
        TAG, "Restore a deleted opportunity", answer=shown.OpportunityRecord, answer_example=examples.RECORD, versioned=True
    ),
)  # fmt: skip
async def restore_opportunity(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return answer(await execute(request, opportunity.Restore(), stream_id=id))


@get(
    PATH + "/{id:uuid}/transitions",
    opt=describe(
        TAG, "The stages an opportunity may move to", answer=shown.PossibleTransitions,
        description="With the fields that each requires.",
    ),
)  # fmt: skip
async def list_transitions(request: Http, id: FromPath[UUID]) -> JsonResponse:
    identity = request_context.from_request(request).identity
    filters.reject_any(request.scope["query_string"])
    _, body = await _record(request, id, None)
    policy = await _policy(request)
    deal = msgspec.json.decode(body)
    possible = []
    for key in policy.allowed(deal["stage"]):
        stage, required = policy.by_key[key], policy.required[key]
        missing = [path for path in required if custom_value.is_empty(_at(deal, path))]
        possible.append(shown.NextStage(key, stage.label, stage.type, stage.probability, list(required), missing))
    assert identity.org_id == policy.org_id
    return JsonResponse(msgspec.json.encode(shown.PossibleTransitions(deal["stage"], possible)))


async def _record(request: Http, id_: UUID, as_of: datetime | None) -> tuple[int, bytes]:
    identity = request_context.from_request(request).identity
    rows = await shared.from_request(request).read_pool.rows(identity, *queries.record(identity.org_id, id_, as_of))
    if not rows:
        raise NotFound(f"There is no opportunity {id_}.")
    version, body = rows[0]
    return version, body


async def _policy(request: Http) -> pipeline.State:
    identity = request_context.from_request(request).identity
    rows = await shared.from_request(request).read_pool.rows(identity, *directory_queries.settings(identity.org_id, "pipeline"))
    document = msgspec.json.decode(rows[0][1]) | {"org_id": str(identity.org_id)}
    return msgspec.convert(document, pipeline.State)


def _at(deal: dict[str, Any], path: str) -> Any:
    name, _, key = path.partition(".")
    value = deal.get(name)
    return value.get(key) if key and isinstance(value, dict) else value


def _as_of(request: Http) -> datetime | None:
    """The instant requested for a record, which has no other parameters."""
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), ("as_of",), errors)
    for name, _ in rest:
        errors[name] = ["Unknown parameter. Possible: as_of."]
    instant = listing.parse_instant(taken, "as_of", errors)
    if errors:
        raise Invalid(errors)
    return instant


@post(PATH + "/bulk", status_code=200, opt=bulk.described(TAG, BULK, examples.CREATE))
async def bulk_opportunities(request: Http) -> JsonResponse:
    return await bulk.run(request, BULK)


HANDLERS = (
    list_opportunities,
    create_opportunity,
    get_opportunity,
    update_opportunity,
    replace_opportunity,
    put_opportunity,
    delete_opportunity,
    transition_opportunity,
    restore_opportunity,
    list_transitions,
    bulk_opportunities,
)
