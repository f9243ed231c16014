"""Uploads of files: a multipart body read as a stream, and kept part by part. No more than a part is in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection

from app.http import multipart, request_context
from app.http.multipart import Part
from app.http.problems import Refused
from app.http.request_context import Http
from app.importing.faults import MAX_BYTES
from app.process.failures import Unavailable
from consumers import database
from projections.imports import files, jobs
from projections.imports.files import PART
from projections.imports.jobs import File, Received

MAX_FIELD = 1024 * 1024
MAX_AROUND = 4 * MAX_FIELD
"""Bytes of a body beside its files."""
AT_ONCE = 4
"""Uploads that a process takes at once."""


class Uploads:
    """One per application."""

    def __init__(self, url: str, timeout_ms: int) -> None:
        self._url, self._timeout = url, timeout_ms
        self._room = asyncio.Semaphore(AT_ONCE)

    async def receive(self, request: Http, id_: UUID, begin: Callable[[psycopg.Cursor[Any]], None]) -> Received:
        """Keep the files of a request under an id; ``begin`` makes the record that they belong to. Raises ``Refused``,
        ``Unavailable``; then it is abandoned. A body that says that it is too large is refused before it is read."""
        boundary = multipart.boundary_of(request)
        if (announced := request_context.from_request(request).content_length) and int(announced) > MAX_BYTES + MAX_AROUND:
            raise _too_large()
        if self._room.locked():
            raise Refused(503, "busy", "Too many files are being received at this moment.", {"retry-after": "5"})
        async with self._room:
            try:
                return await self._receive(request, boundary, id_, begin)
            except psycopg.OperationalError as error:
                raise Unavailable(str(error)) from error

    async def _receive(self, request: Http, boundary: bytes, id_: UUID, begin: Callable[[psycopg.Cursor[Any]], None]) -> Received:
        connection = await asyncio.to_thread(lambda: database.connect(self._url, "upload", statement_timeout_ms=self._timeout))
        try:
            await asyncio.to_thread(_begun, connection, begin)
            org_id = request_context.from_request(request).identity.org_id
            try:
                return await _Receiver(connection, org_id, id_).take(multipart.stream(request, boundary))
            except BaseException:
                await asyncio.shield(asyncio.to_thread(_dropped, connection, id_))
                raise
        finally:
            await asyncio.to_thread(connection.close)


def _begun(connection: Connection[Any], begin: Callable[[psycopg.Cursor[Any]], None]) -> None:
    with connection.cursor() as cursor:
        begin(cursor)


def _dropped(connection: Connection[Any], id_: UUID) -> None:
    with connection.cursor() as cursor:
        jobs.abandon(cursor, id_)


def _too_large() -> Refused:
    most = f"{MAX_BYTES // 1024**2:,} MB"
    return Refused(413, "too_large", f"The files of an import have at most {most} together: split them into several imports.")


class _Receiver:
    def __init__(self, connection: Connection[Any], org_id: UUID, id_: UUID) -> None:
        self._connection, self._org_id, self._id = connection, org_id, id_
        self._received = Received({}, [])
        self._part: Part | None = None
        self._all = 0
        self._begin()

    def _begin(self) -> None:
        self._data, self._size, self._number, self._digest = bytearray(), 0, 0, hashlib.sha256()

    async def take(self, parts: AsyncIterator[Part | bytes | None]) -> Received:
        async for one in parts:
            if isinstance(one, Part):
                self._part = one
                self._begin()
            elif one is None:
                await self._end()
            else:
                await self._more(one)
        return self._received

    async def _more(self, data: bytes) -> None:
        assert self._part is not None
        self._size += len(data)
        is_file = self._part.file_name is not None
        if is_file:
            self._all += len(data)
            if self._all > MAX_BYTES:
                raise _too_large()
        elif self._size > MAX_FIELD:
            most = f"{MAX_FIELD // 1024**2} MB"
            raise Refused(413, "too_large", f"The part {self._part.name[:60]!r} is larger than this server accepts: {most}.")
        self._data += data
        if is_file:
            self._digest.update(data)
            while len(self._data) >= PART:
                await self._keep(PART)

    async def _keep(self, size: int) -> None:
        data = bytes(self._data[:size])
        del self._data[:size]
        number, self._number = self._number, self._number + 1
        await asyncio.to_thread(self._add, len(self._received.files), number, data)

    def _add(self, file: int, number: int, data: bytes) -> None:
        with self._connection.cursor() as cursor:
            files.add(cursor, self._org_id, self._id, file, number, data)

    async def _end(self) -> None:
        assert self._part is not None
        name, file_name = self._part
        if file_name is None:
            self._received.fields[name] = bytes(self._data)
            return
        if self._data:
            await self._keep(len(self._data))
        self._received.files.append((name, File(file_name[:255], self._size, self._digest.hexdigest())))
