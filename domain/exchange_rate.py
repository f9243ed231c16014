"""What one unit of a foreign currency is worth in the org's own, from a day on. One stream for each org and currency.

Refuses a rate for the org's own currency, which is always 1.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid5

from msgspec import structs

from domain import adoption, event
from domain.context import admins_only
from domain.errors import Conflict, Errors, Invalid
from domain.facts import no_references
from domain.fields import Day, limit, limit_errors
from domain.money import Currency
from domain.policy import PolicyContext

MAX_INTEGER_DIGITS = 12
MAX_DECIMALS = 12
_SMALLEST = Decimal(1).scaleb(-MAX_DECIMALS)


class Quoted(event.Event, frozen=True):
    """``rate`` is valid from ``valid_from`` until the next later day with a rate; a second one for a day replaces the first."""

    currency: str
    valid_from: date
    rate: Decimal


class State(event.State, frozen=True):
    """``rates`` by their first day, in no order."""

    currency: str
    rates: dict[date, Decimal]


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    assert isinstance(happened, Quoted)
    quoted = {happened.valid_from: happened.rate}
    if state is None:
        return State(**recorded.initial_fields(), currency=happened.currency, rates=quoted)  # type: ignore[arg-type]
    return structs.replace(state, **recorded.updated_fields(), rates=state.rates | quoted)


def _rate_error(rate: Decimal) -> str | None:
    if not rate.is_finite():
        return "Must be a number."
    if rate <= 0:
        return "Must be more than 0."
    if rate.adjusted() >= MAX_INTEGER_DIGITS or rate != rate.quantize(_SMALLEST):
        return f"Must have at most {MAX_INTEGER_DIGITS} digits before the decimal point and {MAX_DECIMALS} after it."
    return None


Rate = Annotated[Decimal, limit(_rate_error, exclusiveMinimum=0)]


class Set(event.Command, frozen=True):
    currency: Currency
    valid_from: Day
    rate: Rate


class Adopt(adoption.Adopt, event.Command, frozen=True):
    """The rates of a currency in another org with the same currency of its own, for an org that has none of it."""


Command = Set | Adopt


def stream_id(org_id: UUID, currency: str) -> UUID:
    return uuid5(org_id, f"exchange_rate/{currency.upper()}")


permit = admins_only
references = no_references


def decide(state: State | None, command: Command, context: PolicyContext) -> tuple[event.Event, ...]:
    permit(state, command, context)
    if isinstance(command, Adopt):
        if state is not None:
            raise Conflict("exists", f"The organization has its own rates of {state.currency}.")
        return _adopted(command, context)
    wanted = event.set_fields(command) | {"currency": command.currency.upper()}
    if errors := _errors(wanted, context):
        raise Invalid(errors)
    if state is not None and state.rates.get(command.valid_from) == command.rate:
        return ()
    return (Quoted(**wanted),)


def _errors(wanted: dict[str, Any], context: PolicyContext) -> Errors:
    errors = limit_errors(wanted, Set)
    if wanted["currency"] == (own := context.policy.organization.currency):
        errors["currency"] = [f"{own} is the organization's own currency: its rate is always 1."]
    return errors


def _adopted(command: Adopt, context: PolicyContext) -> tuple[event.Event, ...]:
    adoption.require_whole(command, context)

    def look(before: State | None, happened: Quoted, errors: Errors) -> event.Event:
        errors |= _errors(event.set_fields(happened), context)
        if before is not None and happened.currency != before.currency:
            errors["currency"] = [f"These are rates of {before.currency}."]
        return happened

    return adoption.events(command, context, None, evolve, look)[0]
