"""A row as a deal: its values, and the names of the records it refers to, before these are looked up."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec import Struct

from app.importing.cells import Cells
from app.importing.date_form import Moment
from app.importing.options import CUSTOM, ENTERED
from app.importing.separated import Row
from app.importing.vocabulary import Vocabulary, outcome_of
from domain.did_you_mean import nearest
from domain.money import decimals, quantized
from domain.pipeline import Stage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REASON = "Unknown"
"""The reason of lost deals whose file has none."""


class AccountName(Struct, frozen=True):
    """What a row calls an account: its external id, its name, or both."""

    external_id: str | None
    name: str | None


class Deal(Struct, frozen=True, kw_only=True):
    """``values`` are fields of a create. ``stage`` is where the deal stands, ``open_stage`` where it stood before it was closed.
    ``closes_exactly`` says that the file has the closing time, which otherwise is made of the closing date."""

    line: int
    values: dict[str, Any]
    currency: str
    account: AccountName | None
    owner_id: UUID | None
    contacts: tuple[str, ...]
    stage: Stage
    open_stage: str
    created: Moment | None
    closed: Moment | None
    closes_exactly: bool
    entered: tuple[tuple[Moment, str], ...]
    lost_reason: str | None
    actual_amount: Decimal | None
    actual_close_date: date | None


def read(cells: Cells, row: Row, vocabulary: Vocabulary, now: datetime) -> Deal | None:
    """The deal of a row; None if something is wrong with it, which ``cells.faults`` says."""
    cells.turn_to(row)
    currency = _currency(cells, vocabulary)
    stage, open_stage = _stages(cells, vocabulary)
    created, closed = _past(cells, "created_at", now), _past(cells, "closed_at", now)
    exactly = closed is not None
    expected = cells.moment("close_date")
    if closed is None and stage.type != "open" and expected is not None and expected.instant <= now:
        closed = expected
    amount = _amount(cells, "amount", currency)
    values = _values(cells, vocabulary) | {"amount": amount, "close_date": expected.day if expected else None}
    actual = cells.moment("actual_close_date") if cells.has("actual_close_date") else None
    deal = Deal(
        line=row.line,
        values={name: value for name, value in values.items() if value not in (None, (), {})},
        currency=currency,
        account=_account(cells),
        owner_id=_owner(cells, vocabulary),
        contacts=cells.words("contacts"),
        stage=stage,
        open_stage=open_stage,
        created=created,
        closed=closed,
        closes_exactly=exactly,
        entered=_entered(cells, now),
        lost_reason=cells.long_text("lost_reason") or REASON,
        actual_amount=_amount(cells, "actual_amount", currency) if cells.has("actual_amount") else None,
        actual_close_date=actual.day if actual else None,
    )
    if not values["name"]:
        cells.fault("name", "A deal needs a name.")
    return None if cells.faults else deal


def _values(cells: Cells, vocabulary: Vocabulary) -> dict[str, Any]:
    values: dict[str, Any] = {name: cells.text(name) for name in ("name", "external_id", "next_step")}
    values["tags"] = cells.words("tags")
    probability = cells.number("probability")
    values["probability"] = None if probability is None else int(probability.to_integral_value())
    values["custom_fields"] = custom_fields(cells, vocabulary)
    return values


def custom_fields(cells: Cells, vocabulary: Vocabulary) -> dict[str, Any]:
    values = {key: cells.custom(name, vocabulary.custom_fields.get(key)) for name, key in cells.named(CUSTOM)}
    return {key: value for key, value in values.items() if value is not None}


def _currency(cells: Cells, vocabulary: Vocabulary) -> str:
    text = cells.text("currency")
    code = text.upper() if text else vocabulary.currency
    if decimals(code) is None:
        cells.fault("currency", "This is no ISO 4217 currency code, such as USD: say under values.currency which one it means.")
        return vocabulary.currency
    return code


def _amount(cells: Cells, field: str, currency: str) -> Decimal | None:
    """An amount with the digits of a spreadsheet's arithmetic rounded away, and no others."""
    number = cells.number(field)
    if number is None or number < 0 or not number.is_finite():
        if number is not None:
            cells.fault(field, "An amount must not be negative.")
        return None
    rounded = quantized(number, currency)
    return rounded if abs(rounded - number) < Decimal("1e-6") else number


def _stages(cells: Cells, vocabulary: Vocabulary) -> tuple[Stage, str]:
    """The stage where the deal stands, and the last open one."""
    by_key = vocabulary.by_key()
    first = vocabulary.first("open")
    text = cells.text("stage")
    key = first if text is None else text if text in by_key else vocabulary.stage(text)
    if key is None:
        labels = [stage.key for stage in vocabulary.stages]
        cells.fault(
            "stage", f"No stage has this name: say under values.stage which one it means. {nearest(str(text)[:64], labels)}"
        )
        key = first
    stage = by_key[key]
    open_stage = key if stage.type == "open" else first
    status = cells.text("status")
    outcome = outcome_of(status) if status else None
    if status and outcome is None:
        cells.fault("status", "This is none of open, won and lost: say under values.status which one it means.")
    if outcome in ("won", "lost") and stage.type != outcome:
        stage = by_key[vocabulary.first(outcome)]
    return stage, open_stage


def _owner(cells: Cells, vocabulary: Vocabulary) -> UUID | None:
    text = cells.text("owner")
    if text is None:
        return None
    found = vocabulary.person(text)
    if found is None:
        cells.fault("owner", "No active user who may have deals has this email or name: say under values.owner who it is.")
    return found


def _account(cells: Cells) -> AccountName | None:
    """The first one, where a file names several."""
    external_id, name = cells.text("account_external_id"), cells.text("account")
    if external_id:
        external_id = external_id.split(";")[0].strip()
    if not external_id and not name:
        cells.fault("account", "A deal needs an account: map a column, or give one under defaults.account.")
        return None
    return AccountName(external_id or None, name)


def _entered(cells: Cells, now: datetime) -> tuple[tuple[Moment, str], ...]:
    if not (fields := cells.named(ENTERED)):
        return ()
    moments = [(_past(cells, name, now), key) for name, key in fields]
    return tuple(sorted(((moment, key) for moment, key in moments if moment is not None), key=lambda one: one[0].instant))


def _past(cells: Cells, field: str, now: datetime) -> Moment | None:
    """A time that was: not in the future, and not before 1970."""
    moment = cells.moment(field)
    if moment is not None and not EPOCH <= moment.instant <= now:
        when = "before 1970" if moment.instant < EPOCH else "in the future"
        cells.fault(field, f"This time is {when}.")
        return None
    return moment
