"""The files of imports over HTTP: what an upload must have, the file as it came, and its failed rows with their reasons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple, cast, get_args
from uuid import UUID

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.exporting.workbook import Workbook
from app.http import filters, request_context, shared
from app.http.operations import describe
from app.http.request_context import Http
from app.importing import failed_rows
from app.importing.failed_rows import Failed, FailedRows
from app.importing.options import Kind, Options
from app.importing.presets import PRESETS
from app.importing.table import Form
from domain.did_you_mean import nearest
from domain.errors import Errors, Invalid, NotFound
from projections.directory import queries as directory_queries
from projections.imports import files
from projections.imports import shown as imports_shown
from projections.imports.jobs import File, Received
from projections.imports.shown import Shown

TAG = "Imports"
ONE = "/api/imports/{id:uuid}"
FIELDS = ("kind", "options")
FILES = ("file", "history")
MAX_HISTORIES = 30


class Checked(NamedTuple):
    kind: Kind
    options: Options
    files: list[File]


def checked(received: Received) -> Checked:
    """An upload with all that it needs. Raises ``Invalid``."""
    errors: Errors = {}
    names = [name for name, _ in received.files]
    for name in {*received.fields, *names} - {*FIELDS, *FILES}:
        errors[name[:80]] = [f"Unknown part. {nearest(name, [*FIELDS, *FILES])}"]
    if names.count("file") != 1 or names[:1] != ["file"]:
        errors["file"] = ["Send one part file with a file name, before any history."]
    kind = received.fields.get("kind", b"").decode("utf-8", "replace")
    if kind not in get_args(Kind):
        errors["kind"] = [f"Must be one of {', '.join(get_args(Kind))}."]
    if kind != "opportunities" and "history" in names:
        errors["history"] = ["Only opportunities have a history."]
    options = Options()
    try:
        options = options_of(members(received.fields.get("options", b"{}")))
    except Invalid as error:
        errors |= error.errors
    if errors:
        raise Invalid(errors)
    return Checked(cast("Kind", kind), options, [file for _, file in received.files])


def members(raw: bytes) -> dict[str, Any]:
    """The members of a JSON object. Raises ``Invalid``."""
    try:
        found = msgspec.json.decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid({"options": ["Must be a JSON object."]}) from None
    if not isinstance(found, dict):
        raise Invalid({"options": ["Must be a JSON object."]})
    return found


def options_of(given: dict[str, Any]) -> Options:
    """Raises ``Invalid`` with the option that is wrong."""
    if unknown := given.keys() - set(Options.__struct_fields__):
        name = min(unknown)
        raise Invalid({name[:80]: [f"Unknown option. {nearest(name[:64], Options.__struct_fields__)}"]})
    try:
        options = msgspec.convert(given, Options)
    except (msgspec.ValidationError, RecursionError) as error:
        words, _, path = str(error).partition(" - at `$.")
        raise Invalid({path.rstrip("`")[:120] or "options": [f"{words}."]}) from None
    if options.preset is not None and options.preset not in PRESETS:
        raise Invalid({"preset": [f"There is no such preset. {nearest(options.preset[:64], PRESETS)}"]})
    return options


def mapping_of(options: msgspec.Raw) -> Any:
    """What of the options makes an import another one."""
    found = msgspec.json.decode(options)
    return sorted(found.get("mapping", {}).items(), key=lambda one: str(one[0])), sorted(found.get("values", {}).items())


async def stages(request: Http, identity: Any) -> list[str]:
    """The keys of the org's stages."""
    statement = directory_queries.settings(identity.org_id, "pipeline")
    rows = await shared.from_request(request).read_pool.rows(identity, *statement)
    return [stage["key"] for stage in msgspec.json.decode(rows[0][1])["stages"]]


@get(
    ONE + "/file",
    opt=describe(
        TAG, "The file of an import", description="As it was sent, until it is removed.", media_type="application/octet-stream"
    ),
)
async def get_import_file(request: Http, id: FromPath[UUID]) -> ASGIResponse:
    found = await _found(request, id)
    return _Download(_parts(request, found), found.files[0].name, b"application/octet-stream")


@get(
    ONE + "/failed",
    opt=describe(
        TAG,
        "The failed rows of an import",
        description="In the format of the file, with one more column, `import_error`: correct them and import them again. In a"
        " workbook, dates are texts, such as 2026-06-30. Of a file with history it has the lines of records that failed: correct"
        " them in the whole file and import that, which leaves the records that came as they are.",
        files=("text/csv", "application/x-ndjson", Workbook.media_type),
    ),
)
async def get_failed_rows(request: Http, id: FromPath[UUID]) -> ASGIResponse:
    found = await _found(request, id)
    inspection = found.inspection and msgspec.json.decode(found.inspection, type=_Inspected)
    columns = [column.name for column in inspection.columns] if inspection else []
    written = failed_rows.written(inspection.form if inspection else None, columns)
    name = f"failed-{found.files[0].name.rpartition('.')[0]}.{written.extension}"
    return _Download(_failed(request, found, written), name, written.content_type.encode())


class _Column(msgspec.Struct):
    name: str


class _Inspected(msgspec.Struct):
    form: Form
    columns: list[_Column]


async def _found(request: Http, id_: UUID) -> Shown:
    filters.reject_any(request.scope["query_string"])
    identity = request_context.from_request(request).identity
    rows = await shared.from_request(request).read_pool.rows(identity, *imports_shown.one(identity.org_id, id_))
    if not rows:
        raise NotFound("No such import.")
    return imports_shown.shown(rows[0])


async def _parts(request: Http, found: Shown) -> AsyncIterator[bytes]:
    identity, pool = request_context.from_request(request).identity, shared.from_request(request).read_pool
    for number in range(-(-found.files[0].size // files.PART)):
        rows = await pool.rows(identity, *files.part(found.id, identity.org_id, 0, number))
        if not rows:
            return
        yield bytes(rows[0][0])


FAILED_PAGE = 500


async def _failed(request: Http, found: Shown, written: FailedRows) -> AsyncIterator[bytes]:
    """The rows as they were kept when they failed, some at a time."""
    identity, pool = request_context.from_request(request).identity, shared.from_request(request).read_pool
    yield written.begin()
    after = 0
    while rows := await pool.rows(identity, *imports_shown.failed(identity.org_id, found.id, after, FAILED_PAGE)):
        yield written.rows(Failed(cells, message or "", line) for line, cells, message in rows)
        after = rows[-1][0]
    yield written.end()


class _Download(ASGIResponse):
    """A file that is sent as it is made."""

    __slots__ = ("_name", "_pieces", "_type")

    def __init__(self, pieces: AsyncIterator[bytes], name: str, type_: bytes) -> None:
        self._pieces, self._name, self._type = pieces, name, type_
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = "".join(character if character.isalnum() or character in "._- " else "_" for character in self._name)
        disposition = b'attachment; filename="%b"' % name.encode("ascii", "replace").replace(b"?", b"_")
        first = await anext(self._pieces, b"")  # an error comes before the response begins
        headers = [(b"content-type", self._type), (b"content-disposition", disposition)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


HANDLERS = (get_import_file, get_failed_rows)
