"""``export/`` of deals, accounts and contacts: the whole list as one file."""

from __future__ import annotations

from litestar import get
from litestar.response.base import ASGIResponse

from app.exporting.export import SUFFIXES, Export
from app.http import exports, listing, request_context, shared
from app.http.list_spec import ListSpec
from app.http.listing import ListQuery
from app.http.request_context import Http
from app.resources import accounts, contacts, opportunities
from projections.directory.queries import DirectoryListQuery
from projections.opportunities.list_query import OpportunityListQuery

DEALS, ACCOUNTS, CONTACTS = exports.spec(opportunities.TABLE), exports.spec(accounts.TABLE), exports.spec(contacts.TABLE)


@get(f"{opportunities.PATH}/export", opt=exports.described(opportunities.TAG, "Export opportunities", opportunities.TABLE))
async def export_opportunities(request: Http) -> ASGIResponse:
    asked = await listing.parse(request, DEALS)
    identity = request_context.from_request(request).identity
    return _file(request, asked, OpportunityListQuery(identity.org_id, asked.conditions, asked.order, asked.as_of), "opportunities")


@get(f"{accounts.PATH}/export", opt=exports.described(accounts.TAG, "Export accounts", accounts.TABLE))
async def export_accounts(request: Http) -> ASGIResponse:
    return await _directory(request, ACCOUNTS, "account")


@get(f"{contacts.PATH}/export", opt=exports.described(contacts.TAG, "Export contacts", contacts.TABLE))
async def export_contacts(request: Http) -> ASGIResponse:
    return await _directory(request, CONTACTS, "contact")


async def _directory(request: Http, table: ListSpec, kind: str) -> ASGIResponse:
    asked = await listing.parse(request, table)
    identity = request_context.from_request(request).identity
    return _file(request, asked, DirectoryListQuery(identity.org_id, kind, asked.conditions, asked.order), f"{kind}s")


def _file(request: Http, asked: ListQuery, query: OpportunityListQuery | DirectoryListQuery, name: str) -> ASGIResponse:
    process = shared.from_request(request)
    export = Export(query=query, fields=asked.fields, **{"format": "csv", **asked.further})
    day = (asked.as_of or process.read_pool.clock.now()).date()
    return exports.ExportedFile(request, process.exports, export, f"{name}-{day}.{SUFFIXES[export.format]}")


HANDLERS = (export_opportunities, export_accounts, export_contacts)
