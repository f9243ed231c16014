"""The demo org: eighteen months of a small sales team's work, made by real commands with past dates.

The same seed gives the same deals relative to today. It creates an org of its own and touches no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from app.dev.demo_names import ACCOUNTS, COMPETITORS, FIRST, LAST, OWNERS, SUBJECTS
from app.writing.committer import Committer
from app.writing.envelope import Envelope
from app.writing.provisioning import Provisioned, create_org
from domain import account, activity, contact, custom_field, exchange_rate, opportunity, user
from domain.event import Command
from domain.permissions import OPERATOR, Actor

DEALS = 200
MONTHS = 18
OPEN = ("discovery", "qualification", "proposal", "negotiation")
REASONS = ("price", "competitor", "timing", "no_decision")
TAGS = ("new-business", "expansion", "partner", "inbound", "q4")
TALKS: tuple[Literal["call", "email", "meeting"], ...] = ("call", "email", "meeting")


@dataclass(frozen=True, slots=True)
class _Step:
    at: datetime
    envelope: Envelope


def create(url: str, *, now: datetime | None = None) -> Provisioned:
    """Create the demo org in the database. Its admin is ``admin@demo.example``."""
    committer = Committer(url)
    try:
        return _Demo(committer, now or datetime.now(UTC)).create()
    finally:
        committer.close()


class _Demo:
    def __init__(self, committer: Committer, now: datetime) -> None:
        self._committer = committer
        self._random = Random(1815)  # noqa: S311
        self._now = now
        self._start = now - timedelta(days=MONTHS * 30)

    def create(self) -> Provisioned:
        org = create_org(self._committer, "Demo Sales", "USD", "admin@demo.example", occurred_at=self._start)
        self._org_id = org.org_id
        self._owners = [
            self._record("user", user.Create(email=f"{key}@demo.example", name=name, role="rep")) for name, key in OWNERS
        ]
        self._accounts = [
            self._record("account", account.Create(name=name, domain=f"{name.lower().replace(' ', '')}.example"))
            for name in ACCOUNTS
        ]
        self._contacts = {id_: [self._contact(id_) for _ in range(self._random.randint(1, 3))] for id_ in self._accounts}
        self._settings()
        steps = sorted(self._history(), key=lambda step: step.at)
        self._run([step.envelope for step in steps])
        return org

    def _run(self, envelopes: list[Envelope]) -> None:
        for result in self._committer.run(envelopes):
            if isinstance(result, Exception):
                raise result

    def _at(self, kind: str, stream_id: UUID, command: Command, at: datetime, owner: UUID | None = None) -> Envelope:
        actor = Actor(user_id=owner, role="manager") if owner else OPERATOR
        return Envelope(kind, stream_id, command, self._org_id, actor, occurred_at=at, render=False)

    def _record(self, kind: str, command: Command) -> UUID:
        id_ = uuid7()
        self._run([self._at(kind, id_, command, self._start)])
        return id_

    def _contact(self, account_id: UUID) -> UUID:
        first, last = self._random.choice(FIRST), self._random.choice(LAST)
        email = f"{first}.{last}@customer.example".lower()
        return self._record("contact", contact.Create(first_name=first, last_name=last, email=email, account_id=account_id))

    def _settings(self) -> None:
        fields = custom_field.stream_id(self._org_id)
        self._run([
            self._at("custom_field", fields, custom_field.Create(
                key="competitor", label="Competitor", type="text", filterable=True), self._start),
            self._at("custom_field", fields, custom_field.Create(
                key="seats", label="Seats", type="number", filterable=True), self._start),
        ])  # fmt: skip
        for currency, base in (("EUR", Decimal("1.08")), ("JPY", Decimal("0.0067"))):
            stream = exchange_rate.stream_id(self._org_id, currency)
            for quarter in range(MONTHS // 3):
                at = self._start + timedelta(days=quarter * 90)
                rate = (base * (1 + Decimal(self._random.randint(-40, 40)) / 1000)).quantize(Decimal("0.000001"))
                command = exchange_rate.Set(currency=currency, valid_from=at.date(), rate=rate)
                self._run([self._at("exchange_rate", stream, command, at)])

    def _history(self) -> Iterator[_Step]:
        for number in range(DEALS):
            created = self._start + (self._now - self._start) * (number + self._random.random()) / DEALS
            yield from self._deal(created.replace(minute=self._random.randint(0, 59)) - timedelta(hours=20))

    def _deal(self, created: datetime) -> Iterator[_Step]:
        """A deal's creation and everything that has happened to it since."""
        random = self._random
        id_, owner, account_id = uuid7(), random.choice(self._owners), random.choice(self._accounts)
        currency = random.choices(("USD", "EUR", "JPY"), (6, 3, 1))[0]
        amount = Decimal(random.randint(4, 120) * (100_000 if currency == "JPY" else 1_000))
        close_date = (created + timedelta(days=random.randint(45, 160))).date()
        command = opportunity.Create(
            name=f"{ACCOUNTS[self._accounts.index(account_id)]} — {random.choice(SUBJECTS)} {close_date.year}",
            account_id=account_id,
            amount=amount,
            currency=currency,
            close_date=close_date,
            owner_id=owner,
            stakeholder_ids=tuple(random.sample(self._contacts[account_id], 1)),
            tags=tuple(random.sample(TAGS, random.randint(0, 2))),
            custom_fields={"competitor": random.choice(COMPETITORS), "seats": random.randint(5, 400)},
        )
        yield _Step(created, self._at("opportunity", id_, command, created, owner))
        for at, kind, next_command in self._course(created, close_date, amount, id_):
            if at >= self._now:
                return
            stream = id_ if kind == "opportunity" else uuid7()
            yield _Step(at, self._at(kind, stream, next_command, at, owner))

    def _course(self, at: datetime, close_date: date, amount: Decimal, id_: UUID) -> Iterator[tuple[datetime, str, Command]]:
        """Stage by stage to its end; the caller leaves out what lies in the future."""
        random = self._random
        won = random.random() < 0.6
        for stage in OPEN[1 : 4 if won else random.randint(2, 4)]:
            at += timedelta(days=random.randint(8, 50), minutes=random.randint(1, 600))
            yield at, "opportunity", opportunity.ChangeStage(stage=stage)
            if random.random() < 0.4:
                at += timedelta(hours=random.randint(1, 48))
                yield (
                    at,
                    "activity",
                    activity.Log(opportunity_id=id_, type=random.choice(TALKS), subject=f"{stage.title()} talk", occurred_at=at),
                )
            if random.random() < 0.25:
                at += timedelta(days=random.randint(1, 6))
                amount = (amount * random.choice((Decimal("0.8"), Decimal("0.9"), Decimal("1.2")))).quantize(Decimal(1))
                yield at, "opportunity", opportunity.Update(amount=amount)
            if random.random() < 0.3 or close_date < at.date():
                at += timedelta(days=random.randint(1, 6))
                close_date = max(close_date, at.date()) + timedelta(days=random.randint(7, 45))
                yield at, "opportunity", opportunity.Update(close_date=close_date)
        at += timedelta(days=random.randint(8, 60), minutes=random.randint(1, 600))
        if won:
            yield (
                at,
                "opportunity",
                opportunity.ChangeStage(stage="won", actual_amount=amount, actual_close_date=at.date()),
            )
        else:
            yield at, "opportunity", opportunity.ChangeStage(stage="lost", lost_reason=random.choice(REASONS))
