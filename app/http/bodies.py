"""Request bodies: from bytes to a command, or to a list of all errors by field.

msgspec decodes a good body straight into the command in a few microseconds. Only a bad one is read again, field by field. Refuses
other media types, unknown keys, NUL characters, malformed numbers and deep nesting.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from app.http import decompression, permission, request_context, shared
from app.http.body_errors import MAX_DEPTH, NUMBER, WORDS, check, in_utc
from app.http.body_forms import BodyForm, form_of
from app.http.problems import Refused
from app.http.request_context import Http
from domain.errors import Errors, Invalid
from domain.event import Command

C = TypeVar("C", bound=Struct)
T = TypeVar("T")


BOM = b"\xef\xbb\xbf"
LARGE = 16_384
"""Bytes from which on a body is read by a thread, one body at a time: checking a large bad one would stall the event loop."""
_aside = ThreadPoolExecutor(1, "bodies")
MANY = 1_000
"""Commas from which on the values of a body are counted."""

_MEDIA_TYPE = re.compile(r'application/(merge-patch\+)?json(\s*;\s*charset="?utf-?8"?)?\s*', re.IGNORECASE)
_members = msgspec.json.Decoder(dict[str, Raw])


class Nothing(Struct):
    """The body of a request that takes none."""


async def read(request: Http, cls: type[C], read_only: frozenset[str] = frozenset(), **given: Any) -> C:
    """Decode the request's body as ``cls``, once the sender may give such a command. Raises as ``decode`` and
    ``permission.require``."""
    command = cls if issubclass(cls, Command) else None
    if command is not None:
        await permission.require(request, command)
    content_type = request_context.from_request(request).content_type
    try:
        raw = await sent(request)
        if len(raw) > LARGE:
            reading = partial(decode, raw, content_type, cls, read_only, **given)
            return await run_aside(reading)
        return decode(raw, content_type, cls, read_only, **given)
    except (Invalid, Refused):
        if command is not None:  # only those who may give the command at this moment learn what is wrong with it
            await permission.require_at_present(request, command)
        raise


async def sent(request: Http) -> bytes:
    """The request's body, decompressed. Raises ``Refused``: 413 if it is too large, and as ``decompression.inflated``."""
    context = request_context.from_request(request)
    if context.body is None:
        limit = shared.from_request(request).max_body_bytes
        raw = await _received(request, limit)
        if context.content_encoding is not None:
            raw = await run_aside(partial(decompression.inflated, raw, context.content_encoding, limit))
        context.body = raw
    return context.body


async def _received(request: Http, limit: int) -> bytes:
    """Litestar's own way reads all headers first, which was a twentieth of the cost of a write."""
    parts: list[bytes] = []
    length = 0
    if (announced := request_context.from_request(request).content_length) and int(announced) > limit:
        raise _too_large(limit)
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "incomplete_body", "The connection was closed before all of the body came.")
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> Refused:
    return Refused(413, "too_large", f"The request body is larger than this server accepts: {limit} bytes.")


async def run_aside(work: Callable[[], T]) -> T:
    """Do it in the thread for large bodies."""
    return await asyncio.get_running_loop().run_in_executor(_aside, work)


async def none(request: Http) -> None:
    """Accept no body, or an empty object. Raises as ``read``."""
    if (await sent(request)).strip():
        await read(request, Nothing)


def decode(raw: bytes, content_type: str | None, cls: type[C], read_only: frozenset[str] = frozenset(), **given: Any) -> C:
    """Decode a body as ``cls``. ``read_only`` keys are allowed and ignored; ``given`` fields are set here and are not keys of the
    body.

    Raises ``Refused`` for another media type or invalid JSON, ``Invalid`` with every field's error.
    """
    raw = raw.removeprefix(BOM)
    if content_type != "application/json" and (content_type is None or not _MEDIA_TYPE.fullmatch(content_type)):
        raise Refused(415, "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json.")
    form = form_of(cls, read_only, frozenset(given))
    try:
        members = _members.decode(raw)
        command = form.decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        check(raw, form.fields, form.known, form.instead)
        members, command = _tolerant(raw, form)
    suspicious = form.nested or b"\\u0000" in raw or raw.count(b"[") + raw.count(b"{") > MAX_DEPTH or raw.count(b",") > MANY
    if suspicious or not form.known.issuperset(members) or not _plain_numbers(members, form):
        check(raw, form.fields, form.known, form.instead)
    if form.instants:
        command = _in_utc(command, form)
    if given:
        command = cls(**{name: getattr(command, name) for name in command.__struct_fields__}, **given)
    return cast("C", command)


def _tolerant(raw: bytes, form: BodyForm) -> tuple[dict[str, Raw], Any]:
    """Decode a body that passed ``check`` but that strict msgspec refuses, such as 60.0 for an integer."""
    try:
        return _members.decode(raw), form.tolerant.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "malformed_body", "The body cannot be read as this request's JSON.") from None


def _plain_numbers(members: Mapping[str, Raw], form: BodyForm) -> bool:
    """Whether all decimal fields are valid JSON numbers; Python's Decimal also takes 1_000, NaN and ٣."""
    return all(NUMBER.fullmatch(members[name]) for name in form.decimals if name in members)


def _in_utc(command: Any, form: BodyForm) -> Any:
    """The command with its instants in UTC. Raises ``Invalid`` for a time without a zone or outside the calendar."""
    changes: dict[str, datetime] = {}
    errors: Errors = {}
    for name in form.instants:
        field = form.fields[name].name
        value = getattr(command, field)
        if isinstance(value, datetime):
            try:
                changes[field] = in_utc(value)
            except ValueError:
                errors[name] = [WORDS[datetime]]
    if errors:
        raise Invalid(errors)
    return msgspec.structs.replace(command, **changes) if changes else command
