"""Deals of a file as commands: new ones with their past, known ones as changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import Cursor
from uuid_utils.compat import uuid7

from app.importing import timeline
from app.importing.deals import AccountName, Deal
from app.importing.directory_rows import names
from app.importing.faults import Fault
from app.importing.options import Options
from app.importing.plan import Planned, Sender, failing
from app.importing.references import Missing, References
from app.importing.timeline import Entry, OutOfOrder
from app.importing.vocabulary import Vocabulary
from domain.text import normal
from projections.imports import lookups


class DealPlanner:
    """Plans batches of one import. Deals that an earlier row creates, in this batch or in the one before, which may not be
    committed yet, are known to later ones."""

    def __init__(self, sender: Sender, options: Options, vocabulary: Vocabulary) -> None:
        self._sender, self._options = sender, options
        self._stages = vocabulary.by_key()
        self.references = References(sender, options.create_missing)
        self._created_before: dict[Any, UUID] = {}

    def forget(self) -> None:
        """What was planned last may not have been done."""
        self.references.forget()
        self._created_before = {}

    def plan(self, cursor: Cursor[Any], deals: Sequence[Deal], histories: Mapping[str, Sequence[Entry]]) -> list[Planned]:
        """The rows in order, after what they need to be created first."""
        self.references.look_up(cursor, [deal.account for deal in deals if deal.account])
        accounts = [self._account(deal) for deal in deals]
        found = list(zip(deals, accounts, strict=True))
        pairs = [(id_, deal) for deal, id_ in found if isinstance(id_, UUID)]
        wanted = [(id_, " ".join(names(name))) for id_, deal in pairs for name in deal.contacts]
        self.references.look_up_contacts(cursor, wanted)
        unknown = self._unknown_tags(cursor, deals)
        known = self._created_before | self._known(cursor, pairs)
        self._created_before = {}
        planned = []
        for deal, id_ in found:
            fault = id_ if isinstance(id_, Fault) else unknown.get(deal.line)
            if fault is None:
                assert isinstance(id_, UUID)
                planned.append(self._deal(deal, id_, known, histories))
            else:
                planned.append(failing(deal.line, [fault]))
        return [*self.references.planned, *planned]

    def _unknown_tags(self, cursor: Cursor[Any], deals: Sequence[Deal]) -> dict[int, Fault]:
        """What is wrong with deals that have new tags, by line, if none may be new."""
        if self._options.create_missing.tags:
            return {}
        there = lookups.tags(cursor, self._sender.org_id, {normal(tag) for deal in deals for tag in deal.values.get("tags", ())})
        unknown = "No deal has this tag: correct it, or set create_missing.tags."
        return {
            deal.line: Fault.at(deal.line, "tags", tag, unknown)
            for deal in deals
            for tag in deal.values.get("tags", ())
            if normal(tag) not in there
        }

    def _account(self, deal: Deal) -> UUID | Fault:
        named = deal.account or AccountName(None, None)
        try:
            return self.references.account(named, deal.line, deal.created.instant if deal.created else None)
        except Missing as missing:
            return Fault.at(deal.line, "account", named.name or named.external_id or "", str(missing))

    def _known(self, cursor: Cursor[Any], pairs: Sequence[tuple[UUID, Deal]]) -> dict[Any, UUID]:
        org_id = self._sender.org_id
        if self._options.match_on == "external_id":
            texts = {text for _, deal in pairs if (text := deal.values.get("external_id"))}
            return dict(lookups.by_external_id(cursor, org_id, "opportunity", texts))
        if self._options.match_on == "name+account":
            return dict(lookups.deals(cursor, org_id, {(id_, normal(deal.values["name"])) for id_, deal in pairs}))
        return {}

    def _key(self, deal: Deal, account_id: UUID) -> Any:
        if self._options.match_on == "external_id":
            return deal.values.get("external_id")
        return (account_id, normal(deal.values["name"])) if self._options.match_on == "name+account" else None

    def _deal(self, deal: Deal, account_id: UUID, known: dict[Any, UUID], histories: Mapping[str, Sequence[Entry]]) -> Planned:
        key = self._key(deal, account_id)
        id_ = known.get(key) if key is not None else None
        if id_ is not None and self._options.on_match != "update":
            if self._options.on_match == "skip":
                return Planned(deal.line, skipped=True)
            return failing(deal.line, [Fault.at(deal.line, self._options.match_on, str(key), f"The deal {id_} is there already.")])
        at = deal.created.instant if deal.created else None
        people = [self.references.contact(account_id, name, deal.line, at) for name in deal.contacts]
        ids = timeline.ids(account_id, deal.owner_id, [one for one in people if one is not None])
        if id_ is not None:
            return Planned(deal.line, [self._sender.envelope("opportunity", id_, timeline.changes(deal, ids))])
        known[key] = self._created_before[key] = new = uuid7()
        return self._created(deal, new, ids, histories.get(deal.values.get("external_id", ""), ()))

    def _created(self, deal: Deal, id_: UUID, ids: Mapping[str, Any], history: Sequence[Entry]) -> Planned:
        try:
            made = timeline.timeline(deal, history, self._stages, ids)
        except OutOfOrder as error:
            return failing(deal.line, [Fault.at(deal.line, "created_at", "", str(error))])
        commands = [self._sender.envelope("opportunity", id_, step.command, step.at) for step in made.steps]
        return Planned(deal.line, commands, remark=made.disagreement or "")
