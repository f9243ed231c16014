"""What the decisions of one transaction look at of other records: read for all commands at once, and kept up to date with what has
been decided since.

For commands on deals, accounts and contacts, and those that take a record over from another org. All of it is read under the log's
lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from msgspec import structs

from app.writing.envelope import Envelope
from app.writing.statements import StatementBatch
from domain import catalog, opportunity
from domain.adoption import Adopt
from domain.event import Command, State
from domain.facts import Facts, Named, References
from domain.fold import Change
from projections import decision_facts

KINDS = frozenset({"opportunity", "account", "contact"})
"""Records that have external ids."""


def concerns(envelope: Envelope) -> bool:
    """Whether a command is decided by this knowledge."""
    return envelope.kind in KINDS or isinstance(envelope.command, Adopt)


Role = Literal["account", "stakeholder"]
"""In which a deal names a record."""


@dataclass(slots=True)
class _Wanted:
    """What the commands of a transaction ask for, by org; ``counted`` are records of which the deals are counted."""

    ids: set[UUID]
    known: set[UUID] = field(default_factory=set)
    names: set[tuple[UUID, Named]] = field(default_factory=set)
    emails: set[tuple[UUID, str]] = field(default_factory=set)
    counted: dict[Role, set[tuple[UUID, UUID]]] = field(default_factory=lambda: {"account": set(), "stakeholder": set()})


@dataclass(slots=True)
class _Org:
    accounts: set[UUID] = field(default_factory=set)
    users: set[UUID] = field(default_factory=set)
    owners: set[UUID] = field(default_factory=set)
    contacts: set[UUID] = field(default_factory=set)
    known: set[tuple[str, UUID]] = field(default_factory=set)
    named: dict[Named, UUID] = field(default_factory=dict)
    by_email: dict[str, UUID] = field(default_factory=dict)
    facts: Facts | None = None


def references(kind: str, command: Command) -> References:
    return catalog.AGGREGATES[kind].module.references(command)


class Knowledge:
    """``look_up`` first; what ``facts`` needs beyond that is read then."""

    def __init__(self, statements: StatementBatch) -> None:
        self._statements = statements
        self._orgs: dict[UUID, _Org] = {}
        self._last: tuple[UUID | None, _Org] = None, _Org()
        """The org that was last asked for, which is mostly the next one too."""
        self._references: dict[int, References] = {}  # by the identity of commands, which live as long as their transaction
        self._asked: set[tuple[UUID, Named]] = set()
        self._deals: dict[UUID, int] = {}
        self._changed_deals: list[Change] = []
        self._deleted: dict[tuple[UUID, Named], UUID] = {}

    def look_up(self, envelopes: Sequence[Envelope]) -> Callable[[], None]:
        """Request what the commands refer to; the actor is the default owner. Calling the result reads it."""
        wanted = self._wanted(envelopes)
        new = wanted.names - self._asked
        self._asked |= new
        existing = decision_facts.existing(self._statements.cursor(), wanted.ids)
        known = decision_facts.known(self._statements.cursor(), wanted.known)
        named = decision_facts.named(self._statements.cursor(), new)
        by_email = decision_facts.by_email(self._statements.cursor(), wanted.emails)
        deals = [decision_facts.deals(self._statements.cursor(), role, ids) for role, ids in wanted.counted.items()]

        def receive() -> None:
            cards = self._statements.written.cards
            for org_id, kind, id_, role, card in existing():
                self._exists(org_id, kind, id_, role)
                cards[id_] = card
            for org_id, kind, id_ in known():
                self._org(org_id).known.add((kind, id_))
            for org_id, kind, text, id_ in named():
                self._exists(org_id, kind, id_)
                self._org(org_id).named[kind, text] = id_
            for org_id, email, id_, role in by_email():
                self._exists(org_id, "user", id_, role)
                self._org(org_id).by_email[email] = id_
            for found in deals:
                self._deals |= found()

        return receive

    def _wanted(self, envelopes: Sequence[Envelope]) -> _Wanted:
        wanted = _Wanted({one.actor.user_id for one in envelopes if one.actor.user_id and one.kind == "opportunity"})
        for one in envelopes:
            for command in one.commands:
                asked = self._references[id(command)] = references(one.kind, command)
                wanted.ids |= asked.records
                wanted.known |= asked.known
                wanted.names.update((one.org_id, name) for name in asked.external_ids)
                wanted.emails.update((one.org_id, email) for email in asked.emails)
                if asked.deals is not None and one.external_id is None and one.ref is None:
                    wanted.counted[asked.deals].add((one.org_id, one.stream_id))
            if one.external_id is not None:
                wanted.names.add((one.org_id, (one.kind, one.external_id)))
        return wanted

    def holder(self, org_id: UUID, name: Named) -> UUID | None:
        """The live record with an external id."""
        if (org_id, name) not in self._asked:
            self._asked.add((org_id, name))
            for *_, id_ in decision_facts.named(self._statements.cursor(), [(org_id, name)])():
                self._org(org_id).named[name] = id_
        return self._org(org_id).named.get(name)

    def last_deleted(self, org_id: UUID, name: Named) -> UUID | None:
        """The deal with an external id that was deleted last."""
        if (found := self._deleted.get((org_id, name))) is not None:
            return found
        return decision_facts.last_deleted_deal(self._statements.cursor(), org_id, name[1])

    def facts(self, envelope: Envelope, external_id: str | None) -> Facts:
        """For a command whose record is known and has this external id."""
        asked = self._references.get(id(envelope.command)) or references(envelope.kind, envelope.command)
        if asked.restored and external_id is not None:
            self.holder(envelope.org_id, (envelope.kind, external_id))
        facts = self._org_facts(envelope.org_id)
        if asked.deals is None:
            return facts
        return structs.replace(facts, deals=self._count_deals(asked.deals, envelope))

    def _count_deals(self, role: Role, envelope: Envelope) -> int:
        """The deals that name the record in the read model, and what has been decided since."""
        id_ = envelope.stream_id
        if id_ not in self._deals:
            cursor = self._statements.cursor()
            self._deals |= decision_facts.deals(cursor, role, [(envelope.org_id, id_)])()
        return self._deals[id_] + sum(_names(one.after, role, id_) - _names(one.before, role, id_) for one in self._changed_deals)

    def note(self, change: Change) -> None:
        """Keep up to date with what was decided."""
        if change.before is None:
            self._org(change.after.org_id).known.add((catalog.kind_of(type(change.after)), change.after.id))
        if isinstance(change.after, opportunity.State):
            self._changed_deals.append(change)
            if change.after.deleted and (text := change.after.external_id) is not None:
                self._deleted[change.after.org_id, ("opportunity", text)] = change.after.id
        self._move(change.before, change.after)

    def undo(self, change: Change) -> None:
        """Take back the last change that was noted."""
        if change.before is None:
            self._org(change.after.org_id).known.discard((catalog.kind_of(type(change.after)), change.after.id))
        if isinstance(change.after, opportunity.State):
            self._changed_deals.pop()
        self._move(change.after, change.before)

    def appended(self) -> None:
        """What was decided is in the read models now."""
        self._changed_deals.clear()
        self._deals.clear()

    def _move(self, before: State | None, after: State | None) -> None:
        """A record is no more as it was before, but as it is after."""
        was, is_ = _is_live(before), _is_live(after)
        old, new = _external_id(before, live=was), _external_id(after, live=is_)
        if was == is_ and old == new:
            return
        record = after if after is not None else before
        assert record is not None
        kind, org = catalog.kind_of(type(record)), self._org(record.org_id)
        if was != is_ and kind != "opportunity":
            ids = org.accounts if kind == "account" else org.contacts
            (ids.add if is_ else ids.discard)(record.id)
            org.facts = None
        if old == new:
            return
        self._asked.update((record.org_id, (kind, text)) for text in (old, new) if text is not None)
        if old is not None and org.named.get((kind, old)) == record.id:
            del org.named[kind, old]
        if new is not None:  # in its past, a record that is taken over may have had what is another one's now
            org.named.setdefault((kind, new), record.id)

    def _exists(self, org_id: UUID, kind: str, id_: UUID, role: str | None = None) -> None:
        org = self._org(org_id)
        org.facts = None
        match kind:
            case "account":
                org.accounts.add(id_)
            case "contact":
                org.contacts.add(id_)
            case "user":
                org.users.add(id_)
                if role != "read_only":
                    org.owners.add(id_)

    def _org(self, org_id: UUID) -> _Org:
        last, org = self._last
        if org_id is not last:
            if (found := self._orgs.get(org_id)) is None:
                found = self._orgs[org_id] = _Org()
            org = found
            self._last = org_id, org
        return org

    def _org_facts(self, org_id: UUID) -> Facts:
        org = self._org(org_id)
        if org.facts is None:
            org.facts = Facts(
                accounts=frozenset(org.accounts),
                users=frozenset(org.users),
                owners=frozenset(org.owners),
                contacts=frozenset(org.contacts),
                known=org.known,
                named=org.named,
                by_email=org.by_email,
            )
        return org.facts


def _is_live(state: Any) -> bool:
    return state is not None and not state.deleted


def _external_id(state: Any, *, live: bool) -> str | None:
    return state.external_id if live else None


def _names(state: Any, role: Role, id_: UUID) -> bool:
    """Whether a live deal names the record in this role."""
    return _is_live(state) and (state.account_id == id_ if role == "account" else id_ in state.stakeholder_ids)
