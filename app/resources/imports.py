"""Imports over HTTP: upload a file, look at what it would become, check it, run it, undo it. For managers; users for admins."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, cast, get_args
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType
from psycopg import Cursor
from uuid_utils.compat import uuid7

from app.http import bodies, filters, idempotency_key, listing, paging, request_context, shared
from app.http.filters import Filters
from app.http.list_spec import ListSpec
from app.http.operations import describe, query
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.importing.options import Kind, Options, errors_of
from app.resources import import_files, webhook_requests
from domain.errors import Conflict, Errors, Forbidden, Invalid, NotFound
from domain.permissions import exceeds
from projections.imports import jobs
from projections.imports import shown as imports_shown
from projections.imports.jobs import AT_WORK, STARTABLE, Fault, Job
from projections.imports.shown import Shown

TAG = "Imports"
PATH = "/api/imports"
ONE = "/api/imports/{id:uuid}"
Import = Shown
MULTIPART = "multipart/form-data"
FAULTS = ListSpec(filters=Filters(), orderings=(), order=(), fields=Fault.__struct_fields__)
TABLE = ListSpec(filters=Filters(), orderings=(), order=(), fields=Shown.__struct_fields__)
FLAG = {"type": "boolean", "default": False}
MODES = (
    query("dry_run", "Go through every row and store nothing.", FLAG),
    query("force", "Run it although the same file was imported with the same mapping.", FLAG),
)


class ImportUpload(Struct, frozen=True, kw_only=True):
    """The parts of an upload. ``history`` may come several times; ``options`` is JSON, as in PATCH."""

    file: Annotated[str, Meta(extra_json_schema={"format": "binary"})]
    kind: Kind
    history: Annotated[str, Meta(extra_json_schema={"format": "binary"})] | UnsetType = UNSET
    options: str | UnsetType = UNSET


@get(PATH, opt=describe(TAG, "List imports", description="The newest first.", answer=Import, table=TABLE))
async def list_imports(request: Http) -> JsonResponse:
    asked = await listing.parse(request, TABLE)
    identity = _identity(request)
    rows = await shared.from_request(request).read_pool.rows(
        identity, *imports_shown.page(identity.org_id, asked.page.limit, asked.page.offset)
    )
    return listing.envelope(request, asked, [imports_shown.shown(row[1:]) for row in rows], rows[0][0] if rows else 0)


@post(
    PATH,
    opt=describe(
        TAG,
        "Upload a file to import",
        description="Send it as multipart/form-data. Then it is looked at: when its state is `ready`, `inspection` says what it is"
        " and `options` how it would be imported. A file that was exported with `format=history` brings records with all their"
        " events; for admins. The files of an import have at most 2 GB together.",
        status=201,
        body=ImportUpload,
        body_example={"kind": "opportunities", "file": "Name,Account\nAnnual 2026,Acme\n"},
        body_media_type=MULTIPART,
        answer=Import,
        located=True,
    ),
)
async def create_import(request: Http) -> JsonResponse:
    filters.reject_any(request.scope["query_string"])
    if (key := request_context.from_request(request).idempotency_key) is not None:
        idempotency_key.parse(key)  # the file itself is what tells a repeated request
    identity = _require(request, "opportunities")
    id_ = uuid7()

    def begin(cursor: Cursor[Any]) -> None:
        jobs.create(cursor, id_, identity.org_id, "opportunities", identity.user_id, identity.token_id)

    received = await shared.from_request(request).uploads.receive(request, id_, begin)
    try:
        kind, options, files = import_files.checked(received)
        _require(request, kind)
    except Exception:
        await _work(request, lambda cursor: jobs.abandon(cursor, id_))
        raise
    await _work(request, lambda cursor: jobs.received(cursor, id_, kind, files, msgspec.json.encode(options)))
    response = await _shown(request, id_, 201)
    response.headers.append((b"location", f"{PATH}/{id_}/".encode()))
    return response


@get(ONE, opt=describe(TAG, "Get an import", answer=Import))
async def get_import(request: Http, id: FromPath[UUID]) -> JsonResponse:
    filters.reject_any(request.scope["query_string"])
    return await _shown(request, id)


@patch(
    ONE,
    opt=describe(
        TAG,
        "Change how a file is imported",
        description="Changes the options sent; then the file is looked at again.",
        body=Options,
        body_name="ImportOptions",
        body_example={"mapping": {"name": "Deal Name", "account": "Company"}, "values": {"stage": {"Demo": "proposal"}}},
        answer=Import,
    ),
)
async def update_import(request: Http, id: FromPath[UUID]) -> JsonResponse:
    filters.reject_any(request.scope["query_string"])
    given = import_files.members(await bodies.sent(request))
    found = await _found(request, id)
    options = import_files.options_of(msgspec.json.decode(found.options) | given)
    inspection = found.inspection and msgspec.json.decode(found.inspection)
    if inspection and "mapping" in given and (errors := await _errors(request, found.kind, options, inspection)):
        raise Invalid(errors)

    def work(cursor: Cursor[Any]) -> None:
        _require_state(_locked(cursor, request, id), *STARTABLE)
        jobs.set_options(cursor, id, msgspec.json.encode(options))

    await _work(request, work)
    return await _shown(request, id)


@delete(ONE, status_code=200, opt=describe(TAG, "Delete an import with its files", description="What it made stays.", status=204))
async def delete_import(request: Http, id: FromPath[UUID]) -> JsonResponse:
    filters.reject_any(request.scope["query_string"])

    def work(cursor: Cursor[Any]) -> None:
        _require_state(_locked(cursor, request, id), *(state for state in get_args(jobs.State) if state not in AT_WORK))
        jobs.abandon(cursor, id)

    await _work(request, work)
    return JsonResponse(status=204)


@get(
    ONE + "/rows",
    opt=describe(TAG, "What was wrong with which row", description="In the order of lines.", answer=Fault, table=FAULTS),
)
async def list_import_rows(request: Http, id: FromPath[UUID]) -> JsonResponse:
    asked = await listing.parse(request, FAULTS)
    identity = _identity(request)
    await _found(request, id)
    statement = imports_shown.faults(identity.org_id, id, asked.page.limit, asked.page.offset)
    rows = await shared.from_request(request).read_pool.rows(identity, *statement)
    return listing.envelope(request, asked, [Fault(*row[1:]) for row in rows], rows[0][0] if rows else 0)


@post(
    ONE + "/start",
    status_code=202,
    opt=describe(
        TAG,
        "Check or run an import",
        description="With `dry_run` every row is decided and nothing stored. A run that was cancelled or failed goes on."
        " 409 if the same file was imported with the same mapping, unless `force`.",
        status=202,
        answer=Import,
        parameters=MODES,
    ),
)
async def start_import(request: Http, id: FromPath[UUID]) -> JsonResponse:
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), ("dry_run", "force"), errors)
    errors |= {name: ["Unknown parameter. Known: dry_run, force."] for name, _ in rest}
    dry_run, force = (_flag(taken, name, errors) for name in ("dry_run", "force"))
    if errors:
        raise Invalid(errors)
    await bodies.none(request)
    found = await _found(request, id)
    inspection = found.inspection and msgspec.json.decode(found.inspection)
    if inspection and inspection["form"]["format"] == "history" and _identity(request).role != "admin":
        raise Forbidden("A file with history is imported by admins: its events are not held against the rules of today.")
    options = import_files.options_of(msgspec.json.decode(found.options))
    if inspection and (errors := await _errors(request, found.kind, options, inspection)):
        raise Invalid(errors)

    def work(cursor: Cursor[Any]) -> tuple[UUID, str]:
        _start(cursor, _require_state(_locked(cursor, request, id), *STARTABLE), request, dry_run=dry_run, force=force)
        return id, "{}"

    await webhook_requests.from_request(request).run_once(request, work)
    return await _shown(request, id, 202)


def _start(cursor: Cursor[Any], job: Job, request: Http, *, dry_run: bool, force: bool) -> None:
    identity = _identity(request)
    digest = hashlib.sha256(
        msgspec.json.encode((job.kind, [file.digest for file in job.files], import_files.mapping_of(job.options)))
    )
    fingerprint = digest.digest()
    if not dry_run and not force and (first := jobs.same(cursor, identity.org_id, job.id, fingerprint)):
        raise Conflict("imported", f"The same file was imported with the same mapping: {first}. Send force=true.", first=str(first))
    if dry_run or job.state in ("ready", "undone") or not job.line:
        jobs.start_over(cursor, job.id)
    state: jobs.State = "checking" if dry_run else "running"
    jobs.begin(
        cursor, job.id, state, user_id=identity.user_id, token_id=identity.token_id, fingerprint=None if dry_run else fingerprint
    )


@post(
    ONE + "/cancel",
    status_code=202,
    opt=describe(TAG, "Stop an import", description="What was done stays; `start` goes on.", status=202, answer=Import),
)
async def cancel_import(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return await _changed(request, id, ("checking", "running"), lambda cursor, job: jobs.cancel(cursor, job.id))


@post(
    ONE + "/undo",
    status_code=202,
    opt=describe(
        TAG,
        "Undo an import",
        description="What it created is deleted, what it changed is set back, by events. What somebody changed since is left,"
        " and listed in `rows`; so are stages and custom fields that it added and deals use. Exchange rates stay.",
        status=202,
        answer=Import,
    ),
)
async def undo_import(request: Http, id: FromPath[UUID]) -> JsonResponse:
    identity = _identity(request)

    def work(cursor: Cursor[Any], job: Job) -> None:
        jobs.begin(cursor, job.id, "undoing", user_id=identity.user_id, token_id=identity.token_id, fingerprint=None)

    return await _changed(request, id, ("done", "cancelled", "failed"), work)


async def _changed(request: Http, id_: UUID, states: tuple[jobs.State, ...], change: Any) -> JsonResponse:
    """Change an import that is in one of these states, once per idempotency key."""
    filters.reject_any(request.scope["query_string"])
    await bodies.none(request)

    def work(cursor: Cursor[Any]) -> tuple[UUID, str]:
        change(cursor, _require_state(_locked(cursor, request, id_), *states))
        return id_, "{}"

    await webhook_requests.from_request(request).run_once(request, work)
    return await _shown(request, id_, 202)


async def _work(request: Http, work: Any) -> None:
    def run(cursor: Cursor[Any]) -> tuple[UUID, str]:
        work(cursor)
        return uuid7(), ""

    await webhook_requests.from_request(request).in_transaction(run)


def _locked(cursor: Cursor[Any], request: Http, id_: UUID) -> Job:
    """The import, which nobody else changes meanwhile. Raises ``NotFound``, ``Forbidden``."""
    job = jobs.of_org(cursor, _identity(request).org_id, id_)
    if job is None:
        raise NotFound("No such import.")
    _require(request, job.kind)
    return job


def _require_state(job: Job, *states: jobs.State) -> Job:
    if job.state not in states:
        raise Conflict("import_state", f"The import is {job.state}; this needs one that is {' or '.join(states)}.", state=job.state)
    return job


def _require(request: Http, kind: str) -> Any:
    """Raises ``Forbidden``. The role is looked at again when rows are written."""
    identity = _identity(request)
    least = "admin" if kind == "users" else "manager"
    if exceeds(cast("Any", least), identity.role):
        raise Forbidden(f"Imports of {kind} are for {'admins' if kind == 'users' else 'managers and admins'}.")
    return identity


def _identity(request: Http) -> Any:
    return request_context.from_request(request).identity


async def _found(request: Http, id_: UUID) -> Shown:
    identity = _identity(request)
    rows = await shared.from_request(request).read_pool.rows(identity, *imports_shown.one(identity.org_id, id_))
    if not rows:
        raise NotFound("No such import.")
    return imports_shown.shown(rows[0])


async def _shown(request: Http, id_: UUID, status: int = 200) -> JsonResponse:
    return JsonResponse(msgspec.json.encode(await _found(request, id_)), status)


async def _errors(request: Http, kind: str, options: Options, inspection: Any) -> Errors:
    columns = [column["name"] for column in inspection["columns"]]
    identity = _identity(request)
    stages = await import_files.stages(request, identity)
    return errors_of(options, cast("Kind", kind), columns, stages)


def _flag(taken: Any, name: str, errors: Errors) -> bool:
    text = taken.get(name, "false")
    if text not in ("true", "false"):
        errors[name] = ["Must be true or false."]
    return bool(text == "true")


HANDLERS = (
    list_imports,
    create_import,
    get_import,
    update_import,
    delete_import,
    list_import_rows,
    start_import,
    cancel_import,
    undo_import,
    *import_files.HANDLERS,
)
