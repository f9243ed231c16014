"""A program on the generated Python client, type-checked and then run: list, create, patch, transition, forecast, an error."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime

from opportunities_client import AuthenticatedClient
from opportunities_client.api.accounts import create_account
from opportunities_client.api.forecast import get_forecast
from opportunities_client.api.opportunities import (
    create_opportunity,
    list_history,
    list_opportunities,
    transition_opportunity,
    update_opportunity,
)
from opportunities_client.models import (
    Account,
    AccountCreate,
    Forecast,
    HistoryEntry,
    HistoryEntryPage,
    Opportunity,
    OpportunityChangeStage,
    OpportunityCreate,
    OpportunityPage,
    OpportunityRecord,
    OpportunityRecordStatus,
    OpportunityUpdate,
    Problem,
)


def main(url: str, token: str) -> None:
    client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
    account = create_account.sync(client=client, body=AccountCreate(name="Acme"))
    assert isinstance(account, Account), account

    wanted = OpportunityCreate(name="Annual", account_id=account.id, amount="24000", close_date=date(2026, 6, 30))
    deal = create_opportunity.sync(client=client, body=wanted, idempotency_key="one")
    assert isinstance(deal, OpportunityRecord), deal
    assert isinstance(deal.created_at, datetime)
    assert deal.created_at <= datetime.now(UTC)
    assert (deal.amount, deal.close_date, deal.account.name) == ("24000.00", date(2026, 6, 30), "Acme")

    changed = update_opportunity.sync(deal.id, client=client, body=OpportunityUpdate(amount=26000), if_match=f'"{deal.version}"')
    assert isinstance(changed, OpportunityRecord), changed
    assert (changed.amount, changed.version) == ("26000.00", 2)

    moved = transition_opportunity.sync(deal.id, client=client, body=OpportunityChangeStage(stage="proposal", comment="Next"))
    assert isinstance(moved, OpportunityRecord), moved
    assert (moved.stage, moved.status, moved.probability) == ("proposal", OpportunityRecordStatus.OPEN, 60)

    page = list_opportunities.sync(client=client, stage=["proposal", "won"], close_date_gte=date(2026, 6, 1), ordering="-amount")
    assert isinstance(page, OpportunityPage), page
    (item,) = page.results
    assert isinstance(item, Opportunity)
    assert (page.count, item.id) == (1, deal.id)

    forecast = get_forecast.sync(client=client, close_date_gte=date(2026, 6, 1), close_date_lte=date(2026, 6, 30))
    assert isinstance(forecast, Forecast), forecast
    assert [(month.month, month.weighted, month.count) for month in forecast.months] == [("2026-06", 15600, 1)]

    history = list_history.sync(deal.id, client=client)
    assert isinstance(history, HistoryEntryPage), history
    assert isinstance(history.results[1], HistoryEntry)
    assert history.results[1].changes["amount"] == ["24000.00", "26000.00"]

    refused = create_opportunity.sync(client=client, body=OpportunityCreate(name="", account_id=account.id))
    assert isinstance(refused, Problem), refused
    assert (refused.status, refused.code, list(refused.errors.to_dict() if refused.errors else ())) == (400, "invalid", ["name"])
    stale = update_opportunity.sync(deal.id, client=client, body=OpportunityUpdate(name="Late"), if_match='"1"')
    assert isinstance(stale, Problem), stale
    assert (stale.status, stale.code) == (412, "version_mismatch")


if __name__ == "__main__":
    main(*sys.argv[1:])
