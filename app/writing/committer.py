"""Turns commands into committed events: one transaction for a batch of commands.

Under the log's lock it loads, decides, appends, brings the read models up to date and renders the answers; so every command is
decided on the latest state, ``If-Match`` is exact, and nobody has to redo a decision. The statements go out together: one round
trip reads what decisions need, one writes what came of them, commit included. It refuses to guess: a batch whose commit was
interrupted is looked up by its command id before it is run again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import groupby
from typing import cast
from uuid import UUID

import psycopg
import structlog
from msgspec import structs

from app.process.failures import OtherVersion, Unavailable
from app.writing import circumstances
from app.writing.envelope import Envelope, Outcome, Result, Status
from app.writing.statements import BatchedStatement, StatementBatch
from domain import catalog, event_store, fold, token
from domain.context import Facts, References
from domain.errors import NotFound
from domain.event import Recorded, State
from domain.fold import Change
from domain.sql_cursor import SqlCursor
from projections import command_responses, connections, decision_facts, idempotency_records, registry
from projections.connections import GONE, Bounded
from projections.idempotency_records import Kept, Key

APPLICATION = "opportunities writer"
MAX_BATCH = 256
ATTEMPTS = 3
MAX_STATES = 20_000
MAX_FAULTS = 18
"""Transactions of a batch that may fail before it is given up: enough to find two commands that bring theirs down among 256."""
OF_ONE_COMMAND = {"21", "22", "23", "54", "P0"}
"""Classes of SQLSTATE that are about a command's data. A fault of another class would befall every command."""

log = structlog.get_logger("writer")

More = Callable[[int], Sequence[Envelope]]
"""Gives at most so many commands on opportunities."""

NOT_OPEN = event_store.Opening(0, event_store.EPOCH, "")


@dataclass(slots=True)
class _Batch:
    """The working set of one transaction."""

    results: list[Result]
    states: dict[UUID, State]
    appended: list[Change]
    opening: event_store.Opening = NOT_OPEN


def connect(url: str, *, role: connections.Role | None = "writer", statement_timeout_ms: int = 15_000) -> Bounded:
    """A connection for writing, in autocommit. Raises ``psycopg.OperationalError`` if there is no server."""
    connection = connections.connect(
        url,
        "writer",
        # Every statement is by key: its plan is the same whatever the parameters and the statistics, and planning costs more.
        # The log's lock is given up in time even by a writer that fell silent in the middle of a transaction, or of a statements,
        # where it is not idle to the server's eyes: from PostgreSQL 17 on the server sees to that too, before it whoever waits.
        f"-c idle_in_transaction_session_timeout={statement_timeout_ms}"
        " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off",
        statement_timeout_ms=statement_timeout_ms,
        role=role,
    )
    if connection.info.server_version >= 170_000:
        connection.execute(f"SET transaction_timeout = {2 * statement_timeout_ms}")
    return connection


