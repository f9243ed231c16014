"""Files read as an import reads them, with options as they are suggested, and deals as their commands make them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import structs

from app.importing import deals
from app.importing.cells import Cells
from app.importing.deals import Deal
from app.importing.faults import Fault
from app.importing.inspection import Inspection, inspect
from app.importing.options import Options
from app.importing.profile import split_footer
from app.importing.timeline import Entry, Timeline, timeline
from app.importing.vocabulary import Person, Vocabulary
from domain import opportunity
from domain.fold import change
from domain.permissions import OPERATOR
from domain.pipeline import DEFAULT
from domain.policy import PolicyContext
from tests.support.domain import ACCOUNT, FACTS, ORG, policy, recorded, uuid

EXPORTS = Path(__file__).parent / "exports"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
NAMES = ("Rita Lang", "Tom Okafor", "Zoë Brandt", "Li Wei")
PEOPLE = [Person(uuid(201 + place), f"user{place}@example.com", name) for place, name in enumerate(NAMES)]
VOCABULARY = Vocabulary("USD", DEFAULT.stages, PEOPLE)
OWNER_IDS = {f"0055i000000000{place}": person.email for place, person in enumerate(PEOPLE)}


class Read(NamedTuple):
    inspection: Inspection
    deals: list[Deal]
    faults: list[Fault]


def read(data: bytes | Path, *, vocabulary: Vocabulary = VOCABULARY, **options: Any) -> Read:
    """A file of deals. Options beside those given are as they are suggested."""
    file = io.BytesIO(data.read_bytes() if isinstance(data, Path) else data)
    table, inspection = inspect(file, "opportunities", Options(**options), vocabulary, NOW)
    cells = Cells(table.columns, inspection.options)
    rows, _ = split_footer(table.rows(), len(table.columns))
    found: list[Deal] = []
    faults: list[Fault] = []
    for row in rows:
        deal = deals.read(cells, row, vocabulary, NOW)
        if deal is None:
            faults += cells.faults
        else:
            found.append(deal)
    return Read(inspection, found, faults)


def past(deal: Deal, history: Sequence[Entry] = ()) -> Timeline:
    return timeline(deal, history, VOCABULARY.by_key(), {"account_id": ACCOUNT})


def course(deal: Deal, history: Sequence[Entry] = ()) -> list[opportunity.State]:
    """The deal after each of its commands, which the domain decides at their times."""
    state: Any = None
    states: list[opportunity.State] = []
    for step in past(deal, history).steps:
        context = PolicyContext(
            actor=structs.replace(OPERATOR, user_id=uuid(201)),
            now=step.at or NOW,
            policy=policy(),
            custom_field_keys=(),
            required_fields={},
            facts=FACTS,
        )
        for event in opportunity.decide(state, step.command, context):  # type: ignore[arg-type]
            state = change(state, recorded(event, state.version + 1 if state else 1, at=context.now)).after
        states.append(state)
    assert all(state.org_id == ORG for state in states)
    return states


def figures(found: Sequence[Deal], history: Mapping[str, Sequence[Entry]] | None = None) -> dict[str, Any]:
    """What ``facts.json`` has, of the deals as they end up."""
    ends = [course(deal, (history or {}).get(deal.values.get("external_id", ""), ()))[-1] for deal in found]
    won = [state for state in ends if state.status == "won"]
    months: dict[str, float] = {}
    for state in won:
        month = str(state.actual_close_date)[:7]
        months[month] = round(months.get(month, 0.0) + float(state.actual_amount or 0), 2)
    return {
        "deals": len(ends),
        "won": len(won),
        "lost": sum(state.status == "lost" for state in ends),
        "open": sum(state.status == "open" for state in ends),
        "won_amount": float(sum(state.actual_amount or 0 for state in won)),
        "open_amount": float(sum(state.amount or 0 for state in ends if state.status == "open")),
        "no_amount": sum(deal.values.get("amount") is None for deal in found),
        "accounts": len({deal.account and (deal.account.external_id or deal.account.name) for deal in found}),
        "won_by_month": dict(sorted(months.items())),
    }
