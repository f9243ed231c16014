"""The accounts and contacts that rows name: found, or created beside the rows if that is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Cursor
from uuid_utils.compat import uuid7

from app.importing.deals import AccountName
from app.importing.directory_rows import names
from app.importing.options import CreateMissing
from app.importing.plan import Planned, Sender
from domain import account, contact
from domain.text import normal
from projections.imports import lookups

MAX_KNOWN = 100_000
"""Names that are remembered from batch to batch."""


class Missing(Exception):
    """There is no such record, or several of the name. The text says what to do."""


class References:
    """``planned`` gathers the commands that create what was missing."""

    def __init__(self, sender: Sender, creates: CreateMissing) -> None:
        self._sender, self._creates = sender, creates
        self._accounts: dict[tuple[str, str], UUID] = {}
        self._contacts: dict[tuple[UUID, str], UUID] = {}
        self._several: set[str] = set()
        self.planned: list[Planned] = []

    def look_up(self, cursor: Cursor[Any], wanted: Iterable[AccountName]) -> None:
        """Find the accounts that a batch of rows names."""
        if len(self._accounts) + len(self._contacts) > MAX_KNOWN:
            self._accounts.clear()
            self._contacts.clear()
        self.planned = []
        new = set(wanted)
        ids = {one.external_id for one in new if one.external_id} - {text for kind, text in self._accounts if kind == "id"}
        texts = {normal(one.name) for one in new if one.name} - {text for kind, text in self._accounts if kind == "name"}
        org_id = self._sender.org_id
        if ids:
            for text, id_ in lookups.by_external_id(cursor, org_id, "account", ids).items():
                self._accounts["id", text] = id_
        if texts:
            for name, found in lookups.accounts(cursor, org_id, texts).items():
                if len(found) > 1:
                    self._several.add(name)
                else:
                    self._accounts["name", name] = found[0]

    def account(self, named: AccountName, line: int, at: datetime | None) -> UUID:
        """Raises ``Missing``."""
        external_id, name = named.external_id, normal(named.name) if named.name else None
        if external_id and (found := self._accounts.get(("id", external_id))):
            return found
        if name and not external_id and name in self._several:
            raise Missing("Several accounts have this name: map the account's external id.")
        if name and (found := self._accounts.get(("name", name))):
            return found
        if name is None:
            raise Missing("There is no account with this external id: import the accounts first, or map the account's name.")
        if not self._creates.accounts:
            raise Missing("There is no account of this name: create it, or set create_missing.accounts.")
        id_ = uuid7()
        command = account.Create(name=name, external_id=external_id)
        self.planned.append(Planned(line, [self._sender.envelope("account", id_, command, at)], aside=True))
        self._accounts["name", name] = id_
        if external_id:
            self._accounts["id", external_id] = id_
        return id_

    def look_up_contacts(self, cursor: Cursor[Any], wanted: Iterable[tuple[UUID, str]]) -> None:
        """Find the contacts of accounts by their full names."""
        if new := set(wanted) - self._contacts.keys():
            self._contacts |= lookups.contacts(cursor, self._sender.org_id, new)

    def contact(self, account_id: UUID, name: str, line: int, at: datetime | None) -> UUID | None:
        """None if there is none and none is to be created."""
        first, last = names(name)
        key = account_id, f"{first} {last}"
        if found := self._contacts.get(key):
            return found
        if not self._creates.contacts:
            return None
        id_ = self._contacts[key] = uuid7()
        command = contact.Create(first_name=first, last_name=last, account_id=account_id)
        self.planned.append(Planned(line, [self._sender.envelope("contact", id_, command, at)], aside=True))
        return id_

    def forget(self) -> None:
        """What was created beside the rows may not have been."""
        self._accounts.clear()
        self._contacts.clear()
