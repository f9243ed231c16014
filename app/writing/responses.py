"""Responses to commands: rendered in their transaction, kept under their ``Idempotency-Key``, and replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from msgspec.structs import replace

from app.writing import circumstances
from app.writing.envelope import Envelope, Outcome, Result
from app.writing.statements import BatchedStatement, StatementBatch
from domain.event import State
from domain.sql_cursor import SqlCursor
from projections import command_responses, directory, idempotency_records
from projections.idempotency_records import Kept, Key
from projections.opportunities.written import Written


class Repeats:
    """Outcomes by idempotency key: those kept by earlier transactions, and those of this one."""

    def __init__(self) -> None:
        self._found: dict[Key, tuple[bytes, Outcome]] = {}

    def request(self, cursor: SqlCursor, envelopes: Sequence[Envelope]) -> Callable[[], None]:
        """Request what is kept under the commands' keys. Calling the result reads it."""
        kept = idempotency_records.find(cursor, [key for envelope in envelopes if (key := _key(envelope))])

        def receive() -> None:
            for key, (fingerprint, stream_id, version, body) in kept().items():
                self._found[key] = fingerprint, Outcome("created", stream_id, version, body, replayed=True)

        return receive

    def __contains__(self, envelope: Envelope) -> bool:
        return _key(envelope) in self._found

    def outcome(self, envelope: Envelope) -> Outcome:
        """The outcome of the first request. Raises ``KeyReused`` if that was a different one."""
        key = _key(envelope)
        assert key is not None
        assert envelope.idempotency is not None
        fingerprint, outcome = self._found[key]
        idempotency_records.require_same(key, fingerprint, envelope.idempotency[1])
        return outcome

    def add(self, envelope: Envelope, outcome: Outcome) -> None:
        if (key := _key(envelope)) and envelope.idempotency:
            self._found[key] = envelope.idempotency[1], outcome


def _render_created(
    written: Written, envelopes: Sequence[Envelope], results: Sequence[Result], states: Mapping[UUID, State]
) -> None:
    """Fill in the bodies of deals that were created, as far as all of them is known, in a transaction of deals alone."""
    if any(envelope.kind != "opportunity" for envelope in envelopes):
        return
    definitions: dict[UUID, str] = {}
    for envelope, result in zip(envelopes, results, strict=True):
        if not envelope.render or not isinstance(result, Outcome) or result.replayed or result.status != "created":
            continue
        if (found := definitions.get(envelope.org_id)) is None:
            state = states.get(circumstances.policy_streams(envelope.org_id)[-1])
            found = definitions[envelope.org_id] = directory.document(state) if state else "[]"
        result.body = written.response(result.stream_id, result.version, found) or ""


def request_bodies(
    statements: StatementBatch, envelopes: Sequence[Envelope], results: Sequence[Result], states: Mapping[UUID, State]
) -> Callable[[], None]:
    """Fill in the bodies that are known, and request the others; calling the result fills these in. Each shows its record as that
    command left it, whatever a later one of the batch did."""
    _render_created(statements.written, envelopes, results, states)
    wanted: dict[str, dict[tuple[UUID, int], list[Outcome]]] = {}
    for envelope, result in zip(envelopes, results, strict=True):
        if envelope.render and isinstance(result, Outcome) and not result.replayed and not result.body:
            wanted.setdefault(envelope.kind, {}).setdefault((result.stream_id, result.version), []).append(result)
    asked: list[tuple[BatchedStatement, dict[tuple[UUID, int], list[Outcome]]]] = []
    for kind, outcomes in wanted.items():
        cursor = statements.cursor()
        command_responses.ask(cursor, kind, list(outcomes))
        asked.append((cursor, outcomes))

    def receive() -> None:
        for cursor, outcomes in asked:
            for id_, version, body in cursor.fetchall():
                for outcome in outcomes.get((id_, version), ()):
                    outcome.body = body

    return receive


def keep(cursor: SqlCursor, envelopes: Sequence[Envelope], results: Sequence[Result]) -> list[Result]:
    """Keep the outcomes of commands with keys, including bodies. Returns the results, with repeated requests as replays."""
    kept: dict[Key, Kept] = {}
    answered: list[Result] = []
    for envelope, result in zip(envelopes, results, strict=True):
        key = _key(envelope)
        if key is None or envelope.idempotency is None or not isinstance(result, Outcome) or result.replayed:
            answered.append(result)
        elif key in kept:
            answered.append(replace(result, replayed=True))
        else:
            answered.append(result)
            kept[key] = Kept(envelope.idempotency[1], result.stream_id, result.version, result.body)
    idempotency_records.keep(cursor, kept)
    return answered


def _key(envelope: Envelope) -> Key | None:
    if envelope.idempotency is None:
        return None
    return Key(envelope.org_id, envelope.actor.user_id or envelope.org_id, envelope.idempotency[0])
