"""Whatever happens to deals and rates: balances, deals and the plain sum agree at every instant, and the waterfall balances."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.event import Event
from domain.opportunity import evolve
from domain.opportunity.events import Changes, Deleted, Lost, Reopened, Restored, State, Updated, Won
from projections.forecast import AMOUNTS, CAUSES, SUMS
from tests.projections.cursors import Cursors
from tests.projections.forecast.books import Books, Happening, created, quoted

START = datetime(2025, 11, 20, tzinfo=UTC)
FIRST_DAY = date(2026, 1, 1)
CURRENCIES = ("USD", "EUR", "JPY", "GBP")

RECORDS: list[int | str] = [1, 2, 3, 4, "EUR", "JPY"]

moments = st.integers(0, 24 * 250).map(lambda hours: START + timedelta(hours=hours))
days = st.integers(0, 200).map(lambda n: FIRST_DAY + timedelta(days=n))
amounts = st.one_of(st.none(), st.integers(0, 10**6).map(Decimal), st.just(Decimal(999_999_999_999)))
optional_days = st.one_of(st.none(), days)
rates = st.integers(1, 10**7).map(lambda n: Decimal(n).scaleb(-4))
spans = st.tuples(optional_days, optional_days).map(lambda pair: tuple(day and day.isoformat() for day in pair))

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "amount": amounts,
    "currency": st.sampled_from(CURRENCIES),
    "close_date": optional_days,
    "probability": st.sampled_from([0, 20, 33, 50, 100]),
    "tags": st.sampled_from([(), ("a",), ("a", "b")]),
    "owner_id": st.sampled_from([UUID(int=1), UUID(int=2)]),
    "account_id": st.sampled_from([UUID(int=n) for n in range(1, 6)]),
    "stage": st.sampled_from(["discovery", "proposal"]),
}
WON: dict[str, st.SearchStrategy[Any]] = {"actual_amount": amounts, "actual_close_date": days}


@st.composite
def next_events(draw: st.DrawFn, state: State | None) -> Event:
    """Something that can happen to a deal as it stands."""
    if state is None:
        fields = draw(st.fixed_dictionaries(FIELDS))
        status = draw(st.sampled_from(["open", "open", "open", "won", "lost"]))
        return created(**fields, status=status, **(draw(st.fixed_dictionaries(WON)) if status == "won" else {}))
    if state.deleted:
        return Restored()
    match draw(st.sampled_from(["edit", "edit", "edit", "win", "lose", "reopen", "delete"])):
        case "win" if state.status != "won":
            some = draw(st.fixed_dictionaries(WON, optional={"amount": amounts, "currency": FIELDS["currency"]}))
            return Won(changes=Changes(status="won", probability=100, **some))
        case "lose" if state.status != "lost":
            return Lost(changes=Changes(status="lost", probability=0, **draw(_some(FIELDS, "close_date"))))
        case "reopen" if state.status != "open":
            cleared: dict[str, Any] = {"actual_amount": None, "actual_close_date": None}
            return Reopened(changes=Changes(status="open", probability=20, **cleared))
        case "delete":
            return Deleted()
    if state.status == "won":
        return Updated(changes=Changes(**draw(_some(WON, *WON)), **draw(_some(FIELDS, "currency", "tags"))))
    return Updated(changes=Changes(**draw(_some(FIELDS, *FIELDS))))


def _some(fields: dict[str, st.SearchStrategy[Any]], *names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: fields[name] for name in names})


@st.composite
def histories(draw: st.DrawFn) -> list[Happening]:
    """Deals and rates whose events are appended in another order than they occurred in, but for each record in order."""
    found: list[Happening] = []
    states: dict[int, State] = {}
    quotes: dict[str, datetime] = {}
    for deal in draw(st.lists(st.sampled_from(RECORDS), min_size=1, max_size=18)):
        at = draw(moments)
        if isinstance(deal, str):
            at = quotes[deal] = max(at, quotes.get(deal, at))
            found.append(quoted(deal, draw(days).isoformat(), str(draw(rates)), at))
            continue
        before = states.get(deal)
        at = max(at, before.updated_at) if before else at
        found.append(Happening(deal, draw(next_events(before)), at))
        states[deal] = _state(before, found[-1])
    return found


def _state(before: State | None, happening: Happening) -> State:
    """The state as ``Books`` will have it, as far as it matters to what can happen next."""
    from tests.support.domain import recorded

    version = before.version + 1 if before else 1
    return evolve(before, recorded(happening.event, version, at=happening.at))


relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@relaxed
@given(
    history=histories(),
    span=spans,
    instants=st.lists(moments, min_size=1, max_size=3),
    currency=st.sampled_from([None, None, "EUR", "JPY"]),
    batch=st.sampled_from([1, 3, 100]),
    today=st.sampled_from([date(2026, 6, 15), date(2028, 1, 1)]),
)
def test_balances_deals_and_the_plain_sum_agree_at_every_instant(
    cursors: Cursors,
    history: list[Happening],
    span: tuple[str | None, str | None],
    instants: list[datetime],
    currency: str | None,
    batch: int,
    today: date,
) -> None:
    books = Books(cursors).record(history, batch)
    for as_of in (None, *instants, history[-1].at):
        asked: dict[str, Any] = {
            "since": span[0], "until": span[1], "as_of": as_of, "currency": currency, "today": today
        }  # fmt: skip
        expected = books.plain(**asked)
        assert books.forecast(**asked) == expected
        assert books.forecast(from_deals=True, **asked) == expected
        grouped = books.forecast(group_by="owner", **asked)
        for month, plain in zip(grouped["months"], expected["months"], strict=True):
            groups = month.pop("groups")
            assert month == plain
            assert sum(group["count"] for group in groups) == plain["count"]


@relaxed
@given(
    history=histories(),
    span=spans,
    pair=st.tuples(moments, moments).map(sorted),
    currency=st.sampled_from([None, None, "EUR", "JPY"]),
    today=st.sampled_from([date(2026, 6, 15), date(2028, 1, 1)]),
)
def test_the_waterfall_goes_from_the_one_forecast_to_the_other(
    cursors: Cursors,
    history: list[Happening],
    span: tuple[str | None, str | None],
    pair: list[datetime],
    currency: str | None,
    today: date,
) -> None:
    books = Books(cursors).record(history)
    asked: dict[str, Any] = {"since": span[0], "until": span[1], "currency": currency, "today": today}
    answer = books.changes(pair[0], pair[1], **asked)
    for edge, at in zip(("start", "end"), pair, strict=True):
        forecast = books.forecast(as_of=at, **asked)
        for column in ("unweighted", "weighted"):
            shown = {month["month"]: month[column][edge] for month in answer["months"]}
            expected = {month["month"]: month[column] for month in forecast["months"]}
            assert {name: shown.get(name, 0) for name in shown | expected} == {
                name: expected.get(name, 0) for name in shown | expected
            }
            assert answer["unscheduled"][column][edge] == forecast["unscheduled"][column]
    for part in (answer["total"], answer["unscheduled"], *answer["months"], *answer["unconverted"]):
        for column in ("unweighted", "weighted"):
            steps = part[column]
            assert sum(steps.values()) == 2 * steps["end"]
            assert steps["increased"] >= 0 >= steps["decreased"]
            assert min(steps["created"], steps["restored"]) >= 0 >= max(steps["lost"], steps["deleted"])
    for month in answer["months"]:
        for cause in CAUSES:
            if month["unweighted"][cause] or month["weighted"][cause]:
                assert month["opportunities"][cause]["count"] >= 1


@relaxed
@given(history=histories())
def test_balances_and_movements_are_the_sums_of_the_ledger(cursors: Cursors, history: list[Happening]) -> None:
    books = Books(cursors).record(history, 3)
    sums = [*(f"sum({name})" for name in SUMS)]
    sums += [f"coalesce(sum({amount}) FILTER (WHERE e.cause = '{cause}' AND period < 'infinity'), 0)"
             for cause in CAUSES for amount in ("unweighted", "weighted")]  # fmt: skip
    month = "date_trunc('month', e.day::timestamp)::date"
    balances = f"""
        CROSS JOIN LATERAL (VALUES (date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date), ('infinity')) p (period)
        CROSS JOIN LATERAL (VALUES ('day', e.day), ('month', {month})) g (grain, of)
        WHERE (g.of < 'infinity' OR g.grain = 'month') AND
    """
    movements = f"""
        CROSS JOIN LATERAL (VALUES ((occurred_at AT TIME ZONE 'UTC')::date)) p (period)
        CROSS JOIN LATERAL (VALUES (CASE status WHEN 'won' THEN e.day ELSE {month} END)) g (of) WHERE
    """
    for table, keys, source in (("forecast_balances", "grain, ", balances), ("forecast_movements", "", movements)):
        names = f"{keys}period, day, currency, status, {', '.join((*SUMS, *AMOUNTS))}"
        something = " OR ".join(f"{name} <> 0" for name in (*SUMS, *AMOUNTS))
        added = ", ".join(f"sum({name}) AS {name}" for name in (*SUMS, *AMOUNTS))
        kept = f"""
            SELECT {names} FROM (
                SELECT {keys}period, day, currency, status, {added} FROM {table} WHERE org_id = %s
                GROUP BY {keys}period, day, currency, status
            ) k WHERE {something}
        """
        summed = f"""
            SELECT * FROM (
                SELECT {keys}period, g.of, currency, status, {", ".join(sums)} FROM forecast_entries e {source} org_id = %s
                GROUP BY {keys}period, g.of, currency, status
            ) s ({names}) WHERE {something}
        """
        differing = f"SELECT count(*) FROM (({kept} EXCEPT {summed}) UNION ALL ({summed} EXCEPT {kept})) x"
        assert cursors.connection.execute(differing.encode(), (books.org_id,) * 4).fetchone() == (0,)
