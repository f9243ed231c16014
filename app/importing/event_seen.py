"""What the streams of a file with history name that an org may lack: the stages of live deals, and currencies with rates."""

from __future__ import annotations

from collections import Counter

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.importing.event_file import Stream


class _Changes(Struct, frozen=True):
    stage: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET


class _Deal(Struct):
    changes: _Changes = _Changes()


class _Rate(Struct):
    currency: str


_deal, _rate = msgspec.json.Decoder(_Deal), msgspec.json.Decoder(_Rate)


class Seen:
    """What the streams of a file name."""

    def __init__(self) -> None:
        self.records = 0
        self.stages: Counter[str] = Counter()
        self.rates: set[str] = set()

    def add(self, stream: Stream) -> None:
        self.records += 1
        try:
            if stream.kind == "opportunity":
                self._add_deal(stream)
            elif stream.kind == "exchange_rate" and stream.events:
                self.rates.add(_rate.decode(stream.events[0][1].data).currency)
        except (msgspec.MsgspecError, RecursionError):
            pass  # which is said of this record when it is planned

    def _add_deal(self, stream: Stream) -> None:
        """A live deal needs the stage that it is in."""
        stage, deleted = "", False
        for _, line in stream.events:
            if line.type in ("opportunity.deleted.v1", "opportunity.restored.v1"):
                deleted = line.type == "opportunity.deleted.v1"
            elif isinstance(found := _deal.decode(line.data).changes.stage, str):
                stage = found
        if stage and not deleted:
            self.stages[stage] += 1
