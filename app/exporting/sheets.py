"""What a file of each kind of record has: its columns, and where in a list's item their values are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct, field

from domain.text import nfc

Kind = Literal["opportunities", "accounts", "contacts"]
Type = Literal["text", "whole", "money", "date", "instant", "tags", "people", "ids"]


class Column(NamedTuple):
    """``field`` is the list's key that it shows, ``place`` where its value is."""

    name: str
    field: str
    place: str
    type: Type = "text"


def _plain(name: str, type_: Type = "text") -> Column:
    return Column(name, name, name, type_)


class _Card(Struct):
    id: str
    name: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""


class Deal(Struct):
    """A list's item. Texts, numbers and times are as the API shows them."""

    id: str
    name: str
    account: _Card
    amount: str | None
    currency: str
    stage: str
    probability: int
    close_date: str | None
    owner: _Card
    stakeholders: list[_Card]
    custom_fields: dict[str, Any]
    created_at: str
    status: str
    tags: list[str]
    actual_amount: str | None
    actual_close_date: str | None
    lost_reason: str | None
    lost_reason_code: str | None
    next_step: str | None
    external_id: str | None
    stage_entered_at: str
    closed_at: str | None
    updated_at: str
    version: int


class Account(Struct):
    id: str
    name: str
    domain: str | None
    custom_fields: dict[str, Any]
    external_id: str | None
    created_at: str
    updated_at: str
    version: int


class Contact(Struct):
    id: str
    first_name: str
    last_name: str
    email: str | None
    phone: str | None
    title: str | None
    account_id: str | None
    account: _Card
    external_id: str | None
    created_at: str
    updated_at: str
    version: int
    custom_fields: dict[str, Any] = field(default_factory=dict)


_ENDS = _plain("created_at", "instant"), _plain("updated_at", "instant"), _plain("version", "whole")
COLUMNS: dict[Kind, tuple[Column, ...]] = {
    "opportunities": (
        _plain("id"), _plain("external_id"), _plain("name"), Column("account", "account", "account.name"),
        Column("account_id", "account", "account.id"), _plain("amount", "money"), _plain("currency"), _plain("stage"),
        _plain("status"), _plain("probability", "whole"), _plain("close_date", "date"), Column("owner", "owner", "owner.email"),
        Column("owner_id", "owner", "owner.id"), _plain("stakeholders", "people"),
        Column("stakeholder_ids", "stakeholders", "stakeholders", "ids"), _plain("tags", "tags"),
        _plain("actual_amount", "money"), _plain("actual_close_date", "date"), _plain("lost_reason"), _plain("lost_reason_code"),
        _plain("next_step"), _plain("stage_entered_at", "instant"), _plain("closed_at", "instant"), *_ENDS,
    ),
    "accounts": (_plain("id"), _plain("external_id"), _plain("name"), _plain("domain"), *_ENDS),
    "contacts": (
        _plain("id"), _plain("external_id"), *map(_plain, ("first_name", "last_name", "email", "phone", "title")),
        Column("account", "account_id", "account.name"), _plain("account_id"),
        *_ENDS,
    ),
}  # fmt: skip
_ITEMS: dict[Kind, type[Deal | Account | Contact]] = {"opportunities": Deal, "accounts": Account, "contacts": Contact}
SEPARATOR = ";"


class Sheet:
    """The columns of one file, those of custom fields after all others, and the cells of an item in their order."""

    def __init__(self, kind: Kind, fields: Collection[str] = (), custom: Sequence[str] = ()) -> None:
        self.columns = tuple(one for one in COLUMNS[kind] if not fields or one.field in fields)
        self.custom = tuple(custom)
        self.names = (*(one.name for one in self.columns), *(f"cf_{key}" for key in custom))
        self._decode = msgspec.json.Decoder(_ITEMS[kind]).decode
        places = [one.place for one in self.columns]
        self._values = _getter(places)
        self._joined: list[tuple[int, Callable[[Any], str]]] = [
            (number, _JOINED[one.type]) for number, one in enumerate(self.columns) if one.type in _JOINED
        ]
        self._of_key = {nfc(key): number for number, key in enumerate(self.custom, len(places))}
        self._blank: list[Any] = [None] * len(self.custom)

    def cells(self, item: bytes) -> list[Any]:
        """Values as JSON has them, lists joined; None for what is empty."""
        found = self._decode(item)
        cells = [*self._values(found), *self._blank]
        for number, join in self._joined:
            cells[number] = join(cells[number]) or None
        if self.custom:
            for key, value in found.custom_fields.items():
                if (place := self._of_key.get(key)) is None and (place := self._of_key.get(nfc(key))) is None:
                    continue
                cells[place] = _custom(value) if isinstance(value, list | dict) else value
        return cells


def _getter(places: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """The values at some places of an item."""
    if not places:
        return lambda _: ()
    found = attrgetter(*places)
    return found if len(places) > 1 else lambda item: (found(item),)


def _people(cards: Sequence[_Card]) -> str:
    return SEPARATOR.join([f"{one.first_name} {one.last_name}" for one in cards]) if cards else ""


def _ids(cards: Sequence[_Card]) -> str:
    return SEPARATOR.join([one.id for one in cards]) if cards else ""


def _custom(value: Any) -> str:
    """A list of texts joined; anything else that is nested as JSON."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return SEPARATOR.join(value)
    return msgspec.json.encode(value).decode()


_JOINED: Mapping[str, Callable[[Any], str]] = {"tags": SEPARATOR.join, "people": _people, "ids": _ids}
