"""Turns commands into committed events: one transaction for a batch of commands.

Under the log's lock it loads, decides, appends, brings the read models up to date and renders the answers; so every command is
decided on the latest state, ``If-Match`` is exact, and nobody has to redo a decision. It refuses to guess: a batch whose
commit was interrupted is looked up by its command id before it is run again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal, cast
from uuid import UUID

import psycopg
from msgspec import structs
from psycopg import Connection, Cursor
from uuid_utils.compat import uuid7

from domain import catalog, custom_field, event_store, opportunity, organization, pipeline, token, user
from domain.errors import KeyReused, NotFound, Unauthenticated, VersionMismatch
from domain.event import Actor, Command, Context, Facts, Meta, Policy, Recorded, State
from projections import answers, facts, kept_answers
from projections.kept_answers import Kept, Key
from projections.projection import Change
from projections.registry import READ_MODELS

MAX_BATCH = 256
ATTEMPTS = 3
MAX_STATES = 20_000
ATTEMPTS = 3

Status = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Submission:
    """A command on its way. ``expected_version`` is an ``If-Match``; ``idempotency`` a key with the request's fingerprint.

    With a ``token_id`` the actor is read anew under the lock, so a revoked token or a changed role counts at once.
    ``occurred_at`` dates history (import, demo); it is moved forward where the record already has a later event.
    """

    kind: str
    stream_id: UUID
    command: Command
    org_id: UUID
    actor: Actor
    token_id: UUID | None = None
    expected_version: int | None = None
    idempotency: tuple[str, bytes] | None = None
    request_id: str = ""
    comment: str | None = None
    occurred_at: datetime | None = None
    render: bool = True


@dataclass(slots=True)
class Outcome:
    """What became of a command. ``body`` is the record as the API shows it, JSON; empty if it is deleted or not asked for."""

    status: Status
    stream_id: UUID
    version: int
    body: str = ""
    replayed: bool = False


Result = Outcome | Exception


class Unavailable(Exception):
    """The database cannot be reached or does not answer; nothing is known to be lost and the command may be sent again."""


class _Interrupted(Exception):
    pass


@dataclass(slots=True)
class _Batch:
    """The working set of one transaction."""

    results: list[Result]
    states: dict[UUID, State]
    appended: list[Change]


def connect(url: str, *, role: str | None = "opportunities_writer", statement_timeout_ms: int = 15_000) -> Connection[Any]:
    """A connection for writing, outside autocommit. Raises ``psycopg.OperationalError`` if there is no server."""
    connection = psycopg.connect(
        url,
        connect_timeout=5,
        autocommit=True,
        application_name="opportunities writer",
        # The log's lock is given up in time even by a writer that fell silent in the middle of a transaction.
        options=f"-c statement_timeout={statement_timeout_ms} -c idle_in_transaction_session_timeout={statement_timeout_ms}"
        " -c search_path=public -c timezone=UTC",
    )
    connection.prepare_threshold = 0
    if role:
        connection.execute(f"SET ROLE {role}")
    connection.autocommit = False
    return connection


class Committer:
    """Not thread-safe: one caller at a time."""

    def __init__(self, url: str, *, statement_timeout_ms: int = 15_000) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._connection: Connection[Any] | None = None
        self._cache: OrderedDict[UUID, State] = OrderedDict()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, submissions: Sequence[Submission]) -> list[Result]:
        """Run commands in order: neighbours on opportunities in one transaction, every other command in its own.

        A command's refusal, or fault, is its result and touches no other; ``Unavailable`` is that of all from there on.
        """
        results: list[Result] = []
        for together, group in groupby(submissions, key=lambda s: s.kind == "opportunity"):
            members = list(group)
            size = MAX_BATCH if together else 1
            for start in range(0, len(members), size):
                results += self._apart(members[start : start + size])
                if isinstance(results[-1], Unavailable):
                    return results + results[-1:] * (len(submissions) - len(results))
        return results

    def run_as_one(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Run commands of any kind in order in one transaction, all or nothing.

        Raises the first ``DomainError``, ``Unavailable``.
        """
        results = self._durably(list(submissions), all_or_nothing=True)
        return cast("list[Outcome]", results)

    def _apart(self, submissions: list[Submission]) -> list[Result]:
        """In one transaction, or, where a command brings that down, in as many as keep the others from harm."""
        try:
            return self._durably(submissions)
        except Unavailable as error:
            return [error] * len(submissions)
        except Exception as error:  # noqa: BLE001  whatever no rule of the domain refused, but the database or the encoding
            if len(submissions) == 1:
                return [error]
        half = len(submissions) // 2
        return self._apart(submissions[:half]) + self._apart(submissions[half:])

    def _durably(self, submissions: list[Submission], *, all_or_nothing: bool = False) -> list[Result]:
        """One transaction, begun again on a new connection where the old one broke before its commit was certain."""
        for attempt in range(ATTEMPTS):
            batch: _Batch | None = None
            try:
                connection = self._open()
                with connection.cursor() as cursor:
                    batch = self._transact(cursor, submissions, all_or_nothing=all_or_nothing)
                    connection.commit()
                self._remember(batch)
                return batch.results
            except psycopg.Error as error:
                lost = self._connection is None or self._connection.closed or self._connection.broken
                self._reset()
                if not lost:
                    if isinstance(error, psycopg.OperationalError):  # a timeout or a full disk: all is undone
                        raise Unavailable(str(error)) from error
                    raise
                try:
                    if batch is not None and batch.appended and self._was_committed(batch):
                        return batch.results
                except psycopg.Error as again:
                    raise Unavailable(str(again)) from again
                if attempt == ATTEMPTS - 1:
                    raise Unavailable(str(error)) from error
            except BaseException:
                self._reset()
                raise
        raise AssertionError("unreachable")

    def _open(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, statement_timeout_ms=self._timeout)
        return self._connection

    def _reset(self) -> None:
        """Undo the transaction and forget what it may have taught us."""
        self._cache.clear()
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            try:
                connection.rollback()
                self._connection = connection
            except psycopg.Error:
                connection.close()

    def _was_committed(self, batch: _Batch) -> bool:
        """Whether the interrupted transaction made it. The lock is granted only once that transaction has ended."""
        connection = self._open()
        with connection.cursor() as cursor:
            event_store.lock(cursor)
            found = event_store.committed(cursor, batch.appended[0].recorded)
        connection.rollback()
        return found

    def _remember(self, batch: _Batch) -> None:
        for id_, state in batch.states.items():
            self._cache[id_] = state
            self._cache.move_to_end(id_)
        while len(self._cache) > MAX_STATES:
            self._cache.popitem(last=False)

    def _transact(self, cursor: Cursor[Any], submissions: list[Submission], *, all_or_nothing: bool) -> _Batch:
        event_store.lock(cursor)
        batch = _Batch([], {}, [])
        pending: list[Change] = []
        self._load(cursor, submissions, batch)
        given = _given(cursor, submissions)
        found = facts.existing(cursor, _named(submissions))
        for submission in submissions:
            known = facts.of_references(found, submission.org_id)
            if submission.kind != "opportunity":
                self._append(cursor, pending, batch)
                known = facts.of_record(cursor, submission.kind, submission.org_id, submission.stream_id, submission.command)
            key = _key(submission)
            result: Result
            try:
                if key in given:
                    result = _again(submission, *given[key], batch.states)
                else:
                    result = self._decide(submission, known, batch.states, pending)
                    if key and submission.idempotency:
                        given[key] = submission.idempotency[1], result
            except Exception as error:  # a refusal, or a fault of ours that concerns this command alone
                if all_or_nothing:
                    raise
                result = error
            batch.results.append(result)
        self._append(cursor, pending, batch)
        _render(cursor, submissions, batch)
        _keep(cursor, submissions, batch)
        return batch

    def _load(self, cursor: Cursor[Any], submissions: list[Submission], batch: _Batch) -> None:
        """Bring the states that the commands concern into the working set, from the cache and the events since."""
        wanted: set[UUID] = set()
        for submission in submissions:
            wanted.update(policy_streams(submission.org_id))
            wanted.add(submission.stream_id)
            if submission.token_id:
                wanted.add(submission.token_id)
            if submission.actor.user_id:
                wanted.add(submission.actor.user_id)
        states = batch.states
        for id_ in wanted:
            if (state := self._cache.get(id_)) is not None:
                states[id_] = state
        known = {id_: states[id_].version if id_ in states else 0 for id_ in wanted}
        for recorded in event_store.load(cursor, known):
            kind = catalog.kind_of_event(type(recorded.event))
            id_ = recorded.originator_id
            states[id_] = catalog.AGGREGATES[kind].evolve(states.get(id_), recorded)

    def _decide(self, submission: Submission, known: Facts, states: dict[UUID, State], pending: list[Change]) -> Outcome:
        state = states.get(submission.stream_id)
        aggregate = catalog.AGGREGATES[submission.kind]
        context = _context(submission, known, states, state)
        if state is not None and (state.org_id, catalog.kind_of(type(state))) != (submission.org_id, submission.kind):
            raise NotFound("No such record.")
        _require_version(state, submission)
        events = aggregate.decide(state, submission.command, context)
        status: Status = "unchanged" if not events else "changed" if state else "created"
        changes: list[Change] = []
        if events:
            meta = _meta(context)
            for event in events:
                recorded = Recorded(submission.stream_id, state.version + 1 if state else 1, event, meta)
                after = aggregate.evolve(state, recorded)
                changes.append(Change(recorded, state, after))
                state = after
            states[submission.stream_id] = cast("State", state)
            pending += changes
        return Outcome(status, submission.stream_id, state.version if state else 0)

    def _append(self, cursor: Cursor[Any], pending: list[Change], batch: _Batch) -> None:
        if not pending:
            return
        positions = event_store.append(cursor, [change.recorded for change in pending])
        placed = [
            change._replace(recorded=structs.replace(change.recorded, position=position))
            for change, position in zip(pending, positions, strict=True)
        ]
        for projection in READ_MODELS:
            projection.apply(cursor, placed)
        batch.appended += placed
        pending.clear()