class Committer:
    """Not thread-safe: one caller at a time."""

    def __init__(self, url: str, *, statement_timeout_ms: int = 15_000) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._statements: StatementBatch | None = None
        self._cache: OrderedDict[UUID, State] = OrderedDict()

    def close(self) -> None:
        if self._statements is not None:
            self._statements.connection.close()
            self._statements = None

    def run(self, envelopes: Sequence[Envelope], more: More = lambda room: []) -> list[Result]:
        """Run commands in order: neighbours on opportunities in one transaction, every other command in its own.

        When the log's lock is granted, ``more`` is asked for further commands on opportunities, which join the last ones and
        have their results behind them. A command's refusal, or fault, is its result and touches no other; ``Unavailable`` is
        that of all from there on.
        """
        results: list[Result] = []
        batches = list(_batches(envelopes))
        for batch in batches:
            results += self._apart(batch, more if batch is batches[-1] and batch[0].kind == "opportunity" else None)
            if isinstance(results[-1], Unavailable):
                return results + results[-1:] * (sum(map(len, batches)) - len(results))
        return results

    def ping(self) -> None:
        """Raises ``Unavailable`` where the database does not answer the writer."""
        try:
            cursor = self._open().cursor()
            cursor.execute("SELECT 1")
            cursor.fetchall()
        except psycopg.Error as error:
            self._reset()
            raise Unavailable(str(error)) from error

    def run_as_one(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        """Run commands of any kind in order in one transaction, all or nothing.

        Raises the first ``DomainError``, ``Unavailable``.
        """
        results = self._durably(list(envelopes), all_or_nothing=True)
        return cast("list[Outcome]", results)

    def _apart(self, envelopes: list[Envelope], more: More | None = None) -> list[Result]:
        """In one transaction, or, where a command brings that down, in as many as keep the others from harm, within bounds.

        What ``more`` gives is added to ``envelopes``.
        """
        results: list[Result] = []
        left = [envelopes]
        faults = 0
        while left:
            part = left.pop()
            try:
                results += self._durably(part, more)
            except Unavailable as error:
                return results + [error] * (len(part) + sum(map(len, left)))
            except Exception as error:  # noqa: BLE001  whatever no rule of the domain refused, but the database or the encoding
                faults += 1
                half = len(part) // 2
                if not half:
                    results.append(error)
                elif faults < MAX_FAULTS:
                    left += [part[half:], part[:half]]
                else:
                    given_up = Unavailable(f"One fault after the other: {error}")
                    return results + [given_up] * (len(part) + sum(map(len, left)))
            more = None
        return results

    def _durably(self, envelopes: list[Envelope], more: More | None = None, *, all_or_nothing: bool = False) -> list[Result]:
        """One transaction, begun again on a new connection where the old one broke before its commit was certain."""
        for attempt in range(ATTEMPTS):
            batch = _Batch([], {}, [])
            try:
                statements = self._open()
                render = self._transact(statements, envelopes, batch, more, all_or_nothing=all_or_nothing)
                statements.flush()
                render()
                self._remember(batch)
                return batch.results
            except psycopg.Error as error:
                lost = self._statements is None or self._statements.connection.closed
                self._reset()
                if not lost:
                    if attempt < ATTEMPTS - 1 and self._evicts(error):
                        continue
                    if not error.sqlstate or error.sqlstate[:2] in OF_ONE_COMMAND:
                        raise
                    self._seek_primary(error)  # a standby, a timeout, a full disk, a missing column: all is undone
                    log.error("commands.failed", commands=len(envelopes), sqlstate=error.sqlstate, reason=str(error))
                    raise Unavailable(str(error)) from error
                try:
                    if batch.appended and self._was_committed(envelopes, batch):
                        return batch.results
                except psycopg.Error as again:
                    raise Unavailable(str(again)) from again
                # After silence another try would wait as long, and in vain.
                if attempt == ATTEMPTS - 1 or (isinstance(error, GONE) and not batch.appended):
                    raise Unavailable(str(error)) from error
            except BaseException:
                self._reset()
                raise
        raise AssertionError("unreachable")

    def _open(self) -> StatementBatch:
        if self._statements is None or self._statements.connection.closed:
            self._statements = StatementBatch(connect(self._url, statement_timeout_ms=self._timeout))
        return self._statements

    def _reset(self) -> None:
        """Undo the transaction and forget what it may have taught us."""
        self._cache.clear()
        statements, self._statements = self._statements, None
        if statements is not None and not statements.connection.closed:
            statements.discard()
            try:
                statements.connection.rollback()
                self._statements = statements
            except psycopg.Error:
                statements.connection.close()

    def _seek_primary(self, error: psycopg.Error) -> None:
        """Where the server is a standby now, a new connection may lead to the primary."""
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            self.close()

    def _evicts(self, error: psycopg.Error) -> bool:
        """Whether somebody who fell silent with the log's lock was sent away. From PostgreSQL 17 on the server does it."""
        if not isinstance(error, psycopg.errors.QueryCanceled) or self._statements is None:
            return False
        if self._statements.connection.info.server_version >= 170_000:
            return False
        try:
            with connect(self._url, role=None) as connection, connection.cursor() as cursor:
                return event_store.evict(cursor, APPLICATION, self._timeout)
        except psycopg.Error:
            return False

    def _was_committed(self, envelopes: list[Envelope], batch: _Batch) -> bool:
        """Whether the interrupted transaction made it; then the bodies are filled in that were lost on the way.

        The lock is granted only once that transaction has ended.
        """
        statements = self._open()
        cursor = statements.cursor()
        cursor.execute("BEGIN")
        event_store.lock(cursor)
        found = event_store.committed(cursor, batch.appended[0].recorded)
        if found:
            _rendering(statements.cursor, envelopes, batch)()
        statements.connection.rollback()
        return found

    def _remember(self, batch: _Batch) -> None:
        for id_, state in batch.states.items():
            self._cache[id_] = state
            self._cache.move_to_end(id_)
        while len(self._cache) > MAX_STATES:
            self._cache.popitem(last=False)

    def _transact(
        self, statements: StatementBatch, envelopes: list[Envelope], batch: _Batch, more: More | None, *, all_or_nothing: bool
    ) -> Callable[[], None]:
        """Up to and with COMMIT, which goes out with the next exchange. What is returned then fills in the bodies.

        Each statement whose rows are awaited has a cursor of its own, for they come later.
        """
        new = statements.cursor
        cursor = new()
        cursor.execute("BEGIN", prepare=False)
        locked = new()
        event_store.lock(locked)
        given, found = self._gather(statements, envelopes, batch)
        if more and (joining := list(more(MAX_BATCH - len(envelopes)))):
            # Who came while we waited for the lock need not wait for the next transaction.
            envelopes += joining
            further, seen = self._gather(statements, joining, batch)
            given |= further
            found |= seen
        references = cache(partial(decision_facts.from_references, found))
        batch.opening = _opening(locked)
        pending: list[Change] = []
        for envelope in envelopes:
            known = references(envelope.org_id)
            if envelope.kind != "opportunity":
                self._append(cursor, pending, batch)
                known = decision_facts.for_record(
                    new(), _references(envelope), envelope.org_id, envelope.stream_id, envelope.token_id
                )
            key = _key(envelope)
            result: Result
            try:
                if key and key in given:
                    result = _again(envelope, key, *given[key], known, batch)
                else:
                    result = self._decide(envelope, known, batch, pending)
                    if known.issued_tokens and result.status == "changed":
                        self._revoke_issued(statements, envelope, known, batch, pending)
                    if key and envelope.idempotency:
                        given[key] = envelope.idempotency[1], result
            except Exception as error:  # a refusal, or a fault of ours that concerns this command alone
                if all_or_nothing:
                    raise
                result = error
            batch.results.append(result)
        self._append(cursor, pending, batch)
        render = _rendering(new, envelopes, batch)
        if any(envelope.idempotency for envelope in envelopes):
            render()
            _keep(cursor, envelopes, batch)
            render = _nothing
        cursor.execute("COMMIT", prepare=False)
        return render

    def _gather(
        self, statements: StatementBatch, envelopes: list[Envelope], batch: _Batch
    ) -> tuple[dict[Key, tuple[bytes, Outcome]], decision_facts.Existing]:
        """What decisions need to know, in one round trip: states into the working set, answers given already, references."""
        given = _given(statements.cursor(), envelopes)
        found = decision_facts.existing(statements.cursor(), _named(envelopes))
        load = self._loading(statements.cursor(), envelopes, batch)
        load()
        return given(), found()

    def _loading(self, cursor: SqlCursor, envelopes: list[Envelope], batch: _Batch) -> Callable[[], None]:
        """Ask for what brings the states that the commands concern into the working set: the cache, and the events since."""
        wanted = {envelope.stream_id for envelope in envelopes}
        for org_id, token_id, user_id in {(one.org_id, one.token_id, one.actor.user_id) for one in envelopes}:
            wanted.update(circumstances.policy_streams(org_id))
            wanted.update(id_ for id_ in (token_id, user_id) if id_)
        states = batch.states
        wanted -= states.keys()
        for id_ in wanted:
            if (state := self._cache.get(id_)) is not None:
                states[id_] = state
        known = {id_: states[id_].version if id_ in states else 0 for id_ in wanted}
        asked = event_store.request_events(cursor, known)

        def load() -> None:
            fold.changes(asked(), states)

        return load

    def _decide(self, envelope: Envelope, known: Facts, batch: _Batch, pending: list[Change]) -> Outcome:
        states = batch.states
        state = states.get(envelope.stream_id)
        aggregate = catalog.AGGREGATES[envelope.kind].module
        context = circumstances.context(envelope, known, states, state, batch.opening.now)
        foreign = state is not None and (state.org_id, catalog.kind_of(type(state))) != (envelope.org_id, envelope.kind)
        if foreign or envelope.expected_version is not None:  # of neither is told to whoever may not give the command
            aggregate.permit(None if foreign else state, envelope.command, context)
        if foreign:
            raise NotFound("No such record.")
        circumstances.require_version(state, envelope)
        events = aggregate.decide(state, envelope.command, context)
        status: Status = "unchanged" if not events else "changed" if state else "created"
        version = state.version if state else 0
        if events:
            meta = circumstances.meta(context)
            recorded = [Recorded(envelope.stream_id, version + n, event, meta) for n, event in enumerate(events, 1)]
            pending += fold.changes(recorded, states)
        return Outcome(status, envelope.stream_id, version + len(events))

    def _revoke_issued(
        self, statements: StatementBatch, envelope: Envelope, known: Facts, batch: _Batch, pending: list[Change]
    ) -> None:
        """Revoke the tokens that were issued with a revoked one as well."""
        further = [
            replace(envelope, stream_id=id_, command=token.Revoke(following=True), expected_version=None)
            for id_ in known.issued_tokens
        ]
        self._loading(statements.cursor(), further, batch)()
        for one in further:
            self._decide(one, Facts(), batch, pending)

    def _append(self, cursor: SqlCursor, pending: list[Change], batch: _Batch) -> None:
        if not pending:
            return
        positions = event_store.append(cursor, [change.recorded for change in pending], batch.opening)
        batch.opening = batch.opening._replace(position=batch.opening.position + len(positions))
        placed = [
            change._replace(recorded=structs.replace(change.recorded, position=position))
            for change, position in zip(pending, positions, strict=True)
        ]
        for projection in registry.READ_MODELS:
            projection.apply(cursor, placed)
        batch.appended += placed
        pending.clear()


def _opening(locked: SqlCursor) -> event_store.Opening:
    """Raises ``OtherVersion`` where what this program writes is not what the database's read models are."""
    opening = event_store.opening(locked)
    if told := registry.difference(opening.read_models):
        raise OtherVersion(told)
    return opening


def _nothing() -> None:
    """The bodies are there already."""


def _batches(envelopes: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    """What goes together in a transaction."""
    for together, group in groupby(envelopes, key=lambda s: s.kind == "opportunity"):
        members = list(group)
        size = MAX_BATCH if together else 1
        for start in range(0, len(members), size):
            yield members[start : start + size]


def _references(envelope: Envelope) -> References:
    return catalog.AGGREGATES[envelope.kind].module.references(envelope.command)


def _named(envelopes: Sequence[Envelope]) -> set[UUID]:
    """The records that the batch's commands on opportunities refer to; the actor is the owner by default."""
    ids = {id_ for one in envelopes if one.kind == "opportunity" for id_ in _references(one).records}
    ids.update(one.actor.user_id for one in envelopes if one.actor.user_id)
    return ids


def _rendering(new: Callable[[], BatchedStatement], envelopes: Sequence[Envelope], batch: _Batch) -> Callable[[], None]:
    """Ask for the bodies, and fill them in when called: each shows its record as that command left it, whatever a later one of
    the batch did."""
    wanted: dict[str, dict[tuple[UUID, int], list[Outcome]]] = {}
    for envelope, result in zip(envelopes, batch.results, strict=True):
        if envelope.render and isinstance(result, Outcome) and not result.replayed:
            key = result.stream_id, result.version
            wanted.setdefault(envelope.kind, {}).setdefault(key, []).append(result)
    asked: list[tuple[BatchedStatement, dict[tuple[UUID, int], list[Outcome]]]] = []
    for kind, outcomes in wanted.items():
        cursor = new()
        command_responses.ask(cursor, kind, list(outcomes))
        asked.append((cursor, outcomes))

    def render() -> None:
        for cursor, outcomes in asked:
            for id_, version, body in cursor.fetchall():
                for outcome in outcomes.get((id_, version), ()):
                    outcome.body = body

    return render


def _key(envelope: Envelope) -> Key | None:
    if envelope.idempotency is None:
        return None
    return Key(envelope.org_id, envelope.actor.user_id or envelope.org_id, envelope.idempotency[0])


def _given(cursor: SqlCursor, envelopes: Sequence[Envelope]) -> Callable[[], dict[Key, tuple[bytes, Outcome]]]:
    """Ask for the answers already given under the batch's idempotency keys, with the fingerprints of their requests."""
    asked = idempotency_records.find(cursor, [key for envelope in envelopes if (key := _key(envelope))])
    return lambda: {
        key: (kept.fingerprint, Outcome("created", kept.stream_id, kept.version, kept.body, replayed=True))
        for key, kept in asked().items()
    }


def _again(envelope: Envelope, key: Key, fingerprint: bytes, outcome: Outcome, known: Facts, batch: _Batch) -> Outcome:
    """The answer given already, to whoever may give the command now."""
    assert envelope.idempotency is not None
    state = batch.states.get(envelope.stream_id)
    context = circumstances.context(envelope, known, batch.states, state, batch.opening.now)
    catalog.AGGREGATES[envelope.kind].module.permit(state, envelope.command, context)
    idempotency_records.require_same(key, fingerprint, envelope.idempotency[1])
    return outcome


def _keep(cursor: SqlCursor, envelopes: Sequence[Envelope], batch: _Batch) -> None:
    kept: dict[Key, Kept] = {}
    for n, (envelope, result) in enumerate(zip(envelopes, batch.results, strict=True)):
        key = _key(envelope)
        if key is None or envelope.idempotency is None or not isinstance(result, Outcome) or result.replayed:
            continue
        if key in kept:  # the same request twice in one batch
            batch.results[n] = replace(result, replayed=True)
        else:
            kept[key] = Kept(envelope.idempotency[1], result.stream_id, result.version, result.body)
    idempotency_records.keep(cursor, kept)
