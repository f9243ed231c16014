"""Calls of many operations on records of one kind, and the response that has the result of each."""

from __future__ import annotations

from functools import partial

import msgspec

from app.http import bodies, bulk_operations, filters, idempotency_key, permission, problems, request_context, shared
from app.http.bulk_call import BulkAnswer, Call, Counts
from app.http.bulk_operations import BulkSpec
from app.http.operations import Json, describe
from app.http.request_context import Http, RequestContext
from app.http.response import JsonResponse
from app.writing.bulk import MAX_OPERATIONS
from app.writing.envelope import Envelope
from domain.errors import Conflict
from domain.event import Command
from domain.permissions import Actor
from projections.idempotency_records import Key

_NOTHING = Command()


def described(tag: str, spec: BulkSpec, data: Json) -> Json:
    """What the operation says about itself; ``data`` is an example of a create's."""
    nouns = {"opportunity": "opportunities"}.get(spec.kind, f"{spec.kind}s")
    operations = [{"op": "upsert", "external_id": "CRM-4711", "data": data}, {"op": "delete", "external_id": "CRM-0815"}]
    return describe(
        tag,
        f"Do many operations on {nouns}",
        description=(
            f"At most {MAX_OPERATIONS} operations in order, each by the rules of its single request: `create` is a POST, `update` a"
            " PATCH, `upsert` a PUT by external id. `independent` does what can be done,"
            " in parts, each a transaction, with the writes of others in between; `atomic` does all in one transaction or, with"
            " a 409 that lists every failure, nothing. An `Idempotency-Key` covers the whole call, which goes on where it was if it"
            " is sent again."
        ),
        body=bulk_operations.body_type(spec),
        body_name=f"{spec.kind.title()}Bulk",
        body_types=(bulk_operations.operation_type(spec),),
        body_example={"mode": "independent", "operations": operations},
        answer=BulkAnswer,
    )


async def run(request: Http, spec: BulkSpec) -> JsonResponse:
    """Do what the body says. Raises ``Refused``, ``Invalid``, ``Conflict`` if an atomic call has failures, ``Unavailable``."""
    await permission.require(request, spec.operations["create"])
    filters.reject_any(request.scope["query_string"])
    context, process = request_context.from_request(request), shared.from_request(request)
    identity, raw = context.identity, await bodies.sent(request)
    key = None
    if context.idempotency_key is not None:
        owner = Key(identity.org_id, identity.user_id, idempotency_key.parse(context.idempotency_key))
        key = owner, idempotency_key.fingerprint(context.method, context.path, raw)
    parse = partial(bulk_operations.parse, raw, context.content_type, spec, _sample(spec, context))
    report = partial(problems.report, path=context.path, request_id=context.request_id)
    pace = process.command_queue.pace
    call = Call(*await bodies.run_aside(parse), spec.operations["delete"], key, report, lambda: pace.size)
    answer = await process.bulk_turns.run(identity, partial(call.run, process.command_queue.execute_bulk))
    if isinstance(answer, str):
        return JsonResponse(answer, headers=[(b"idempotent-replayed", b"true")])
    if call.mode == "atomic" and answer.counts.failed:
        raise _failed(answer)
    return JsonResponse(msgspec.json.encode(answer))


def _sample(spec: BulkSpec, context: RequestContext) -> Envelope:
    """What all envelopes of a call have."""
    identity = context.identity
    return Envelope(
        spec.kind,
        identity.org_id,
        _NOTHING,
        identity.org_id,
        Actor(identity.user_id, identity.role, identity.email),
        token_id=identity.token_id,
        request_id=context.request_id,
        render=False,
    )


def _failed(answer: BulkAnswer) -> Conflict:
    failures = [result for result in answer.results if result.status >= 400]
    return Conflict(
        "bulk_failed",
        f"{len(failures)} of {len(answer.results)} operations cannot be done, so none was: correct them and send all of it again.",
        results=failures,
        counts=Counts(failed=len(failures)),
    )