def _named(submissions: Sequence[Submission]) -> set[UUID]:
    """The records that the batch's commands on opportunities refer to; the actor is the owner by default."""
    ids = {id_ for one in submissions if one.kind == "opportunity" for id_ in facts.named_by(one.command)}
    ids.update(one.actor.user_id for one in submissions if one.actor.user_id)
    return ids


def _require_version(state: State | None, submission: Submission) -> None:
    expected = submission.expected_version
    if expected is None or (state is not None and state.version == expected):
        return
    gone = getattr(state, "deleted", False) and not isinstance(submission.command, opportunity.Restore)
    if state is None or gone:
        raise NotFound("No such record.")
    raise VersionMismatch(
        f"The record is at version {state.version}, not {expected}: read it again and repeat the change.",
        version=state.version,
    )


def _context(submission: Submission, known: Facts, states: Mapping[UUID, State], state: State | None) -> Context:
    now = recorded_at = datetime.now(UTC)
    if submission.occurred_at is not None:
        now = min(submission.occurred_at, now)
    if state is not None:
        now = max(now, state.updated_at)
    organization_id, pipeline_id, custom_field_id = policy_streams(submission.org_id)
    return Context(
        org_id=submission.org_id,
        actor=_actor(submission, states, recorded_at),
        now=now,
        recorded_at=recorded_at,
        command_id=uuid7(),
        new_id=submission.stream_id,
        policy=Policy(
            organization=cast("organization.State", states.get(organization_id)),
            pipeline=cast("pipeline.State", states.get(pipeline_id)),
            custom_fields=cast("custom_field.State", states.get(custom_field_id)),
        ),
        facts=known,
        token_id=submission.token_id,
        request_id=submission.request_id,
        comment=submission.comment,
    )


