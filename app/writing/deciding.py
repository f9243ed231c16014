"""Decides the commands of one transaction, each on the latest state, and appends the resulting events.

Everything a decision depends on is read under the log's lock, so it cannot change before the append.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from msgspec import structs

from app.writing import circumstances
from app.writing.circumstances import Standing
from app.writing.envelope import Envelope, Outcome
from app.writing.knowledge import KINDS, Knowledge, concerns, references
from app.writing.statements import StatementBatch
from domain import catalog, event_store, fold, token
from domain.errors import NotFound, VersionMismatch
from domain.event import State
from domain.facts import Facts
from domain.fold import Change
from domain.policy import PolicyContext
from projections import decision_facts, registry

MUCH = 32
"""Events with which PostgreSQL may begin: with fewer, what each statement costs by itself counts."""
PARTS = 4
"""In which a transaction of many commands is written, at most."""
NOT_OPEN = event_store.Opening(0, event_store.EPOCH, "")


class Decisions:
    """The decisions of one transaction. ``cached`` has states from before it, by stream id."""

    def __init__(self, statements: StatementBatch, cached: Mapping[UUID, State]) -> None:
        self.states: dict[UUID, State] = {}
        self.appended: list[Change] = []
        self._pending: list[Change] = []
        self._statements = statements
        self._cached = cached
        self._opening = NOT_OPEN
        self._much = MUCH
        self._knowledge = Knowledge(statements)
        self._sender: tuple[Envelope, Standing] | None = None
        """The last command, and how its sender stands."""

    def request(self, envelopes: Sequence[Envelope]) -> Callable[[], None]:
        """Request what the commands concern and refer to. Calling the result reads it."""
        look_up = self._knowledge.look_up([one for one in envelopes if concerns(one)])
        load = self._request_states(envelopes)

        def receive() -> None:
            load()
            look_up()
            self._load([id_ for one in envelopes if (id_ := self._holder(one)) is not None])

        return receive

    def open(self, opening: event_store.Opening) -> None:
        """Call it with the log's lock, before the first decision."""
        self._opening = opening

    @property
    def next_position(self) -> int:
        """That of the next event, after what is appended."""
        return self._opening.position

    def decide(self, envelope: Envelope) -> Outcome:
        """Decide a command; its events are appended later. Raises ``DomainError``."""
        envelope = self._addressed(envelope)
        facts = self._facts(envelope)
        outcome = self._decide(envelope, facts)
        if facts.issued_tokens and outcome.status == "changed":
            self._revoke_issued(envelope, facts.issued_tokens)
        return outcome

    def require_permission(self, envelope: Envelope) -> None:
        """Raises ``DomainError`` if the sender of the command may not give it now."""
        state = self.states.get(envelope.stream_id)
        context = self._context(envelope, self._facts(envelope), state)
        catalog.AGGREGATES[envelope.kind].module.permit(state, envelope.command, context)

    def require_role(self, envelope: Envelope) -> None:
        """Raises ``DomainError`` if the role of the sender rules the command out now, for any record."""
        context = self._context(envelope, Facts(), None)
        catalog.require_role(type(envelope.command), context.actor)

    def mark(self) -> int:
        """A point to ``go_back`` to, as long as nothing is appended."""
        return len(self._pending)

    def go_back(self, mark: int) -> None:
        """Undo what was decided since."""
        for change in reversed(self._pending[mark:]):
            if change.before is None:
                del self.states[change.after.id]
            else:
                self.states[change.after.id] = change.before
            self._knowledge.undo(change)
        del self._pending[mark:]
        self._sender = None

    def append_much(self, commands: int) -> None:
        """Append what was decided if that is much of so many commands, and let PostgreSQL begin with it meanwhile: soon with a
        little, later with more at a time."""
        if len(self._pending) >= self._much:
            self.append()
            self._statements.send()
            self._much = min(2 * self._much, max(MUCH, commands // PARTS))

    def append(self) -> None:
        """Append what was decided, and update the read models."""
        if not self._pending:
            return
        self._knowledge.appended()
        cursor = self._statements.cursor()
        positions = event_store.append(cursor, [change.recorded for change in self._pending], self._opening)
        self._opening = self._opening._replace(position=self._opening.position + len(positions))
        placed = [
            change._replace(recorded=structs.replace(change.recorded, position=position))
            for change, position in zip(self._pending, positions, strict=True)
        ]
        for projection in registry.READ_MODELS:
            projection.apply(cursor, placed)
        self.appended += placed
        self._pending.clear()

    def conclude(self) -> None:
        """Append the rest of the transaction, and do for all of it what read models do once."""
        self.append()
        if self.appended:
            cursor = self._statements.cursor()
            for projection in registry.READ_MODELS:
                projection.conclude(cursor, self.appended)

    def _request_states(self, envelopes: Sequence[Envelope]) -> Callable[[], None]:
        """Request the states of the streams that the commands concern."""
        wanted = {envelope.stream_id for envelope in envelopes}
        wanted.update(id_ for one in envelopes for id_ in (one.token_id, one.actor.user_id) if id_)
        for org_id in {one.org_id for one in envelopes}:
            wanted.update(circumstances.policy_streams(org_id))
        return self._request_streams(wanted)

    def _request_streams(self, wanted: set[UUID]) -> Callable[[], None]:
        """Request the events of the streams after their cached states."""
        versions: dict[UUID, int] = {}
        for id_ in wanted - self.states.keys():
            versions[id_] = 0
            if (state := self._cached.get(id_)) is not None:
                self.states[id_] = state
                versions[id_] = state.version
        events = event_store.request_events(self._statements.cursor(), versions)

        def receive() -> None:
            fold.changes(events(), self.states)

        return receive

    def _load(self, ids: Iterable[UUID]) -> None:
        if missing := set(ids) - self.states.keys():
            self._request_streams(missing)()

    def _holder(self, envelope: Envelope) -> UUID | None:
        """The live record that a command names by its external id."""
        if envelope.external_id is None:
            return None
        return self._knowledge.holder(envelope.org_id, (envelope.kind, envelope.external_id))

    def _addressed(self, envelope: Envelope) -> Envelope:
        """The command with the record that it names. Raises ``NotFound``, ``VersionMismatch``."""
        if envelope.external_id is None:
            return envelope
        if (found := self._holder(envelope)) is not None:
            self._load([found])
            return structs.replace(envelope, stream_id=found)
        if references(envelope.kind, envelope.command).restored:
            found = self._knowledge.last_deleted(envelope.org_id, (envelope.kind, envelope.external_id))
            if found is not None:
                self._load([found])
                return structs.replace(envelope, stream_id=found)
        if envelope.create is None:
            raise NotFound(f"There is no {envelope.kind} with the external id {envelope.external_id!r}.")
        if envelope.expected_versions is not None:
            raise VersionMismatch(f"There is no {envelope.kind} with the external id {envelope.external_id!r} at any version.")
        return structs.replace(envelope, command=envelope.create)

    def _facts(self, envelope: Envelope) -> Facts:
        """Of commands on records with external ids these were requested before; any other command is the last one so far."""
        if not concerns(envelope):
            self.append()
            asked = references(envelope.kind, envelope.command)
            cursor = self._statements.cursor()
            return decision_facts.for_record(cursor, asked, envelope.org_id, envelope.stream_id, envelope.token_id)
        return self._knowledge.facts(envelope, getattr(self.states.get(envelope.stream_id), "external_id", None))

    def _context(self, envelope: Envelope, facts: Facts, state: State | None) -> PolicyContext:
        """Commands that follow each other are mostly of one sender."""
        if self._sender is None or not _same_sender(envelope, self._sender[0]):
            self._sender = envelope, circumstances.standing(envelope, self.states, self._opening.now)
        return circumstances.context(envelope, self._sender[1], facts, state, self._opening.now)

    def _decide(self, envelope: Envelope, facts: Facts) -> Outcome:
        state = self.states.get(envelope.stream_id)
        aggregate = catalog.AGGREGATES[envelope.kind].module
        context = self._context(envelope, facts, state)
        foreign = state is not None and (state.org_id, catalog.kind_of(type(state))) != (envelope.org_id, envelope.kind)
        if foreign or envelope.expected_versions is not None:  # neither is revealed to those who may not give the command
            aggregate.permit(None if foreign else state, envelope.command, context)
        if foreign:
            raise NotFound("No such record.")
        circumstances.require_version(state, envelope)
        version = state.version if state else 0
        events = aggregate.decide(state, envelope.command, context)
        if not events:
            return Outcome("unchanged", envelope.stream_id, version)
        changes = fold.changes(circumstances.recorded(envelope, context, self._opening.now, version, events), self.states)
        self._pending += changes
        if envelope.kind in KINDS:
            for change in changes:
                self._knowledge.note(change)
        else:
            self._sender = None  # which may be a user, a token or a rule that has changed
        return Outcome("changed" if state else "created", envelope.stream_id, version + len(events))

    def _revoke_issued(self, envelope: Envelope, ids: Sequence[UUID]) -> None:
        """Also revoke the tokens that were issued with a revoked one."""
        command = token.Revoke(following=True)
        further = [structs.replace(envelope, stream_id=id_, command=command, expected_versions=None) for id_ in ids]
        self._request_states(further)()
        for one in further:
            self._decide(one, Facts())


def _same_sender(one: Envelope, other: Envelope) -> bool:
    return one.org_id is other.org_id and one.token_id is other.token_id and one.actor == other.actor
