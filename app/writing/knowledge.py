"""What the decisions of one transaction look at of other records: read for all commands at once, and kept up to date with what has
been decided since.

For commands on deals, accounts and contacts. All of it is read under the log's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from msgspec import structs

from app.writing.envelope import Envelope
from app.writing.statements import StatementBatch
from domain import catalog
from domain.event import Command
from domain.facts import Facts, Named, References
from domain.fold import Change
from projections import decision_facts

KINDS = frozenset({"opportunity", "account", "contact"})
"""Records that have external ids."""


@dataclass(slots=True)
class _Org:
    accounts: set[UUID] = field(default_factory=set)
    users: set[UUID] = field(default_factory=set)
    owners: set[UUID] = field(default_factory=set)
    contacts: set[UUID] = field(default_factory=set)
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
        self._asked: set[tuple[UUID, Named]] = set()
        self._deals: dict[UUID, int] = {}

    def look_up(self, envelopes: Sequence[Envelope]) -> Callable[[], None]:
        """Request what the commands refer to; the actor is the default owner. Calling the result reads it."""
        ids = {one.actor.user_id for one in envelopes if one.actor.user_id and one.kind == "opportunity"}
        names: set[tuple[UUID, Named]] = set()
        emails: set[tuple[UUID, str]] = set()
        for one in envelopes:
            for command in one.commands:
                asked = references(one.kind, command)
                ids |= asked.records
                names.update((one.org_id, name) for name in asked.external_ids)
                emails.update((one.org_id, email) for email in asked.emails)
            if one.external_id is not None:
                names.add((one.org_id, (one.kind, one.external_id)))
        new = names - self._asked
        self._asked |= new
        existing = decision_facts.existing(self._statements.cursor(), ids)
        named = decision_facts.named(self._statements.cursor(), new)
        by_email = decision_facts.by_email(self._statements.cursor(), emails)

        def receive() -> None:
            for org_id, kind, id_, role in existing():
                self._exists(org_id, kind, id_, role)
            for org_id, kind, text, id_ in named():
                self._exists(org_id, kind, id_)
                self._org(org_id).named[kind, text] = id_
            for org_id, email, id_, role in by_email():
                self._exists(org_id, "user", id_, role)
                self._org(org_id).by_email[email] = id_

        return receive

    def holder(self, org_id: UUID, name: Named) -> UUID | None:
        """The live record with an external id."""
        if (org_id, name) not in self._asked:
            self._asked.add((org_id, name))
            for *_, id_ in decision_facts.named(self._statements.cursor(), [(org_id, name)])():
                self._org(org_id).named[name] = id_
        return self._org(org_id).named.get(name)

    def facts(self, envelope: Envelope, external_id: str | None) -> Facts:
        """For a command whose record is known and has this external id."""
        asked = references(envelope.kind, envelope.command)
        if asked.restored and external_id is not None:
            self.holder(envelope.org_id, (envelope.kind, external_id))
        facts = self._org_facts(envelope.org_id)
        if asked.deals is None:
            return facts
        if envelope.stream_id not in self._deals:
            wanted = [(envelope.org_id, envelope.stream_id)]
            self._deals |= decision_facts.deals(self._statements.cursor(), asked.deals, wanted)
        return structs.replace(facts, deals=self._deals[envelope.stream_id])

    def note(self, change: Change) -> None:
        """Keep up to date with what was decided."""
        kind, org = catalog.kind_of(type(change.after)), self._org(change.after.org_id)
        if kind == "opportunity":
            self._deals.clear()
        elif change.before is None:
            self._exists(change.after.org_id, kind, change.after.id)
        elif getattr(change.after, "deleted", False):
            (org.accounts if kind == "account" else org.contacts).discard(change.after.id)
            org.facts = None
        old, new = _external_id(change.before), _external_id(change.after)
        if old == new:
            return
        named = org.named
        self._asked.update((change.after.org_id, (kind, text)) for text in (old, new) if text is not None)
        if old is not None and named.get((kind, old)) == change.after.id:
            del named[kind, old]
        if new is not None:
            named[kind, new] = change.after.id

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
        if (org := self._orgs.get(org_id)) is None:
            org = self._orgs[org_id] = _Org()
        return org

    def _org_facts(self, org_id: UUID) -> Facts:
        org = self._org(org_id)
        if org.facts is None:
            org.facts = Facts(
                accounts=frozenset(org.accounts),
                users=frozenset(org.users),
                owners=frozenset(org.owners),
                contacts=frozenset(org.contacts),
                named=org.named,
                by_email=org.by_email,
            )
        return org.facts


def _external_id(state: Any) -> str | None:
    """The external id that a live record has, None for what has none."""
    return None if state is None or getattr(state, "deleted", False) else getattr(state, "external_id", None)