def _actor(submission: Submission, states: Mapping[UUID, State], now: datetime) -> Actor:
    """The actor as the log has it at this moment; without a token (the operator, history) the one given."""
    if submission.token_id is None:
        return submission.actor
    issued = states.get(submission.token_id)
    if not isinstance(issued, token.State) or issued.revoked or (issued.expires_at and issued.expires_at <= now):
        raise Unauthenticated("This token is revoked or has expired.")
    holder = states.get(submission.actor.user_id) if submission.actor.user_id else None
    if not isinstance(holder, user.State) or not holder.active or issued.user_id != holder.id:
        raise Unauthenticated("The user of this token is not active.")
    return Actor(user_id=holder.id, role=holder.role, email=holder.email)


def _meta(context: Context) -> Meta:
    return Meta(
        org_id=context.org_id,
        command_id=context.command_id,
        occurred_at=context.now,
        recorded_at=context.recorded_at,
        actor_id=context.actor.user_id,
        token_id=context.token_id,
        request_id=context.request_id,
        comment=context.comment,
    )


@lru_cache(maxsize=10_000)
def policy_streams(org_id: UUID) -> tuple[UUID, UUID, UUID]:
    return organization.stream_id(org_id), pipeline.stream_id(org_id), custom_field.stream_id(org_id)


