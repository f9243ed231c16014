"""Loads a sales organization of any size through the domain: every row follows from a decided command.

Ten thousand accounts (fewer for fewer deals), twice as many contacts, fifty owners, six stages and three currencies; deals created
in order over the past 24 months, closing over as many, a share of them moved from stage to stage. The same number of deals gives
the same data, relative to the day of the load. An interrupted load continues where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from msgspec import Struct

from app.dev.demo_names import FIRST, LAST, SUBJECTS
from app.writing.committer import MAX_BATCH, Committer
from app.writing.envelope import Envelope
from app.writing.provisioning import create_org
from domain import account, activity, contact, custom_field, exchange_rate, opportunity, user
from domain.event import Command
from domain.permissions import OPERATOR, Actor

VERSION = "1"
ACCOUNTS, OWNERS = 10_000, 50
MONTHS = 24
OPEN = ("discovery", "qualification", "proposal", "negotiation")
CURRENCIES = {"USD": 6, "EUR": 3, "GBP": 1}
RATES = {"EUR": Decimal("1.08"), "GBP": Decimal("1.27")}
TAGS = ("new-business", "expansion", "partner", "inbound", "renewal", "strategic")
RIVALS = ("incumbent_vendor", "in_house", "none", "globex", "initech")


class Loaded(Struct, frozen=True):
    """What a benchmark needs to know of a database: whose it is, its admin's token and the day it is relative to."""

    org_id: UUID
    token: str
    loaded_at: datetime
    deals: int
    """Loaded so far."""


def load(url: str, deals: int, report: Callable[[str], None] = lambda text: None) -> Loaded:
    """Make sure that an empty or partly loaded, migrated database holds ``deals`` deals."""
    committer = Committer(url, statement_timeout_ms=120_000)
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            return _Load(connection, committer, deals, report).run()
    finally:
        committer.close()


def loaded(connection: psycopg.Connection[Any]) -> Loaded:
    row = connection.execute("SELECT org_id, token, loaded_at, deals FROM bench.load").fetchone()
    assert row is not None
    return Loaded(*row)


class Deal(NamedTuple):
    id: UUID
    commands: list[tuple[Command, datetime]]
    activity: tuple[Command, datetime] | None
    owner: UUID


