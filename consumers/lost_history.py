"""Whether what is on the topic is this log's, or of a history that the log lost when its database went back.

A record is known by its event's id and the instant at which it was recorded, which no two events share; its epoch says of which
history it is. A record of an epoch that the log has left behind is lost, and known to be. Any other one that the log does not have
shows that the log went back and that nobody has told it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import Cursor

from consumers import message
from consumers.kafka import Fetched
from consumers.loop import Fatal
from consumers.topic import End
from domain import event_store
from domain.epoch import Epochs

REMEDY = (
    "If the database was restored, run `opportunities restored`; if the topic is another database's, name one with"
    " OPPORTUNITIES_KAFKA_TOPIC."
)

Verdict = Literal["ours", "lost", "strange"]
"""``strange`` is what neither the log nor its past epochs explain."""


class LogWentBack(Fatal):
    """The topic has what the log has not. ``partition`` is where."""

    def __init__(self, partition: int, detail: str) -> None:
        super().__init__(f"The log went back: {detail}. {REMEDY}")
        self.partition = partition


class Seen(NamedTuple):
    """What a record says of its event. ``epoch`` and ``recorded_at`` are None if it does not say so."""

    position: int
    id: str
    epoch: UUID | None
    recorded_at: datetime | None
    restored: bool


class _Dated(Struct):
    recorded_at: datetime


_dated = msgspec.json.Decoder(_Dated).decode


def seen(record: Fetched) -> Seen | None:
    """None for a record that is not the relay's."""
    headers = dict(record.headers)
    if not headers.get("ce_source", b"").startswith(message.SOURCE.encode()):
        return None
    try:
        position = int(headers.get("ce_sequence", b""))
    except ValueError:
        return None
    epoch = recorded_at = None
    with suppress(ValueError):
        epoch = UUID(headers.get(message.EPOCH, b"").decode())
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        recorded_at = _dated(record.value or b"").recorded_at
    restored = headers.get("ce_type", b"") == message.RESTORED.encode()
    return Seen(position, headers.get("ce_id", b"").decode(errors="replace"), epoch, recorded_at, restored)


def verdicts(cursor: Cursor[Any], epochs: Epochs, seens: Sequence[Seen]) -> list[Verdict]:
    log = event_store.at_positions(cursor, [one.position for one in seens])

    def verdict(one: Seen) -> Verdict:
        if found := out_of_epoch(epochs, one):
            return found
        recorded = log.get(one.position)
        if recorded is None or message.event_id(recorded, epochs.at(one.position)) != one.id:
            return "strange"
        return "ours" if one.recorded_at in (None, recorded.meta.recorded_at) else "strange"

    return [verdict(one) for one in seens]


def out_of_epoch(epochs: Epochs, one: Seen) -> Verdict | None:
    """What its epoch says of a record; None if it is the one that the event at its position is of."""
    stated = one.epoch or epochs.log_id
    if stated == epochs.at(one.position).id:
        return None
    # The present epoch began above all that had been published, also by epochs of which the log knows nothing.
    return "lost" if epochs.knows(stated) or one.position < epochs.current.first_position else "strange"


def require_ours(cursor: Cursor[Any], epochs: Epochs, records: Iterable[Fetched]) -> dict[int, tuple[Seen, Verdict]]:
    """What the records are, at most one of each partition, by partition. Raises ``LogWentBack``."""
    known = {record.partition: one for record in records if (one := seen(record)) is not None}
    found = dict(zip(known, zip(known.values(), verdicts(cursor, epochs, list(known.values())), strict=True), strict=True))
    for number, (one, verdict) in found.items():
        if verdict == "strange":
            head = event_store.head(cursor)
            has = f"the log ends at {head}" if one.position > head else "the log has another one there, or none"
            raise LogWentBack(number, f"the topic has the event {one.id} at position {one.position}, and {has}")
    return found


def require_known(ends: Mapping[int, End], known: Mapping[str, int], behind: int) -> None:
    """Whether partitions that hold no record any more have had those alone that the log's checkpoint knows of. Raises
    ``LogWentBack`` if there were more than the events ``behind`` it, which a relay that died may have sent.

    ``known`` are the ends of the partitions by number, as far as they are known.
    """
    more = {
        number: end.highwater - known[str(number)]
        for number, end in ends.items()
        if end.record is None and end.highwater > known.get(str(number), end.highwater)
    }
    if sum(more.values()) > behind:
        number = min(more)
        had = f"partition {number} of the topic has had {more[number]} records of which the checkpoint does not know"
        raise LogWentBack(number, f"{had}, and holds none any more")
