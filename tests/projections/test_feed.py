"""The feed, a deal's history and the messages tell what a fold of the whole log tells, at a cost that follows the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, Cursor

from app.cli.audit import tell
from app.writing.committer import Committer
from app.writing.envelope import Outcome
from consumers.event_reader import EventReader
from domain import (
    account,
    activity,
    catalog,
    contact,
    custom_field,
    exchange_rate,
    fold,
    opportunity,
    organization,
    pipeline,
    token,
    user,
    webhook_endpoint,
)
from domain.errors import DomainError
from domain.event import Command, Recorded
from projections import feed, history
from projections.conditions import SqlStatement
from projections.history import HistoryEntry
from tests.support.commands import Company, log, stream

encode = msgspec.json.Encoder(decimal_format="string").encode
LONG = 600
Step = tuple[Command, UUID | None]


class History:
    """Whatever may happen in an org, at random: each step a command and the record it is about, some refused."""

    def __init__(self, company: Company, random: Random) -> None:
        self.company = company
        self._random = random
        self.records: dict[str, list[UUID]] = {"account": [company.account_id]}

    def step(self) -> None:
        command, id_ = self._random.choice(self._steps())()
        with suppress(DomainError):
            outcome = self.company.do(command, id_)
            if outcome.status == "created":
                self.records.setdefault(catalog.kind_of(type(command)), []).append(outcome.stream_id)

    def _steps(self) -> list[Callable[[], Step]]:
        org_id = self.company.id
        return [
            lambda: (account.Create(name=self._text(), custom_fields=self._values()), None),
            lambda: (account.Update(name=self._text(), custom_fields=self._values()), self._one("account")),
            lambda: (account.Delete(), self._one("account")),
            lambda: (contact.Create(first_name=self._text(), last_name="B", account_id=self.company.account_id), None),
            lambda: (contact.Update(title=self._text(), phone=None), self._one("contact")),
            lambda: (contact.Delete(), self._one("contact")),
            lambda: (user.Create(email=f"{self._text()}@acme.example", name="A"), None),
            lambda: (user.Update(role=self._random.choice(["rep", "manager"]), name=self._text()), self._one("user")),
            lambda: (token.Issue(name="t", hash="0" * 64, prefix="opp_", expires_at=datetime(2099, 1, 1, tzinfo=UTC)), None),
            lambda: (token.Revoke(), self._one("token")),
            lambda: (opportunity.Create(**{"account_id": self.company.account_id} | self._deal()), None),
            *[lambda: (opportunity.Update(**self._deal()), self._one("opportunity"))] * 3,
            lambda: (opportunity.ChangeStage(**self._move()), self._one("opportunity")),
            lambda: (opportunity.ChangeStage(**self._move()), self._one("opportunity")),
            lambda: (opportunity.Delete(), self._one("opportunity")),
            lambda: (opportunity.Restore(), self._one("opportunity")),
            lambda: (activity.Log(opportunity_id=self._one("opportunity"), type="note", subject=self._text()), None),
            lambda: (custom_field.Create(key=self._text(), label="L", type="dropdown", options=("a", "b")), self._field()),
            lambda: (custom_field.Update(field=self._text(), label=self._text()), self._field()),
            lambda: (custom_field.Delete(key=self._text()), self._field()),
            lambda: (pipeline.Replace(**self._policy()), pipeline.stream_id(org_id)),
            lambda: (organization.Update(name=self._text(), custom_fields_mode="keep"), org_id),
            *[self._quote] * 3,
            lambda: (webhook_endpoint.Create(url="https://x.example/", events=("opportunity.won",), filters=self._chosen()), None),
            lambda: (webhook_endpoint.Update(filters=self._chosen(), active=self._any(True, False)), self._one("webhook_endpoint")),
            lambda: (webhook_endpoint.RotateSecret(), self._one("webhook_endpoint")),
            lambda: (webhook_endpoint.Delete(), self._one("webhook_endpoint")),
        ]

    def _any(self, *values: Any) -> Any:
        return self._random.choice(values)

    def _one(self, kind: str) -> UUID:
        return self._random.choice(self.records.get(kind) or [UUID(int=0)])

    def _field(self) -> UUID:
        return custom_field.stream_id(self.company.id)

    def _text(self) -> str:
        return "".join(self._random.choices("abé_", k=2)).replace("_a", "x")

    def _values(self) -> dict[str, Any]:
        value = self._any(None, 1, 72.0, "ü\n", True, {"z": 1, "a": [{"y": None, "b": 1e22}]})
        return dict.fromkeys(self._random.sample(["seats", "b", "a"], 2), value)

    def _deal(self) -> dict[str, Any]:
        fields = {
            "name": self._text(),
            "amount": self._any(None, Decimal("1E+3"), Decimal("0.10"), Decimal(0)),
            "close_date": self._any(None, date(2026, 3, 1), date(2026, 4, 1)),
            "currency": self._any("USD", "EUR"),
            "probability": self._any(0, 55),
            "tags": self._any((), ("b", "a")),
            "stakeholder_ids": (self._one("contact"),),
            "account_id": self._one("account"),
            "custom_fields": self._values(),
        }
        return {name: fields[name] for name in self._random.sample(sorted(fields), 2)} | {"name": self._text()}

    def _move(self) -> dict[str, Any]:
        stage = self._any("discovery", "proposal", "won", "lost")
        closing = {"actual_amount": Decimal("9.5"), "actual_close_date": date(2026, 5, 5)}
        return {"stage": stage} | (closing if stage == "won" else {"lost_reason": "Price"} if stage == "lost" else {})

    def _policy(self) -> dict[str, Any]:
        return {"stages": pipeline.DEFAULT.stages, "transitions": self._any("no_skip", "permissive")}

    def _quote(self) -> Step:
        currency, rate = self._any("EUR", "JPY"), self._any(Decimal("1.10"), Decimal("1E-7"), Decimal(3))
        day = date(2026, 1, self._random.randint(1, 5))
        stream_id = exchange_rate.stream_id(self.company.id, currency)
        return exchange_rate.Set(currency=currency, valid_from=day, rate=rate), stream_id

    def _chosen(self) -> webhook_endpoint.WebhookFilters:
        chosen = {key: self._any(1, "x") for key in self._random.sample(["seats", "b", "a"], 2)}
        return webhook_endpoint.WebhookFilters(amount__gte=self._any(None, Decimal("5.0")), custom_fields=chosen)


def folded(events: list[Recorded]) -> list[HistoryEntry]:
    """The entries of a whole log: the state before each event is the fold of all before it."""
    return [history.entry(change, {}) for change in fold.changes(events, {})]


def rows(connection: Connection[Any], query: SqlStatement) -> list[tuple[Any, ...]]:
    return connection.execute(*query[:2]).fetchall()


def shown(found: Sequence[tuple[Any, ...]]) -> list[HistoryEntry]:
    return feed.entries(feed.changes([row[1:] for row in found]), {})


def pages(connection: Connection[Any], company: Company, limit: int) -> Iterator[HistoryEntry]:
    after = 0
    while found := shown(rows(connection, feed.page(company.id, after, limit, admin=True))):
        yield from found
        after = found[-1].position


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_whatever_happened_the_pages_tell_what_a_fold_of_the_whole_log_tells(shared_database_url: str, random: Random) -> None:
    with closing(Committer(shared_database_url)) as committer:
        company = Company(committer)
        happening = History(company, random)
        for _ in range(250):
            happening.step()
    expected = folded([recorded for recorded in log(shared_database_url) if recorded.meta.org_id == company.id])
    with psycopg.connect(shared_database_url) as connection:
        for limit in (1, 7, 500):
            assert [encode(one) for one in pages(connection, company, limit)] == [encode(one) for one in expected]
        for id_ in happening.records.get("opportunity", ()):
            of_it = [one for one in expected if one.id == id_]
            for limit, offset in ((1, 0), (3, 2), (200, 0)):
                found = rows(connection, feed.of_opportunity(company.id, id_, limit, offset))
                assert {row[0] for row in found} == {len(of_it)}
                told = shown([row for row in found if row[1]])
                assert encode(told) == encode(of_it[offset : offset + limit])
    assert list(tell(shared_database_url, org_id=company.id, record_id=None)) == [encode(one).decode() for one in expected]


def test_a_quote_tells_of_its_own_day_alone(shared_database_url: str, company: Company) -> None:
    stream_id = exchange_rate.stream_id(company.id, "EUR")
    for day, rate in ((1, "1.1"), (2, "1.2"), (1, "1.3")):
        company.do(exchange_rate.Set(currency="EUR", valid_from=date(2026, 1, day), rate=Decimal(rate)), stream_id)
    with psycopg.connect(shared_database_url) as connection:
        told = [one.changes["rates"] for one in pages(connection, company, 500) if one.type == "exchange_rate.quoted"]
    first, second = date(2026, 1, 1), date(2026, 1, 2)
    assert told == [
        (None, {first: Decimal("1.1")}),
        ({}, {second: Decimal("1.2")}),
        ({first: Decimal("1.1")}, {first: Decimal("1.3")}),
    ]


class Counting(Cursor[Any]):
    """A cursor that counts the rows it fetched."""

    fetched = 0

    def fetchall(self) -> list[Any]:
        found = super().fetchall()
        self.fetched += len(found)
        return found


def edited(company: Company, times: int) -> UUID:
    """A deal with so many events."""
    id_ = company.deal()
    edits = [company.envelope(opportunity.Update(probability=n % 2), id_) for n in range(1, times)]
    assert all(isinstance(result, Outcome) for result in company.committer.run(edits))
    return id_


def touched(connection: Connection[Any], query: SqlStatement) -> int:
    """The pages of the database that a statement reads."""
    (((plan,),),) = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query.text}", query.params).fetchall()
    found: int = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return found


def test_a_page_costs_the_same_however_long_the_history_is(shared_database_url: str, company: Company) -> None:
    id_ = edited(company, LONG)
    last = stream(shared_database_url, id_)[-1].position
    queries = [
        feed.page(company.id, last - 1, 1, admin=True),
        feed.page(company.id, last - 1, 1, admin=False),
        feed.of_opportunity(company.id, id_, 1, LONG - 1),
        feed.of_opportunity(company.id, id_, 1, 1),
    ]
    with psycopg.connect(shared_database_url, options="-c enable_seqscan=off") as connection:
        connection.execute("ANALYZE opportunities_events, opportunities")
        for query in queries:
            assert len(rows(connection, query)) == 1
            assert touched(connection, query) < 60


def test_a_page_has_about_so_many_bytes_or_one_larger_event(shared_database_url: str, company: Company) -> None:
    id_ = company.deal()
    for n in range(6):
        company.do(opportunity.Update(custom_fields=dict.fromkeys("ab", str(n) * 8_000)), id_)
    first, *edits = stream(shared_database_url, id_)
    after = first.position
    with psycopg.connect(shared_database_url) as connection:
        for size, numbers in ((1, [1, 1, 1, 1, 1, 1]), (50_000, [3, 2, 1]), (1_000_000, [6])):
            found: list[list[HistoryEntry]] = []
            while page := rows(connection, feed.page(company.id, after, 100, admin=True, size=size)):
                assert {row[0] for row in page} == {6 - sum(len(each) for each in found)}, "it tells that there are more"
                found.append(shown(page))
                after = found[-1][-1].position
            assert [len(each) for each in found] == numbers
            assert [one.position for each in found for one in each] == [one.position for one in edits]
            after = first.position


@pytest.mark.parametrize("back", [1, LONG // 2])
def test_a_relay_that_goes_on_in_a_long_history_reads_no_more_than_it_sends(
    shared_database_url: str, company: Company, back: int
) -> None:
    events = stream(shared_database_url, edited(company, LONG))
    with psycopg.connect(shared_database_url) as connection, Counting(connection) as cursor:
        whole = EventReader().records(cursor, events)
        cursor.fetched = 0
        assert EventReader().records(cursor, [events[-back]]) == [whole[-back]]
        assert cursor.fetched < 5
