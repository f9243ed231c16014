"""Turns commands into committed events: one transaction for a batch of commands.

Under the log's lock it loads, decides, appends, updates the read models and renders the responses; so every command is decided on
the latest state, ``If-Match`` is exact, and no decision has to be repeated. The statements are sent together: one round trip reads
what decisions need, one writes the results and commits. After an interrupted commit it looks for the command id in the log before
it runs the batch again. ``deciding`` decides and appends, ``responses`` renders.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import cast
from uuid import UUID

import psycopg
import structlog

from app.process.failures import OtherVersion, Unavailable
from app.writing import responses
from app.writing.bulk import Answers, Bulk, BulkOutcome
from app.writing.connection import APPLICATION, connect
from app.writing.deciding import Decisions
from app.writing.envelope import Envelope, Outcome, Result, by_transaction
from app.writing.pace import Turn
from app.writing.responses import Repeats
from app.writing.statements import StatementBatch
from app.writing.units import Books, NoBooks, Unit, Units
from domain import event_store
from domain.event import State
from domain.fold import Change
from domain.sql_cursor import SqlCursor
from projections import registry
from projections.connections import GONE

MAX_BATCH = 256
ATTEMPTS = 3
NO_BOOKS = NoBooks()
MAX_STATES = 20_000
MAX_FAULTS = 18
"""Failed transactions before a batch is given up: enough to find two faulty commands among 256."""
OF_ONE_COMMAND = {"21", "22", "23", "54", "P0"}
"""Classes of SQLSTATE that are about a command's data. An error of another class would hit every command."""

log = structlog.get_logger("writer")

More = Callable[[int], Sequence[Envelope]]
"""Returns at most so many further commands on opportunities."""


@dataclass(slots=True)
class _Batch:
    """The commands of one transaction and their results, or the ``fault`` for which all of it was rolled back."""

    envelopes: Sequence[Envelope]
    results: list[Result] = field(default_factory=list)
    appended: Sequence[Change] = ()
    fault: Exception | None = None
    units: Units | None = None


