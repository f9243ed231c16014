"""Every export is understood with its preset and gives the figures of ``facts.json``, in whatever dialect it is saved."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.importing.faults import Fault
from app.importing.history_files import HistoryReader
from app.importing.options import Options
from app.importing.table import understand
from app.importing.timeline import Entry
from tests.app.importing.reading import EXPORTS, NOW, OWNER_IDS, VOCABULARY, course, figures, past, read

FACTS = json.loads((EXPORTS / "facts.json").read_text())
FILES = {
    "hubspot/deals.csv": "hubspot",
    "salesforce/report-opportunities.csv": "salesforce-report",
    "salesforce/Opportunity.csv": "salesforce",
    "pipedrive/deals.csv": "pipedrive",
    "pipedrive/deals.xlsx": "pipedrive",
    "zoho/Deals.csv": "zoho",
    "odoo/crm.lead.csv": "odoo",
}
OWNERS = {"owner": OWNER_IDS}


@pytest.mark.parametrize("name", FILES)
def test_an_export_gives_the_figures_without_work_by_hand(name: str) -> None:
    found = read(EXPORTS / name, values=OWNERS)
    assert found.faults == []
    assert found.inspection.preset == FILES[name]
    assert figures(found.deals) == FACTS


def rewritten(name: str, encoding: str, separator: str, change: Callable[[str], str]) -> bytes:
    """An export as another country's software saves it."""
    rows = csv.reader(io.StringIO((EXPORTS / name).read_text("utf-8-sig"), newline=""))
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator).writerows([[change(cell) for cell in row] for row in rows])
    return file.getvalue().encode(encoding, "replace")


def decimal_comma(cell: str) -> str:
    found = re.fullmatch(r"(\d+)\.(\d+)", cell)
    return f"{int(found[1]):,}".replace(",", ".") + f",{found[2]}" if found else cell


def day_first(cell: str) -> str:
    if found := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)(.*)", cell):
        return f"{found[3]}.{found[2]}.{found[1]}{found[4]}"
    if found := re.fullmatch(r"(\d+)/(\d+)/(\d{4})", cell):
        return f"{found[2]}/{found[1]}/{found[3]}"
    return cell


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".csv") and "Opportunity" not in name])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_an_export_gives_the_figures_with_semicolons_commas_and_days_first(name: str, encoding: str) -> None:
    data = rewritten(name, encoding, ";", lambda cell: decimal_comma(day_first(cell)))
    found = read(data, values={"owner": {"Zo? Brandt": "user2@example.com"}})
    assert found.faults == []
    assert figures(found.deals) == FACTS


def history(*names: str) -> dict[str, list[Entry]]:
    entries: dict[str, list[Entry]] = defaultdict(list)
    options = read(EXPORTS / "hubspot/deals.csv").inspection.options
    for name in names:
        table = understand(io.BytesIO((EXPORTS / name).read_bytes()))
        reader = HistoryReader(table, Options(values=options.values), VOCABULARY, NOW)
        for keyed in reader.entries():
            assert not isinstance(keyed, Fault)
            entries[keyed.key].append(keyed.entry)
    return entries


@pytest.mark.parametrize(
    ("deals", "files"),
    [
        ("hubspot/deals.csv", ["hubspot/deal-stage-history.csv"]),
        ("salesforce/Opportunity.csv", ["salesforce/OpportunityHistory.csv"]),
        ("salesforce/Opportunity.csv", ["salesforce/OpportunityFieldHistory.csv", "salesforce/OpportunityHistory.csv"]),
    ],
)
def test_with_its_history_a_deal_ends_as_its_row_has_it(deals: str, files: list[str]) -> None:
    found = read(EXPORTS / deals, values=OWNERS)
    entries = history(*files)
    assert {deal.values["external_id"] for deal in found.deals} == entries.keys()
    assert figures(found.deals, entries) == FACTS


def test_a_deal_was_in_each_stage_when_its_history_says() -> None:
    (deal,) = [one for one in read(EXPORTS / "hubspot/deals.csv").deals if one.values["external_id"] == "9001001"]
    steps = past(deal, history("hubspot/deal-stage-history.csv")["9001001"]).steps
    states = course(deal, history("hubspot/deal-stage-history.csv")["9001001"])
    assert [(state.stage, step.at) for state, step in zip(states, steps, strict=True)] == [
        ("qualification", datetime(2025, 8, 7, 8, tzinfo=UTC)),
        ("proposal", datetime(2025, 8, 22, 10, tzinfo=UTC)),
        ("negotiation", datetime(2025, 8, 29, 10, tzinfo=UTC)),
        ("lost", datetime(2025, 9, 4, 10, tzinfo=UTC)),
    ]
    assert states[-1].lost_reason == "Éclaté: other"


def test_the_amounts_of_the_past_are_those_of_the_field_history() -> None:
    (deal,) = [
        one
        for one in read(EXPORTS / "salesforce/Opportunity.csv", values=OWNERS).deals
        if one.values["external_id"].endswith("9001001")
    ]
    states = course(deal, history("salesforce/OpportunityFieldHistory.csv")[deal.values["external_id"]])
    assert [state.amount for state in states][:2] == [Decimal("443.04"), Decimal("886.08")]


def test_a_header_in_another_language_is_known() -> None:
    data = "Titel;Organisation;Wert;Währung;Phase;Besitzer;Erstellt am\nA;Acme;1.200,50;EUR;Proposal;Li Wei;13.01.2026\n"
    found = read(data.encode("cp1252"))
    (deal,) = found.deals
    assert (deal.values["amount"], deal.currency, deal.stage.key, deal.account and deal.account.name) == (
        Decimal("1200.50"), "EUR", "proposal", "Acme",
    )  # fmt: skip
    assert deal.created is not None
    assert deal.created.day.isoformat() == "2026-01-13"
