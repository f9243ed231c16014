"""The row of a version of a deal: what the API shows of it as JSON, and what lists filter and order by as columns.

Each field is declared once: the types behind the OpenAPI document are made from those of the JSON, a list's filters and orderings
from ``Compared``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter
from types import NoneType
from typing import Any, TypeVar, get_args
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.money import quantized
from domain.opportunity.events import ProbabilitySource, State, Status
from domain.text import folded, json_nfc, nfc
from projections import versioned_rows
from projections.opportunities import amounts
from projections.search import searchable

T = TypeVar("T", bound=Struct)
MOST_ON_SHEET = 200
"""Characters of the tags of a deal that the sheet has, an index whose entries may not be large."""


class UntilAccount(Struct):
    """What a list item shows before the account."""

    id: UUID
    name: str


class UntilOwner(Struct):
    """What a list item shows between the account and the owner."""

    amount: Decimal | None
    currency: str
    stage: str
    probability: int
    close_date: date | None


class AfterStakeholders(Struct):
    """What a list item shows after the stakeholders."""

    custom_fields: dict[str, Any]
    created_at: datetime
    status: Status
    tags: tuple[str, ...]
    actual_amount: Decimal | None
    actual_close_date: date | None
    lost_reason: str | None
    lost_reason_code: str | None
    next_step: str | None
    external_id: str | None
    stage_entered_at: datetime
    closed_at: datetime | None
    updated_at: datetime
    version: int


class Detail(Struct):
    """What a record shows beyond a list item, except for the records that it refers to."""

    probability_source: ProbabilitySource


class Compared(Struct):
    """The columns that are named like the state's fields, and that lists filter and order by."""

    created_at: datetime
    stage: str
    status: Status
    amount: Decimal | None
    currency: str
    probability: int
    close_date: date | None
    actual_amount: Decimal | None
    actual_close_date: date | None
    next_step: str | None
    stage_entered_at: datetime
    closed_at: datetime | None


class Row(Compared, kw_only=True):
    id: UUID
    version: int
    org_id: UUID
    position: int
    valid_from: datetime
    valid_to: datetime | str
    deleted: bool
    name: str
    amount_key: int | None
    account_id: UUID
    owner_id: UUID
    external_id: str | None
    tags: tuple[str, ...]
    sheet_tags: str | None
    stakeholder_ids: tuple[UUID, ...]
    custom_fields: dict[str, Any]
    json_until_account: str
    json_until_owner: str
    json_after_stakeholders: str
    json_detail: str
    search: str
    folded: dict[str, str] | None


# Keys in the log's order, whatever order they were sent in, so that a rebuild gives the same.
encode = msgspec.json.Encoder(decimal_format="string", order="deterministic").encode


def _taken_by_name(cls: type[T]) -> Callable[[State], T]:
    """A function that makes the struct from the state's attributes with its fields' names."""
    names = cls.__struct_fields__
    values = attrgetter(*names)
    return (lambda state: cls(*values(state))) if len(names) > 1 else (lambda state: cls(values(state)))


_until_owner = _taken_by_name(UntilOwner)
_after_stakeholders = _taken_by_name(AfterStakeholders)
_detail = _taken_by_name(Detail)
_compared = attrgetter(*Compared.__struct_fields__)
TEXTS = tuple(one.name for one in msgspec.structs.fields(Compared) if set(get_args(one.type)) == {str, NoneType})
"""The columns with free text."""


def render(state: State, position: int) -> Row:
    """The row of the latest version. What is shown is kept as given, what is compared is in NFC."""
    shown, further = _until_owner(state), _after_stakeholders(state)
    if shown.amount is not None:
        shown.amount = quantized(shown.amount, state.currency)
    if further.actual_amount is not None:
        further.actual_amount = quantized(further.actual_amount, state.currency)
    after_stakeholders = _members(further)
    plain = after_stakeholders.isascii()
    tags = state.tags if plain else tuple(map(nfc, state.tags))
    return Row(
        *_compared(state),
        id=state.id,
        version=state.version,
        org_id=state.org_id,
        position=position,
        valid_from=state.updated_at,
        valid_to=versioned_rows.INFINITY,
        deleted=state.deleted,
        name=nfc(state.name),
        amount_key=None if state.amount is None else amounts.key(state.amount),
        account_id=state.account_id,
        owner_id=state.owner_id,
        external_id=state.external_id,
        tags=tags,
        sheet_tags="\n".join(tags) if sum(map(len, tags)) <= MOST_ON_SHEET else None,
        stakeholder_ids=state.stakeholder_ids,
        custom_fields=state.custom_fields if plain else json_nfc(state.custom_fields),
        json_until_account=f'{{{_members(UntilAccount(state.id, state.name))},"account":',
        json_until_owner=f',{_members(shown)},"owner":',
        json_after_stakeholders=f",{after_stakeholders}",
        json_detail=f",{_members(_detail(state))}",
        search=searchable(state.name),
        folded=None if plain else _folded(state),
    )


def _members(struct: Struct) -> str:
    """The members of an object, without its braces."""
    return encode(struct)[1:-1].decode()


def _folded(state: State) -> dict[str, str] | None:
    """The folded texts of columns and custom fields that are not pure ASCII."""
    texts = {name: text for name in TEXTS if (text := getattr(state, name)) is not None}
    texts |= {folded_key(nfc(key)): _text(value) for key, value in state.custom_fields.items()}
    return {name: folded(text) for name, text in texts.items() if not text.isascii()} or None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def folded_key(custom_field: str) -> str:
    """The key under which ``folded`` has the text of a custom field."""
    return f"custom_fields.{custom_field}"
