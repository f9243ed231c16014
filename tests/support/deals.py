"""What a deal should be after each command, in a few lines of their own: a second opinion on the product, for the properties.

A deal is a dict with the keys of the API. The product's own rules are not used here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

Deal = dict[str, Any]
Figures = dict[str, Decimal]
# Rates by currency and first day.
Rates = Mapping[str, Mapping[date, Decimal]]

STAGES = {
    "discovery": ("open", 20),
    "qualification": ("open", 40),
    "proposal": ("open", 60),
    "negotiation": ("open", 80),
    "won": ("won", 100),
    "lost": ("lost", 0),
}
CLOSING = ("actual_amount", "actual_close_date", "lost_reason", "lost_reason_code")
DECIMALS = {"USD": 2, "EUR": 2, "JPY": 0}
EMPTY: Deal = {
    "name": "",
    "account": "",
    "amount": None,
    "currency": "USD",
    "stage": "",
    "status": "",
    "probability": 0,
    "close_date": None,
    "owner": "",
    "stakeholders": [],
    "custom_fields": {},
    "tags": [],
    **dict.fromkeys(CLOSING),
}
REFERENCES = {"account_id": "account", "owner_id": "owner", "stakeholder_ids": "stakeholders"}


class Refused(Exception):
    """The pipeline does not allow the move."""


def changed(deal: Deal, wanted: Mapping[str, Any]) -> Deal:
    """The deal after a PATCH or a transition with this body, which is well-formed; money in it has no cents."""
    wanted = {REFERENCES.get(name, name): value for name, value in wanted.items()}
    new = dict(deal)
    stage = wanted.pop("stage", deal["stage"])
    probability = wanted.pop("probability", None)
    if stage != deal["stage"]:
        status, usual = STAGES[stage]
        if deal["status"] not in ("", "open") and status != "open":
            raise Refused
        if status != deal["status"]:
            new.update(dict.fromkeys(CLOSING))
        given = probability if status == "open" and probability is not None else usual
        new.update(stage=stage, status=status, probability=given)
    elif probability is not None:
        new["probability"] = probability
    merged = deal["custom_fields"] | wanted.pop("custom_fields", {})
    new["custom_fields"] = {key: value for key, value in merged.items() if value is not None}
    new.update(wanted)
    if "lost_reason" in wanted:
        new["lost_reason_code"] = wanted["lost_reason"]
    for name in ("amount", "actual_amount"):
        if new[name] is not None:
            new[name] = f"{Decimal(new[name]):.{DECIMALS[new['currency']]}f}"
    return new


def replaced(deal: Deal, wanted: Mapping[str, Any]) -> Deal:
    """The deal after a PUT with this body."""
    cleared: Deal = {"amount": None, "currency": "USD", "close_date": None, "stakeholder_ids": [], "tags": []}
    custom_fields = dict.fromkeys(deal["custom_fields"]) | wanted.get("custom_fields", {})
    return changed(deal, {**cleared, **wanted, "custom_fields": custom_fields})


# The forecast as a plain sum over the list


def forecast(items: Iterable[Mapping[str, Any]], rates: Rates, report: str) -> dict[str, dict[str, Figures]]:
    """Figures by month, with ``unscheduled`` among them, and by currency where there is no rate; own currency is USD."""
    today = datetime.now(UTC).date()
    sums: dict[tuple[str, str], dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for item in items:
        won = item["status"] == "won"
        if item["status"] == "lost":
            continue
        day = item["actual_close_date" if won else "close_date"]
        amount = Fraction(item["actual_amount" if won else "amount"] or 0)
        rate = _rate(rates, item["currency"], report, date.fromisoformat(day) if won else today)
        key = ("unconverted", item["currency"]) if rate is None else ("months", day[:7] if day else "unscheduled")
        amount *= 1 if rate is None else rate
        figures = sums[key]
        figures["count"] += 1
        weighted = amount if won else amount * item["probability"] / 100
        for name, value in (
            ("unweighted", amount),
            ("weighted", weighted),
            ("won", amount if won else 0),
            ("open_unweighted", 0 if won else amount),
            ("open_weighted", 0 if won else weighted),
        ):
            figures[name] += value
    told: dict[str, dict[str, Figures]] = {"months": {}, "unconverted": {}}
    for (part, name), figures in sums.items():
        places = DECIMALS[name if part == "unconverted" else report]
        told[part][name] = {each: _rounded(value, 0 if each == "count" else places) for each, value in figures.items()}
    return told


def _rate(rates: Rates, currency: str, report: str, day: date) -> Fraction | None:
    def worth(of: str) -> Fraction | None:
        known = {since: rate for since, rate in rates.get(of, {}).items() if since <= day}
        return Fraction(1) if of == "USD" else Fraction(known[max(known)]) if known else None

    if currency == report:
        return Fraction(1)
    times, by = worth(currency), worth(report)
    return None if times is None or by is None else times / by


def _rounded(value: Fraction, places: int) -> Decimal:
    return Decimal(round(value * 10**places)).scaleb(-places)


def told(answer: Mapping[str, Any]) -> dict[str, dict[str, Figures]]:
    """A forecast's answer, its numbers read as decimals, in the form of ``forecast``, without what is all zero."""

    def figures(at: Mapping[str, Any]) -> Figures:
        return {name: at[name] for name in NAMES}

    months = {month["month"]: figures(month) for month in answer["months"]}
    months["unscheduled"] = figures(answer["unscheduled"])
    return {
        "months": {name: month for name, month in months.items() if any(month.values())},
        "unconverted": {one["currency"]: figures(one) for one in answer["unconverted"]},
    }


NAMES = ("count", "unweighted", "weighted", "won", "open_unweighted", "open_weighted")
