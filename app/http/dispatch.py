"""The path of every write: a command goes to the command queue, its outcome becomes a response.

Preconditions and idempotency keys are parsed here; the committer decides on them.
"""

from __future__ import annotations

from uuid import UUID

from uuid_utils.compat import uuid7

from app.http import bodies, etag, filters, idempotency_key, permission, request_context, shared
from app.http.request_context import Http
from app.http.response import Header, JsonResponse, extended
from app.writing.envelope import Envelope, Outcome
from domain import catalog
from domain.event import Command
from domain.permissions import Actor


async def execute(
    request: Http,
    command: Command,
    *,
    stream_id: UUID | None = None,
    kind: str | None = None,
    comment: str | None = None,
    external_id: str | None = None,
    create: Command | None = None,
) -> Outcome:
    """Execute a command on a stream, or on a new one; ``external_id`` and ``create`` are as in ``Envelope``. Raises its
    ``DomainError``, ``Refused``, ``Unavailable``."""
    await permission.require(request, type(command))
    context = request_context.from_request(request)
    if context.method == "POST" and not command.__struct_fields__:
        await bodies.none(request)
    filters.reject_any(request.scope["query_string"])
    identity = context.identity
    known = stream_id is not None or external_id is not None
    key = None
    if context.idempotency_key is not None and context.method == "POST":
        fingerprint = idempotency_key.fingerprint(context.method, context.path, await bodies.sent(request))
        key = idempotency_key.parse(context.idempotency_key), fingerprint
    return await shared.from_request(request).command_queue.execute(
        Envelope(
            kind=kind or catalog.kind_of(type(command)),
            stream_id=stream_id or uuid7(),
            command=command,
            org_id=identity.org_id,
            actor=Actor(identity.user_id, identity.role, identity.email),
            token_id=identity.token_id,
            expected_versions=etag.versions(context.if_match) if known and context.if_match is not None else None,
            idempotency=key,
            request_id=context.request_id,
            comment=comment,
            external_id=external_id,
            create=create,
        )
    )


def answer(outcome: Outcome, status: int = 200, *, location: str | None = None, **once: str | None) -> JsonResponse:
    """The record as it now stands, or 204 if there is nothing to show.

    ``location`` is the collection of a created record, with a trailing slash. The ``once`` members are appended to the record, are
    not part of the ETag, and are null in a replayed response.
    """
    headers: list[Header] = []
    if outcome.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if status == 204 or not outcome.body:
        return JsonResponse(status=204, headers=headers)
    body = outcome.body.encode()
    headers.append((b"etag", etag.tag(outcome.version, body).encode()))
    if location is not None:
        headers.append((b"location", f"{location}{outcome.stream_id}/".encode()))
    if once:
        headers.append((b"cache-control", b"no-store"))
        body = extended(body, dict.fromkeys(once) if outcome.replayed else once)
    return JsonResponse(body, status, headers)


def record(request: Http, version: int, body: bytes) -> JsonResponse:
    """A record that was read, or 304 if the client already has it."""
    tag = etag.tag(version, body)
    header = b"etag", tag.encode()
    if etag.unchanged(request_context.from_request(request).if_none_match, tag):
        return JsonResponse(status=304, headers=[header])
    return JsonResponse(body, headers=[header])
