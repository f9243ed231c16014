"""The network falls silent under what an operator runs: it ends with a line that says so, and can be run again."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import psycopg
import pytest

from app.cli import audit
from app.cli.explanations import explain
from app.migrations import check, migrate
from tests.support.commands import Company
from tests.support.proxy import Proxy, ask_soon, proxied

SECONDS = 8.0
LINE = "PostgreSQL cannot be used: it does not answer any more: check the network, then try again.", 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_soon(monkeypatch)


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Proxy]:
    with proxied(empty_database_url) as proxy:
        yield proxy


@pytest.mark.parametrize("point", [b"CREATE TABLE webhook_deliveries", b"COMMIT"], ids=["statement", "commit"])
def test_a_migration_that_meets_silence_ends_and_the_next_goes_on(empty: Proxy, empty_database_url: str, point: bytes) -> None:
    empty.point = point
    empty.at_commit.append("silence")
    began = monotonic()
    with pytest.raises(psycopg.OperationalError) as failed:
        migrate(empty.url)
    assert monotonic() - began < SECONDS
    assert explain(failed.value) == LINE
    empty.silent = False
    assert migrate(empty.url)
    check(empty_database_url)


def test_a_history_that_meets_silence_ends(shared_database_url: str, company: Company) -> None:
    with proxied(shared_database_url, b"FETCH FORWARD") as proxy:
        proxy.at_commit.append("silence")
        began = monotonic()
        with pytest.raises(psycopg.OperationalError) as failed:
            list(audit.tell(proxy.url, org_id=company.id, record_id=None))
        assert monotonic() - began < SECONDS
        assert explain(failed.value) == LINE
        proxy.silent = False
        assert list(audit.tell(proxy.url, org_id=company.id, record_id=None))
