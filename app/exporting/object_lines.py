"""NDJSON: the items of a list as the API shows them, one a line."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ObjectLines:
    """With ``fields`` only these members."""

    media_type = "application/x-ndjson"

    def __init__(self, fields: Collection[str] = ()) -> None:
        self._fields = frozenset(fields)

    def begin(self) -> bytes:
        return b""

    def rows(self, items: Iterable[bytes]) -> bytes:
        if self._fields:
            items = [self._selected(item) for item in items]
        lines = b"\n".join(items)
        return lines + b"\n" if lines else b""

    def end(self) -> bytes:
        return b""

    def _selected(self, item: bytes) -> bytes:
        return msgspec.json.encode({name: value for name, value in _members(item).items() if name in self._fields})