def _id(at: datetime, random: Random) -> UUID:
    """A UUIDv7 of that time."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | random.getrandbits(12) << 64 | 2 << 62 | random.getrandbits(62))


class _Load:
    def __init__(
        self, connection: psycopg.Connection[Any], committer: Committer, deals: int, report: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._committer = committer
        self._deals = deals
        self._report = report
        self._number = min(ACCOUNTS, max(10, deals // 10))

    def run(self) -> Loaded:
        org = self._org()
        self._now, self._org_id = org.loaded_at.astimezone(UTC).replace(microsecond=0), org.org_id
        self._start = self._now - timedelta(days=MONTHS * 30 + 1)
        names = Random("references")
        ids = [_id(self._start, names) for _ in range(OWNERS + 3 * self._number)]
        self._owners = ids[:OWNERS]
        self._accounts = ids[OWNERS : OWNERS + self._number]
        self._contacts = ids[OWNERS + self._number :]
        if org.deals < self._deals:
            self._references()
            self._history(org.deals)
            self._connection.execute("VACUUM (FREEZE, ANALYZE)")
            self._connection.execute("CHECKPOINT")
        return loaded(self._connection)

    def _org(self) -> Loaded:
        self._connection.execute("CREATE SCHEMA IF NOT EXISTS bench")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS bench.load (org_id uuid, token text, loaded_at timestamptz, deals int)"
        )
        if not self._connection.execute("SELECT 1 FROM bench.load").fetchone():
            now = datetime.now(UTC)
            start = now - timedelta(days=MONTHS * 30 + 2)
            org = create_org(self._committer, "Bench Sales", "USD", "admin@bench.example", occurred_at=start)
            self._connection.execute("INSERT INTO bench.load VALUES (%s, %s, %s, 0)", (org.org_id, org.token, now))
        return loaded(self._connection)

    def _submission(self, kind: str, id_: UUID, command: Command, at: datetime, owner: UUID | None = None) -> Envelope:
        actor = Actor(user_id=owner, role="manager") if owner else OPERATOR
        return Envelope(kind, id_, command, self._org_id, actor, occurred_at=at, render=False)

    def _known(self, id_: UUID) -> bool:
        found = self._connection.execute("SELECT 1 FROM opportunities_events WHERE originator_id = %s LIMIT 1", (id_,))
        return found.fetchone() is not None

    def _references(self) -> None:
        self._report("loading accounts, contacts, owners and rates")
        envelopes = list(self._reference_submissions())
        for start in range(0, len(envelopes), 500):
            chunk = envelopes[start : start + 500]
            if not self._known(chunk[-1].stream_id):
                self._committer.run_as_one(chunk)
        self._connection.execute("ANALYZE")

    def _reference_submissions(self) -> Iterator[Envelope]:
        random, at = Random("names"), self._start
        for n, id_ in enumerate(self._owners):
            name = f"{FIRST[n % len(FIRST)]} {LAST[n // len(FIRST)]}"
            yield self._submission("user", id_, user.Create(email=f"owner{n}@bench.example", name=name, role="rep"), at)
        for currency, rate in RATES.items():
            stream = exchange_rate.stream_id(self._org_id, currency)
            quote = exchange_rate.Set(currency=currency, valid_from=date(2000, 1, 1), rate=rate)
            yield self._submission("exchange_rate", stream, quote, at)
        fields = custom_field.stream_id(self._org_id)
        for field in (
            custom_field.Create(key="competitor", label="Competitor", type="text"),
            custom_field.Create(key="seats", label="Seats", type="number"),
        ):
            yield self._submission("custom_field", fields, field, at)
        for n, id_ in enumerate(self._accounts):
            yield self._submission("account", id_, account.Create(name=f"{random.choice(LAST)} Industries {n}"), at)
        for n, id_ in enumerate(self._contacts):
            first, last = random.choice(FIRST), random.choice(LAST)
            command = contact.Create(
                first_name=first,
                last_name=last,
                email=f"{first}.{last}.{n}@customer.example".lower(),
                phone=f"+1 555 {n:06}",
                account_id=self._accounts[n % self._number],
            )
            yield self._submission("contact", id_, command, at)

    def _history(self, done: int) -> None:
        began, first = time.monotonic(), done
        reported = began
        while done < self._deals:
            batch = self._batch(done)
            if not self._known(batch[0].id):  # else it was committed just before an interruption
                self._commit(batch)
            done += len(batch)
            self._connection.execute("UPDATE bench.load SET deals = %s", (done,))
            if time.monotonic() - reported > 10 or done == self._deals:
                reported = time.monotonic()
                rate = (done - first) / (reported - began)
                self._report(f"loaded {done:,} of {self._deals:,} deals, {rate:,.0f} a second")

    def _batch(self, first: int) -> list[Deal]:
        """Whole deals from number ``first`` on, as many as go into one transaction."""
        batch: list[Deal] = []
        room = MAX_BATCH
        for number in range(first, self._deals):
            deal = self._deal(number)
            room -= len(deal.commands)
            if room < 0:
                break
            batch.append(deal)
        return batch

    def _commit(self, batch: Sequence[Deal]) -> None:
        envelopes = [
            self._submission("opportunity", deal.id, command, at, deal.owner) for deal in batch for command, at in deal.commands
        ]
        for deal in batch:
            if deal.activity is not None:
                command, at = deal.activity
                envelopes.append(self._submission("activity", _id(at, Random(deal.id.int)), command, at, deal.owner))
        self._committer.run_as_one(envelopes)

    def _deal(self, number: int) -> Deal:
        random = Random(number)
        created = self._start + (self._now - self._start) * (number + random.random()) / self._deals
        created = created.replace(microsecond=0)
        id_, owner, account = _id(created, random), random.choice(self._owners), random.randrange(self._number)
        amount = Decimal(random.randint(400, 120_000)) + Decimal(random.choice((0, 0, 50))) / 100
        close_date = created.date() + timedelta(days=random.randint(20, 240))
        past = close_date < self._now.date()
        fate = random.choices(("open", "won", "lost"), (15, 45, 40) if past else (75, 10, 15))[0]
        path = list(OPEN[: random.randint(1, 4)])
        path = path if random.random() < 0.35 else path[-1:]
        latest = min(self._now, datetime.combine(close_date, created.timetz())) - timedelta(minutes=1)
        span = max(1, int((latest - created).total_seconds()))
        times = sorted(created + timedelta(seconds=random.randint(1, span)) for _ in range(len(path) + 1))
        commands: list[tuple[Command, datetime]] = [
            (
                opportunity.Create(
                    name=f"{random.choice(LAST)} — {random.choice(SUBJECTS)} {created.year}",
                    account_id=self._accounts[account],
                    amount=amount,
                    currency=random.choices(list(CURRENCIES), list(CURRENCIES.values()))[0],
                    stage=path[0],
                    close_date=close_date,
                    owner_id=owner,
                    stakeholder_ids=tuple(self._contacts[account + self._number * n] for n in range(random.choice((0, 1, 1, 2)))),
                    tags=tuple(random.sample(TAGS, random.randint(0, 2))),
                    custom_fields={"competitor": random.choice(RIVALS), "seats": random.randint(5, 400)},
                ),
                created,
            )
        ]
        commands += [(opportunity.ChangeStage(stage=stage), at) for stage, at in zip(path[1:], times, strict=False)]
        if fate == "won":
            paid = (amount * random.randint(80, 110) / 100).quantize(Decimal("0.01"))
            at = times[-1]
            commands.append((opportunity.ChangeStage(stage="won", actual_amount=paid, actual_close_date=at.date()), at))
        elif fate == "lost":
            commands.append((opportunity.ChangeStage(stage="lost", lost_reason="price"), times[-1]))
        return Deal(id_, commands, self._talk(id_, created, random), owner)

    def _talk(self, id_: UUID, at: datetime, random: Random) -> tuple[Command, datetime] | None:
        if random.random() > 0.01:
            return None
        return activity.Log(opportunity_id=id_, type="call", subject="First talk", occurred_at=at), at
