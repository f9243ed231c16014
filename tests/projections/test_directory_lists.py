"""Lists of accounts and contacts: what terms and counters say is what looking at every record says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.writing.committer import Committer
from domain import account, contact
from projections import rebuild, sources
from projections.conditions import Condition, Order
from projections.directory import queries
from projections.directory.queries import DirectoryListQuery
from tests.support.commands import Company

NAMES = ["Acme Renewal", "Söhne (UK)", "東京都", "a b_c%", "Globex-Corp", "Ключ"]


@pytest.fixture(scope="module")
def company(shared_database_url: str) -> Iterator[Company]:
    with closing(Committer(shared_database_url)) as committer:
        company = Company(committer)
        for n in range(24):
            company.do(account.Create(name=f"{NAMES[n % 6]} {n}"))
            person = contact.Create(
                first_name=NAMES[n % 5], last_name=f"Doe{n % 4}", email=f"p.{n}@x{n % 3}.example" if n % 3 else None
            )
            company.do(person)
        yield company


@pytest.fixture
def reader(shared_database_url: str, company: Company) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shared_database_url, autocommit=True) as connection:
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(company.id),))
        yield connection


def listed(reader: psycopg.Connection[Any], query: DirectoryListQuery, limit: int, offset: int) -> tuple[list[str], int]:
    statement = queries.page(query, limit, offset)
    row = reader.execute(statement.text.encode(), statement.params).fetchone()
    assert row is not None
    return [each["id"] for each in json.loads(f"[{row[0] or ''}]")], row[1]


@pytest.mark.parametrize("walk", [1, 2_000])
@pytest.mark.parametrize("kind", ["account", "contact"])
@pytest.mark.parametrize("operator", ["search", "icontains"])
@pytest.mark.parametrize(
    "phrase",
    ["renewal", "SÖHNE", "uk", "(", "東", "京都", "b_c", "%", "corp glob", "doe1", "x1.exam", "p", "glob", "new 1", "none", " "],
)
def test_terms_find_what_the_condition_finds(
    reader: psycopg.Connection[Any],
    company: Company,
    phrase: str,
    operator: str,
    kind: str,
    walk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    condition = Condition("search" if operator == "search" else "name", "icontains", (phrase,))
    everything = DirectoryListQuery(company.id, kind, (condition,), (Order("name", False),))
    monkeypatch.setattr(sources, "WALK", 1_000_000)
    every, _ = listed(reader, everything, 200, 0)
    monkeypatch.setattr(sources, "WALK", walk)
    for limit, offset in ((4, 0), (4, 4), (200, 0)):
        assert listed(reader, everything, limit, offset) == (every[offset : offset + limit], len(every))


@pytest.mark.parametrize(
    "conditions", [(), (Condition("last_name", "in", ("Doe1",)),), (Condition("search", "icontains", ("p",)),)]
)
@pytest.mark.parametrize("descending", [True, False])
def test_contacts_without_an_address_come_last(
    reader: psycopg.Connection[Any], company: Company, descending: bool, conditions: tuple[Condition, ...]
) -> None:
    query = DirectoryListQuery(company.id, "contact", conditions, (Order("email", descending),))
    every, count = listed(reader, query, 200, 0)
    rows = reader.execute("SELECT lookup, id::text FROM directory WHERE id = ANY(%s::uuid[]) AND valid_to = 'infinity'", (every,))
    found = sorted(rows.fetchall(), key=lambda row: (row[0] or "", row[1]), reverse=descending)
    assert every == [id_ for address, id_ in found if address] + [id_ for address, id_ in found if not address]
    for offset in range(0, count, 3):
        assert listed(reader, query, 3, offset) == (every[offset : offset + 3], count)


def test_counters_and_terms_follow_the_records(database_url: str) -> None:
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        first, second = (company.do(account.Create(name=name)).stream_id for name in ("Globex", "Initech"))
        person = company.do(contact.Create(first_name="Jane", last_name="Doe")).stream_id
        company.do(account.Update(name="Umbrella"), first)
        company.do(account.Delete(), second)
        company.do(contact.Update(last_name="Berg"), person)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT set_config('app.org_id', %s, false)", (str(company.id),))

            def count(kind: str, phrase: str | None = None) -> int:
                conditions = (Condition("search", "icontains", (phrase,)),) if phrase else ()
                return listed(connection, DirectoryListQuery(company.id, kind, conditions), 50, 0)[1]

            assert (count("account"), count("contact")) == (2, 1)
            assert [count("account", phrase) for phrase in ("globex", "umbr", "initech")] == [0, 1, 0]
            assert (count("contact", "doe"), count("contact", "berg jane")) == (0, 1)
            last = queries.page(DirectoryListQuery(company.id, "contact", (), (Order("last_name", True),)), 50)
            row = connection.execute(last.text.encode(), last.params).fetchone()
            assert row is not None
            assert UUID(json.loads(row[0])["id"]) == person
        assert rebuild.verify(database_url) == []
