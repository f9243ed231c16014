"""Streams of a file with history as commands: each is taken over whole, unless the org has the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

from psycopg import Cursor

from app.importing import decoding
from app.importing.decoding import Decoded
from app.importing.event_file import Stream
from app.importing.event_head import Head
from app.importing.event_matches import There
from app.importing.faults import Fault
from app.importing.options import Options
from app.importing.people import People
from app.importing.plan import Planned, Sender, failing
from app.importing.renewed_ids import renewed
from app.importing.translation import Translation, Unknown
from domain import account, activity, contact, exchange_rate, opportunity
from domain.adoption import Happened
from domain.event import Command
from projections.imports import ids, lookups
from projections.imports.ids import Known

ADOPT: Mapping[str, Callable[..., Command]] = {
    "account": account.Adopt,
    "contact": contact.Adopt,
    "opportunity": opportunity.Adopt,
    "activity": activity.Adopt,
    "exchange_rate": exchange_rate.Adopt,
}


class EventPlanner:
    """Plans batches of one import. Records of the batch before, which may not be committed yet, are known to later ones."""

    def __init__(self, sender: Sender, options: Options, head: Head, people: People, currency: str) -> None:
        self._sender, self._options, self._head, self._people = sender, options, head, people
        self._stages = {text: key for text, key in options.values.get("stage", {}).items() if key}
        self._takes_rates = options.create_missing.exchange_rates and currency == head.header.currency
        self._recent: dict[UUID, Known] = {}

    def forget(self) -> None:
        """What was planned last may not have been done."""
        self._recent = {}

    def plan(self, cursor: Cursor[Any], streams: Sequence[Stream]) -> list[Planned]:
        decoded = [decoding.decoded(stream, self._head.header.org_id, self._people) for stream in streams]
        named = {stream.id for stream in streams} | {id_ for one in decoded for id_ in one.named()}
        known = ids.find(cursor, self._sender.import_id, named) | self._recent
        self._recent = {}
        is_own, by_external_id = self._head.header.org_id == self._sender.org_id, self._options.match_on != "none"
        there = There(cursor, self._sender.org_id, decoded, is_own=is_own, by_external_id=by_external_id)
        tags = self._unknown_tags(cursor, decoded)
        translation = Translation(known, self._people, self._stages)
        planned = []
        for one in decoded:
            try:
                found = self._planned(cursor, one, translation, there)
            except _Refused as refused:
                found = failing(one.stream.last, [refused.fault])
            if tags and not found.faults and (unknown := tags & one.tags()):
                message = f"No deal has the tag {min(unknown)!r}, and create_missing.tags is off."
                found = failing(one.stream.last, [Fault.at(one.stream.first, "tags", min(unknown), message)])
            if found.known is not None:
                known[one.stream.id] = self._recent[one.stream.id] = found.known
            planned.append(found)
        return planned

    def _planned(self, cursor: Cursor[Any], one: Decoded, translation: Translation, there: There) -> Planned:
        """Raises ``_Refused``."""
        stream, kind = one.stream, one.stream.kind
        if one.fault is not None:
            raise _Refused(one.fault)
        if stream.id in translation.known:
            raise _Refused(Fault.at(stream.first, "id", str(stream.id), "This record came before: its events must be together."))
        if kind == "exchange_rate":
            return self._rates(cursor, one)
        if kind == "activity" and self._is_of_another_deal(one, translation.known):
            return Planned(stream.last, skipped=True)
        if (found := there.find(one)) is not None:
            if self._options.on_match == "fail":
                raise _Refused(Fault.at(stream.first, "external_id", one.external_id, f"{found} is there already."))
            return Planned(stream.last, skipped=True, known=Known(kind, stream.id, found, False))
        if not self._creates(kind):
            message = f"There is no such {kind}, and create_missing.{kind}s is off."
            raise _Refused(Fault.at(stream.first, "external_id", one.external_id, message))
        return self._adopted(one, translation, renewed(stream.id))

    def _adopted(self, one: Decoded, translation: Translation, id_: UUID) -> Planned:
        stream = one.stream
        happened: list[Happened] = []
        for line, past in zip(one.lines, one.happened, strict=True):
            try:
                happened.append(
                    Happened(event=translation.event(past.event, stream.id), at=past.at, origin=past.origin, comment=past.comment)
                )
            except Unknown as unknown:
                raise _Refused(Fault.at(line, unknown.field, unknown.value, str(unknown))) from None
        command = ADOPT[stream.kind](happened=tuple(happened))
        return Planned(
            stream.last,
            [self._sender.envelope(stream.kind, id_, command)],
            lines=one.lines,
            known=Known(stream.kind, stream.id, id_, True),
            before=translation.known,
        )

    def _rates(self, cursor: Cursor[Any], one: Decoded) -> Planned:
        """All of a currency, unless the org has rates of it."""
        first = one.happened[0].event
        if self._takes_rates and isinstance(first, exchange_rate.Quoted):
            id_ = exchange_rate.stream_id(self._sender.org_id, first.currency)
            if id_ not in lookups.states(cursor, [id_]):
                command = exchange_rate.Adopt(happened=tuple(one.happened))
                return Planned(one.stream.last, [self._sender.envelope("exchange_rate", id_, command)], lines=one.lines)
        return Planned(one.stream.last, skipped=True)

    def _is_of_another_deal(self, one: Decoded, known: Mapping[UUID, Known]) -> bool:
        """Whether an activity is of a deal that the org had already, with its own activities."""
        deals = [known[id_] for id_ in one.named() if id_ in known]
        return any(deal.kind == "opportunity" and not deal.made for deal in deals)

    def _creates(self, kind: str) -> bool:
        """Whether a record may be made: those that the file is about always."""
        if self._head.header.kind == f"{kind}s":
            return True
        creates = self._options.create_missing
        return {"account": creates.accounts, "contact": creates.contacts}.get(kind, True)

    def _unknown_tags(self, cursor: Cursor[Any], decoded: Sequence[Decoded]) -> AbstractSet[str]:
        if self._options.create_missing.tags:
            return frozenset()
        tags = {tag for one in decoded for tag in one.tags()}
        return tags - lookups.tags(cursor, self._sender.org_id, tags) if tags else tags


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault
