"""The lines of a stream as events, and what its record is called and names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct, field

from app.importing.event_file import MAX_STREAM, Stream
from app.importing.faults import Fault
from app.importing.people import People
from domain import event_store
from domain.adoption import MAX_EVENTS, Happened
from domain.event import Origin

_PLACE = re.compile(r" - at `\$(?:\.data)?(?:\.changes)?\.?([^`]*)`")
OUT_OF_ORDER = "Lines are missing or in another order."
TOO_NEW = "There is no such event: this program may be older than the one that wrote the file."
KINDS = ("account", "contact", "opportunity", "activity", "exchange_rate")


class Decoded(Struct):
    """A stream: its events with their lines, or what is wrong with it. ``external_id`` is what its record is called in the end."""

    stream: Stream
    fault: Fault | None = None
    lines: list[int] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    external_id: str = ""
    is_deleted: bool = False

    def named(self) -> Iterator[UUID]:
        """The records that its events name, by their ids in the file."""
        for one in self.happened:
            values: Any = getattr(one.event, "changes", one.event)
            for name in ("account_id", "opportunity_id"):
                if isinstance(id_ := getattr(values, name, None), UUID):
                    yield id_
            stakeholders = getattr(values, "stakeholder_ids", ())
            yield from stakeholders if isinstance(stakeholders, tuple) else ()

    def tags(self) -> set[str]:
        found = (getattr(getattr(one.event, "changes", None), "tags", ()) for one in self.happened)
        return {tag for tags in found if isinstance(tags, tuple) for tag in tags}


def decoded(stream: Stream, org_id: UUID, people: People) -> Decoded:
    """The events of a stream that was exported from an org."""
    found = Decoded(stream)
    if stream.too_long:
        most = f"{MAX_EVENTS:,} events, or {MAX_STREAM // 1024**2} MB"
        return _wrong(found, stream.first, "id", str(stream.id), f"This record has more than {most}.")
    if stream.kind not in KINDS:
        return _wrong(found, stream.first, "type", stream.kind, "Events of this kind are not imported.")
    for version, (line, given) in enumerate(stream.events, 1):
        if given.version != version:
            return _wrong(found, line, "version", str(given.version), f"Version {version} should come here. {OUT_OF_ORDER}")
        if given.type.partition(".")[0] != stream.kind:
            return _wrong(found, line, "type", given.type, f"This record is of another kind: {stream.kind}.")
        try:
            event = event_store.event_of(given.type, given.data)
        except KeyError:
            return _wrong(found, line, "type", given.type, TOO_NEW)
        except (msgspec.MsgspecError, RecursionError) as error:
            place = _PLACE.search(str(error))
            return _wrong(found, line, place[1] if place else "data", "", f"{_PLACE.sub('', str(error))}.")
        origin = given.origin or Origin(org_id=org_id, recorded_at=given.recorded_at, actor=people.email(given.actor_id))
        found.lines.append(line)
        found.happened.append(Happened(event=event, at=given.occurred_at, origin=origin, comment=given.comment))
    _know(found)
    return found


def _know(found: Decoded) -> None:
    """What the record is called in the end, and whether it is deleted."""
    for one in found.happened:
        given = getattr(getattr(one.event, "changes", one.event), "external_id", msgspec.UNSET)
        found.external_id = found.external_id if given is msgspec.UNSET else given or ""
        name = type(one.event).__name__
        found.is_deleted = name == "Deleted" or (found.is_deleted and name != "Restored")
    found.external_id = found.external_id or str(found.stream.id)


def _wrong(found: Decoded, line: int, column: str, value: str, message: str) -> Decoded:
    found.fault = Fault.at(line, column, value, message)
    return found
