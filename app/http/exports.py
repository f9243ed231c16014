"""Exports over HTTP: what a request may ask for, and the file as it is made."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic

import structlog
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.exporting.export import MEDIA_TYPES, Export
from app.exporting.running import Gone, Running
from app.http import request_context
from app.http.export_turns import Exports
from app.http.list_spec import ListSpec
from app.http.operations import Json, describe
from app.http.param_types import BOOL, choice
from app.http.parameters import list_parameters
from app.http.request_context import Encoding, Http
from app.http.response import Header
from app.process.failures import Unavailable
from domain.errors import DomainError

CLIENT_SECONDS = 3_600.0
"""How long a client may take to read a file."""
FORMAT = choice(*MEDIA_TYPES)
FURTHER = {"format": FORMAT, "raw": BOOL, "bom": BOOL}
DESCRIPTION = (
    "All of the list in one consistent snapshot. Each custom field is a column `cf_<key>`, and lists are joined by `;`. In CSV, a "
    "cell that a spreadsheet would run as a formula begins with `'`, unless `raw=true`; `bom=true` is for Excel. An XLSX sheet "
    "holds 1,048,575 rows: a longer list is a 400. `format=history` is NDJSON of every event of the records and of those that they "
    "ever named, for another org to import; without filters of deleted records too. A token has one export at a time; a second one "
    "waits, and a third is a 429."
)
log = structlog.get_logger("exports")


def spec(table: ListSpec) -> ListSpec:
    """What the export of a list accepts."""
    return replace(table, cursors=False, paged=False, further=FURTHER)


def described(tag: str, summary: str, table: ListSpec) -> Json:
    types = tuple(dict.fromkeys(MEDIA_TYPES.values()))
    return describe(tag, summary, description=DESCRIPTION, parameters=tuple(list_parameters(spec(table))), files=types)


class ExportedFile(ASGIResponse):
    """A file that is sent as it is made. One that breaks off ends without its end, so the client knows."""

    __slots__ = ("_export", "_exports", "_name", "_request")

    def __init__(self, request: Http, exports: Exports, export: Export, name: str) -> None:
        self._request, self._exports, self._export, self._name = request, exports, export, name
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = request_context.from_request(self._request)
        encoding = context.encoding if self._export.format != "xlsx" else None  # which is compressed
        start = {"type": "http.response.start", "status": 200, "headers": self._headers(encoding)}
        if context.method == "HEAD":
            await send(start)  # type: ignore[arg-type]
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        async with self._exports.running(context.identity, self._export, encoding) as running:
            data = await running.read()  # an error comes before the response begins
            await send(start)  # type: ignore[arg-type]
            watching = asyncio.create_task(_end_with_the_client(receive, running))
            began = monotonic()
            try:
                async with asyncio.timeout(CLIENT_SECONDS):
                    while data:
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                        data = await running.read()
            except (Unavailable, DomainError, TimeoutError, OSError, Gone) as error:
                log.warning("export.broken_off", request_id=context.request_id, records=running.records, reason=str(error))
                return  # unfinished, so the server closes the connection
            finally:
                watching.cancel()
            log.info("export.done", request_id=context.request_id, records=running.records, seconds=round(monotonic() - began, 1))
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers(self, encoding: Encoding | None) -> list[Header]:
        headers = [
            (b"content-type", MEDIA_TYPES[self._export.format].encode()),
            (b"content-disposition", f'attachment; filename="{self._name}"'.encode()),
        ]
        return [*headers, (b"content-encoding", encoding.encode())] if encoding else headers


async def _end_with_the_client(receive: Receive, running: Running) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    running.abandon()