class Committer:
    """Not thread-safe: one caller at a time. ``turn`` tells of the last transaction."""

    def __init__(self, url: str, *, statement_timeout_ms: int = 15_000) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._statements: StatementBatch | None = None
        self._cache: OrderedDict[UUID, State] = OrderedDict()
        self._next_position = 0
        self.turn = Turn(0.0, 0, 0, alone=False)

    def close(self) -> None:
        if self._statements is not None:
            self._statements.connection.close()
            self._statements = None

    def run(self, envelopes: Sequence[Envelope], more: More = lambda room: []) -> list[Result]:
        """Run commands in order: adjacent ones on opportunities in one transaction, every other command in its own.

        When the log's lock is granted, ``more`` is asked for further commands on opportunities, which join the last ones; their
        results come at the end. A command's refusal, or fault, is its result and affects no other; ``Unavailable`` is the result of
        all commands from there on.
        """
        results: list[Result] = []
        batches = list(by_transaction(envelopes, MAX_BATCH))
        for batch in batches:
            results += self._apart(batch, more if batch is batches[-1] and batch[0].kind == "opportunity" else None)
            if isinstance(results[-1], Unavailable):
                return results + results[-1:] * (sum(map(len, batches)) - len(results))
        return results

    def ping(self) -> None:
        """Raises ``Unavailable`` if the database does not answer the writer."""
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
        batch = self._durably(envelopes, all_or_nothing=True)
        if batch.fault is not None:
            raise batch.fault
        return cast("list[Outcome]", batch.results)

    def run_units(self, units: Sequence[Unit], books: Books = NO_BOOKS, records: Sequence[UUID | None] = ()) -> list[list[Result]]:
        """Run units of commands on deals, accounts and contacts in one transaction: of a unit with a refusal nothing is done.

        Raises ``Unavailable``, ``Unauthenticated``, ``Forbidden``, or a fault for which all of it was rolled back.
        """
        work = Units(units, books, records)
        batch = self._durably(work.envelopes, units=work)
        if batch.fault is not None:
            raise batch.fault
        return work.results

    def run_bulk(self, bulk: Bulk) -> BulkOutcome:
        """As ``run_units``, once for each idempotency key. Raises ``KeyReused`` too."""
        answers = Answers(bulk)
        results = self.run_units(bulk.units, answers, bulk.records)
        return BulkOutcome(results, answers.replayed, answers.resumed)

    def _apart(self, envelopes: Sequence[Envelope], more: More | None = None) -> list[Result]:
        """Run commands in one transaction; if one makes it fail, in as many as it takes to spare the others, within bounds.

        The results of commands that joined the first transaction come at the end.
        """
        results: list[Result] = []
        left = [envelopes]
        faults = 0
        while left:
            batch = self._durably(left.pop(), more)
            more = None
            fault = batch.fault
            if fault is None:
                results += batch.results
                continue
            if not isinstance(fault, Unavailable):  # an error of the database or the encoding that no rule of the domain foresaw
                faults += 1
                half = len(batch.envelopes) // 2
                if not half:
                    results.append(fault)
                    continue
                if faults < MAX_FAULTS:
                    left += [batch.envelopes[half:], batch.envelopes[:half]]
                    continue
                fault = Unavailable(f"One fault after the other: {fault}")
            return results + [fault] * (len(batch.envelopes) + sum(map(len, left)))
        return results

    def _durably(
        self,
        envelopes: Sequence[Envelope],
        more: More | None = None,
        *,
        all_or_nothing: bool = False,
        units: Units | None = None,
    ) -> _Batch:
        """One transaction, repeated on a new connection if the old one broke before its commit was certain.

        The batch returned includes the commands that joined.
        """
        batch = _Batch(envelopes)
        for attempts_left in reversed(range(ATTEMPTS)):
            batch = _Batch(batch.envelopes, units=units)
            try:
                self._commit(batch, more, all_or_nothing=all_or_nothing)
            except psycopg.Error as error:
                if self._should_repeat(batch, error, attempts_left):
                    continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it concerns some of these commands
                self._reset()
                batch.fault = error
            except BaseException:
                self._reset()
                raise
            break
        return batch

    def _should_repeat(self, batch: _Batch, error: psycopg.Error, attempts_left: int) -> bool:
        """Roll back, and say whether to run the batch again. If not, it was committed after all, or now has its fault."""
        lost = self._statements is None or self._statements.connection.closed
        self._reset()
        if not lost:
            if attempts_left and self._evict(error):
                return True
            batch.fault = self._fault(batch, error)
            return False
        try:
            if batch.appended and self._was_committed(batch):
                return False
        except psycopg.Error as again:
            self._reset()
            batch.fault = _unavailable(again)
            return False
        if not attempts_left or (isinstance(error, GONE) and not batch.appended):  # after silence, it would take as long and fail
            batch.fault = _unavailable(error)
        return batch.fault is None

    def _fault(self, batch: _Batch, error: psycopg.Error) -> Exception:
        """The error itself if it is about the data of some command, else ``Unavailable``."""
        if not error.sqlstate or error.sqlstate[:2] in OF_ONE_COMMAND:
            return error
        # A standby, a timeout, a full disk, a missing column: everything is rolled back.
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            self.close()  # a new connection may lead to the primary
        log.error("commands.failed", commands=len(batch.envelopes), sqlstate=error.sqlstate, reason=str(error))
        return _unavailable(error)

    def _open(self) -> StatementBatch:
        if self._statements is None or self._statements.connection.closed:
            self._statements = StatementBatch(connect(self._url, statement_timeout_ms=self._timeout))
        return self._statements

    def _reset(self) -> None:
        """Roll the transaction back, and drop the states cached from it."""
        self._cache.clear()
        statements, self._statements = self._statements, None
        if statements is not None and not statements.connection.closed:
            statements.discard()
            try:
                statements.connection.rollback()
                self._statements = statements
            except psycopg.Error:
                statements.connection.close()

    def _evict(self, error: psycopg.Error) -> bool:
        """End a silent session that holds the log's lock; True if there was one. From PostgreSQL 17 on the server does that."""
        if not isinstance(error, psycopg.errors.QueryCanceled) or self._statements is None:
            return False
        if self._statements.connection.info.server_version >= 170_000:
            return False
        try:
            with connect(self._url, role=None) as connection, connection.cursor() as cursor:
                return event_store.evict(cursor, APPLICATION, self._timeout)
        except psycopg.Error:
            return False

    def _was_committed(self, batch: _Batch) -> bool:
        """Whether the interrupted transaction was committed; if so, fill in the bodies that were lost on the way.

        The lock is granted only once that transaction has ended.
        """
        statements = self._open()
        cursor = statements.cursor()
        cursor.execute("BEGIN")
        event_store.lock(cursor)
        found = event_store.committed(cursor, batch.appended[0].recorded)
        if found and batch.units is None:
            responses.request_bodies(statements, batch.envelopes, batch.results, {})()
        statements.connection.rollback()
        return found

    def _remember(self, states: Mapping[UUID, State]) -> None:
        for id_, state in states.items():
            self._cache[id_] = state
            self._cache.move_to_end(id_)
        while len(self._cache) > MAX_STATES:
            self._cache.popitem(last=False)

    def _commit(self, batch: _Batch, more: More | None, *, all_or_nothing: bool) -> None:
        """Run one transaction to the end. Statements whose rows come later have a cursor of their own."""
        statements = self._open()
        statements.begin()
        cursor, locked = statements.cursor(), statements.cursor()
        cursor.execute("BEGIN", prepare=False)
        event_store.lock(locked)
        decisions, repeats = Decisions(statements, self._cache), Repeats()
        batch.appended = decisions.appended
        _gather(statements, decisions, repeats, batch.envelopes)
        if more and (joining := more(MAX_BATCH - len(batch.envelopes))):
            # Commands that came while we waited for the lock need not wait for the next transaction.
            batch.envelopes = [*batch.envelopes, *joining]
            _gather(statements, decisions, repeats, joining)
        began, opening = monotonic(), _opening(locked)
        alone = opening.position == self._next_position
        decisions.open(opening)
        if batch.units is not None:
            batch.units.decide(cursor, decisions)
            decisions.conclude()
            batch.units.finish(cursor, decisions.appended)
            receive_bodies = _nothing
        else:
            batch.results = [_result(envelope, decisions, repeats, raises=all_or_nothing) for envelope in batch.envelopes]
            decisions.conclude()
            receive_bodies = responses.request_bodies(statements, batch.envelopes, batch.results, decisions.states)
        if any(envelope.idempotency for envelope in batch.envelopes):
            receive_bodies()
            batch.results = responses.keep(cursor, batch.envelopes, batch.results)
            receive_bodies = _nothing
        cursor.execute("COMMIT", prepare=False)
        statements.flush()
        self._next_position = decisions.next_position
        self.turn = Turn(monotonic() - began, opening.position, self._next_position, alone)
        statements.remembered.keep()
        receive_bodies()
        self._remember(decisions.states)


def _gather(statements: StatementBatch, decisions: Decisions, repeats: Repeats, envelopes: Sequence[Envelope]) -> None:
    """Read what decisions need, in one round trip."""
    for receive in (repeats.request(statements.cursor(), envelopes), decisions.request(envelopes)):
        receive()


def _result(envelope: Envelope, decisions: Decisions, repeats: Repeats, *, raises: bool) -> Result:
    """The outcome, or the reason there is none: a refusal, or an internal error that concerns this command alone."""
    try:
        if envelope in repeats:
            decisions.require_permission(envelope)
            return repeats.outcome(envelope)
        outcome = decisions.decide(envelope)
    except psycopg.Error:
        raise
    except Exception as error:
        if raises:
            raise
        return error
    repeats.add(envelope, outcome)
    return outcome


def _opening(locked: SqlCursor) -> event_store.Opening:
    """Raises ``OtherVersion`` if the database's read models are not those that this program writes."""
    opening = event_store.opening(locked)
    if problem := registry.difference(opening.read_models):
        raise OtherVersion(problem)
    return opening


def _unavailable(error: psycopg.Error) -> Unavailable:
    fault = Unavailable(str(error))
    fault.__cause__ = error
    return fault


def _nothing() -> None:
    """The bodies are already there."""
