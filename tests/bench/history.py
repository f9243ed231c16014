"""What a benchmark's sales organization consists of, record by record: the commands of each, with their times.

Every record depends on its number alone, so that several processes can make them. Up to ten thousand accounts and twice as many
contacts are named by deals; a large organization has many more of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from random import Random
from uuid import UUID

from app.dev.demo_names import FIRST, LAST, SUBJECTS
from app.writing.envelope import Envelope
from domain import account, activity, contact, custom_field, exchange_rate, opportunity, user
from domain.event import Command
from domain.permissions import OPERATOR, Actor

ACCOUNTS, OWNERS = 10_000, 50
LARGE, LARGE_ACCOUNTS, LARGE_CONTACTS = 500_000, 200_000, 1_000_000
"""From so many deals on there are so many accounts and contacts."""
MONTHS = 24
OPEN = ("discovery", "qualification", "proposal", "negotiation")
CURRENCIES = {"USD": 6, "EUR": 3, "GBP": 1}
RATES = {"EUR": Decimal("1.08"), "GBP": Decimal("1.27")}
TAGS = ("new-business", "expansion", "partner", "inbound", "renewal", "strategic")
RIVALS = ("incumbent_vendor", "in_house", "none", "globex", "initech")

_ACCOUNT, _CONTACT, _OWNER = 1 << 40, 2 << 40, 3 << 40
"""Added to a record's number, so that no two kinds have the same random numbers."""


def _id(at: datetime, random: Random) -> UUID:
    """A UUIDv7 of that time."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | random.getrandbits(12) << 64 | 2 << 62 | random.getrandbits(62))


class History:
    """An organization with ``deals`` deals, as of ``loaded_at``."""

    def __init__(self, org_id: UUID, loaded_at: datetime, deals: int) -> None:
        self.org_id, self._deals = org_id, deals
        self._now = loaded_at.astimezone(UTC).replace(microsecond=0)
        self._start = self._now - timedelta(days=MONTHS * 30 + 1)
        self.accounts = min(ACCOUNTS, max(10, deals // 10))
        """How many are named by deals, and half of the contacts that are."""
        self.all_accounts = LARGE_ACCOUNTS if deals >= LARGE else self.accounts
        self.all_contacts = LARGE_CONTACTS if deals >= LARGE else 2 * self.accounts

    @cached_property
    def owner_ids(self) -> list[UUID]:
        return [self._id(_OWNER + number) for number in range(OWNERS)]

    @cached_property
    def account_ids(self) -> list[UUID]:
        return [self._id(_ACCOUNT + number) for number in range(self.all_accounts)]

    @cached_property
    def contact_ids(self) -> list[UUID]:
        """Those that deals name."""
        return [self._id(_CONTACT + number) for number in range(2 * self.accounts)]

    def _id(self, number: int) -> UUID:
        return _id(self._start, Random(number))

    def settings(self) -> Iterator[Envelope]:
        """Owners, rates and custom fields."""
        at = self._start
        for n, id_ in enumerate(self.owner_ids):
            name = f"{FIRST[n % len(FIRST)]} {LAST[n // len(FIRST)]}"
            yield self._envelope("user", id_, user.Create(email=f"owner{n}@bench.example", name=name, role="rep"), at)
        for currency, rate in RATES.items():
            stream = exchange_rate.stream_id(self.org_id, currency)
            quote = exchange_rate.Set(currency=currency, valid_from=date(2000, 1, 1), rate=rate)
            yield self._envelope("exchange_rate", stream, quote, at)
        fields = custom_field.stream_id(self.org_id)
        for field in (
            custom_field.Create(key="competitor", label="Competitor", type="text"),
            custom_field.Create(key="seats", label="Seats", type="number"),
        ):
            yield self._envelope("custom_field", fields, field, at)

    def account(self, number: int) -> list[Envelope]:
        random = Random(_ACCOUNT + number)
        id_ = _id(self._start, random)
        command = account.Create(name=f"{random.choice(LAST)} Industries {number}")
        return [self._envelope("account", id_, command, self._start)]

    def contact(self, number: int) -> list[Envelope]:
        random = Random(_CONTACT + number)
        id_ = _id(self._start, random)
        first, last = random.choice(FIRST), random.choice(LAST)
        of = number % (self.accounts if number < 2 * self.accounts else self.all_accounts)
        command = contact.Create(
            first_name=first,
            last_name=last,
            email=f"{first}.{last}.{number}@customer.example".lower(),
            phone=f"+1 555 {number:06}",
            account_id=self.account_ids[of],
        )
        return [self._envelope("contact", id_, command, self._start)]

    def deal(self, number: int) -> list[Envelope]:
        """A deal's commands and, sometimes, an activity."""
        random = Random(number)
        created = self._start + (self._now - self._start) * (number + random.random()) / self._deals
        created = created.replace(microsecond=0)
        id_, owner, account_ = _id(created, random), random.choice(self.owner_ids), random.randrange(self.accounts)
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
                    account_id=self.account_ids[account_],
                    amount=amount,
                    currency=random.choices(list(CURRENCIES), list(CURRENCIES.values()))[0],
                    stage=path[0],
                    close_date=close_date,
                    owner_id=owner,
                    stakeholder_ids=tuple(
                        self.contact_ids[account_ + self.accounts * n] for n in range(random.choice((0, 1, 1, 2)))
                    ),
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
        envelopes = [self._envelope("opportunity", id_, command, at, owner) for command, at in commands]
        if random.random() <= 0.01:
            talk = activity.Log(opportunity_id=id_, type="call", subject="First talk", occurred_at=created)
            envelopes.append(self._envelope("activity", _id(created, Random(id_.int)), talk, created, owner))
        return envelopes

    def _envelope(self, kind: str, id_: UUID, command: Command, at: datetime, owner: UUID | None = None) -> Envelope:
        actor = Actor(user_id=owner, role="manager") if owner else OPERATOR
        return Envelope(kind, id_, command, self.org_id, actor, occurred_at=at, render=False)
