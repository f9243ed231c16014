"""Calls of many operations on records of one kind, and the response that has the result of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.http import bodies, bulk_operations, filters, idempotency_key, permission, problems, request_context, shared
from app.http.bulk_operations import BulkSpec, Mode
from app.http.operations import Json, describe
from app.http.problems import Refused
from app.http.request_context import Http, RequestContext
from app.http.response import JsonResponse
from app.writing.bulk import MAX_OPERATIONS, Bulk, Results
from app.writing.envelope import Envelope, Outcome
from domain.errors import Conflict, DomainError
from domain.event import Command
from domain.permissions import Actor
from projections.idempotency_records import Key


class ItemResult(Struct, kw_only=True):
    """What became of an operation: ``status`` is that of the single request; ``code``, ``detail`` and ``errors`` are those of its
    problem."""

    index: int
    status: int
    id: UUID | UnsetType = UNSET
    version: int | UnsetType = UNSET
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    errors: dict[str, list[str]] | UnsetType = UNSET


class Counts(Struct):
    """How many operations had each result."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    failed: int = 0


class BulkAnswer(Struct):
    """The results in the order of the operations."""

    results: list[ItemResult]
    counts: Counts


_NOTHING = Command()


def described(tag: str, spec: BulkSpec, data: Json) -> Json:
    """What the operation says about itself; ``data`` is an example of a create's."""
    nouns = {"opportunity": "opportunities"}.get(spec.kind, f"{spec.kind}s")
    operations = [{"op": "upsert", "external_id": "CRM-4711", "data": data}, {"op": "delete", "external_id": "CRM-0815"}]
    return describe(
        tag,
        f"Do many operations on {nouns}",
        description=(
            f"At most {MAX_OPERATIONS} operations, in order and in one transaction, each by the rules of its single request:"
            " `create` is a POST, `update` a PATCH, `upsert` a PUT by external id. `independent` does what can be done; `atomic`"
            " does all or, with a 409 that lists every failure, nothing. An `Idempotency-Key` covers the whole call."
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
    call = _Call(*await bodies.run_aside(parse), spec.operations["delete"])
    outcome = await process.bulk_turns.run(process.command_queue, identity, Bulk(call.units, call.kept, key))
    if outcome.replayed is not None:
        return JsonResponse(outcome.replayed, headers=[(b"idempotent-replayed", b"true")])
    for result in chain.from_iterable(outcome.results):
        if isinstance(result, Exception) and not isinstance(result, DomainError | Refused):
            problems.report(result, context.path, context.request_id)
    answer = call.answer(outcome.results)
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


@dataclass(frozen=True)
class _Call:
    """A call as it was read: the commands, or why there is none, and the command that deletes."""

    mode: Mode
    commands: Sequence[Envelope | Exception]
    delete: type[Command]

    @property
    def units(self) -> Sequence[Sequence[Envelope | Exception]]:
        return [self.commands] if self.mode == "atomic" else [[command] for command in self.commands]

    def kept(self, results: Results) -> str | None:
        """The response to keep under an idempotency key. A refused call can be sent again, as any refused request."""
        answer = self.answer(results)
        return None if self.mode == "atomic" and answer.counts.failed else msgspec.json.encode(answer).decode()

    def answer(self, results: Results) -> BulkAnswer:
        answer = BulkAnswer([], Counts())
        counts = answer.counts
        for index, (command, result) in enumerate(zip(self.commands, chain.from_iterable(results), strict=True)):
            if not isinstance(result, Outcome):
                answer.results.append(_refused(index, result))
                counts.failed += 1
                continue
            deleted = isinstance(command, Envelope) and isinstance(command.command, self.delete)
            status = 201 if result.status == "created" else 204 if deleted else 200
            answer.results.append(ItemResult(index=index, status=status, id=result.stream_id, version=result.version))
            setattr(counts, result.status, getattr(counts, result.status) + 1)
        return answer


def _refused(index: int, error: Exception) -> ItemResult:
    problem = problems.from_exception(error)
    errors = {name: list(messages) for name, messages in problem.errors.items()} if problem.errors else UNSET
    return ItemResult(index=index, status=problem.status, code=problem.code, detail=problem.detail, errors=errors)


def _failed(answer: BulkAnswer) -> Conflict:
    failures = [result for result in answer.results if result.status >= 400]
    return Conflict(
        "bulk_failed",
        f"{len(failures)} of {len(answer.results)} operations cannot be done, so none was: correct them and send all of it again.",
        results=failures,
        counts=Counts(failed=len(failures)),
    )
