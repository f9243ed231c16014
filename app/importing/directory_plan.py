"""Accounts, contacts and users of a file as commands: new ones, and changes of known ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Cursor
from uuid_utils.compat import uuid7

from app.importing.directory_rows import Entry
from app.importing.faults import Fault
from app.importing.options import Kind, Options
from app.importing.plan import Planned, Sender, failing
from app.importing.references import Missing, References
from app.writing.envelope import Envelope
from domain import account, contact, user
from domain.event import Command
from domain.text import caseless, normal
from projections.imports import lookups

KINDS = {"accounts": "account", "contacts": "contact", "users": "user"}


class DirectoryPlanner:
    """Plans batches of one import. Records that an earlier row creates, in this batch or in the one before, which may not be
    committed yet, are known to later ones."""

    def __init__(self, kind: Kind, sender: Sender, options: Options) -> None:
        self._kind, self._sender, self._options = KINDS[kind], sender, options
        self.references = References(sender, options.create_missing)
        self._created_before: dict[str, list[UUID]] = {}

    def forget(self) -> None:
        """What was planned last may not have been done."""
        self.references.forget()
        self._created_before = {}

    def plan(self, cursor: Cursor[Any], entries: Sequence[Entry]) -> list[Planned]:
        self.references.look_up(cursor, [entry.account for entry in entries if entry.account])
        known = self._created_before | self._known(cursor, [key for entry in entries if (key := self._key(entry)) is not None])
        self._created_before = {}
        rows = [self._entry(entry, known) for entry in entries]
        return [*self.references.planned, *rows]

    def _key(self, entry: Entry) -> str | None:
        match self._options.match_on:
            case "external_id":
                return entry.values.get("external_id")
            case "name":
                return normal(entry.values["name"])
            case "email":
                return caseless(normal(email)) if (email := entry.values.get("email")) else None
            case _:
                return None

    def _known(self, cursor: Cursor[Any], keys: Sequence[str]) -> dict[str, list[UUID]]:
        org_id, texts = self._sender.org_id, set(keys)
        if not texts:
            return {}
        match self._options.match_on:
            case "external_id":
                found = lookups.by_external_id(cursor, org_id, self._kind, texts)
                return {text: [id_] for text, id_ in found.items()}
            case "name":
                return lookups.accounts(cursor, org_id, texts)
            case _:
                return lookups.by_email(cursor, org_id, self._kind, texts)

    def _entry(self, entry: Entry, known: dict[str, list[UUID]]) -> Planned:
        key = self._key(entry)
        found = known.get(key, []) if key is not None else []
        if len(found) > 1:
            return failing(entry.line, [Fault.at(entry.line, self._options.match_on, key or "", "Several records have this.")])
        if found and self._options.on_match == "skip":
            return Planned(entry.line, skipped=True)
        if found and self._options.on_match == "fail":
            return failing(entry.line, [Fault.at(entry.line, self._options.match_on, key or "", f"{found[0]} is there already.")])
        try:
            account_id = self._account(entry)
        except Missing as missing:
            return failing(entry.line, [Fault.at(entry.line, "account", "", str(missing))])
        values = entry.values | ({"account_id": account_id} if account_id else {})
        at = entry.created.instant if entry.created else None
        if found:
            return Planned(entry.line, [self._sender.envelope(self._kind, found[0], _change(self._kind, values))])
        id_ = uuid7()
        if key is not None:
            known[key] = self._created_before[key] = [id_]
        return Planned(entry.line, self._created(id_, values, at))

    def _account(self, entry: Entry) -> UUID | None:
        if entry.account is None:
            return None
        return self.references.account(entry.account, entry.line, entry.created.instant if entry.created else None)

    def _created(self, id_: UUID, values: dict[str, Any], at: Any) -> list[Envelope]:
        """A user who is not active any more is created and then deactivated."""
        inactive = values.get("active") is False
        given = {name: value for name, value in values.items() if name != "active"}
        commands = [self._sender.envelope(self._kind, id_, _create(self._kind, given), at)]
        if inactive:
            commands.append(self._sender.envelope(self._kind, id_, user.Update(active=False)))
        return commands


def _create(kind: str, values: dict[str, Any]) -> Command:
    match kind:
        case "account":
            return account.Create(**values)
        case "contact":
            return contact.Create(**values)
        case _:
            return user.Create(**values)


def _change(kind: str, values: dict[str, Any]) -> Command:
    match kind:
        case "account":
            return account.Update(**values)
        case "contact":
            return contact.Update(**values)
        case _:
            return user.Update(**values)
