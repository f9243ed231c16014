"""One view of the data from beginning to end, which is not held for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from app.exporting.snapshot import Snapshot, TookTooLong
from app.process.failures import Unavailable
from projections.opportunities import whole_list
from projections.opportunities.list_query import OpportunityListQuery
from tests.support.scenarios import Org


@contextmanager
def held(url: str, org: Org, seconds: float = 60) -> Iterator[Snapshot]:
    snapshot = Snapshot(url, UUID(org.id), seconds)
    try:
        yield snapshot
    finally:
        snapshot.close()


def test_what_happens_meanwhile_is_not_in_it(org: Org, shared_database_url: str) -> None:
    for name in ("a", "b"):
        org.opportunity(name)
    query = OpportunityListQuery(UUID(org.id))
    with held(shared_database_url, org) as snapshot:
        assert snapshot.rows(whole_list.count(query)) == [(2,)]
        parts = snapshot.parts(whole_list.rows(query), 1)
        first = next(parts)
        org.opportunity("c")
        org.moved(org.listed()["results"][2], stage="proposal")
        found = [*first, *(row for part in parts for row in part)]
        assert [b'"stage":"discovery"' in row for (row,) in found] == [True, True]
        assert snapshot.rows(whole_list.count(query)) == [(2,)]


def test_it_sees_one_org_whatever_is_asked(org: Org, other_org: Org, shared_database_url: str) -> None:
    org.opportunity("a")
    with held(shared_database_url, other_org) as snapshot:
        assert snapshot.rows(whole_list.count(OpportunityListQuery(UUID(org.id)))) == [(0,)]


def test_it_is_held_for_so_long_and_no_longer(org: Org, shared_database_url: str) -> None:
    with held(shared_database_url, org, 0) as snapshot, pytest.raises(TookTooLong):
        snapshot.rows(whole_list.count(OpportunityListQuery(UUID(org.id))))


def test_what_was_cancelled_reads_no_more(org: Org, shared_database_url: str) -> None:
    with held(shared_database_url, org) as snapshot:
        snapshot.cancel()
        with pytest.raises(Unavailable):
            snapshot.rows(whole_list.count(OpportunityListQuery(UUID(org.id))))