def _render(cursor: Cursor[Any], submissions: Sequence[Submission], batch: _Batch) -> None:
    """Fill in the bodies: each shows its record as that command left it, whatever a later one of the batch did."""
    wanted: dict[str, dict[tuple[UUID, int], list[Outcome]]] = {}
    for submission, result in zip(submissions, batch.results, strict=True):
        if submission.render and isinstance(result, Outcome) and not result.replayed:
            key = result.stream_id, result.version
            wanted.setdefault(submission.kind, {}).setdefault(key, []).append(result)
    for kind, outcomes in wanted.items():
        for id_, version, body in answers.of(cursor, kind, list(outcomes)):
            for outcome in outcomes.get((id_, version), ()):
                outcome.body = body


def _key(submission: Submission) -> Key | None:
    if submission.idempotency is None:
        return None
    return submission.org_id, submission.actor.user_id or submission.org_id, submission.idempotency[0]


def _given(cursor: Cursor[Any], submissions: Sequence[Submission]) -> dict[Key, tuple[bytes, Outcome]]:
    """The answers already given under the batch's idempotency keys, with the fingerprints of their requests."""
    found = kept_answers.find(cursor, [key for submission in submissions if (key := _key(submission))])
    return {
        key: (kept.fingerprint, Outcome("created", kept.stream_id, kept.version, kept.body, replayed=True))
        for key, kept in found.items()
    }


def _again(submission: Submission, fingerprint: bytes, outcome: Outcome, states: Mapping[UUID, State]) -> Outcome:
    assert submission.idempotency is not None
    _actor(submission, states, datetime.now(UTC))
    if submission.idempotency[1] != fingerprint:
        raise KeyReused(f"The Idempotency-Key {submission.idempotency[0]!r} was used for another request: take a new key.")
    return outcome


def _keep(cursor: Cursor[Any], submissions: Sequence[Submission], batch: _Batch) -> None:
    kept: dict[Key, Kept] = {}
    for n, (submission, result) in enumerate(zip(submissions, batch.results, strict=True)):
        key = _key(submission)
        if key is None or submission.idempotency is None or not isinstance(result, Outcome) or result.replayed:
            continue
        if key in kept:  # the same request twice in one batch
            batch.results[n] = replace(result, replayed=True)
        else:
            kept[key] = Kept(submission.idempotency[1], result.stream_id, result.version, result.body)
    kept_answers.keep(cursor, kept)
