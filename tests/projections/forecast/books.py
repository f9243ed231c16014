"""A forecast's books for tests: histories of deals, the read models they are applied to, and the plain sum of it all.

The plain sum folds the events up to an instant and adds up deal by deal in fractions: it knows neither SQL nor ledger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4, uuid5

import psycopg

from domain import exchange_rate, money, organization
from domain.event import Event, Meta, Recorded
from domain.fold import Change, changes
from domain.opportunity.events import Changes, Created, State
from projections.conditions import Condition, SqlStatement
from projections.forecast import current, deal_sums, waterfall, waterfall_answer
from projections.forecast.balances import Bounds
from projections.forecast.current import ForecastQuery
from projections.forecast.entries import WaterfallQuery
from projections.forecast.folding import EVERY
from projections.forecast.groups import CARDS, GroupBy
from projections.forecast.kept_groups import KeptGroups
from projections.forecast.limits import GROUPS_LIMIT
from projections.forecast.money import encode
from projections.opportunities import list_query
from tests.projections.cursors import Cursors

TODAY = date(2026, 6, 15)
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)

Row = dict[str, Any]


class Happening(NamedTuple):
    """Something that occurred to a record; ``deal`` is a small number or, of a rate, its currency, of any other record its id."""

    deal: int | str | UUID
    event: Event
    at: datetime


def created(**fields: Any) -> Created:
    """The creation of a deal that is open unless ``fields`` say otherwise."""
    given = {"stage": "proposal", "status": "open", "currency": "USD", "probability": 50, **fields}
    owner, account = uuid5(UUID(int=0), "owner"), uuid5(UUID(int=0), "account")
    given = {"owner_id": owner, "account_id": account, "name": "A deal", "probability_source": "stage", **given}
    return Created(changes=Changes(**given))


def quoted(currency: str, valid_from: str, rate: str, at: datetime) -> Happening:
    event = exchange_rate.Quoted(currency=currency, valid_from=date.fromisoformat(valid_from), rate=Decimal(rate))
    return Happening(currency, event, at)


def skip_to_a_fold(connection: psycopg.Connection[Any], positions: int, at: int = 0) -> None:
    """Leave positions of the log out, so that the part of the forecast's sums that is folded there is with the one that is so many
    later."""
    connection.execute(
        "SELECT setval('opportunities_events_notification_id_seq', (last_value / %(every)s + 2) * %(every)s + %(more)s)"
        " FROM opportunities_events_notification_id_seq",
        {"every": EVERY, "more": at - positions},
    )


class Books:
    """An org of its own and everything that has happened in it."""

    def __init__(self, cursors: Cursors, currency: str = "USD") -> None:
        self.cursors = cursors
        self.connection = cursors.connection
        self.org_id = uuid4()
        self.currency = currency
        self.log: list[Recorded] = []
        self.history: list[Change] = []
        self._states: dict[UUID, Any] = {}
        skip_to_a_fold(self.connection, 4)
        opening = organization.Created(name="Acme", currency=currency)
        cursors.apply([self._change(self.org_id, opening, datetime(2020, 1, 1, tzinfo=UTC))])

    def id(self, deal: int | str | UUID) -> UUID:
        return exchange_rate.stream_id(self.org_id, deal) if isinstance(deal, str) else uuid5(self.org_id, str(deal))

    def record(self, happenings: Iterable[Happening], batch: int = 100) -> Books:
        told = [self._change(self.id(deal), event, at) for deal, event, at in happenings]
        for start in range(0, len(told), batch):
            self.cursors.apply(told[start : start + batch])
        return self

    def _change(self, stream: UUID, event: Event, at: datetime) -> Change:
        before = self._states.get(stream)
        version = before.version + 1 if before else 1
        meta = Meta(org_id=self.org_id, command_id=uuid4(), occurred_at=at, recorded_at=at)
        recorded = Recorded(stream, version, event, meta, self._position())
        self.log.append(recorded)
        (change,) = changes([recorded], self._states)
        self.history.append(change)
        return change

    def _position(self) -> int:
        """The next one of the log, whose other positions are somebody else's."""
        row = self.connection.execute("SELECT nextval('opportunities_events_notification_id_seq')").fetchone()
        assert row is not None
        return int(row[0])

    def question(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        as_of: datetime | None = None,
        currency: str | None = None,
        group_by: GroupBy | None = None,
        groups_limit: int = GROUPS_LIMIT,
        from_deals: bool = False,
        today: date = TODAY,
        conditions: tuple[Condition, ...] = (),
    ) -> ForecastQuery:
        where = list_query.where(list_query.OpportunityListQuery(self.org_id, conditions, as_of=as_of))
        return ForecastQuery(
            self.org_id,
            today,
            bounds(since, until),
            as_of=as_of,
            currency=currency,
            where=where if from_deals or group_by or conditions else None,
            group_by=group_by,
            groups_limit=groups_limit,
        )

    def forecast(self, **asked: Any) -> Row:
        """The answer to a question, as JSON with exact numbers; see ``question``."""
        return exact(self.forecast_bytes(**asked))

    def forecast_bytes(self, **asked: Any) -> bytes:
        question = self.question(**asked)
        if question.group_by in CARDS:
            return self._by_record(question)
        return encode(current.answer(question, self._row(current.forecast(question))))

    def _by_record(self, question: ForecastQuery) -> bytes:
        assert question.where
        groups = KeptGroups(question, list_query.OpportunityListQuery(self.org_id, as_of=question.as_of))
        sums = deal_sums.from_deals(question.where, question.bounds, question.group_by)
        row = self._row(groups.from_scratch(sums))
        groups.parts(row[2:])
        return encode(groups.answer(row[2:]))

    def changes(self, start: datetime, end: datetime, **asked: Any) -> Row:
        """What changed in between, as JSON with exact numbers; see ``changes_bytes``."""
        return exact(self.changes_bytes(start, end, **asked))

    def changes_bytes(
        self,
        start: datetime,
        end: datetime,
        *,
        since: str | None = None,
        until: str | None = None,
        currency: str | None = None,
        today: date = TODAY,
        expanded: bool = True,
        conditions: tuple[Condition, ...] = (),
        group_by: Literal["owner"] | None = None,
        groups_limit: int = GROUPS_LIMIT,
    ) -> bytes:
        span = WaterfallQuery(
            self.org_id, start, end, today, bounds(since, until), currency, expanded, conditions, group_by, groups_limit
        )
        return encode(waterfall_answer.answer(span, self._row(waterfall.changes(span))))

    def _row(self, statement: SqlStatement) -> tuple[Any, ...]:
        """The row of a statement, on a connection that is shown the org as all that read are."""
        self.connection.execute("SELECT set_config('app.org_id', %s, false)", (str(self.org_id),))
        row: tuple[Any, ...] | None = self.connection.execute(*statement[:2]).fetchone()
        assert row is not None
        return row

    def plain(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        as_of: datetime | None = None,
        currency: str | None = None,
        today: date = TODAY,
        of: Callable[[State], bool] = lambda deal: True,
    ) -> Row:
        """The forecast of some deals, or of all, without groups, added up deal by deal."""
        known = [recorded for recorded in self.log if as_of is None or recorded.meta.occurred_at <= as_of]
        states: dict[UUID, Any] = {}
        changes(known, states)
        rates = {s.currency: s.rates for s in states.values() if isinstance(s, exchange_rate.State)}
        deals = [s for s in states.values() if isinstance(s, State) and not s.deleted and s.status != "lost" and of(s)]
        report = currency or self.currency
        on = as_of.date() if as_of else today
        months: dict[str, list[_Part]] = {name: [] for name in bounds(since, until).months()}
        unscheduled: list[_Part] = []
        unconverted: dict[str, list[_Part]] = {}
        for deal in deals:
            day = deal.close_date if deal.status == "open" else deal.actual_close_date
            if day and ((since and day.isoformat() < since) or (until and day.isoformat() > until)):
                continue
            at = on if deal.status == "open" else day
            worth = self._worth(rates, deal.currency, at), self._worth(rates, report, at)
            place = unscheduled if day is None else months.setdefault(day.isoformat()[:7], [])
            if deal.currency == report:
                place.append(_part(deal, Fraction(1)))
            elif None in worth:
                unconverted.setdefault(deal.currency, []).append(_part(deal, Fraction(1)))
            else:
                place.append(_part(deal, worth[0] / worth[1]))  # type: ignore[operator]
        return {
            "currency": report,
            "months": [{"month": name, **_figures(months[name], report)} for name in sorted(months)],
            "unscheduled": _figures(unscheduled, report),
            "unconverted": [{"currency": c, **_figures(unconverted[c], c)} for c in sorted(unconverted)],
            "as_of": None if as_of is None else as_of.isoformat().replace("+00:00", "Z"),
        }

    def _worth(self, rates: dict[str, dict[date, Decimal]], currency: str, day: date | None) -> Fraction | None:
        if currency == self.currency:
            return Fraction(1)
        day = day or date.max
        days = [valid_from for valid_from in rates.get(currency, {}) if valid_from <= day]
        return Fraction(rates[currency][max(days)]) if days else None


class _Part(NamedTuple):
    status: str
    unweighted: Fraction
    weighted: Fraction


def _part(deal: State, worth: Fraction) -> _Part:
    if deal.status == "won":
        won = Fraction(deal.actual_amount or 0) * worth
        return _Part("won", won, won)
    amount = Fraction(deal.amount or 0) * worth
    return _Part("open", amount, amount * deal.probability / 100)


def _figures(parts: Sequence[_Part], currency: str) -> Row:
    places = money.decimals(currency) or 0

    def total(name: str, *statuses: str) -> Decimal:
        exact_sum = sum((getattr(part, name) for part in parts if part.status in statuses), Fraction())
        return Decimal(round(exact_sum * 10**places)).scaleb(-places)

    return {
        "unweighted": total("unweighted", "open", "won"),
        "weighted": total("weighted", "open", "won"),
        "open_unweighted": total("unweighted", "open"),
        "open_weighted": total("weighted", "open"),
        "won": total("unweighted", "won"),
        "count": len(parts),
    }


def bounds(since: str | None, until: str | None) -> Bounds:
    return Bounds(since and date.fromisoformat(since), until and date.fromisoformat(until))  # type: ignore[arg-type]


def exact(body: bytes) -> Row:
    answer: Row = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    return answer
