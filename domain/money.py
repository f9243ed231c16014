"""Amounts of money: the decimals of ISO 4217 currencies, and which numbers may be an amount. Amounts are Decimal, never float."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import iso4217

from domain.fields import limit

MAX_INTEGER_DIGITS = 15

_DECIMALS = {currency.code: currency.exponent or 0 for currency in iso4217.Currency}
_UNITS = {code: Decimal(1).scaleb(-exponent) for code, exponent in _DECIMALS.items()}


def decimals(currency: str) -> int | None:
    """Number of decimals of a currency (USD 2, JPY 0, BHD 3), or None for a code that is not in ISO 4217."""
    return _DECIMALS.get(currency)


def currency_error(currency: str | None) -> str | None:
    """Why a text is not the code of a currency."""
    if currency is None or currency in _DECIMALS:
        return None
    return f"{currency[:10]!r} is not an ISO 4217 currency code, such as USD or EUR."


Currency = Annotated[str, limit(currency_error, pattern="^[A-Za-z]{3}$")]
"""In a command, lower case is accepted; it is kept in upper case."""


def amount_error(value: Decimal, currency: str) -> str | None:
    """Why ``value`` cannot be an amount in ``currency`` (a known code), or None if it can."""
    if not value.is_finite():
        return "Must be a number."
    if value < 0:
        return "Must not be negative."
    if value and value.adjusted() >= MAX_INTEGER_DIGITS:
        return f"Must have at most {MAX_INTEGER_DIGITS} digits before the decimal point."
    if value != quantized(value, currency):
        return f"{currency} amounts have at most {_DECIMALS[currency]} decimals."
    return None


def quantized(value: Decimal, currency: str) -> Decimal:
    """``value`` with exactly the currency's decimals; exact for an accepted amount."""
    unit = _UNITS[currency]
    return value.quantize(unit) if value else unit * 0
